//! Spans that nobody sees but the exporter's queue: made by the SDK's rules (specification, trace/sdk.md), without the
//! SDK's copies of each.
//!
//! The SDK builds a span, moves it into one of its own, and that into what processors are given, with the tracer beside it.
//! Where the only processor is this crate's queue, a span is from its start what is exported at its end, and one that is
//! dropped is its ids.

use std::{borrow::Cow, cell::RefCell, sync::Arc, time::SystemTime};

use opentelemetry::{
    Context, InstrumentationScope, KeyValue, SpanId, TraceFlags,
    trace::{Event, Link, Span, SpanBuilder, SpanContext, SpanKind, SpanRef, Status, TraceContextExt as _},
};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator, SpanData, SpanEvents, SpanLinks};

use super::{
    random_flag::{RANDOM, is_random},
    sampler::SamplerSwitch,
    traces::QueueProcessor,
};
use crate::{config::SpanLimits, span_seed::Planted};

/// What such spans have in common.
#[derive(Debug)]
pub(crate) struct OwnSpans {
    sampler: SamplerSwitch,
    limits: SpanLimits,
    scope: InstrumentationScope,
    ids: RandomIdGenerator,
    out: QueueProcessor,
}

/// A span. Dropped, it ends. Small, since whoever starts it moves it several times before it is boxed.
#[derive(Debug)]
pub(crate) struct OwnSpan {
    context: SpanContext,
    /// While it is recorded.
    recorded: Option<Recorded>,
}

#[derive(Debug)]
struct Recorded {
    memory: Memory,
    home: Arc<OwnSpans>,
}

/// Empty or not: what a span's data leave goes on to the thread's next span.
type Memory = Box<Option<SpanData>>;

/// Memories that a thread keeps: as many as there are spans in one another, as a rule.
const SPARES: usize = 8;

thread_local! {
    /// Of spans that ended on this thread; empty.
    static SPARE: RefCell<Vec<Memory>> = const { RefCell::new(Vec::new()) };
}

fn spare() -> Memory {
    // a thread on its way out keeps nothing
    let spare = SPARE.try_with(|spare| spare.try_borrow_mut().ok()?.pop());
    spare.ok().flatten().unwrap_or_default()
}

fn keep(memory: Memory) {
    // a thread on its way out keeps nothing
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.try_borrow_mut().ok()?;
        if spare.len() < SPARES {
            spare.push(memory);
        }
        Some(())
    });
}

impl Recorded {
    /// The data, which are there as long as the span is recorded, and the limits of them.
    fn data(&mut self) -> Option<(&mut SpanData, &SpanLimits)> {
        self.memory.as_mut().as_mut().map(|data| (data, &self.home.limits))
    }
}

impl OwnSpans {
    pub(super) fn new(
        sampler: SamplerSwitch,
        limits: SpanLimits,
        scope: InstrumentationScope,
        out: QueueProcessor,
    ) -> Arc<Self> {
        Arc::new(Self { sampler, limits, scope, ids: RandomIdGenerator::default(), out })
    }

    /// What a span is whose parent is `remote`, else the context's span, if it has a valid one; whether it is kept is
    /// decided with that.
    pub(super) fn decide(
        &self,
        (name, kind, attributes): (&str, &SpanKind, &[KeyValue]),
        context: &Context,
        remote: Option<&SpanContext>,
    ) -> SpanContext {
        if context.is_telemetry_suppressed() {
            return SpanContext::NONE;
        }
        let local = context.span();
        let parent = parent(&local, remote);
        let span_id = self.ids.new_span_id();
        let trace_id = parent.map_or_else(|| self.ids.new_trace_id(), SpanContext::trace_id);
        let (kept, state) = self.sampler.decide(parent, trace_id, name, kind, attributes);
        // a span that is kept has its parent's flags; an id that is made here is random
        let flags = match parent {
            Some(parent) if kept => parent.trace_flags(),
            Some(parent) if !is_random(parent) => TraceFlags::NOT_SAMPLED,
            _ => RANDOM,
        };
        SpanContext::new(trace_id, span_id, flags.with_sampled(kept), false, state)
    }

    /// Starts a span, as it was decided, or is now.
    pub(super) fn start(
        self: &Arc<Self>,
        builder: SpanBuilder,
        context: &Context,
        planted: Planted,
    ) -> OwnSpan {
        let Planted { remote, decided } = planted;
        let own = decided.unwrap_or_else(|| {
            let kind = builder.span_kind.as_ref().unwrap_or(&SpanKind::Internal);
            let attributes = builder.attributes.as_deref().unwrap_or_default();
            self.decide((&builder.name, kind, attributes), context, remote.as_ref())
        });
        let recorded = own.is_sampled().then(|| {
            let local = context.span();
            let mut memory = spare();
            *memory = Some(self.data(builder, own.clone(), parent(&local, remote.as_ref())));
            Recorded { memory, home: Arc::clone(self) }
        });
        OwnSpan { context: own, recorded }
    }

