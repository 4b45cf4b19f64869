//! What the registry says about an entry: log records in the entry's own trace.

use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceContextExt as _, TraceState},
};

use super::{ActiveEntry, Current, DrainReport};

/// Requests named one by one when a drain is over; the others are in the last line's number.
const NAMED: usize = 100;

/// Runs `say` with these ids as the current ones, also where telemetry is suppressed.
pub(super) fn in_trace<R>((trace, span, flags): (TraceId, SpanId, TraceFlags), say: impl FnOnce() -> R) -> R {
    let ids = SpanContext::new(trace, span, flags, false, TraceState::default());
    let _in_its_trace = Context::new().with_remote_span_context(ids).attach();
    say()
}

impl Current {
    pub(super) fn ids(&self) -> (TraceId, SpanId, TraceFlags) {
        (self.trace_id(), self.span_id(), self.0.trace_flags)
    }

    pub(super) fn say_cancelled(&self, who: &str) {
        let seen = ActiveEntry::of(self);
        in_trace(self.ids(), || {
            tracing::event!(
                target: "tracewell::requests",
                tracing::Level::WARN,
                tracewell.id = %seen.id,
                tracewell.kind = seen.kind.as_str(),
                tracewell.name = &*seen.name,
                tracewell.cancel.by = who,
                "cancelled by {who}: {seen}"
            );
        });
    }
}

impl DrainReport {
    /// Names who was still running, each in its own trace.
    pub(crate) fn say(&self) {
        for entry in self.left.iter().take(NAMED) {
            let trace = entry.trace_id.unwrap_or(TraceId::INVALID);
            in_trace((trace, entry.span_id.unwrap_or(SpanId::INVALID), entry.trace_flags), || {
                tracing::event!(
                    target: "tracewell::requests",
                    tracing::Level::WARN,
                    tracewell.id = %entry.id,
                    tracewell.name = &*entry.name,
                    tracewell.stage = entry.stage.as_deref(),
                    "interrupted by the shutdown: {entry}"
                );
            });
        }
        let others = (self.left.len().saturating_sub(NAMED) as u64).saturating_add(self.unlisted);
        if others > 0 {
            tracing::event!(
                target: "tracewell::requests",
                tracing::Level::WARN,
                "interrupted by the shutdown: {others} more requests"
            );
        }
    }
}
