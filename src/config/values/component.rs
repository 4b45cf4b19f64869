//! Components that are not built in: which are asked for, and with which properties.

use std::{fmt, time::Duration};

use crate::config::Batch;

/// What kind a component is (specification, configuration/sdk.md "Supported SDK plugin components").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ComponentKind {
    /// A resource detector.
    ResourceDetector,
    /// A text map propagator.
    Propagator,
    /// A span processor.
    SpanProcessor,
    /// A span exporter.
    SpanExporter,
    /// A sampler.
    Sampler,
    /// An id generator.
    IdGenerator,
    /// A push metric exporter.
    MetricExporter,
    /// A pull metric exporter.
    PullExporter,
    /// A metric producer.
    MetricProducer,
    /// A log record processor.
    LogProcessor,
    /// A log record exporter.
    LogExporter,
}

impl fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResourceDetector => "resource detector",
            Self::Propagator => "propagator",
            Self::SpanProcessor => "span processor",
            Self::SpanExporter => "span exporter",
            Self::Sampler => "sampler",
            Self::IdGenerator => "id generator",
            Self::MetricExporter => "metric exporter",
            Self::PullExporter => "pull metric exporter",
            Self::MetricProducer => "metric producer",
            Self::LogProcessor => "log record processor",
            Self::LogExporter => "log record exporter",
        })
    }
}

/// A component that the configuration file asks for by the name under which the program registers it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Component {
    /// What kind it is.
    pub kind: ComponentKind,
    /// The name that was registered.
    pub name: String,
    /// What the file says below the name; null where that is nothing.
    pub properties: serde_json::Value,
    /// The path in the file.
    pub path: String,
    /// For an exporter of spans or log records: the queue before it; one that is told each at once has no delay.
    pub batch: Option<Batch>,
    /// For a metric exporter: the time between the starts of exports.
    pub interval: Option<Duration>,
}

impl Component {
    pub(in crate::config) fn new(
        kind: ComponentKind,
        name: &str,
        properties: serde_json::Value,
        path: String,
    ) -> Self {
        Self { kind, name: name.to_owned(), properties, path, batch: None, interval: None }
    }
}

// a property may be a secret
impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("kind", &self.kind)
            .field("name", &self.name)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
