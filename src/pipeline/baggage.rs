//! Baggage members that spans and log records carry as attributes, by an allow-list.

use std::{sync::Arc, time::Duration};

use opentelemetry::{Context, Key, KeyValue, baggage::BaggageExt as _, trace::Span as _};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor, TracerProviderBuilder},
};

/// The members that are copied, by name; each becomes an attribute of the same name.
#[derive(Debug, Clone, Default)]
pub(super) struct CopiedBaggage(Arc<[Key]>);

impl CopiedBaggage {
    pub(super) fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| Key::from(name.clone())).collect())
    }

    /// Whether nothing is copied.
    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// A tracer provider whose spans have them; where none are copied, nothing is asked of a span.
    pub(super) fn added_to(&self, builder: TracerProviderBuilder) -> TracerProviderBuilder {
        if self.0.is_empty() { builder } else { builder.with_span_processor(self.clone()) }
    }

    /// What there is of them in a context.
    pub(super) fn of<'a>(&'a self, context: &'a Context) -> impl Iterator<Item = KeyValue> + 'a {
        let baggage = context.baggage();
        let names = if baggage.is_empty() { &[] } else { &*self.0 };
        names.iter().filter_map(|name| {
            baggage.get(name.as_str()).map(|value| KeyValue::new(name.clone(), value.as_str().to_owned()))
        })
    }
}

impl SpanProcessor for CopiedBaggage {
    fn on_start(&self, span: &mut Span, context: &Context) {
        if span.is_recording() {
            span.set_attributes(self.of(context));
        }
    }

    fn on_end(&self, _: SpanData) {}

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
