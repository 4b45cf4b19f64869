//! The trace context inside a message: into a map of strings and out of it.

use std::{collections::HashMap, hash::BuildHasher};

use opentelemetry::Context;

/// Writes the current trace context and baggage into a message's headers, in the format of the global propagator
/// (`OTEL_PROPAGATORS`; `traceparent`, `tracestate` and `baggage` by default). Other headers stay.
pub fn inject<S: BuildHasher>(headers: &mut HashMap<String, String, S>) {
    inject_from(&Context::current(), headers);
}

pub(super) fn inject_from<S: BuildHasher>(context: &Context, headers: &mut HashMap<String, String, S>) {
    let mut own = HashMap::new();
    opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.inject_context(context, &mut own);
    });
    headers.extend(own);
}

/// Reads the sender's trace context and baggage from a message's headers, whatever is current here.
///
/// Headers are found by their lower-case names. Without any, the context is empty.
#[must_use]
pub fn extract<S: BuildHasher>(headers: &HashMap<String, String, S>) -> Context {
    opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.extract_with_context(&Context::new(), &Headers(headers))
    })
}

struct Headers<'a, S>(&'a HashMap<String, String, S>);

impl<S: BuildHasher> opentelemetry::propagation::Extractor for Headers<'_, S> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}
