//! A captured span and a captured log record, as tests read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::{
    logs::v1 as logs,
    trace::v1::{self as trace, span::SpanKind, status::StatusCode},
};
use opentelemetry_sdk::{logs::SdkLogRecord, trace::SpanData};

use crate::testing::collector::{Attributes, hex};

/// A span that has ended.
///
/// ```
/// let capture = tracewell::testing::Capture::new();
/// let guard = capture.set_default();
/// tracing::info_span!("select", table = "users", rows = 3).in_scope(|| ());
///
/// let span = &capture.spans()[0];
/// assert_eq!((span.name(), span.kind()), ("select", "internal"));
/// assert_eq!(span.attributes().str("table"), Some("users"));
/// assert_eq!(span.attributes().i64("rows"), Some(3));
/// assert!(span.is_root() && !span.is_error());
/// ```
#[derive(Debug, Clone)]
pub struct CapturedSpan {
    span: trace::Span,
    ids: [String; 3],
    scope: String,
    /// Place in the order of starts and log records.
    pub(in crate::testing) order: u64,
}

/// `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK` (OTLP, trace.proto).
const PARENT_IS_REMOTE: u32 = 0x200;

impl CapturedSpan {
    pub(super) fn new(data: SpanData, order: u64) -> Self {
        let scope = data.instrumentation_scope.name().to_owned();
        let span = trace::Span::from(data);
        let ids = [hex(&span.trace_id), hex(&span.span_id), hex(&span.parent_span_id)];
        Self { span, ids, scope, order }
    }

    /// The span's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.span.name
    }

    /// `internal`, `server`, `client`, `producer` or `consumer`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.span.kind() {
            SpanKind::Server => "server",
            SpanKind::Client => "client",
            SpanKind::Producer => "producer",
            SpanKind::Consumer => "consumer",
            SpanKind::Internal | SpanKind::Unspecified => "internal",
        }
    }

    /// The trace id, 32 lower-case hex digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        &self.ids[0]
    }

    /// The span id, 16 lower-case hex digits.
    #[must_use]
    pub fn span_id(&self) -> &str {
        &self.ids[1]
    }

    /// The parent's span id, 16 lower-case hex digits; empty for a root.
    #[must_use]
    pub fn parent_span_id(&self) -> &str {
        &self.ids[2]
    }

    /// Whether it has no parent, neither here nor in another process.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.ids[2].is_empty()
    }

    /// Whether its parent came with a request from another process.
    #[must_use]
    pub fn has_remote_parent(&self) -> bool {
        !self.is_root() && self.span.flags & PARENT_IS_REMOTE != 0
    }

    /// The span's attributes.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes(&self.span.attributes)
    }

    /// Whether its status is Error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
    }

    /// The status's description; empty when there is none.
    #[must_use]
    pub fn status_message(&self) -> &str {
        self.span.status.as_ref().map_or("", |status| &status.message)
    }

    /// Trace id and span id, in hex, of every span it is linked to.
    #[must_use]
    pub fn links(&self) -> Vec<(String, String)> {
        self.span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect()
    }

    /// When it started.
    #[must_use]
    pub fn start(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.span.start_time_unix_nano)
    }

    /// From its start to its end.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.span.end_time_unix_nano.saturating_sub(self.span.start_time_unix_nano))
    }

    /// The name of its instrumentation scope.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.scope
    }
}

/// A log record: one event of `tracing`, or one record of OpenTelemetry's log API.
///
/// ```
/// let capture = tracewell::testing::Capture::new();
/// let guard = capture.set_default();
/// tracing::warn!(target: "shop::stock", left = 2, "running low");
///
/// let log = &capture.logs()[0];
/// assert_eq!((log.level(), log.target(), log.message()), ("WARN", "shop::stock", "running low"));
/// assert_eq!(log.attributes().i64("left"), Some(2));
/// assert_eq!(log.trace_id(), "", "it was made outside of any span");
/// ```
#[derive(Debug, Clone)]
pub struct CapturedLog {
    record: logs::LogRecord,
    ids: [String; 2],
    target: String,
    message: String,
    pub(in crate::testing) order: u64,
}

impl CapturedLog {
    pub(super) fn new(record: &SdkLogRecord, order: u64) -> Self {
        let target = record.target().map(ToString::to_string).unwrap_or_default();
        let record = logs::LogRecord::from(record);
        let ids = [hex(&record.trace_id), hex(&record.span_id)];
        let body = record.body.as_ref().and_then(|body| body.value.as_ref());
        let message = body.map(crate::testing::collector::text).unwrap_or_default();
        Self { record, ids, target, message, order }
    }

    /// `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    #[must_use]
    pub fn level(&self) -> &str {
        &self.record.severity_text
    }

    /// The event's target, by default the module that made it.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The message; empty when there is none.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The name that the event was given (`tracing::event!(name: …)`); empty when there is none.
    #[must_use]
    pub fn event_name(&self) -> &str {
        &self.record.event_name
    }

    /// The trace id, 32 lower-case hex digits; empty outside of a span.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        &self.ids[0]
    }

    /// The id of the span it belongs to, 16 lower-case hex digits; empty outside of a span.
    #[must_use]
    pub fn span_id(&self) -> &str {
        &self.ids[1]
    }

    /// The event's fields but the message.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes(&self.record.attributes)
    }

    /// When it was made.
    #[must_use]
    pub fn time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.record.time_unix_nano)
    }
}
