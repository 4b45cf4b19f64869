//! What the operator wants: plain values, resolved once from code, environment and defaults.
//!
//! Precedence: code > environment > defaults; with `OTEL_CONFIG_FILE` that file stands in the place of every other `OTEL_`
//! variable, and our own variables win over what it says of us. Nothing here touches the network, a global or the OpenTelemetry SDK.
//! Every mistake found on the way is collected as a [`Mistake`]; an invalid value never stops the service unless
//! `TRACEWELL_STRICT` is set.

mod differences;
#[cfg(test)]
mod documentation;
mod explain;
mod export;
mod file;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
mod logs;
mod metrics;
mod operation;
mod outputs;
mod requests;
mod resource;
mod source;
#[cfg(test)]
mod tests;
mod traces;
mod values;
mod vars;

pub(crate) use self::{
    differences::differences,
    explain::{installed, reinstalled},
    file::stamp,
    logs::levels,
    values::{Condition, ParentKind, SLOW, matches},
    vars::misspelt_level,
};
pub use self::{
    explain::{Explanation, Origin, Setting, explain},
    export::{Batch, Otlp},
    file::FileUse,
    logs::{LogFile, LogLimits, LogsConfig, OnFailure},
    metrics::{MetricsConfig, PrometheusPage},
    operation::{AdminConfig, ConsoleConfig, RedactionConfig, ReloadConfig, ShutdownConfig},
    outputs::{Aggregation, CardinalityLimits, InstrumentType, MetricOutput, Output, ViewConfig},
    requests::{HttpConfig, RequestsConfig},
    resource::ResourceConfig,
    source::Source,
    traces::{SpanLimits, TracesConfig},
    values::{
        AccessLog, AttributeValue, Component, ComponentKind, Compression, ConsoleLink, Detector, DropPolicy,
        Endpoint, ExemplarFilter, Exporter, Headers, HistogramAggregation, IpRange, LogFormat, LogLevel,
        LogRotation, Mistake, ParentSamplers, Patterns, Preset, Propagator, Protocol, ProxyHeaders,
        RemoteParent, Sampler, SamplingRule, Secret, Signal, Temporality, Translation,
    },
    vars::{Variable, table as variables},
};

/// Everything `init` needs to know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// `OTEL_SDK_DISABLED`: no exporter, no thread, no socket; propagation and stdout logs keep working.
    pub disabled: bool,
    /// `TRACEWELL_STRICT`: configuration mistakes become an error of `init`.
    pub strict: bool,
    /// `OTEL_LOG_LEVEL`: what of our own voice is heard.
    pub log_level: LogLevel,
    /// `TRACEWELL_PRESET`.
    pub preset: Preset,
    /// `OTEL_ATTRIBUTE_COUNT_LIMIT` and `OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT`, already in the limits of the signals.
    pub attribute_limits: (u32, Option<u32>),
    /// Who this service is.
    pub resource: ResourceConfig,
    /// `OTEL_PROPAGATORS`, in order, without duplicates.
    pub propagators: Vec<Propagator>,
    /// Spans.
    pub traces: TracesConfig,
    /// Metrics.
    pub metrics: MetricsConfig,
    /// Log records, over OTLP and as lines.
    pub logs: LogsConfig,
    /// The operator's endpoints.
    pub admin: AdminConfig,
    /// The way out.
    pub shutdown: ShutdownConfig,
    /// HTTP instrumentation.
    pub http: HttpConfig,
    /// The registry of active requests and tasks.
    pub requests: RequestsConfig,
    /// When the configuration is read again.
    pub reload: ReloadConfig,
    /// What is hidden beside what the program says.
    pub redaction: RedactionConfig,
    /// Components of the program's own that the configuration file asks for.
    pub components: Vec<Component>,
    /// `OTEL_CONFIG_FILE`.
    pub file: Option<FileUse>,
}

impl Config {
    /// Resolves the configuration file or the environment (specification, configuration/sdk-environment-variables.md and
    /// configuration/sdk.md), and defaults. Never fails: what could not be used is in the list, and a default stands in. Blocks
    /// for the reading of files: of the configuration and of certificates.
    #[must_use]
    pub fn resolve(source: &Source) -> (Self, Vec<Mistake>) {
        vars::resolve(source)
    }
}
