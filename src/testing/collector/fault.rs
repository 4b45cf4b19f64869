//! What the collector does instead of accepting, and the scripts that decide when.

use std::{collections::VecDeque, time::Duration};

use super::record::SIGNALS;
use crate::config::Signal;

/// How one export request is treated.
///
/// Only well-formed export requests consume a fault; a request for an unknown path or with an undecodable body is
/// answered with the error it deserves.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// No fault: the request is accepted. Fills places in a script.
    Accept,
    /// The request is read and never answered; its connection stays open.
    Hang,
    /// Accepted, but only after this long. Not accepted if the client leaves earlier.
    Delay(Duration),
    /// An error answer.
    Status {
        /// The status of OTLP/HTTP.
        http: u16,
        /// The status code of OTLP/gRPC, 1 to 16.
        grpc: i32,
        /// `Retry-After` in whole seconds (rounded up) over HTTP, `RetryInfo` in the status details over gRPC.
        retry_after: Option<Duration>,
    },
    /// A success answer that says the last `rejected` items (spans, log records, data points) were not taken.
    PartialSuccess {
        /// The number announced; what exceeds the request's items is announced but not counted.
        rejected: u64,
        /// The announced reason.
        message: String,
    },
    /// A success whose body is not a response message: broken protobuf or JSON, or a gRPC frame cut short.
    Garbage,
    /// A success that breaks off inside its body: the connection is cut (HTTP/1.1) or the stream reset (HTTP/2).
    ResetMidBody,
    /// The request is read, never answered, and its connection closed.
    Close,
    /// As `Close`, and the whole collector is gone with it: every connection is closed and new ones are refused
    /// until [`Collector::revive`](super::Collector::revive).
    Die,
}

impl Fault {
    /// 503 / `UNAVAILABLE`: worth a retry.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::Status { http: 503, grpc: 14, retry_after: None }
    }

    /// 429 / `RESOURCE_EXHAUSTED` with the time to wait: worth a retry after it.
    #[must_use]
    pub fn throttled(retry_after: Duration) -> Self {
        Self::Status { http: 429, grpc: 8, retry_after: Some(retry_after) }
    }

    /// 400 / `INVALID_ARGUMENT`: a retry is pointless.
    #[must_use]
    pub fn bad_request() -> Self {
        Self::Status { http: 400, grpc: 3, retry_after: None }
    }

    /// 401 / `UNAUTHENTICATED`: a retry is pointless.
    #[must_use]
    pub fn unauthenticated() -> Self {
        Self::Status { http: 401, grpc: 16, retry_after: None }
    }
}

/// The faults in wait: one line for each signal and one for all of them.
#[derive(Debug, Default)]
pub(super) struct Script {
    all: Line,
    signals: [Line; SIGNALS],
}

/// A queue that runs out, then what holds until the next order.
#[derive(Debug, Default)]
struct Line {
    queue: VecDeque<Fault>,
    standing: Option<Fault>,
}

impl Script {
    pub(super) fn extend(&mut self, signal: Option<Signal>, faults: impl IntoIterator<Item = Fault>) {
        self.line(signal).queue.extend(faults);
    }

    pub(super) fn set(&mut self, signal: Option<Signal>, fault: Fault) {
        *self.line(signal) = Line { queue: VecDeque::new(), standing: Some(fault) };
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The fault for the next request of a signal; its own line goes before the line of all.
    pub(super) fn next(&mut self, signal: Signal) -> Fault {
        let own = self.line(Some(signal)).next();
        own.or_else(|| self.all.next()).unwrap_or(Fault::Accept)
    }

    fn line(&mut self, signal: Option<Signal>) -> &mut Line {
        match signal {
            Some(signal) => &mut self.signals[signal as usize],
            None => &mut self.all,
        }
    }
}

impl Line {
    fn next(&mut self) -> Option<Fault> {
        self.queue.pop_front().or_else(|| self.standing.clone())
    }
}
