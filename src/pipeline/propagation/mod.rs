//! Trace context and baggage across processes.

mod b3;
mod baggage;
#[cfg(any(fuzzing, test))]
pub(super) mod fuzzing;
mod trace_context;

use opentelemetry::{
    Context,
    propagation::{
        Extractor, Injector, TextMapCompositePropagator, TextMapPropagator, text_map_propagator::FieldIter,
    },
};

use self::{b3::B3, baggage::BoundedBaggage, trace_context::TraceContext};
use crate::{config::Propagator, trace_parent};

/// The propagator for `OTEL_PROPAGATORS`.
#[derive(Debug)]
pub(crate) enum Propagation {
    /// Trace context and baggage, which is the default.
    W3c,
    /// One of none passes nothing on.
    Chosen(TextMapCompositePropagator),
}

pub(super) fn propagator(propagators: &[Propagator]) -> Propagation {
    if matches!(propagators, [Propagator::TraceContext, Propagator::Baggage]) {
        return Propagation::W3c;
    }
    let propagators = propagators.iter().map(|propagator| match propagator {
        Propagator::TraceContext => Box::new(TraceContext) as Box<dyn TextMapPropagator + Send + Sync>,
        Propagator::Baggage => Box::new(BoundedBaggage),
        Propagator::B3 => Box::new(B3::Single),
        Propagator::B3Multi => Box::new(B3::Multi),
    });
    Propagation::Chosen(TextMapCompositePropagator::new(propagators.collect()))
}

impl TextMapPropagator for Propagation {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        match self {
            Self::W3c => {
                TraceContext.inject_context(context, injector);
                BoundedBaggage.inject_context(context, injector);
            }
            Self::Chosen(chosen) => chosen.inject_context(context, injector),
        }
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        match self {
            Self::W3c => {
                let context = TraceContext.extract_with_context(context, extractor);
                BoundedBaggage.extract_with_context(&context, extractor)
            }
            Self::Chosen(chosen) => chosen.extract_with_context(context, extractor),
        }
    }

    fn fields(&self) -> FieldIter<'_> {
        match self {
            Self::W3c => FieldIter::new(&*trace_parent::FIELDS),
            Self::Chosen(chosen) => chosen.fields(),
        }
    }
}
