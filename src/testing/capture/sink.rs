//! Where captured spans and log records arrive: processors in the pipeline, and the store tests look at.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry::{Context, InstrumentationScope, SpanId, trace::Span as _};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    logs::{LogProcessor, SdkLogRecord},
    trace::{Span, SpanData, SpanProcessor},
};
use tokio::sync::watch;

use super::record::{CapturedLog, CapturedSpan};
use crate::testing::tree;

/// What was captured so far.
///
/// ```
/// let capture = tracewell::testing::Capture::new();
/// capture.set_default();
/// assert!(capture.read(|captured| captured.spans().is_empty() && captured.open_spans() == 0));
/// ```
#[derive(Debug, Default)]
pub struct Captured {
    spans: Vec<CapturedSpan>,
    logs: Vec<CapturedLog>,
    open: HashMap<SpanId, OpenSpan>,
    /// Starts of spans and log records so far.
    events: u64,
}

/// A span that was started and has not ended.
#[derive(Debug)]
pub(in crate::testing) struct OpenSpan {
    pub(in crate::testing) name: String,
    pub(in crate::testing) parent: SpanId,
    pub(in crate::testing) order: u64,
    clocks: Clocks,
}

/// The system's clock and the one of the runtime, which a test may have paused.
#[derive(Debug, Clone, Copy)]
struct Clocks {
    system: Instant,
    runtime: tokio::time::Instant,
}

impl Clocks {
    /// Further apart than two readings, one after the other, can be.
    const APART: Duration = Duration::from_millis(1);

    fn read() -> Self {
        Self { system: Instant::now(), runtime: tokio::time::Instant::now() }
    }

    /// The runtime's time since then, if its clock ran ahead of the system's.
    fn ahead(&self) -> Option<Duration> {
        let (system, runtime) = (self.system.elapsed(), self.runtime.elapsed());
        (runtime > system + Self::APART).then_some(runtime)
    }
}

impl Captured {
    /// The spans that have ended, in the order of their ends.
    #[must_use]
    pub fn spans(&self) -> &[CapturedSpan] {
        &self.spans
    }

    /// The first span of this name that has ended.
    #[must_use]
    pub fn span(&self, name: &str) -> Option<&CapturedSpan> {
        self.spans.iter().find(|span| span.name() == name)
    }

    /// The number of spans that were started and have not ended.
    #[must_use]
    pub fn open_spans(&self) -> usize {
        self.open.len()
    }

    /// The log records, in the order they were made.
    #[must_use]
    pub fn logs(&self) -> &[CapturedLog] {
        &self.logs
    }

    /// The first log record with this message.
    #[must_use]
    pub fn log(&self, message: &str) -> Option<&CapturedLog> {
        self.logs.iter().find(|log| log.message() == message)
    }

    /// Spans and log records as short text; see [`Capture::tree`](super::Capture::tree).
    #[must_use]
    pub fn tree(&self) -> String {
        tree::render(&self.spans, &self.logs, &self.open)
    }

    /// Name and parent's id of every span, open ones too, by its id.
    pub(in crate::testing) fn lineage(&self) -> HashMap<String, (String, String)> {
        let ended = self
            .spans
            .iter()
            .map(|span| (span.span_id().to_owned(), span.name(), span.parent_span_id().to_owned()));
        let open = self.open.iter().map(|(id, span)| (id.to_string(), &*span.name, span.parent.to_string()));
        ended.chain(open).map(|(id, name, parent)| (id, (name.to_owned(), parent))).collect()
    }

    fn next(&mut self) -> u64 {
        self.events += 1;
        self.events
    }
}

/// The end of a capture's pipeline. Clones share one store.
#[derive(Debug, Clone)]
pub(super) struct Sink(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    captured: Mutex<Captured>,
    changed: Condvar,
    version: watch::Sender<()>,
}

impl Sink {
    pub(super) fn new() -> Self {
        let version = watch::Sender::new(());
        Self(Arc::new(Shared { captured: Mutex::default(), changed: Condvar::new(), version }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Captured> {
        self.0.captured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of every change.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.0.version.subscribe()
    }

    pub(super) fn clear(&self) {
        self.update(|captured| {
            captured.spans.clear();
            captured.logs.clear();
        });
    }

    pub(super) fn wait_for(&self, timeout: Duration, mut condition: impl FnMut(&Captured) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let mut captured = self.lock();
        loop {
            if condition(&captured) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            captured = self.0.changed.wait_timeout(captured, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn update(&self, change: impl FnOnce(&mut Captured)) {
        change(&mut self.lock());
        self.0.changed.notify_all();
        self.0.version.send_replace(());
    }
}

impl SpanProcessor for Sink {
    fn on_start(&self, span: &mut Span, _: &Context) {
        let (id, clocks) = (span.span_context().span_id(), Clocks::read());
        // a copy of all of it is the only way to its name
        let Some(data) = span.exported_data() else { return };
        self.update(|captured| {
            let order = captured.next();
            let open = OpenSpan { name: data.name.into_owned(), parent: data.parent_span_id, order, clocks };
            captured.open.insert(id, open);
        });
    }

    fn on_end(&self, mut span: SpanData) {
        self.update(|captured| {
            let open = captured.open.remove(&span.span_context.span_id());
            // spans of tracing's macros take their times from the system alone
            if let Some(end) =
                open.as_ref().and_then(|open| span.start_time.checked_add(open.clocks.ahead()?))
            {
                span.end_time = span.end_time.max(end);
            }
            let order = open.map_or_else(|| captured.next(), |open| open.order);
            captured.spans.push(CapturedSpan::new(span, order));
        });
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl LogProcessor for Sink {
    fn emit(&self, record: &mut SdkLogRecord, _: &InstrumentationScope) {
        self.update(|captured| {
            let order = captured.next();
            captured.logs.push(CapturedLog::new(record, order));
        });
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
