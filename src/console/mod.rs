//! The console's store: recent traces, log records and metrics, kept in the process for the operator's page.
//!
//! ```text
//! span ends ──┐ copy                         ┌─► traces, log records ─┐
//! event ──────┴──────► intake ─► its thread ─┴─► rates by route       ├─► the admin server's endpoints
//! metrics ◄───────── read by another thread ───► points over time ────┘
//! ```
//!
//! What is stored is what is exported, whether or not there is an exporter and a collector that answers: sampled spans and
//! log records. Log records come without their secrets; those of spans are hidden when something is shown, in `shown.rs`,
//! through which everything goes that leaves the store. The service's threads copy an item and go on; when the intake is full, an item is
//! counted and not kept. Everything together stays below `TRACEWELL_CONSOLE_MAX_BYTES`: three quarters for traces and log
//! records, three sixteenths for metrics, a sixteenth for the intake.

mod evicted;
mod feeder;
mod history;
mod intake;
mod otlp;
mod points;
mod query;
mod rates;
mod shown;
mod size;
mod slowest;
mod store;
#[cfg(test)]
mod tests;
mod trace;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use opentelemetry::TraceId;

use self::{
    feeder::Feeder,
    history::{Excerpt, History},
    intake::Intake,
    rates::Rates,
    shown::Veil,
    store::{Bounds, Store},
};
pub(crate) use self::{
    history::Listed,
    otlp::{LogsBody, MetricsBody, TracesBody},
    query::{LogFilter, StatusFilter, TraceFilter},
    rates::{RouteRate, StepRate},
    shown::{ShownSpan, ShownTrace},
    store::Fill,
    trace::StoredLog,
};
use crate::{
    config::Config,
    pipeline::{MetricSource, Watch},
    redaction::Redactor,
};

/// The store with the threads that feed it; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Console {
    shared: Arc<Shared>,
    feeder: Feeder,
}

/// What threads and endpoints share.
#[derive(Debug)]
struct Shared {
    intake: Arc<Intake>,
    store: Mutex<Store>,
    rates: Mutex<Rates>,
    history: Mutex<History>,
    veil: Veil,
    limit: usize,
    age: Duration,
    /// The number of readings of the metrics, and the names that changed in the last one.
    readings: AtomicU64,
    changed: Mutex<Vec<String>>,
    /// Streams of events that are open.
    streams: AtomicUsize,
}

/// How full everything is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fullness {
    pub(crate) fill: Fill,
    pub(crate) bytes: usize,
    pub(crate) limit: usize,
    pub(crate) max_age: Duration,
    pub(crate) points: usize,
    /// Spans and log records that came when the intake was full.
    pub(crate) lost: (u64, u64),
}

impl Console {
    /// The store as the configuration wants it, if it wants one. The threads start with it.
    ///
    /// # Errors
    /// The sentence that says that a thread cannot be started.
    pub(crate) fn start(config: &Config, redactor: &Redactor) -> Result<Option<Self>, String> {
        if config.disabled || !config.admin.console {
            return Ok(None);
        }
        let bounds = &config.admin.console_store;
        let veil = Veil::new(config.traces.limits, redactor);
        let shared = Arc::new(Shared::new(bounds.max_bytes, bounds.max_age, veil));
        let feeder = Feeder::start(&shared)
            .map_err(|error| format!("the console's thread could not be started: {error}"))?;
        Ok(Some(Self { shared, feeder }))
    }

    /// Who is to see what is emitted.
    pub(crate) fn watch(&self) -> Arc<dyn Watch> {
        Arc::clone(&self.shared.intake) as Arc<dyn Watch>
    }

    /// Reads the metrics at this pace, on a thread of its own: callbacks are the user's and may hang.
    ///
    /// # Errors
    /// The sentence that says that the thread cannot be started.
    pub(crate) fn read_metrics(&self, source: MetricSource, interval: Duration) -> Result<(), String> {
        let interval = interval.clamp(Duration::from_secs(1), Duration::from_secs(5));
        self.feeder
            .read(&self.shared, source, interval)
            .map_err(|error| format!("the console's thread could not be started: {error}"))
    }

