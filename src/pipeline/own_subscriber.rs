//! The layers of this crate where there are no others: one of them then decides for the whole subscriber, and is spared
//! the look at each span whether its filter wanted it.

use std::{cell::Cell, sync::Arc};

use tracing::{
    Dispatch, Event, Id, Metadata, Subscriber, level_filters::LevelFilter, span, subscriber::Interest,
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, Filter, Layered, SubscriberExt as _},
    registry::LookupSpan,
};

use super::{
    logs::LogLayer,
    spans::{Spans, Unseeing, bridge},
    subscriber::{LogFilter, LogSwitch},
    traces::SeededTracer,
};
use crate::sampling::SamplerInUse;

thread_local! {
    /// The last question whether something is wanted was about an event, which has not come yet. `tracing-subscriber`
    /// keeps note of such a question until the event has reached every layer.
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

type Found = Box<dyn Layer<Registry> + Send + Sync>;

/// A subscriber of these layers only.
pub(super) fn subscriber(
    tracer: SeededTracer,
    logs: LogLayer,
    filter: &Arc<LogSwitch>,
    spans: LevelFilter,
    sampler: SamplerInUse,
    lean: bool,
) -> impl Subscriber + Send + Sync + use<> {
    let found: Found = bridge(tracer.clone()).with_filter(Unseeing::alone()).boxed();
    let filter = LogFilter::new(Some(spans), Arc::clone(filter));
    let spans = Spans::new(bridge(tracer.clone()), sampler, tracer, lean);
    Registry::default().with(found).with(Alone::<Layered<Found, Registry>> { filter, logs, spans })
}

/// Spans and events, as far as the filter wants them: what it does not want is made by nobody.
struct Alone<S> {
    filter: LogFilter,
    logs: LogLayer,
    spans: Spans<S>,
}

impl<S> Alone<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    #[inline]
    fn hear(&self, event: &Event<'_>, context: Context<'_, S>) {
        self.logs.on_event(event, context.clone());
        self.spans.on_event(event, context);
    }
}

impl<S> Layer<S> for Alone<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        Layer::<S>::on_register_dispatch(&self.logs, dispatch);
        self.spans.on_register_dispatch(dispatch);
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        Filter::<S>::callsite_enabled(&self.filter, metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        ASKED.set(metadata.is_event());
        // what was decided per call site is decided; records of the `log` crate have none
        let decided = metadata.is_event() && metadata.name() != "log record" && !self.filter.follows();
        decided || Filter::<S>::enabled(&self.filter, metadata, &context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Filter::<S>::max_level_hint(&self.filter)
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.filter.on_new_span(attributes, id, context.clone());
        self.logs.on_new_span(attributes, id, context.clone());
        self.spans.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &span::Record<'_>, context: Context<'_, S>) {
        self.filter.on_record(id, values, context.clone());
        self.logs.on_record(id, values, context.clone());
        self.spans.on_record(id, values, context);
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        self.spans.on_follows_from(id, follows, context);
    }

    /// Where it was not asked whether this event is wanted, it is a record already when this question is answered: no
    /// other layer hears events, and going on to them costs more than finding that out.
    fn event_enabled(&self, event: &Event<'_>, context: Context<'_, S>) -> bool {
        if ASKED.take() {
            return true;
        }
        self.hear(event, context);
        false
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        self.hear(event, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.filter.on_enter(id, context.clone());
        self.spans.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.filter.on_exit(id, context.clone());
        self.spans.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.filter.on_close(id.clone(), context.clone());
        self.spans.on_close(id, context);
    }
}
