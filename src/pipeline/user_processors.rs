//! Processors of the program's own, beside ours: a panic of theirs stays theirs.

use std::time::Duration;

use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanProcessor, TracerProviderBuilder},
};

use super::SetIds;
use crate::quietly::quietly;

pub(super) fn with_processors(
    builder: TracerProviderBuilder,
    added: Vec<Box<dyn SpanProcessor>>,
    ids: Option<SetIds>,
) -> TracerProviderBuilder {
    let builder = match ids {
        Some(ids) => ids(builder),
        None => builder,
    };
    added.into_iter().fold(builder, |builder, added| builder.with_span_processor(Added(added)))
}

/// A processor of the user's behind ours.
#[derive(Debug)]
struct Added(Box<dyn SpanProcessor>);

impl SpanProcessor for Added {
    fn on_start(&self, span: &mut opentelemetry_sdk::trace::Span, context: &opentelemetry::Context) {
        quietly(|| self.0.on_start(span, context));
    }

    fn on_end(&self, span: SpanData) {
        quietly(|| self.0.on_end(span));
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}
