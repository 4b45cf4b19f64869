//! What spans and log records have in common on their way out: a queue, a transport, and a batch that is settled once.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    account::Loss,
    exporter::Export,
    queue::Queue,
    transport::{Accepted, SendError, SendErrorKind, Transport},
};
use crate::{config::Signal, diagnostics};

/// A queue and the connection it is emptied into.
#[derive(Debug)]
pub(super) struct Lane<T> {
    pub(super) signal: Signal,
    pub(super) queue: Arc<Queue<T>>,
    pub(super) transport: Arc<Transport>,
    pub(super) schedule_delay: Duration,
}

impl<T> Lane<T> {
    /// What a drain sends: everything that waits now, and in a shutdown what comes meanwhile too. A flush ends although
    /// the service goes on emitting.
    fn drain(&self) -> Drain {
        Drain { left: self.queue.waiting() }
    }

    /// Resolves when a batch is full, or the schedule's delay has passed.
    async fn due(&self) {
        tokio::select! {
            () = self.queue.batch_ready() => {}
            // zero means "as soon as possible", not a busy loop
            () = tokio::time::sleep(self.schedule_delay.max(Duration::from_millis(1))) => {}
        }
    }
}

/// A signal whose items wait in a queue until they are sent in batches.
pub(super) trait Batched: Send + Sync + 'static {
    type Item: Send;

    fn lane(&self) -> &Lane<Self::Item>;

    /// A batch as an OTLP request in protobuf.
    fn encode(&self, batch: Vec<Self::Item>) -> Vec<u8>;
}

impl<B: Batched> Export for B {
    async fn due(&mut self) {
        self.lane().due().await;
    }

    async fn once(&mut self) {
        let lane = self.lane();
        let batch = lane.queue.take();
        if !batch.is_empty() {
            let in_flight = InFlight::new(lane, batch.len());
            let request = Bytes::from(self.encode(batch));
            in_flight.settle(lane.transport.send(request, None).await);
        }
    }

    async fn drain(&mut self) {
        let mut drain = self.lane().drain();
        while drain.goes_on(self.lane()) {
            self.once().await;
        }
    }

    fn close(&mut self) {
        self.lane().queue.close();
    }

    fn transport(&self) -> Arc<Transport> {
        Arc::clone(&self.lane().transport)
    }
}

/// How much of a drain is left.
#[derive(Debug)]
struct Drain {
    left: usize,
}

impl Drain {
    /// Whether another batch is to be sent; counts it as sent.
    fn goes_on<T>(&mut self, lane: &Lane<T>) -> bool {
        let waiting = lane.queue.waiting();
        let patience = lane.transport.patience();
        let more = waiting > 0 && !patience.is_hopeless() && (self.left > 0 || patience.is_ending());
        self.left = self.left.saturating_sub(waiting.min(lane.queue.batch_size()));
        more
    }
}

/// A batch that is being sent; dropped unsettled, it went unanswered.
#[derive(Debug)]
pub(super) struct InFlight<'a, T> {
    lane: &'a Lane<T>,
    size: usize,
    settled: bool,
}

impl<'a, T> InFlight<'a, T> {
    pub(super) fn new(lane: &'a Lane<T>, size: usize) -> Self {
        Self { lane, size, settled: false }
    }

    /// Accounts for the batch by what became of its request.
    pub(super) fn settle(mut self, outcome: Result<Accepted, SendError>) {
        self.settled = true;
        let Lane { signal, queue, transport, .. } = self.lane;
        match outcome {
            Ok(accepted) => {
                remark(*signal, &accepted);
                queue.exported(self.size, accepted.rejected);
            }
            Err(error) => {
                queue.lost(self.size, loss(&error));
                transport.lost();
            }
        }
    }
}

impl<T> Drop for InFlight<'_, T> {
    fn drop(&mut self) {
        if !self.settled {
            self.lane.queue.lost(self.size, Loss::Unanswered);
            self.lane.transport.lost();
        }
    }
}

pub(super) fn loss(error: &SendError) -> Loss {
    match error.kind {
        SendErrorKind::Retryable(_) => Loss::RetriesExhausted,
        SendErrorKind::Unreadable => Loss::Unanswered,
        SendErrorKind::Rejected => Loss::Rejected,
        SendErrorKind::TooLarge => Loss::TooLarge,
    }
}

