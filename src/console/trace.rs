//! What is kept: a span, a log record, and the trace that holds them together.

use std::{
    borrow::Cow,
    collections::VecDeque,
    fmt,
    mem::size_of,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceId, Value,
    logs::Severity,
    trace::{SpanKind, Status},
};
use opentelemetry_sdk::{logs::SdkLogRecord, trace::SpanData};
use opentelemetry_semantic_conventions::attribute::{
    HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE,
};

/// A span as it came, with its secrets if it has some: it is shown by `shown.rs` alone.
pub(super) struct StoredSpan {
    pub(super) data: SpanData,
    pub(super) size: usize,
}

impl fmt::Debug for StoredSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredSpan").field("size", &self.size).finish_non_exhaustive()
    }
}

impl StoredSpan {
    /// What it takes beside its data: counts, its place in a list that is never quite full.
    pub(super) const OVERHEAD: usize = size_of::<Self>() - size_of::<SpanData>() + 48;
}

/// A log record without its secrets.
#[derive(Debug)]
pub(crate) struct StoredLog {
    /// Its place in the order in which they came.
    pub(crate) number: u64,
    pub(crate) record: SdkLogRecord,
    pub(crate) scope: Arc<InstrumentationScope>,
    pub(super) size: usize,
    pub(super) came: Instant,
}

impl StoredLog {
    /// The trace it belongs to.
    pub(crate) fn trace_id(&self) -> Option<TraceId> {
        let id = self.record.trace_context().map(|context| context.trace_id);
        id.filter(|id| *id != TraceId::INVALID)
    }

    pub(super) fn is_error(&self) -> bool {
        self.record.severity_number().is_some_and(|severity| severity >= Severity::Error)
    }
}

/// An attribute of a span.
pub(super) fn attribute<'a>(span: &'a SpanData, key: &str) -> Option<&'a Value> {
    find(&span.attributes, key)
}

fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|attribute| attribute.key.as_str() == key).map(|attribute| &attribute.value)
}

pub(super) fn text(span: &SpanData, key: &str) -> Option<String> {
    attribute(span, key).map(|value| value.as_str().into_owned())
}

pub(super) fn is_error(span: &SpanData) -> bool {
    matches!(span.status, Status::Error { .. })
}

pub(super) fn duration(span: &SpanData) -> Duration {
    span.end_time.duration_since(span.start_time).unwrap_or_default()
}

/// The method and route of a span for HTTP, else its name in the place of the route.
pub(super) fn route(span: &SpanData) -> (Option<Cow<'_, str>>, Option<Cow<'_, str>>) {
    let method = attribute(span, HTTP_REQUEST_METHOD).map(Value::as_str);
    let route = attribute(span, HTTP_ROUTE).map(Value::as_str);
    if method.is_none() && route.is_none() {
        (None, Some(Cow::Borrowed(&*span.name)))
    } else {
        (method, route)
    }
}

/// How long something is kept when room is needed: the first goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    Ordinary = 0,
    /// Among the slowest of its kind.
    Slow = 1,
    /// Something in it failed.
    Error = 2,
}

/// How much a span stands for the whole trace: the one without parent, then those with one elsewhere, then a caller in
/// this process (what it asked for says more: its name has the route).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    Child,
    Caller,
    LocalRoot,
    Root,
}

pub(super) fn standing(span: &SpanData) -> Standing {
    let calls = matches!(span.span_kind, SpanKind::Client | SpanKind::Producer);
    match (span.parent_span_id == SpanId::INVALID, span.parent_span_is_remote) {
        (true, _) if calls => Standing::Caller,
        (true, _) => Standing::Root,
        (false, true) => Standing::LocalRoot,
        (false, false) => Standing::Child,
    }
}

