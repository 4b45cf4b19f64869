//! `tracing` spans into OpenTelemetry: tracing-opentelemetry's layer, driven without a filter of its own, and spared the
//! entering of spans whose context is attached already. Of events it sees only the errors that functions return.
//!
//! There are two of that layer. One is found by `OpenTelemetrySpanExt` and sees nothing: it is behind [`Unseeing`]. The
//! other one does the work, inside of [`Spans`]. Both have the same type and tracer, and what they know of a span is kept
//! with the span, so that for callers they are one. A single one could not be left out when a span is entered: `tracing`
//! finds a layer through the layers around it only with unsafe code.

use std::{
    cell::{Cell, RefCell},
    fmt,
    sync::{Arc, OnceLock},
};

use opentelemetry::{Context as OtelContext, ContextGuard, trace::TraceContextExt as _};
use tracing::{
    Dispatch, Event, Id, Metadata, Subscriber, dispatcher::WeakDispatch, level_filters::LevelFilter, span,
    subscriber::Interest,
};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{
    Layer,
    layer::{Context, Filter},
    registry::LookupSpan,
};

use super::{returned_errors, subscriber::LogSwitch, traces::SeededTracer};
use crate::{
    quietly::quietly,
    sampling::SamplerInUse,
    span_seed::{self, Own, Sown},
};

type Bridge<S> = OpenTelemetryLayer<S, SeededTracer>;

/// A layer of tracing-opentelemetry as this crate has it.
pub(super) fn bridge<S>(tracer: SeededTracer) -> Bridge<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        // what these record is in the log record or in the conventions' attributes, and each costs every span
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_level(false)
        // log records and exemplars find their ids through the active context
        .with_context_activation(true)
}

/// Turns spans into OpenTelemetry spans. Events are log records, not span events as well: only the error that a function
/// returns is more, the status of its span.
pub(super) struct Spans<S> {
    bridge: Bridge<S>,
    /// Where a span is recorded only if its parent is, nothing is formatted for one that is not.
    sampler: SamplerInUse,
    tracer: SeededTracer,
    /// Whether requests' own spans are none of the bridge's.
    lean: bool,
    /// For links between spans of the bridge's and others.
    dispatch: OnceLock<WeakDispatch>,
}

impl<S> Spans<S> {
    /// With `lean`, requests' own spans are kept from the bridge.
    pub(super) fn new(bridge: Bridge<S>, sampler: SamplerInUse, tracer: SeededTracer, lean: bool) -> Self {
        Self { bridge, sampler, tracer, lean, dispatch: OnceLock::new() }
    }

    /// Whether nobody will see the fields of a span that starts now. It has a context all the same, to be passed on.
    fn is_unseen(&self, attributes: &span::Attributes<'_>) -> bool {
        attributes.is_contextual()
            && !attributes.metadata().fields().is_empty()
            && OtelContext::map_current(|current| {
                let span = current.span();
                let parent = span.span_context();
                parent.is_valid()
                    && !parent.is_sampled()
                    && !span.is_recording()
                    && self.sampler.follows_parent(parent.is_remote())
            })
    }
}

