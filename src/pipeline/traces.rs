//! Spans: sampler, limits and queue make the tracer provider, and what the queue hands out is encoded and sent.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use opentelemetry::{
    Context,
    trace::{SpanBuilder, Status, Tracer},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor, TracerProviderBuilder},
};

use super::{
    batches::{Batched, Lane},
    encode::About,
    queue::Item,
    random_flag::{FlaggedSpan, FlaggedTracer, flag_root},
    sampler::SamplerSwitch,
    scrub::Scrub,
    watch::Watched,
};
use crate::{
    config::{SLOW, TracesConfig},
    redaction::Memory,
    span_seed::SpanSeed,
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
struct QueueProcessor(Watched<SpanData>);

impl SpanProcessor for QueueProcessor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, mut span: SpanData) {
        // a span that is only recorded is for processors in the process
        if span.span_context.is_sampled() {
            flag_root(&mut span);
            if let Some(watch) = &self.0.watch {
                watch.span(&span);
            }
            if let Some(queue) = &self.0.queue {
                queue.push(span);
            }
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
/// of this crate put these into a [`SpanSeed`] for the one span they are about to start.
#[derive(Debug, Clone)]
pub(crate) struct SeededTracer(FlaggedTracer);

impl SeededTracer {
    pub(crate) fn new(tracer: SdkTracer) -> Self {
        Self(FlaggedTracer(tracer))
    }
}

impl Tracer for SeededTracer {
    type Span = FlaggedSpan;

    fn build_with_context(&self, mut builder: SpanBuilder, parent: &Context) -> FlaggedSpan {
        if let Some(seed) = SpanSeed::take() {
            seed.plant(&mut builder);
        }
        self.0.build_with_context(builder, parent)
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