    pub(crate) fn fullness(&self) -> Fullness {
        let fill = self.shared.store().fill();
        let (history, points) = {
            let history = self.shared.history();
            (history.bytes(), history.points())
        };
        Fullness {
            fill,
            bytes: fill.bytes + history + self.shared.intake.bytes(),
            limit: self.shared.limit,
            max_age: self.shared.age,
            points,
            lost: self.shared.intake.lost(),
        }
    }

    /// The last minute by route, and the last ten minutes in steps.
    pub(crate) fn rates(&self) -> (Vec<RouteRate>, Vec<StepRate>) {
        let now = SystemTime::now();
        let (routes, series) = {
            let rates = self.shared.rates.lock().unwrap_or_else(PoisonError::into_inner);
            (rates.routes(now), rates.series(now))
        };
        (routes.into_iter().map(|rate| self.shared.veil.rate(rate)).collect(), series)
    }

    /// The spans of a trace.
    pub(crate) fn spans(&self, id: TraceId) -> Option<Vec<ShownSpan>> {
        let spans = self.shared.store().spans(id)?;
        Some(self.shared.veil.spans(&spans))
    }

    /// Whether there is a span of this trace.
    pub(crate) fn has_spans(&self, id: TraceId) -> bool {
        self.shared.store().spans(id).is_some()
    }

    /// The log records of a trace, the oldest first.
    pub(crate) fn logs_of(&self, id: TraceId) -> Vec<Arc<StoredLog>> {
        self.shared.store().logs_of(id)
    }

    /// Every metric, by name.
    pub(crate) fn metrics(&self) -> Vec<Listed> {
        self.shared.history().list()
    }

    /// What the last `most` readings say of the metrics of this name; nothing when there is none.
    pub(crate) fn metric(&self, name: &str, most: usize) -> Vec<Excerpt> {
        self.shared.history().excerpts(name, most)
    }

    /// The number of the last change of traces or log records.
    pub(crate) fn last(&self) -> u64 {
        self.shared.store().last()
    }

    /// Traces that have changed since, `most` at most.
    pub(crate) fn changed_since(&self, change: u64, most: usize) -> Vec<ShownTrace> {
        let changed = self.shared.store().changed_since(change, most);
        changed.into_iter().map(|summary| self.shared.veil.trace(summary)).collect()
    }

    /// Log records since, the oldest first, `most` at most; how many there are beyond, and the number to go on from.
    pub(crate) fn logs_after(&self, after: u64, most: usize) -> (Vec<Arc<StoredLog>>, usize, u64) {
        self.shared.store().logs_after(after, most)
    }

    /// The names of the metrics that changed in the last reading, unless that is the one of this number; and its number.
    pub(crate) fn changed_metrics(&self, reading: u64) -> (u64, Vec<String>) {
        let last = self.shared.readings.load(Ordering::Acquire);
        if last == reading {
            return (last, Vec::new());
        }
        (last, self.shared.changed.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// The right to a stream of events, unless `most` are open.
    pub(crate) fn open_stream(&self, most: usize) -> Option<OpenStream> {
        let streams = &self.shared.streams;
        let more = |open: usize| (open < most).then_some(open + 1);
        streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(OpenStream(Arc::clone(&self.shared)))
    }
}

/// A stream of events; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenStream(Arc<Shared>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn new(limit: usize, age: Duration, veil: Veil) -> Self {
        let part = |sixteenths: usize| limit / 16 * sixteenths;
        Self {
            intake: Arc::new(Intake::new(part(1))),
            store: Mutex::new(Store::new(Bounds { bytes: part(12), age })),
            // half a MiB of 32
            rates: Mutex::new(Rates::new((limit >> 14).min(2048))),
            history: Mutex::new(History::new(part(3))),
            veil,
            limit,
            age,
            readings: AtomicU64::new(0),
            changed: Mutex::default(),
            streams: AtomicUsize::new(0),
        }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