impl<S> Spans<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    /// Starts a request's own span without the bridge; `false` when it is none.
    fn start_lean(&self, id: &Id, context: &Context<'_, S>) -> bool {
        if !self.lean {
            return false;
        }
        let Some(sown) = Sown::take_request() else { return false };
        let own = self.tracer.start_request(sown, &OtelContext::current());
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(Own(own.clone()));
        }
        span_seed::started(own);
        true
    }

    /// Starts a request's own span that is dropped: the bridge keeps what it needs to find the span's context, and makes
    /// no span of it before somebody asks. `false` when it is none.
    fn start_dropped(&self, attributes: &span::Attributes<'_>, id: &Id, context: &Context<'_, S>) -> bool {
        let Some(dropped) = self.tracer.drop_request(&OtelContext::current()) else { return false };
        let current = dropped.clone().attach();
        SeededTracer::around_dropped(|| self.bridge.on_new_span(attributes, id, context.clone()));
        drop(current);
        span_seed::started(dropped);
        true
    }

    /// The span that an event is in has failed, if the event says so.
    #[cold]
    fn fail(&self, event: &Event<'_>, context: &Context<'_, S>) {
        let Some(span) = context.event_span(event) else { return };
        if !returned_errors::is_of(span.metadata(), event.metadata()) {
            return;
        }
        let Some(dispatch) = self.dispatch.get().and_then(WeakDispatch::upgrade) else { return };
        if let Some(failed) = span_seed::context_of(&span.id(), &dispatch) {
            // the text is made by the program's own code
            quietly(|| returned_errors::fail(&failed, event));
        }
    }

    /// The context of a span that is none of the bridge's.
    fn own(&self, id: &Id, context: &Context<'_, S>) -> Option<OtelContext> {
        if !self.lean {
            return None;
        }
        let span = context.span(id)?;
        let extensions = span.extensions();
        extensions.get::<Own>().map(|own| own.0.clone())
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
        if SLIPPED.take() == Some(id.into_u64()) {
            if let Some(span) = context.span(id) {
                span.extensions_mut().replace(Slipped);
            }
            return;
        }
        if self.start_lean(id, &context) || self.start_dropped(attributes, id, &context) {
            return;
        }
        if self.is_unseen(attributes) {
            let metadata = attributes.metadata();
            let no_values = metadata.fields().value_set(&[]);
            return self.bridge.on_new_span(&span::Attributes::new(metadata, &no_values), id, context);
        }
        // the bridge does not find a request's span by its id, but its context
        if let Some(parent) = attributes.parent().and_then(|parent| self.own(parent, &context)) {
            let _parent = parent.attach();
            let attributes = span::Attributes::new(attributes.metadata(), attributes.values());
            return self.bridge.on_new_span(&attributes, id, context);
        }
        self.bridge.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if !has_slipped(id, &context) {
            self.bridge.on_record(id, values, context);
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        if has_slipped(id, &context) {
            return;
        }
        if self.own(id, &context).is_none() && self.own(follows, &context).is_none() {
            return self.bridge.on_follows_from(id, follows, context);
        }
        let Some(dispatch) = self.dispatch.get().and_then(WeakDispatch::upgrade) else { return };
        let of = |id: &Id| span_seed::context_of(id, &dispatch);
        if let (Some(own), Some(follows)) = (of(id), of(follows)) {
            own.span().add_link(follows.span().span_context().clone(), Vec::new());
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if returned_errors::may_be(event.metadata()) {
            self.fail(event, &context);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if span_seed::is_attached() {
            return;
        }
        match self.own(id, &context) {
            Some(own) => keep_attached(id, own.attach()),
            None => self.bridge.on_enter(id, context),
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        if span_seed::is_attached() || self.lean && detach(id) {
            return;
        }
        self.bridge.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        // the end of such a span is its owner's business; what is kept with it goes with it
        if !span_seed::was_attached() {
            self.bridge.on_close(id, context);
        }
    }

    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        // a layer serves one subscriber; the first registration is it
        let _ = self.dispatch.set(dispatch.downgrade());
    }
}

thread_local! {
    /// Contexts of requests whose spans were entered by somebody else than their owner.
    static ENTERED: RefCell<Vec<(u64, ContextGuard)>> = const { RefCell::new(Vec::new()) };
}

fn keep_attached(id: &Id, guard: ContextGuard) {
    // a thread on its way out attaches nothing
    let _ = ENTERED.try_with(|entered| entered.borrow_mut().push((id.into_u64(), guard)));
}

/// Whether the span was entered that way; its context is no longer attached then.
fn detach(id: &Id) -> bool {
    let guard = ENTERED.try_with(|entered| {
        let mut entered = entered.borrow_mut();
        let at = entered.iter().rposition(|(own, _)| *own == id.into_u64())?;
        Some(entered.remove(at))
    });
    matches!(guard, Ok(Some(_)))
}

thread_local! {
    /// The span that slipped through [`Unseeing`] just now.
    static SLIPPED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Marks a span that slipped through: the layer behind has made what is to be kept with it, and hears of it like any other
/// layer. That both enter and close it does no harm.
struct Slipped;

fn has_slipped<S>(id: &Id, context: &Context<'_, S>) -> bool
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    context.span(id).is_some_and(|span| span.extensions().get::<Slipped>().is_some())
}

/// Lets no span pass. Beside the log layer's filter, events pass as far as they pass that, so that both agree about each
/// call site and `tracing` need not ask each time; without its span, an event is nothing to the layer behind. Alone it says
/// yes to call sites of events for the same reason: none goes on to it.
#[derive(Debug)]
pub(super) struct Unseeing(Option<Arc<LogSwitch>>);

impl Unseeing {
    pub(super) fn beside(filter: Arc<LogSwitch>) -> Self {
        Self(Some(filter))
    }

    /// The only filter of its kind.
    pub(super) fn alone() -> Self {
        Self(None)
    }
}

impl<S> Filter<S> for Unseeing
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        false
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        match &self.0 {
            Some(filter) => filter.event_interest(metadata).unwrap_or_else(Interest::never),
            None if metadata.is_event() => Interest::always(),
            None => Interest::never(),
        }
    }

    /// `tracing-subscriber` forgets what a filter said of a span when another span or an event is made before the span
    /// itself is, in the expression of a field: that span slips through.
    fn on_new_span(&self, _: &span::Attributes<'_>, id: &Id, _: Context<'_, S>) {
        SLIPPED.set(Some(id.into_u64()));
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::OFF)
    }
}
