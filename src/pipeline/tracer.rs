//! The tracer behind `tracing` spans: takes what a `tracing` span cannot say from the span's seed, and makes no more of a
//! span that nobody will see than its ids.

use std::{borrow::Cow, time::SystemTime};

use opentelemetry::{
    Context, KeyValue, TraceFlags,
    trace::{Span, SpanBuilder, SpanContext, Status, TraceContextExt as _, Tracer},
};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator, SdkTracer, Span as SdkSpan};

use crate::{
    sampling::{Parent, SamplerInUse},
    span_seed::SpanSeed,
};

/// The tracer behind `tracing` spans.
///
/// A `tracing` span has no start time, no kind, no dynamic name and only scalar fields known at compile time. The layers
/// of this crate put these into a [`SpanSeed`] for the one span they are about to start.
#[derive(Debug, Clone)]
pub(super) struct SeededTracer {
    sdk: SdkTracer,
    sampler: SamplerInUse,
    ids: RandomIdGenerator,
}

impl SeededTracer {
    pub(super) fn new(sdk: SdkTracer, sampler: SamplerInUse) -> Self {
        Self { sdk, sampler, ids: RandomIdGenerator::default() }
    }

    /// The ids of a span with this parent, where the sampler drops it whatever its trace: they are all there is of it.
    pub(super) fn dropped(&self, parent: &Context) -> Option<SpanContext> {
        let kind = Parent::of(parent)?;
        if self.sampler.certain(kind) != Some(false) || parent.is_telemetry_suppressed() {
            return None;
        }
        let span = parent.span();
        let parent = span.span_context();
        let trace_id = if kind == Parent::None { self.ids.new_trace_id() } else { parent.trace_id() };
        let (span_id, state) = (self.ids.new_span_id(), parent.trace_state().clone());
        Some(SpanContext::new(trace_id, span_id, TraceFlags::default(), false, state))
    }
}

impl Tracer for SeededTracer {
    type Span = SeededSpan;

    fn build_with_context(&self, mut builder: SpanBuilder, parent: &Context) -> SeededSpan {
        let seed = SpanSeed::take();
        if let Some(dropped) = self.dropped(parent) {
            return SeededSpan::Dropped(dropped);
        }
        if let Some(seed) = seed {
            seed.plant(&mut builder);
        }
        SeededSpan::Sdk(self.sdk.build_with_context(builder, parent))
    }
}

/// A span of [`SeededTracer`].
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one, and is boxed by its context")]
pub(super) enum SeededSpan {
    Sdk(SdkSpan),
    Dropped(SpanContext),
}

impl SeededSpan {
    fn sdk(&mut self) -> Option<&mut SdkSpan> {
        match self {
            Self::Sdk(span) => Some(span),
            Self::Dropped(_) => None,
        }
    }
}

impl Span for SeededSpan {
    fn add_event_with_timestamp<T>(&mut self, name: T, timestamp: SystemTime, attributes: Vec<KeyValue>)
    where
        T: Into<Cow<'static, str>>,
    {
        if let Some(span) = self.sdk() {
            span.add_event_with_timestamp(name, timestamp, attributes);
        }
    }

    fn span_context(&self) -> &SpanContext {
        match self {
            Self::Sdk(span) => span.span_context(),
            Self::Dropped(context) => context,
        }
    }

    fn is_recording(&self) -> bool {
        matches!(self, Self::Sdk(span) if span.is_recording())
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        if let Some(span) = self.sdk() {
            span.set_attribute(attribute);
        }
    }

    fn set_status(&mut self, status: Status) {
        if let Some(span) = self.sdk() {
            span.set_status(status);
        }
    }

    fn update_name<T>(&mut self, name: T)
    where
        T: Into<Cow<'static, str>>,
    {
        if let Some(span) = self.sdk() {
            span.update_name(name);
        }
    }

    fn add_link(&mut self, context: SpanContext, attributes: Vec<KeyValue>) {
        if let Some(span) = self.sdk() {
            span.add_link(context, attributes);
        }
    }

    fn end_with_timestamp(&mut self, timestamp: SystemTime) {
        if let Some(span) = self.sdk() {
            span.end_with_timestamp(timestamp);
        }
    }
}
