//! The `tracing` side: which spans and events are seen, and the layers that turn them into telemetry.
//!
//! Per-layer filters, so that layers of the user's keep their own view. Spans do not depend on `RUST_LOG`: a request has
//! its span whatever is logged.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwap;
use tracing::{Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::Targets,
    layer::{Context, Filter},
    registry::LookupSpan,
};

use super::{
    logs::{LogLayer, Rules, is_transport},
    returned_errors,
    spans::{Spans, Unseeing, bridge},
    traces::SeededTracer,
};
use crate::{diagnostics::Listener, sampling::SamplerInUse};

/// The target of the events that say that the filter was changed: they pass every filter.
pub(crate) const CHANGES: &str = "tracewell::loglevel";

/// The layers of this crate, for a subscriber over `S`; without a tracer there are no spans.
///
/// One layer made of both: a `Vec` of layers does not tell them which subscriber they are part of, and the log layer needs
/// it for the span that an event names.
pub(super) fn layers<S>(
    tracer: Option<SeededTracer>,
    logs: LogLayer,
    filter: &Arc<LogSwitch>,
    spans: LevelFilter,
    sampler: SamplerInUse,
    lean: bool,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let seen = (tracer.is_some() || logs.sees_spans()).then_some(spans);
    let own_filter = LogFilter::new(seen, Arc::clone(filter));
    let Some(tracer) = tracer else {
        return logs.with_filter(own_filter).boxed();
    };
    let found = bridge(tracer.clone()).with_filter(Unseeing::beside(Arc::clone(filter)));
    let spans = Spans::new(bridge(tracer.clone()), sampler, tracer, lean);
    let working = logs.and_then(spans).with_filter(own_filter);
    // outermost is the one that decides about levels: over a plain registry no other layer is asked
    found.and_then(working).boxed()
}

/// Which spans become OpenTelemetry spans: up to a level, except those of what exporters are made of.
#[derive(Debug, Clone, Copy)]
struct SpanRule(LevelFilter);

impl SpanRule {
    fn wants(self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.0 && !is_transport(metadata.target())
    }
}

/// Passes spans to the bridge and events to the log layer.
#[derive(Debug)]
pub(super) struct LogFilter {
    /// `None` where nobody looks at spans.
    spans: Option<SpanRule>,
    events: Arc<LogSwitch>,
}

/// The rule for events, replaceable while the service runs. Where it decides per call site, replacing it costs the hot
/// path nothing: call sites ask once, and again after [`set`](Self::set).
#[derive(Debug)]
pub(crate) struct LogSwitch {
    rule: ArcSwap<EventRule>,
    /// Whether the rule follows spans, for which it must be told about each of them.
    follows: AtomicBool,
    /// Filters beside that one.
    rules: ArcSwap<Rules>,
    has_rules: AtomicBool,
}

impl LogSwitch {
    /// Directives of `EnvFilter`; those that cannot be read are left out.
    pub(super) fn new(filter: &str, rules: Rules) -> Arc<Self> {
        let rule = EventRule::parse(filter);
        let follows = AtomicBool::new(rule.follows());
        let has_rules = AtomicBool::new(!rules.is_empty());
        let (rule, rules) = (ArcSwap::from_pointee(rule), ArcSwap::from_pointee(rules));
        Arc::new(Self { rule, follows, rules, has_rules })
    }

