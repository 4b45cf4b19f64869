//! Spans: sampler, limits and queue make the tracer provider, and what the queue hands out is encoded and sent.

use std::{
    borrow::Cow,
    cell::Cell,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Context, KeyValue,
    trace::{Span, SpanBuilder, SpanContext, Status, TraceContextExt as _, Tracer},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SdkTracer, SdkTracerProvider, Span as SdkSpan, SpanData, SpanProcessor, TracerProviderBuilder},
};

use super::{
    batches::{Batched, Lane},
    encode::About,
    own_spans::{OwnSpan, OwnSpans},
    queue::Item,
    random_flag::{FlaggedSpan, FlaggedTracer, flag_root},
    sampler::SamplerSwitch,
    scrub::Scrub,
    watch::Watched,
};
use crate::{
    config::{SLOW, TracesConfig},
    redaction::Memory,
    span_seed::{Planted, Sown},
};

/// The tracer provider: spans that are sampled go into `queues`.
pub(super) fn provider(
    config: &TracesConfig,
    resource: &Resource,
    sampler: SamplerSwitch,
    queues: impl IntoIterator<Item = Watched<SpanData>>,
    customize: impl FnOnce(TracerProviderBuilder) -> TracerProviderBuilder,
) -> SdkTracerProvider {
    let limits = config.limits;
    let mut builder = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_sampler(sampler)
        .with_max_attributes_per_span(limits.attributes)
        .with_max_events_per_span(limits.events)
        .with_max_links_per_span(limits.links)
        .with_max_attributes_per_event(limits.attributes_per_event)
        .with_max_attributes_per_link(limits.attributes_per_link);
    for queue in queues {
        builder = builder.with_span_processor(QueueProcessor(queue));
    }
    customize(builder).build()
}

impl Item for SpanData {
    fn is_kept_first(&self) -> bool {
        matches!(self.status, Status::Error { .. })
            || self.end_time.duration_since(self.start_time).is_ok_and(|duration| duration >= SLOW)
    }
}

/// Ended spans into the queue. Nothing here waits for an export.
#[derive(Debug)]
pub(super) struct QueueProcessor(pub(super) Watched<SpanData>);

impl QueueProcessor {
    /// Takes a span that is sampled, and says of its id what is true, out of its place, if there is room for it.
    pub(super) fn take(&self, span: &mut Option<SpanData>) {
        if let (Some(watch), Some(span)) = (&self.0.watch, &span) {
            watch.span(span);
        }
        if let Some(queue) = &self.0.queue {
            queue.push_from(span);
        }
    }
}

impl SpanProcessor for QueueProcessor {
    fn on_start(&self, _: &mut SdkSpan, _: &Context) {}

