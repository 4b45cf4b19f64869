//! What is outside of this crate's promise of stability: the OpenTelemetry crates it is built on, and what takes or gives their
//! types.
//!
//! `opentelemetry_sdk` is below 1.0 and breaks with each minor version. What names its types is here and nowhere else, as
//! traits to import, so that a program which does not import them is not broken by it: this module may change with any minor
//! version of this crate. Everything else follows the rules of `guide::stability`.

use std::fmt::Display;

use opentelemetry_sdk::{
    Resource,
    logs::{LogExporter, LogProcessor, SdkLoggerProvider},
    metrics::exporter::PushMetricExporter,
    trace::{SdkTracerProvider, SpanExporter, SpanProcessor},
};
use serde_json::Value;

pub use opentelemetry as api;
pub use opentelemetry_sdk as sdk;
pub use tracing_opentelemetry as bridge;

use crate::{Builder, Telemetry};

mod sealed {
    #[expect(unnameable_types, reason = "that is what seals")]
    pub trait Sealed {}
    impl Sealed for crate::Builder {}
    impl Sealed for crate::Telemetry {}
}

/// Processors of the SDK's kind beside what the crate has. For [`Builder`] alone.
pub trait AddProcessors: sealed::Sealed + Sized {
    /// A span processor beside the exporter's queue.
    #[must_use]
    fn with_span_processor(self, processor: impl SpanProcessor + 'static) -> Self;

    /// A log processor before the exporter's queue: it may change records. Records then take the SDK's longer way.
    #[must_use]
    fn with_log_processor(self, processor: impl LogProcessor + 'static) -> Self;
}

impl AddProcessors for Builder {
    fn with_span_processor(mut self, processor: impl SpanProcessor + 'static) -> Self {
        self.additions.span_processors.push(Box::new(processor));
        self
    }

    fn with_log_processor(mut self, processor: impl LogProcessor + 'static) -> Self {
        self.additions.log_processors.push(Box::new(processor));
        self
    }
}

/// The SDK's own objects behind a [`Telemetry`], for what can only be done with them.
pub trait SdkParts: sealed::Sealed {
    /// The tracer provider.
    fn sdk_tracer_provider(&self) -> &SdkTracerProvider;

    /// The logger provider.
    fn sdk_logger_provider(&self) -> &SdkLoggerProvider;

    /// The resource.
    fn sdk_resource(&self) -> &Resource;
}

impl SdkParts for Telemetry {
    fn sdk_tracer_provider(&self) -> &SdkTracerProvider {
        &self.inner.pipeline.tracer_provider
    }

    fn sdk_logger_provider(&self) -> &SdkLoggerProvider {
        &self.inner.pipeline.logger_provider
    }

    fn sdk_resource(&self) -> &Resource {
        &self.inner.resource
    }
}

/// Components for configuration files. Each function is given what the file says below the component's name, null where that
/// is nothing, and an error that it returns is reported with the path in the file.
///
/// ```
/// use opentelemetry_sdk::{error::OTelSdkResult, trace::{SpanData, SpanExporter}};
///
/// #[derive(Debug)]
/// struct Courier(String);
///
/// impl SpanExporter for Courier {
///     async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tracewell::otel::RegisterComponents as _;
///
/// let telemetry = tracewell::Telemetry::builder()
///     // exporter: { courier: { address: "here" } }
///     .register_span_exporter("courier", |properties| {
///         let address = properties["address"].as_str().ok_or("address is missing; accepted is text")?;
///         Ok::<_, &str>(Courier(address.to_owned()))
///     })
///     .with_env([("OTEL_SDK_DISABLED", "true")])
///     .build()?;
/// # Ok(())
/// # }
/// ```
pub trait RegisterComponents: sealed::Sealed + Sized {
    /// A span exporter that a `batch` or `simple` processor of the file may have. It gets a queue of the SDK's; what it
    /// loses is its own to count.
    #[must_use]
    fn register_span_exporter<X, E>(
        self,
        name: impl Into<String>,
        create: impl Fn(&Value) -> Result<X, E> + 'static,
    ) -> Self
    where
        X: SpanExporter + 'static,
        E: Display;

    /// A span processor of the file.
    #[must_use]
    fn register_span_processor<P, E>(
        self,
        name: impl Into<String>,
        create: impl Fn(&Value) -> Result<P, E> + 'static,
    ) -> Self
    where
        P: SpanProcessor + 'static,
        E: Display;

    /// A log record exporter that a `batch` or `simple` processor of the file may have, with a queue of the SDK's.
    #[must_use]
    fn register_log_exporter<X, E>(
        self,
        name: impl Into<String>,
        create: impl Fn(&Value) -> Result<X, E> + 'static,
    ) -> Self
    where
        X: LogExporter + 'static,
        E: Display;

    /// A log record processor of the file. It runs before the exporters' queues and may change records.
    #[must_use]
    fn register_log_processor<P, E>(
        self,
        name: impl Into<String>,
        create: impl Fn(&Value) -> Result<P, E> + 'static,
    ) -> Self
    where
        P: LogProcessor + 'static,
        E: Display;

    /// A push metric exporter that a `periodic` reader of the file may have. It gets no exemplars: the SDK has none.
    #[must_use]
    fn register_metric_exporter<X, E>(
        self,
        name: impl Into<String>,
        create: impl Fn(&Value) -> Result<X, E> + 'static,
    ) -> Self
    where
        X: PushMetricExporter,
        E: Display;
}
