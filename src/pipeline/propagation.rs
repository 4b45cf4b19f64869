//! Trace context and baggage across processes.

use opentelemetry::propagation::{TextMapCompositePropagator, TextMapPropagator};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};

use crate::config::Propagator;

/// The propagator for `OTEL_PROPAGATORS`; one of none passes nothing on.
pub(super) fn propagator(propagators: &[Propagator]) -> TextMapCompositePropagator {
    let propagators = propagators.iter().map(|propagator| match propagator {
        Propagator::Baggage => Box::new(BaggagePropagator::new()) as Box<dyn TextMapPropagator + Send + Sync>,
        _ => Box::new(TraceContextPropagator::new()),
    });
    TextMapCompositePropagator::new(propagators.collect())
}