    fn on_end(&self, mut span: SpanData) {
        // a span that is only recorded is for processors in the process
        if span.span_context.is_sampled() {
            flag_root(&mut span);
            self.take(&mut Some(span));
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The tracer behind `tracing` spans: takes what a `tracing` span cannot say from the span's seed.
///
/// A `tracing` span has no start time, no kind, no dynamic name and only scalar fields known at compile time. The layers
/// of this crate put these into a [seed](crate::span_seed::SpanSeed) for the one span they are about to start.
#[derive(Debug, Clone)]
pub(crate) struct SeededTracer {
    sdk: FlaggedTracer,
    /// Where spans are for the exporter alone.
    own: Option<Arc<OwnSpans>>,
}

impl SeededTracer {
    pub(crate) fn new(sdk: SdkTracer, own: Option<Arc<OwnSpans>>) -> Self {
        Self { sdk: FlaggedTracer(sdk), own }
    }

    /// The context of the span that a seed becomes.
    pub(super) fn start_request(&self, sown: Sown, parent: &Context) -> Context {
        let mut builder = SpanBuilder::default();
        let planted = sown.plant(&mut builder);
        match self.build(builder, parent, planted) {
            // its ids are all that there is of it
            SeededSpan::Own(span) if !span.is_recording() => {
                parent.with_remote_span_context(span.span_context().clone())
            }
            span => parent.with_span(span),
        }
    }

    /// Whether the request's span that is about to start is dropped; its context then. What was decided counts when the
    /// span is started.
    pub(super) fn drop_request(&self, parent: &Context) -> Option<Context> {
        let own = self.own.as_ref()?;
        let decided = Sown::decided(|seed, remote| {
            own.decide((&seed.name, &seed.kind, &seed.attributes), parent, remote)
        })?;
        if !decided.is_valid() || decided.is_sampled() {
            return None;
        }
        drop(Sown::take());
        Some(parent.with_remote_span_context(decided))
    }

    /// Runs `start`, in which a layer makes a builder for a span that was dropped and whose context is the current one.
    /// Should anybody ask for the span of it, the answer is that context's.
    pub(super) fn around_dropped(start: impl FnOnce()) {
        struct Cleared;
        impl Drop for Cleared {
            fn drop(&mut self) {
                DROPPING.set(false);
            }
        }
        DROPPING.set(true);
        let _cleared = Cleared;
        start();
    }

    fn build(&self, builder: SpanBuilder, parent: &Context, planted: Planted) -> SeededSpan {
        match (&self.own, planted.remote) {
            (Some(own), remote) => SeededSpan::Own(own.start(builder, parent, Planted { remote, ..planted })),
            (None, None) => SeededSpan::Sdk(Box::new(self.sdk.build_with_context(builder, parent))),
            (None, Some(remote)) => {
                let parent = parent.with_remote_span_context(remote);
                SeededSpan::Sdk(Box::new(self.sdk.build_with_context(builder, &parent)))
            }
        }
    }
}

thread_local! {
    /// Inside of [`SeededTracer::around_dropped`].
    static DROPPING: Cell<bool> = const { Cell::new(false) };
}

/// The name of builders made there: no span has it, since none is built of them.
const DROPPED: &str = "\u{0}dropped";

impl Tracer for SeededTracer {
    type Span = SeededSpan;

    fn span_builder<T: Into<Cow<'static, str>>>(&self, name: T) -> SpanBuilder {
        SpanBuilder::from_name(if DROPPING.get() { DROPPED.into() } else { name.into() })
    }

    fn build_with_context(&self, mut builder: SpanBuilder, parent: &Context) -> SeededSpan {
        if builder.name == DROPPED {
            return SeededSpan::Own(OwnSpan::unrecorded(parent.span().span_context().clone()));
        }
        let planted = Sown::take().map(|sown| sown.plant(&mut builder)).unwrap_or_default();
        self.build(builder, parent, planted)
    }
}

/// A span of this crate's, or of the SDK's.
#[derive(Debug)]
pub(crate) enum SeededSpan {
    Own(OwnSpan),
    /// Behind a pointer: a span is moved several times before it has its place.
    Sdk(Box<FlaggedSpan>),
}

/// Hands a call on to whichever it is.
macro_rules! each {
    ($span:expr, $own:ident => $call:expr) => {
        match $span {
            SeededSpan::Own($own) => $call,
            SeededSpan::Sdk($own) => $call,
        }
    };
}

impl Span for SeededSpan {
    fn add_event_with_timestamp<T>(&mut self, name: T, timestamp: SystemTime, attributes: Vec<KeyValue>)
    where
        T: Into<Cow<'static, str>>,
    {
        each!(self, span => span.add_event_with_timestamp(name, timestamp, attributes));
    }

    fn span_context(&self) -> &SpanContext {
        each!(self, span => span.span_context())
    }

    fn is_recording(&self) -> bool {
        each!(self, span => span.is_recording())
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        each!(self, span => span.set_attribute(attribute));
    }

    fn set_status(&mut self, status: Status) {
        each!(self, span => span.set_status(status));
    }

    fn update_name<T>(&mut self, name: T)
    where
        T: Into<Cow<'static, str>>,
    {
        each!(self, span => span.update_name(name));
    }

    fn add_link(&mut self, span_context: SpanContext, attributes: Vec<KeyValue>) {
        each!(self, span => span.add_link(span_context, attributes));
    }

    fn end_with_timestamp(&mut self, timestamp: SystemTime) {
        each!(self, span => span.end_with_timestamp(timestamp));
    }
}

/// Sends spans.
#[derive(Debug)]
pub(super) struct SpanExport {
    lane: Lane<SpanData>,
    about: About,
    /// One thread encodes, and nobody else asks.
    memory: Mutex<Memory>,
    /// Applied here, on the exporter's thread: whoever made a span, by `#[instrument]` or the API, does not wait for it.
    scrub: Scrub,
}

impl SpanExport {
    pub(super) fn new(lane: Lane<SpanData>, resource: &Resource, scrub: Scrub) -> Self {
        let memory = Mutex::new(Memory::new(&scrub.redactor));
        Self { lane, about: About::new(resource), memory, scrub }
    }
}

impl Batched for SpanExport {
    type Item = SpanData;

    fn lane(&self) -> &Lane<SpanData> {
        &self.lane
    }

    fn encode(&self, mut batch: Vec<SpanData>) -> Vec<u8> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        batch.iter_mut().for_each(|span| self.scrub.span_again(span, &mut memory));
        drop(memory);
        self.about.spans(&batch)
    }
}