    fn data(&self, builder: SpanBuilder, own: SpanContext, parent: Option<&SpanContext>) -> SpanData {
        let limits = &self.limits;
        let SpanBuilder { span_kind, name, start_time, attributes, events, links, .. } = builder;
        let start_time = start_time.unwrap_or_else(opentelemetry::time::now);
        let mut attributes = attributes.unwrap_or_default();
        let dropped_attributes_count = cut(&mut attributes, limits.attributes);
        SpanData {
            span_context: own,
            parent_span_id: parent.map_or(SpanId::INVALID, SpanContext::span_id),
            parent_span_is_remote: parent.is_some_and(SpanContext::is_remote),
            span_kind: span_kind.unwrap_or(SpanKind::Internal),
            name,
            start_time,
            end_time: start_time,
            attributes,
            dropped_attributes_count,
            events: events.map(|events| bounded_events(events, limits)).unwrap_or_default(),
            links: links.map(|links| bounded_links(links, limits)).unwrap_or_default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

/// The parent, if it is valid.
fn parent<'a>(local: &'a SpanRef<'_>, remote: Option<&'a SpanContext>) -> Option<&'a SpanContext> {
    Some(remote.unwrap_or_else(|| local.span_context())).filter(|parent| parent.is_valid())
}

/// How many were too many.
fn cut<T>(items: &mut Vec<T>, limit: u32) -> u32 {
    let dropped = items.len().saturating_sub(limit as usize);
    items.truncate(limit as usize);
    u32::try_from(dropped).unwrap_or(u32::MAX)
}

fn bounded_events(mut given: Vec<Event>, limits: &SpanLimits) -> SpanEvents {
    let mut events = SpanEvents::default();
    events.dropped_count = cut(&mut given, limits.events);
    for event in &mut given {
        event.dropped_attributes_count = cut(&mut event.attributes, limits.attributes_per_event);
    }
    events.events = given;
    events
}

fn bounded_links(mut given: Vec<Link>, limits: &SpanLimits) -> SpanLinks {
    let mut links = SpanLinks::default();
    links.dropped_count = cut(&mut given, limits.links);
    for link in &mut given {
        link.dropped_attributes_count = cut(&mut link.attributes, limits.attributes_per_link);
    }
    links.links = given;
    links
}

impl OwnSpan {
    /// The ids of a span that is recorded nowhere.
    pub(super) fn unrecorded(context: SpanContext) -> Self {
        Self { context, recorded: None }
    }

    fn data(&mut self) -> Option<(&mut SpanData, &SpanLimits)> {
        self.recorded.as_mut()?.data()
    }

    fn end_at(&mut self, at: Option<SystemTime>) {
        let Some(Recorded { mut memory, home }) = self.recorded.take() else { return };
        if let Some(data) = &mut *memory {
            data.end_time = at.unwrap_or_else(opentelemetry::time::now);
        }
        home.out.take(&mut memory);
        // what nobody took
        *memory = None;
        keep(memory);
    }
}

impl Span for OwnSpan {
    fn add_event_with_timestamp<T>(&mut self, name: T, timestamp: SystemTime, mut attributes: Vec<KeyValue>)
    where
        T: Into<Cow<'static, str>>,
    {
        let Some((data, limits)) = self.data() else { return };
        if data.events.events.len() < limits.events as usize {
            let dropped = cut(&mut attributes, limits.attributes_per_event);
            data.events.events.push(Event::new(name, timestamp, attributes, dropped));
        } else {
            data.events.dropped_count += 1;
        }
    }

    fn span_context(&self) -> &SpanContext {
        &self.context
    }

    fn is_recording(&self) -> bool {
        self.recorded.is_some()
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        let Some((data, limits)) = self.data() else { return };
        if data.attributes.len() < limits.attributes as usize {
            data.attributes.push(attribute);
        } else {
            data.dropped_attributes_count += 1;
        }
    }

    fn set_status(&mut self, status: Status) {
        if let Some((data, _)) = self.data() {
            // `Ok` is final, and nothing takes an error back (specification, trace/api.md "Set Status")
            if status > data.status {
                data.status = status;
            }
        }
    }

    fn update_name<T>(&mut self, name: T)
    where
        T: Into<Cow<'static, str>>,
    {
        if let Some((data, _)) = self.data() {
            data.name = name.into();
        }
    }

    fn add_link(&mut self, span_context: SpanContext, mut attributes: Vec<KeyValue>) {
        let Some((data, limits)) = self.data() else { return };
        if data.links.links.len() < limits.links as usize {
            let dropped = cut(&mut attributes, limits.attributes_per_link);
            data.links.links.push(Link::new(span_context, attributes, dropped));
        } else {
            data.links.dropped_count += 1;
        }
    }