    /// Replaces the filters beside the one of all.
    pub(super) fn set_rules(&self, rules: Rules) {
        if **self.rules.load() == rules {
            return;
        }
        let has_rules = !rules.is_empty();
        self.rules.store(Arc::new(rules));
        self.has_rules.store(has_rules, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }

    /// Whether there are any.
    pub(super) fn has_rules(&self) -> bool {
        self.has_rules.load(Ordering::Relaxed)
    }

    pub(super) fn rules(&self) -> arc_swap::Guard<Arc<Rules>> {
        self.rules.load()
    }

    /// Whether the one filter of all takes an event.
    pub(super) fn wants<S>(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        always_heard(metadata)
            || match &**self.rule.load() {
                EventRule::Targets(targets) => targets.would_enable(metadata.target(), metadata.level()),
                EventRule::Env(filter) => Filter::<S>::enabled(&**filter, metadata, context),
            }
    }

    /// Whether any filter may want an event to be logged.
    pub(super) fn may_log<S>(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        self.wants(metadata, context) || self.rules_want(metadata)
    }

    /// Whether a filter beside the one of all may want an event.
    fn rules_want(&self, metadata: &Metadata<'_>) -> bool {
        self.has_rules() && self.rules.load().want(metadata)
    }

    /// Replaces the rule. Directives about spans apply to spans that begin from now on.
    pub(crate) fn set(&self, filter: &str) {
        let rule = EventRule::parse(filter);
        let follows = rule.follows();
        self.rule.store(Arc::new(rule));
        self.follows.store(follows, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }

    /// Whether events of a call site are logged, where that is decided once and for all.
    pub(super) fn event_interest(&self, metadata: &Metadata<'_>) -> Option<Interest> {
        if !metadata.is_event() {
            return None;
        }
        if always_passes(metadata) {
            return Some(Interest::always());
        }
        match &**self.rule.load() {
            EventRule::Targets(targets) => {
                let wanted = targets.would_enable(metadata.target(), metadata.level());
                Some(interest(wanted || self.rules_want(metadata)))
            }
            EventRule::Env(_) => self.rules_want(metadata).then(Interest::always),
        }
    }

    /// Tells a rule that follows spans about one; others are not even looked at.
    fn tell(&self, tell: impl FnOnce(&EnvFilter)) {
        if self.follows.load(Ordering::Relaxed) {
            if let EventRule::Env(filter) = &**self.rule.load() {
                tell(filter);
            }
        }
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
    fn follows(&self) -> bool {
        matches!(self, Self::Env(_))
    }

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

/// What OpenTelemetry says about itself and changes of the filter pass every filter.
fn always_heard(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && (Listener::hears(metadata) || metadata.target() == CHANGES)
}

/// These come through whatever is logged. A function that fails fails its span whatever is logged, too: the log layer looks
/// again.
fn always_passes(metadata: &Metadata<'_>) -> bool {
    always_heard(metadata) || returned_errors::may_be(metadata)
}

impl LogFilter {
    /// For spans up to a level, if there is a tracer for them, and the events of the switch's rule.
    pub(super) fn new(spans: Option<LevelFilter>, events: Arc<LogSwitch>) -> Self {
        Self { spans: spans.map(SpanRule), events }
    }

    /// Whether what it says of an event depends on more than its call site.
    pub(super) fn follows(&self) -> bool {
        self.events.follows.load(Ordering::Relaxed)
    }

    fn wants_span(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && self.spans.is_some_and(|spans| spans.wants(metadata))
    }
}

impl<S> Filter<S> for LogFilter
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        if self.wants_span(metadata) || always_passes(metadata) || self.events.rules_want(metadata) {
            return true;
        }
        match &**self.events.rule.load() {
            EventRule::Targets(targets) => {
                metadata.is_event() && targets.would_enable(metadata.target(), metadata.level())
            }
            EventRule::Env(filter) => Filter::<S>::enabled(&**filter, metadata, context),
        }
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if let Some(interest) = self.events.event_interest(metadata) {
            return interest;
        }
        let wanted = self.wants_span(metadata);
        match &**self.events.rule.load() {
            EventRule::Targets(_) => interest(wanted),
            // it takes note of the spans it follows
            EventRule::Env(filter) => {
                let interest = Filter::<S>::callsite_enabled(&**filter, metadata);
                if wanted { Interest::always() } else { interest }
            }
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let hint = match &**self.events.rule.load() {
            EventRule::Targets(targets) => Filter::<S>::max_level_hint(&**targets),
            EventRule::Env(filter) => Filter::<S>::max_level_hint(&**filter),
        };
        let spans = self.spans.map_or(LevelFilter::OFF, |spans| spans.0);
        let rules = self.events.rules.load().max_level();
        // never below WARN: OpenTelemetry's warnings are always heard
        hint.map(|hint| hint.max(spans).max(rules).max(LevelFilter::WARN))
    }

    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::Id,
        context: Context<'_, S>,
    ) {
        self.events.tell(|filter| Filter::<S>::on_new_span(filter, attributes, id, context));
    }

    fn on_record(&self, id: &tracing::Id, values: &tracing::span::Record<'_>, context: Context<'_, S>) {
        self.events.tell(|filter| Filter::<S>::on_record(filter, id, values, context));
    }

    fn on_enter(&self, id: &tracing::Id, context: Context<'_, S>) {
        self.events.tell(|filter| Filter::<S>::on_enter(filter, id, context));
    }

    fn on_exit(&self, id: &tracing::Id, context: Context<'_, S>) {
        self.events.tell(|filter| Filter::<S>::on_exit(filter, id, context));
    }

    fn on_close(&self, id: tracing::Id, context: Context<'_, S>) {
        self.events.tell(|filter| Filter::<S>::on_close(filter, id, context));
    }
}

fn interest(wanted: bool) -> Interest {
    if wanted { Interest::always() } else { Interest::never() }
}
