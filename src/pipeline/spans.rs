//! `tracing` spans into OpenTelemetry: tracing-opentelemetry's layer, driven without a filter of its own, and spared the
//! entering of spans whose context is attached already.
//!
//! There are two of that layer. One is found by `OpenTelemetrySpanExt` and sees nothing: it is behind [`Unseeing`]. The
//! other one does the work, inside of [`Spans`]. Both have the same type and tracer, and what they know of a span is kept
//! with the span, so that for callers they are one. A single one could not be left out when a span is entered: `tracing`
//! finds a layer through the layers around it only with unsafe code.

use std::{fmt, sync::Arc};

use opentelemetry_sdk::trace::SdkTracer;
use tracing::{Event, Id, Metadata, Subscriber, level_filters::LevelFilter, span, subscriber::Interest};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{
    Layer,
    layer::{Context, Filter},
    registry::LookupSpan,
};

use super::{subscriber::LogSwitch, traces::SeededTracer};
use crate::span_seed;

type Bridge<S> = OpenTelemetryLayer<S, SeededTracer>;

/// A layer of tracing-opentelemetry as this crate has it.
pub(super) fn bridge<S>(tracer: SdkTracer) -> Bridge<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(SeededTracer::new(tracer))
        // what these record is in the log record or in the conventions' attributes, and each costs every span
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_level(false)
        // log records and exemplars find their ids through the active context
        .with_context_activation(true)
}

/// Turns spans into OpenTelemetry spans. No event comes here: events are log records, not span events as well.
pub(super) struct Spans<S>(Bridge<S>);

impl<S> Spans<S> {
    pub(super) fn new(bridge: Bridge<S>) -> Self {
        Self(bridge)
    }
}

impl<S> fmt::Debug for Spans<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans").finish_non_exhaustive()
    }
}

impl<S> Layer<S> for Spans<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.0.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &span::Record<'_>, context: Context<'_, S>) {
        self.0.on_record(id, values, context);
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        self.0.on_follows_from(id, follows, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if !span_seed::is_attached() {
            self.0.on_enter(id, context);
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        if !span_seed::is_attached() {
            self.0.on_exit(id, context);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        // the end of such a span is its owner's business; what is kept with it goes with it
        if !span_seed::was_attached() {
            self.0.on_close(id, context);
        }
    }
}

/// Lets nothing pass, at no cost for events: about them it agrees with the log layer's filter when call sites are
/// registered, so that `tracing` need not ask each time, and refuses them one by one.
#[derive(Debug)]
pub(super) struct Unseeing(pub(super) Arc<LogSwitch>);

impl<S> Filter<S> for Unseeing {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        false
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.0.event_interest(metadata).unwrap_or_else(Interest::never)
    }

    fn event_enabled(&self, _: &Event<'_>, _: &Context<'_, S>) -> bool {
        false
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::OFF)
    }
}
