//! Trace context and baggage across processes.

mod b3;
mod baggage;
#[cfg(any(fuzzing, test))]
pub(super) mod fuzzing;
mod trace_context;

use opentelemetry::propagation::{TextMapCompositePropagator, TextMapPropagator};

use self::{b3::B3, baggage::BoundedBaggage, trace_context::TraceContext};
use crate::config::Propagator;

/// The propagator for `OTEL_PROPAGATORS`; one of none passes nothing on.
pub(super) fn propagator(propagators: &[Propagator]) -> TextMapCompositePropagator {
    let propagators = propagators.iter().map(|propagator| match propagator {
        Propagator::TraceContext => Box::new(TraceContext) as Box<dyn TextMapPropagator + Send + Sync>,
        Propagator::Baggage => Box::new(BoundedBaggage),
        Propagator::B3 => Box::new(B3::Single),
        Propagator::B3Multi => Box::new(B3::Multi),
    });
    TextMapCompositePropagator::new(propagators.collect())
}