    fn end_with_timestamp(&mut self, timestamp: SystemTime) {
        self.end_at(Some(timestamp));
    }
}

impl Drop for OwnSpan {
    fn drop(&mut self) {
        self.end_at(None);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry::{
        TraceId,
        trace::{TraceState, Tracer as _, TracerProvider as _},
    };
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;
    use crate::{
        config::{DropPolicy, Sampler},
        pipeline::{queue::Queue, watch::Watched},
    };

    const LIMITS: SpanLimits = SpanLimits {
        attributes: 3,
        events: 2,
        links: 1,
        attributes_per_event: 1,
        attributes_per_link: 1,
        value_length: None,
    };

    fn attributes(count: i64) -> Vec<KeyValue> {
        (0..count).map(|number| KeyValue::new(format!("key {number}"), number)).collect()
    }

    fn remote(flags: u8) -> SpanContext {
        let (trace, span) = (TraceId::from(0xabc), SpanId::from(0xdef));
        let state = TraceState::from_key_value([("a", "1")]).unwrap();
        SpanContext::new(trace, span, TraceFlags::new(flags), true, state)
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn builder(much: bool) -> SpanBuilder {
        let builder = SpanBuilder::from_name("a span").with_start_time(at(1));
        if !much {
            return builder;
        }
        let event = |name| Event::new(name, at(2), attributes(2), 0);
        let links = (0..2).map(|_| Link::new(remote(1), attributes(2), 0)).collect();
        builder
            .with_kind(SpanKind::Producer)
            .with_attributes(attributes(5))
            .with_events(vec![event("a"), event("b"), event("c")])
            .with_links(links)
    }

    /// Everything that can be done to a span.
    fn live(span: &mut impl Span) -> SpanContext {
        let context = span.span_context().clone();
        span.set_attributes(attributes(4));
        (0..3).for_each(|number| span.add_event_with_timestamp(format!("{number}"), at(3), attributes(2)));
        span.add_link(remote(0), attributes(2));
        span.set_status(Status::error("first"));
        span.set_status(Status::Unset);
        span.update_name("another name");
        assert_eq!(span.is_recording(), context.is_sampled());
        span.end_with_timestamp(at(4));
        assert!(!span.is_recording());
        // too late
        span.set_attribute(KeyValue::new("late", true));
        span.end();
        context
    }

    fn queue() -> (Arc<Queue<SpanData>>, QueueProcessor) {
        let queue = Arc::new(Queue::new(8, 8, DropPolicy::Oldest));
        let out = QueueProcessor(Watched { watch: None, queue: Some(Arc::clone(&queue)) });
        (queue, out)
    }

    #[test]
    fn a_span_is_what_the_sdk_would_have_made_of_it() {
        let sampler = SamplerSwitch::new(&Sampler::ParentBased(Box::new(Sampler::AlwaysOn)));
        let scope = InstrumentationScope::builder("a scope").with_version("1").build();
        let (own_queue, own_out) = queue();
        let own = OwnSpans::new(sampler.clone(), LIMITS, scope.clone(), own_out);
        let (sdk_queue, sdk_out) = queue();
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler)
            .with_max_attributes_per_span(LIMITS.attributes)
            .with_max_events_per_span(LIMITS.events)
            .with_max_links_per_span(LIMITS.links)
            .with_max_attributes_per_event(LIMITS.attributes_per_event)
            .with_max_attributes_per_link(LIMITS.attributes_per_link)
            .with_span_processor(sdk_out)
            .build();
        let tracer = provider.tracer_with_scope(scope);
        let none = Context::new();
        for (parent, much) in
            [None, Some(0), Some(1), Some(3)].into_iter().flat_map(|parent| [(parent, false), (parent, true)])
        {
            let parent = parent.map(remote);
            let context =
                parent.clone().map_or_else(Context::new, |parent| none.with_remote_span_context(parent));
            let planted = Planted { remote: parent.clone(), decided: None };
            let mut below_remote = own.start(builder(much), &none, planted);
            let mut in_context = own.start(builder(much), &context, Planted::default());
            let mut sdk = tracer.build_with_context(builder(much), &context);
            let contexts = [live(&mut below_remote), live(&mut in_context)];
            let of_sdk = live(&mut sdk);
            let mut spans = own_queue.take();
            let expected = sdk_queue.take();
            assert_eq!(spans.len(), 2 * expected.len(), "{parent:?}");
            for (span, context) in spans.iter_mut().zip(&contexts) {
                assert_eq!(span.span_context, *context);
                let (state, flags) = (context.trace_state(), context.trace_flags());
                assert_eq!(
                    (state, flags),
                    (expected[0].span_context.trace_state(), expected[0].span_context.trace_flags())
                );
                // ids are random
                span.span_context = expected[0].span_context.clone();
                assert_eq!(*span, expected[0], "{parent:?}");
            }
            for context in contexts {
                assert_eq!((context.is_valid(), context.is_sampled()), (true, of_sdk.is_sampled()));
                assert!(parent.as_ref().is_none_or(|parent| parent.trace_id() == context.trace_id()));
            }
        }
        let suppressed = none.with_telemetry_suppressed();
        assert!(!own.start(builder(true), &suppressed, Planted::default()).span_context().is_valid());
        // a span that is dropped ends now
        drop(own.start(builder(false), &none, Planted::default()));
        assert!(own_queue.take()[0].end_time > at(4));
    }
}
