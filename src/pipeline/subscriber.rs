//! The `tracing` side: which spans and events are seen, and the layers that turn them into telemetry.
//!
//! Two per-layer filters, so that layers of the user's keep their own view. Spans do not depend on `RUST_LOG`: a request
//! has its span whatever is logged.

use std::sync::Arc;

use arc_swap::ArcSwap;
use opentelemetry_sdk::trace::SdkTracer;
use tracing::{Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::Targets,
    layer::{Context, Filter},
    registry::LookupSpan,
};

use super::{
    logs::{LogLayer, is_transport},
    traces::SeededTracer,
};
use crate::diagnostics::Listener;

/// The target of the events that say that the filter was changed: they pass every filter.
pub(crate) const CHANGES: &str = "tracewell::loglevel";

/// The layers of this crate, for a subscriber over `S`; without a tracer there are no spans.
///
/// One layer made of both: a `Vec` of layers does not tell them which subscriber they are part of, and the log layer needs
/// it for the span that an event names.
pub(super) fn layers<S>(
    tracer: Option<SdkTracer>,
    logs: LogLayer,
    filter: &Arc<LogSwitch>,
    spans: LevelFilter,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let spans = SpanRule(spans);
    let traced = tracer.is_some().then_some(spans);
    let logs = logs.with_filter(LogFilter { spans: traced, events: Arc::clone(filter) });
    let Some(tracer) = tracer else { return logs.boxed() };
    let bridge = tracing_opentelemetry::layer()
        .with_tracer(SeededTracer::new(tracer))
        // what these record is in the log record or in the conventions' attributes, and each costs every span
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_level(false)
        // log records and exemplars find their ids through the active context
        .with_context_activation(true);
    bridge.with_filter(SpanFilter(spans)).and_then(logs).boxed()
}

/// Which spans become OpenTelemetry spans: up to a level, except those of what exporters are made of.
#[derive(Debug, Clone, Copy)]
struct SpanRule(LevelFilter);

impl SpanRule {
    fn wants(self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.0 && !is_transport(metadata.target())
    }
}

/// Passes spans to the bridge, and no event: events are log records, not span events as well.
#[derive(Debug)]
struct SpanFilter(SpanRule);

impl<S> Filter<S> for SpanFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        metadata.is_span() && self.0.wants(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        interest(metadata.is_span() && self.0.wants(metadata))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.0)
    }
}

/// Passes events to the log layer.
#[derive(Debug)]
struct LogFilter {
    /// With the bridge: its spans. Both filters then agree on every span, and `tracing` need not ask each time.
    spans: Option<SpanRule>,
    events: Arc<LogSwitch>,
}

/// The rule for events, replaceable while the service runs. Where it decides per call site, replacing it costs the hot
/// path nothing: call sites ask once, and again after [`set`](Self::set).
#[derive(Debug)]
pub(crate) struct LogSwitch(ArcSwap<EventRule>);

impl LogSwitch {
    /// Directives of `EnvFilter`; those that cannot be read are left out.
    pub(super) fn new(filter: &str) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(EventRule::parse(filter))))
    }

    /// Replaces the rule. Directives about spans apply to spans that begin from now on.
    pub(crate) fn set(&self, filter: &str) {
        self.0.store(Arc::new(EventRule::parse(filter)));
        tracing::callsite::rebuild_interest_cache();
    }
}

/// `RUST_LOG` as the cheapest filter that can express it.
#[derive(Debug)]
enum EventRule {
    Targets(Box<Targets>),
    /// Directives about spans and fields.
    Env(Box<EnvFilter>),
}

impl EventRule {
    fn parse(filter: &str) -> Self {
        // `Targets` reads a `[span]` as part of a target's name
        if filter.contains(['[', '{']) {
            return Self::Env(Box::new(EnvFilter::new(filter)));
        }
        match filter.parse() {
            Ok(targets) => Self::Targets(Box::new(targets)),
            Err(_) => Self::Env(Box::new(EnvFilter::new(filter))),
        }
    }
}

impl LogFilter {
    fn wants_span(&self, metadata: &Metadata<'_>) -> bool {
        self.spans.is_some_and(|spans| spans.wants(metadata))
    }
}

impl<S> Filter<S> for LogFilter
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        if metadata.is_event() && (Listener::hears(metadata) || metadata.target() == CHANGES) {
            return true;
        }
        match &**self.events.0.load() {
            EventRule::Targets(_) if metadata.is_span() => self.wants_span(metadata),
            EventRule::Targets(targets) => targets.would_enable(metadata.target(), metadata.level()),
            EventRule::Env(filter) => Filter::<S>::enabled(&**filter, metadata, context),
        }
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_event() && (Listener::hears(metadata) || metadata.target() == CHANGES) {
            return Interest::always();
        }
        match &**self.events.0.load() {
            EventRule::Targets(_) if metadata.is_span() => interest(self.wants_span(metadata)),
            EventRule::Targets(targets) => {
                interest(targets.would_enable(metadata.target(), metadata.level()))
            }
            EventRule::Env(filter) => Filter::<S>::callsite_enabled(&**filter, metadata),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        match &**self.events.0.load() {
            EventRule::Targets(targets) => {
                let spans = self.spans.map_or(LevelFilter::OFF, |spans| spans.0);
                // never below WARN: OpenTelemetry's warnings are always heard
                Filter::<S>::max_level_hint(&**targets).map(|hint| hint.max(spans).max(LevelFilter::WARN))
            }
            EventRule::Env(filter) => {
                Filter::<S>::max_level_hint(&**filter).map(|hint| hint.max(LevelFilter::WARN))
            }
        }
    }

    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::Id,
        context: Context<'_, S>,
    ) {
        if let EventRule::Env(filter) = &**self.events.0.load() {
            Filter::<S>::on_new_span(&**filter, attributes, id, context);
        }
    }

    fn on_record(&self, id: &tracing::Id, values: &tracing::span::Record<'_>, context: Context<'_, S>) {
        if let EventRule::Env(filter) = &**self.events.0.load() {
            Filter::<S>::on_record(&**filter, id, values, context);
        }
    }

    fn on_enter(&self, id: &tracing::Id, context: Context<'_, S>) {
        if let EventRule::Env(filter) = &**self.events.0.load() {
            Filter::<S>::on_enter(&**filter, id, context);
        }
    }

    fn on_exit(&self, id: &tracing::Id, context: Context<'_, S>) {
        if let EventRule::Env(filter) = &**self.events.0.load() {
            Filter::<S>::on_exit(&**filter, id, context);
        }
    }

    fn on_close(&self, id: tracing::Id, context: Context<'_, S>) {
        if let EventRule::Env(filter) = &**self.events.0.load() {
            Filter::<S>::on_close(&**filter, id, context);
        }
    }
}

fn interest(wanted: bool) -> Interest {
    if wanted { Interest::always() } else { Interest::never() }
}
