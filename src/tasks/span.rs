//! The span of a task or of a message's sending, and what it is started from.

use std::time::SystemTime;

use opentelemetry::{
    Context, KeyValue,
    baggage::BaggageExt as _,
    trace::{Link, SpanKind, TraceContextExt as _},
};

use crate::{owned_span::OwnedSpan, span_seed::SpanSeed};

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

/// Starts a span from its origin.
pub(crate) fn start_span(
    name: String,
    kind: SpanKind,
    start_time: SystemTime,
    attributes: Vec<KeyValue>,
    origin: Origin,
) -> OwnedSpan {
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
    let _parent = parent.attach();
    let seed = SpanSeed { name: name.into(), kind, start_time, attributes, links };
    OwnedSpan::start(seed, || tracing::info_span!(target: "tracewell::tasks", "task"))
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