/// Says what a collector remarked on a request that it took.
pub(super) fn remark(signal: Signal, accepted: &Accepted) {
    let Accepted { rejected, message } = accepted;
    let key = match signal {
        Signal::Traces => "partial-traces",
        Signal::Metrics => "partial-metrics",
        Signal::Logs => "partial-logs",
    };
    if *rejected > 0 {
        diagnostics::warn(key, format_args!("{signal}: the collector refused {rejected} items: {message}"));
    } else if !message.is_empty() {
        diagnostics::warn(key, format_args!("{signal}: the collector warns: {message}"));
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Instant};

    use super::*;
    use crate::{
        config::{Config, DropPolicy, Source},
        pipeline::{
            exporter::ExporterThread, metrics::PointAccount, queue::Item, signal_status::SignalStatus,
        },
    };

    impl Item for u64 {
        fn is_kept_first(&self) -> bool {
            false
        }
    }

    fn lane(capacity: usize, batch: usize) -> Lane<u64> {
        let otlp = Config::resolve(&Source::from_pairs([("", ""); 0])).0.traces.otlp;
        let queue = Arc::new(Queue::new(capacity, batch, DropPolicy::Oldest));
        let status = SignalStatus::new(None, Arc::new(PointAccount::default()));
        let transport = Transport::new(Signal::Traces, &[], &otlp, status).unwrap();
        Lane { signal: Signal::Traces, queue, transport, schedule_delay: Duration::from_secs(24 * 60 * 60) }
    }

    /// An exporter that is inside of an export, and of its thread, until it is let go.
    struct Stuck {
        lane: Lane<u64>,
        inside: mpsc::Sender<()>,
        leave: std::sync::Mutex<mpsc::Receiver<()>>,
    }

    impl Batched for Stuck {
        type Item = u64;

        fn lane(&self) -> &Lane<u64> {
            &self.lane
        }

        fn encode(&self, _: Vec<u64>) -> Vec<u8> {
            self.inside.send(()).unwrap();
            self.leave.lock().unwrap().recv().unwrap();
            Vec::new()
        }
    }

    #[test]
    fn emitting_and_reading_the_account_wait_for_no_export() {
        let lane = lane(8, 4);
        let queue = Arc::clone(&lane.queue);
        let ((inside, entered), (leave, left)) = (mpsc::channel(), mpsc::channel());
        let mut stuck = Stuck { lane, inside, leave: left.into() };
        (0..4).for_each(|item| queue.push(item));
        let exporting = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(stuck.once());
        });
        entered.recv_timeout(Duration::from_secs(30)).unwrap();
        // from here to the release nobody but this thread runs: it would hang if any of this waited
        (4..100).for_each(|item| queue.push(item));
        let account = queue.account();
        assert_eq!((account.emitted, account.queued, account.dropped), (100, 4 + 8, 100 - 12));
        leave.send(()).unwrap();
        exporting.join().unwrap();
        assert_eq!((queue.account().queued, queue.account().exported), (8, 4), "{:?}", queue.account());
    }

    /// An exporter that panics over odd items.
    struct Panics(Lane<u64>);

    impl Batched for Panics {
        type Item = u64;

        fn lane(&self) -> &Lane<u64> {
            &self.0
        }

        fn encode(&self, batch: Vec<u64>) -> Vec<u8> {
            assert!(batch.iter().all(|item| item % 2 == 0), "odd");
            Vec::new()
        }
    }

    #[test]
    fn a_panic_costs_one_batch_and_the_exporter_goes_on() {
        let lane = lane(8, 1);
        let queue = Arc::clone(&lane.queue);
        let exporter = ExporterThread::start(|tasks| {
            tasks.spawn(Signal::Traces, Panics(lane));
            Ok::<_, String>(())
        });
        let exporter = exporter.unwrap().unwrap();
        for item in 1..=4 {
            queue.push(item);
            exporter.flush_blocking(Instant::now() + Duration::from_secs(30), false);
        }
        let account = queue.account();
        assert_eq!((account.lost(Loss::Unanswered), account.queued), (2, 0), "{account:?}");
        assert_eq!(account.exported, 2, "{account:?}");
    }
}
