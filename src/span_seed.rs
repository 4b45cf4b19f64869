//! What a `tracing` span cannot say of itself when it starts.

use std::{borrow::Cow, cell::Cell, time::SystemTime};

use opentelemetry::{
    KeyValue,
    trace::{Link, SpanBuilder, SpanKind},
};

thread_local! {
    static SEED: Cell<Option<SpanSeed>> = const { Cell::new(None) };
}

/// Name, kind, start, attributes and links of the one span that this thread is about to start.
///
/// The pipeline's tracer takes it when `tracing-opentelemetry` starts the span. It costs no field of the `tracing` span,
/// no formatting, and no lock on the started span; a value may have any OpenTelemetry type.
#[derive(Debug)]
pub(crate) struct SpanSeed {
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: SpanKind,
    pub(crate) start_time: SystemTime,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) links: Vec<Link>,
}

impl SpanSeed {
    /// Runs `start`, which starts a span, with this seed in the ground; what was not taken is removed.
    pub(crate) fn around<T>(self, start: impl FnOnce() -> T) -> T {
        struct Cleared;
        impl Drop for Cleared {
            fn drop(&mut self) {
                drop(SpanSeed::take());
            }
        }
        SEED.set(Some(self));
        let _cleared = Cleared;
        start()
    }

    /// The seed of the span being started, once.
    pub(crate) fn take() -> Option<Self> {
        SEED.take()
    }

    /// Makes the span what the seed says.
    pub(crate) fn plant(self, builder: &mut SpanBuilder) {
        let Self { name, kind, start_time, attributes, links } = self;
        builder.name = name;
        builder.span_kind = Some(kind);
        builder.start_time = Some(start_time);
        match &mut builder.attributes {
            Some(own) if !own.is_empty() => own.extend(attributes),
            own => *own = Some(attributes),
        }
        if !links.is_empty() {
            builder.links.get_or_insert_default().extend(links);
        }
    }
}
