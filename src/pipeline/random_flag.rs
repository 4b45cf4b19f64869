//! The flag that says that a trace id is random (W3C Trace Context Level 2, section 3.2.2.5 "Random Trace ID Flag"): set on
//! ids that are made here, and passed on as it was received.
//!
//! The SDK knows nothing of it: it copies the flags of a parent into spans that are kept, sets none on a root and none on
//! a span that is dropped. So its tracers are wrapped, and their spans have the flags that they should have had.

use std::{borrow::Cow, time::SystemTime};

use opentelemetry::{
    Context, InstrumentationScope, KeyValue, SpanId, TraceFlags,
    trace::{Span, SpanBuilder, SpanContext, Status, TraceContextExt as _, Tracer, TracerProvider},
};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span as SdkSpan, SpanData};

/// The flag.
pub(super) const RANDOM: TraceFlags = TraceFlags::new(0x02);

pub(super) fn is_random(span: &SpanContext) -> bool {
    span.trace_flags() & RANDOM == RANDOM
}

/// The same span with the flag.
fn flagged(span: &SpanContext) -> SpanContext {
    let (flags, state) = (span.trace_flags() | RANDOM, span.trace_state().clone());
    SpanContext::new(span.trace_id(), span.span_id(), flags, span.is_remote(), state)
}

/// The data of a root that has ended; the SDK's other spans have their parents' flags.
pub(super) fn flag_root(span: &mut SpanData) {
    if span.parent_span_id == SpanId::INVALID && !is_random(&span.span_context) {
        span.span_context = flagged(&span.span_context);
    }
}

/// The SDK's provider, whose spans have the flag.
#[derive(Debug, Clone)]
pub(crate) struct FlaggedProvider(pub(crate) SdkTracerProvider);

impl TracerProvider for FlaggedProvider {
    type Tracer = FlaggedTracer;

    fn tracer_with_scope(&self, scope: InstrumentationScope) -> FlaggedTracer {
        FlaggedTracer(self.0.tracer_with_scope(scope))
    }
}

/// The SDK's tracer, whose spans have the flag.
#[derive(Debug, Clone)]
pub(crate) struct FlaggedTracer(pub(super) SdkTracer);

impl Tracer for FlaggedTracer {
    type Span = FlaggedSpan;

    fn build_with_context(&self, builder: SpanBuilder, parent: &Context) -> FlaggedSpan {
        let random = {
            let parent = parent.span();
            let parent = parent.span_context();
            !parent.is_valid() || is_random(parent)
        };
        let span = self.0.build_with_context(builder, parent);
        let known = span.span_context();
        let context = (random && known.is_valid() && !is_random(known)).then(|| flagged(known));
        FlaggedSpan { span, context }
    }
}

/// A span of the SDK's.
#[derive(Debug)]
pub(crate) struct FlaggedSpan {
    span: SdkSpan,
    /// Where the SDK's own lacks the flag.
    context: Option<SpanContext>,
}

impl Span for FlaggedSpan {
    fn add_event_with_timestamp<T>(&mut self, name: T, timestamp: SystemTime, attributes: Vec<KeyValue>)
    where
        T: Into<Cow<'static, str>>,
    {
        self.span.add_event_with_timestamp(name, timestamp, attributes);
    }

    fn span_context(&self) -> &SpanContext {
        self.context.as_ref().unwrap_or_else(|| self.span.span_context())
    }

    fn is_recording(&self) -> bool {
        self.span.is_recording()
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        self.span.set_attribute(attribute);
    }

    fn set_attributes(&mut self, attributes: impl IntoIterator<Item = KeyValue>) {
        self.span.set_attributes(attributes);
    }

    fn set_status(&mut self, status: Status) {
        self.span.set_status(status);
    }

    fn update_name<T>(&mut self, name: T)
    where
        T: Into<Cow<'static, str>>,
    {
        self.span.update_name(name);
    }

    fn add_link(&mut self, span_context: SpanContext, attributes: Vec<KeyValue>) {
        self.span.add_link(span_context, attributes);
    }

    fn end_with_timestamp(&mut self, timestamp: SystemTime) {
        self.span.end_with_timestamp(timestamp);
    }
}
