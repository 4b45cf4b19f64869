//! The span of a task or of a message's sending, with what is current inside of it.

use std::time::SystemTime;

use opentelemetry::{
    Context, ContextGuard, KeyValue,
    baggage::BaggageExt as _,
    trace::{Link, SpanKind, Status, TraceContextExt as _},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::span_seed::SpanSeed;

/// What a span is started from.
#[derive(Default)]
pub(crate) struct Origin {
    /// The sender's context, as the message has it.
    pub(crate) message: Option<Context>,
    /// Whether the sender's trace goes on; it is linked in any case.
    pub(crate) continues: bool,
    /// What is linked besides.
    pub(crate) links: Vec<Link>,
}

impl Origin {
    /// Nothing but the current context.
    pub(crate) const HERE: Self = Self { message: None, continues: false, links: Vec::new() };

    pub(crate) fn has_links(&self) -> bool {
        !self.links.is_empty()
    }
}

pub(crate) struct TaskSpan {
    span: Span,
    context: Context,
    /// No layer made the span one of OpenTelemetry: the context is made current itself.
    attach: bool,
}

pub(crate) struct Entered<'a> {
    _span: tracing::span::Entered<'a>,
    _context: Option<ContextGuard>,
}

impl TaskSpan {
    pub(crate) fn start(
        name: String,
        kind: SpanKind,
        start_time: SystemTime,
        attributes: Vec<KeyValue>,
        origin: Origin,
    ) -> Self {
        let mut links = origin.links;
        let mut parent = Context::current();
        if let Some(message) = origin.message {
            let sender = message.span().span_context().clone();
            if sender.is_valid() {
                links.push(Link::with_context(sender));
            }
            parent = if message.has_active_span() && origin.continues {
                let around = parent.span().span_context().clone();
                links.extend(around.is_valid().then(|| Link::with_context(around)));
                message
            } else {
                with_baggage_of(&parent, &message)
            };
        }
        let _parent = parent.clone().attach();
        let seed = SpanSeed { name: name.into(), kind, start_time, attributes, links };
        seed.around(|| {
            let span = tracing::info_span!(target: "tracewell::tasks", "task");
            // starts the span now: its ids are needed before it is entered
            let context = span.context();
            let attach = !context.has_active_span();
            Self { span, context: if attach { parent.clone() } else { context }, attach }
        })
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// 0 = none.
    pub(super) fn tracing_id(&self) -> u64 {
        self.span.id().map_or(0, |id| id.into_u64())
    }

    pub(crate) fn enter(&self) -> Entered<'_> {
        let context = self.attach.then(|| self.context.clone().attach());
        Entered { _span: self.span.enter(), _context: context }
    }

    /// Ends the span; an error, if there is one, becomes its status.
    pub(crate) fn end(&self, at: SystemTime, attributes: Vec<KeyValue>, is_error: bool) {
        let span = self.context.span();
        // without a span of ours the context is the caller's, whose span is not ours to end
        if self.attach || !span.is_recording() {
            return;
        }
        span.set_attributes(attributes);
        if is_error {
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(at);
    }
}

fn with_baggage_of(context: &Context, message: &Context) -> Context {
    if message.baggage().is_empty() {
        return context.clone();
    }
    let sent = message.baggage().iter().map(|(key, (value, metadata))| {
        opentelemetry::baggage::KeyValueMetadata::new(key.clone(), value.clone(), metadata.clone())
    });
    context.with_baggage(sent)
}
