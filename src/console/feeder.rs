//! The threads that fill the store. What they do is in nobody's telemetry.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    Shared,
    intake::Batch,
    store::Freed,
    trace::{StoredLog, StoredSpan},
};
use crate::{
    diagnostics,
    pipeline::{MetricSource, Take},
};

/// How long an item waits to be seen.
const PACE: Duration = Duration::from_millis(200);
/// Between two looks for what is too old.
const EXPIRY: Duration = Duration::from_secs(1);
/// Items stored under one lock: whoever reads waits for no more.
const AT_ONCE: usize = 128;

/// The running threads; they end when this is dropped.
#[derive(Debug)]
pub(super) struct Feeder {
    ended: Arc<AtomicBool>,
    threads: Mutex<Vec<Thread>>,
    shared: Arc<Shared>,
}

impl Feeder {
    pub(super) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let feeder = Self { ended, threads: Mutex::default(), shared: Arc::clone(shared) };
        let shared = Arc::clone(shared);
        let mut expired = Instant::now();
        let thread = feeder.spawn("tracewell-store", PACE, move || {
            shared.store_all();
            if expired.elapsed() >= EXPIRY {
                expired = Instant::now();
                shared.expire();
            }
        })?;
        feeder.shared.intake.set_feeder(thread);
        Ok(feeder)
    }

    pub(super) fn read(
        &self,
        shared: &Arc<Shared>,
        source: MetricSource,
        interval: Duration,
    ) -> io::Result<()> {
        let shared = Arc::clone(shared);
        self.spawn("tracewell-meter", interval, move || shared.read(&source)).map(drop)
    }

    /// A thread that works now and then until this is dropped, or sooner when it is unparked.
    fn spawn(
        &self,
        name: &str,
        pace: Duration,
        mut work: impl FnMut() + Send + 'static,
    ) -> io::Result<Thread> {
        let ended = Arc::clone(&self.ended);
        let running = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _quiet = diagnostics::listen();
            let _suppressed = opentelemetry::Context::enter_telemetry_suppressed_scope();
            while !ended.load(Ordering::Acquire) {
                if catch_unwind(AssertUnwindSafe(&mut work)).is_err() {
                    diagnostics::warn(
                        "console-panic",
                        format_args!("the console's store panicked; it goes on"),
                    );
                }
                thread::park_timeout(pace);
            }
        })?;
        let thread = running.thread().clone();
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread.clone());
        Ok(thread)
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        self.shared.intake.close();
        // they are not waited for: a callback of the user's may hang
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(Thread::unpark);
    }
}

impl Shared {
    /// Stores everything that came.
    fn store_all(&self) {
        let batch = self.intake.take();
        if batch.is_empty() {
            return;
        }
        let Batch { spans, logs } = batch;
        let (now, time) = (Instant::now(), SystemTime::now());
        let mut spans = spans.into_iter();
        loop {
            let mut settled = 0;
            let some: Vec<_> = spans
                .by_ref()
                .take(AT_ONCE)
                .map(|(data, size)| {
                    settled += size;
                    Arc::new(StoredSpan { data, size: size + StoredSpan::OVERHEAD })
                })
                .collect();
            if some.is_empty() {
                break;
            }
            {
                let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
                some.iter().for_each(|span| rates.count(&span.data, time, self.veil.redactor()));
            }
            let mut freed = Freed::default();
            let mut store = self.store();
            some.into_iter().for_each(|span| store.add_span(&span, now, &mut freed));
            drop(store);
            drop(freed); // many small things, and not for under the lock
            self.intake.settle(settled);
        }
        let mut logs = logs.into_iter().peekable();
        while logs.peek().is_some() {
            let mut freed = Freed::default();
            let mut settled = 0;
            let mut store = self.store();
            for (record, scope, size) in logs.by_ref().take(AT_ONCE) {
                settled += size;
                let log = StoredLog { number: 0, record, scope, size, came: now };
                store.add_log(log, now, &mut freed);
            }
            drop(store);
            drop(freed);
            self.intake.settle(settled);
        }
    }

    fn expire(&self) {
        let mut freed = Freed::default();
        self.store().expire(Instant::now(), &mut freed);
        drop(freed);
        if let Some(before) = SystemTime::now().checked_sub(self.age) {
            self.history().expire(nanos(before));
        }
    }

    /// Reads the metrics once.
    fn read(&self, source: &MetricSource) {
        let request = match source.collect(Take::Latest) {
            Ok(request) => request,
            Err(_) => return, // the provider has ended, and so will this
        };
        let changed = self.history().add(&request, nanos(SystemTime::now()));
        *self.changed.lock().unwrap_or_else(PoisonError::into_inner) = changed;
        self.readings.fetch_add(1, Ordering::AcqRel);
    }
}

fn nanos(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
