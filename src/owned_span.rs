//! A span whose owner says what it is and when it ends: of a call that leaves, a statement, a message, a task.

use std::{mem, time::SystemTime};

use opentelemetry::{
    Context, ContextGuard,
    trace::{SpanRef, TraceContextExt as _},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::{quietly::quietly, span_seed::SpanSeed};

/// A `tracing` span and its OpenTelemetry context. Where no layer makes it one of OpenTelemetry, what was current stays: the
/// context is the one around, whose span is not ours to change or to end.
pub(crate) struct OwnedSpan {
    span: Span,
    context: Context,
    own: bool,
}

/// The span is current, and so is its context.
pub(crate) struct Entered<'a> {
    _span: tracing::span::Entered<'a>,
    _context: Option<ContextGuard>,
}

impl OwnedSpan {
    /// Starts the span at once, since its ids travel before it is entered; `make` makes the one that the seed is for.
    pub(crate) fn start(seed: SpanSeed, make: impl FnOnce() -> Span) -> Self {
        let (span, context) = seed.around(|| {
            let span = make();
            let context = span.context();
            (span, context)
        });
        let own = context.has_active_span();
        Self { span, context: if own { context } else { Context::current() }, own }
    }

    pub(crate) fn tracing(&self) -> &Span {
        &self.span
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    pub(crate) fn enter(&self) -> Entered<'_> {
        let context = (!self.own).then(|| self.context.clone().attach());
        Entered { _span: self.span.enter(), _context: context }
    }

    /// The span, as far as anybody will see what it says.
    pub(crate) fn recording(&self) -> Option<SpanRef<'_>> {
        let span = self.own.then(|| self.context.span())?;
        span.is_recording().then_some(span)
    }

    /// Ends the span, if anybody sees it, with what `say` says of it only now; processors of the program's hear of it.
    pub(crate) fn end(&self, at: SystemTime, say: impl FnOnce(&SpanRef<'_>)) {
        if let Some(span) = self.recording() {
            say(&span);
            span.end_with_timestamp(at);
        }
    }
}

impl Drop for OwnedSpan {
    fn drop(&mut self) {
        let span = mem::replace(&mut self.span, Span::none());
        // layers of the program's hear that it closes
        quietly(|| drop(span));
    }
}