/// The spans and log records of a trace id.
#[derive(Debug)]
pub(super) struct Trace {
    /// Its place in the order of traces; `None` while it has no span.
    pub(super) number: Option<u64>,
    pub(super) spans: Vec<Arc<StoredSpan>>,
    /// The numbers of its log records.
    pub(super) logs: VecDeque<u64>,
    pub(super) span_bytes: usize,
    pub(super) log_bytes: usize,
    /// Spans that were too many for one trace.
    pub(super) spans_dropped: u64,
    pub(super) errors: u32,
    pub(super) error_logs: u32,
    pub(super) rank: Rank,
    /// Among the slowest of its kind.
    pub(super) is_slow: bool,
    pub(super) touched: Instant,
    /// The last change's number.
    pub(super) changed: u64,
    /// The index of the span that stands for it.
    head: usize,
    begun: Option<SystemTime>,
    ended: Option<SystemTime>,
}

/// What a trace takes without its items: its place in tables and queues included.
pub(super) const OVERHEAD: usize = 2 * size_of::<Trace>() + 128;

impl Trace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            number: None,
            spans: Vec::new(),
            logs: VecDeque::new(),
            span_bytes: 0,
            log_bytes: 0,
            spans_dropped: 0,
            errors: 0,
            error_logs: 0,
            rank: Rank::Ordinary,
            is_slow: false,
            touched: now,
            changed: 0,
            head: 0,
            begun: None,
            ended: None,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        OVERHEAD + self.span_bytes + self.log_bytes
    }

    pub(super) fn add(&mut self, span: Arc<StoredSpan>) {
        let data = &span.data;
        self.errors += u32::from(is_error(data));
        self.begun = Some(self.begun.map_or(data.start_time, |begun| begun.min(data.start_time)));
        self.ended = Some(self.ended.map_or(data.end_time, |ended| ended.max(data.end_time)));
        self.span_bytes += span.size;
        let stands_for_it = self.spans.get(self.head).is_none_or(|head| {
            (standing(data), head.data.start_time) > (standing(&head.data), data.start_time)
        });
        if stands_for_it {
            self.head = self.spans.len();
        }
        self.spans.push(span);
    }

    /// What a list shows of it; `None` while it has no span.
    pub(super) fn summary(&self, id: TraceId) -> Option<Summary> {
        let number = self.number?;
        let head = Arc::clone(self.spans.get(self.head)?);
        Some(Summary {
            number,
            changed: self.changed,
            id,
            head,
            spans: self.spans.len(),
            spans_dropped: self.spans_dropped,
            errors: self.errors,
            logs: self.logs.len(),
            begun: self.begun?,
            ended: self.ended?,
        })
    }
}

/// What a list shows of a trace; its texts come from `shown.rs`.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pub(crate) number: u64,
    pub(crate) changed: u64,
    pub(crate) id: TraceId,
    pub(super) head: Arc<StoredSpan>,
    pub(crate) spans: usize,
    pub(crate) spans_dropped: u64,
    pub(crate) errors: u32,
    pub(crate) logs: usize,
    begun: SystemTime,
    ended: SystemTime,
}

impl Summary {
    /// Whether the span that stands for it came in from outside or has no parent; others may still be running.
    pub(crate) fn has_root(&self) -> bool {
        standing(&self.head.data) > Standing::Child
    }

    pub(crate) fn status_code(&self) -> Option<i64> {
        match attribute(&self.head.data, HTTP_RESPONSE_STATUS_CODE) {
            Some(Value::I64(code)) => Some(*code),
            _ => None,
        }
    }

    pub(crate) fn started(&self) -> SystemTime {
        if self.has_root() { self.head.data.start_time } else { self.begun }
    }

    /// The root's, else from the first begin to the last end.
    pub(crate) fn duration(&self) -> Duration {
        if self.has_root() {
            duration(&self.head.data)
        } else {
            self.ended.duration_since(self.begun).unwrap_or_default()
        }
    }

    pub(crate) fn is_error(&self) -> bool {
        self.errors > 0
    }
}
