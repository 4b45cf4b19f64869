//! What spans and log records have in common on their way out: a queue, a transport, and a batch that is settled once.

use std::{sync::Arc, time::Duration};

use opentelemetry_otlp::{Protocol as Encoding, RetryPolicy};
use opentelemetry_sdk::error::OTelSdkResult;

use super::{
    queue::{Loss, Queue},
    transport::{Accepted, EncodedRequests, SendError, SendErrorKind, Transport},
};
use crate::{config::Signal, diagnostics};

/// opentelemetry-otlp wants an address; the transport has its own.
pub(super) const NOWHERE: &str = "http://localhost/";
/// opentelemetry-otlp wants a limit; the transport has its own.
pub(super) const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn encoding(json: bool) -> Encoding {
    if json { Encoding::HttpJson } else { Encoding::HttpBinary }
}

/// opentelemetry-otlp repeats nothing: the transport does, where it can be counted and cut short.
pub(super) fn no_retry() -> RetryPolicy {
    RetryPolicy::disabled()
}

/// A queue and the connection it is emptied into.
#[derive(Debug)]
pub(super) struct Lane<T> {
    pub(super) signal: Signal,
    pub(super) queue: Arc<Queue<T>>,
    pub(super) transport: Arc<Transport>,
    pub(super) schedule_delay: Duration,
}

impl<T> Lane<T> {
    pub(super) fn client(&self) -> EncodedRequests {
        EncodedRequests(Arc::clone(&self.transport))
    }

    /// Resolves when a batch is full, or the schedule's delay has passed.
    pub(super) async fn due(&self) {
        tokio::select! {
            () = self.queue.batch_ready() => {}
            // zero means "as soon as possible", not a busy loop
            () = tokio::time::sleep(self.schedule_delay.max(Duration::from_millis(1))) => {}
        }
    }
}

/// A batch that is being sent; dropped unsettled, it is lost to the shutdown.
#[derive(Debug)]
pub(super) struct InFlight<'a, T> {
    lane: &'a Lane<T>,
    size: usize,
    settled: bool,
}

impl<'a, T> InFlight<'a, T> {
    pub(super) fn new(lane: &'a Lane<T>, size: usize) -> Self {
        // an outcome left over from a request that was given up belongs to that request
        drop(lane.transport.take_outcome());
        Self { lane, size, settled: false }
    }

    /// Accounts for the batch by what the transport saw; `result` speaks only when no request was made at all.
    pub(super) fn settle(mut self, result: OTelSdkResult) {
        self.settled = true;
        let Lane { signal, queue, transport, .. } = self.lane;
        match transport.take_outcome() {
            Some(Ok(accepted)) => {
                remark(*signal, &accepted);
                queue.exported(self.size, accepted.rejected);
            }
            Some(Err(error)) => {
                queue.lost(self.size, loss(&error));
                complain(*signal, self.size as u64, &error);
            }
            None => {
                let cause =
                    result.err().map_or_else(|| "no request was made".to_owned(), |error| error.to_string());
                // the encoder refuses only what exceeds its limit
                queue.lost(self.size, Loss::TooLarge);
                complain(*signal, self.size as u64, &SendError { kind: SendErrorKind::TooLarge, cause });
            }
        }
    }
}

impl<T> Drop for InFlight<'_, T> {
    fn drop(&mut self) {
        if !self.settled {
            self.lane.queue.lost(self.size, Loss::Shutdown);
        }
    }
}

pub(super) fn loss(error: &SendError) -> Loss {
    match error.kind {
        SendErrorKind::Retryable(_) => Loss::RetriesExhausted,
        SendErrorKind::Rejected => Loss::Rejected,
        SendErrorKind::TooLarge => Loss::TooLarge,
    }
}

/// Says what a collector remarked on a request that it took.
pub(super) fn remark(signal: Signal, accepted: &Accepted) {
    let Accepted { rejected, message } = accepted;
    if *rejected > 0 {
        diagnostics::warn(
            "partial-success",
            format_args!("{signal}: the collector refused {rejected} items: {message}"),
        );
    } else if !message.is_empty() {
        diagnostics::warn("partial-success", format_args!("{signal}: the collector warns: {message}"));
    }
}

/// Says that items were lost, unless the line about the collector that does not take them has said so.
pub(super) fn complain(signal: Signal, items: u64, error: &SendError) {
    if error.kind == SendErrorKind::TooLarge {
        let key = match signal {
            Signal::Traces => "too-large-traces",
            Signal::Metrics => "too-large-metrics",
            Signal::Logs => "too-large-logs",
        };
        diagnostics::warn(key, format_args!("{signal}: {items} items are lost: {error}"));
    }
}
