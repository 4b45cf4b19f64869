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
mod file;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
mod logs;
mod outputs;
mod source;
#[cfg(test)]
mod tests;
mod values;
mod vars;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

pub(crate) use self::{
    differences::differences,
    explain::{installed, reinstalled},
    file::stamp,
    logs::levels,
    values::{Condition, ParentKind, matches},
    vars::misspelt_level,
};
pub use self::{
    explain::{Explanation, Origin, Setting, explain},
    file::FileUse,
    logs::{LogFile, LogsConfig, OnFailure},
    outputs::{Aggregation, CardinalityLimits, InstrumentType, MetricOutput, Output, ViewConfig},
    source::Source,
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

/// Who this service is (`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`).
#[derive(Clone)]
#[non_exhaustive]
pub struct ResourceConfig {
    /// The name the operator chose: `OTEL_SERVICE_NAME`, else `service.name` of `OTEL_RESOURCE_ATTRIBUTES`.
    /// `None` = neither is set; the detected default applies.
    pub service_name: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`, percent-decoded, without `service.name`; empty when any pair was malformed.
    pub attributes: Vec<(String, String)>,
    /// `OTEL_RUST_RESOURCE_DETECTORS`; empty = `none`.
    pub detectors: Vec<Detector>,
    /// What of that is kept.
    pub detected: Patterns,
    /// Attributes that are not text; only a configuration file has them.
    pub typed: Vec<(String, AttributeValue)>,
    /// The schema that the attributes follow; `None` = that of the conventions this crate follows.
    pub schema_url: Option<String>,
}

// an attribute's value may be a secret
impl fmt::Debug for ResourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redactor = crate::redaction::Redactor::default();
        let seen = |(key, value): &(String, String)| (key.clone(), redactor.value(key, value).into_owned());
        f.debug_struct("ResourceConfig")
            .field("service_name", &self.service_name)
            .field("attributes", &self.attributes.iter().map(seen).collect::<Vec<_>>())
            .field("detectors", &self.detectors)
            .finish_non_exhaustive()
    }
}

impl Default for ResourceConfig {
    fn default() -> Self {
        let detectors = <Detector as values::Word>::ALL.to_vec();
        Self {
            service_name: None,
            attributes: Vec::new(),
            detectors,
            detected: Patterns::default(),
            typed: Vec::new(),
            schema_url: None,
        }
    }
}

/// Where one signal's OTLP requests go and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Otlp {
    /// `OTEL_EXPORTER_OTLP_{SIGNAL_}PROTOCOL`; `http/protobuf` by default, whatever cargo features are on.
    pub protocol: Protocol,
    /// The full URL requests are sent to: with the signal's path for HTTP, the origin alone for gRPC.
    pub endpoint: Endpoint,
    /// `OTEL_EXPORTER_OTLP_{SIGNAL_}HEADERS`; shown redacted.
    pub headers: Headers,
    /// Limit of one export including its retries; `None` = no limit (`0` in the environment).
    pub timeout: Option<Duration>,
    /// `OTEL_EXPORTER_OTLP_{SIGNAL_}COMPRESSION`.
    pub compression: Compression,
    /// PEM file of the certificate authorities to trust instead of the system's.
    pub certificate: Option<PathBuf>,
    /// PEM file of the client's certificate chain (mutual TLS).
    pub client_certificate: Option<PathBuf>,
    /// PEM file of the client's private key (mutual TLS).
    pub client_key: Option<PathBuf>,
}

/// A batch processor's queue (`OTEL_BSP_*`, `OTEL_BLRP_*`).
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Batch {
    /// The longest an item waits before it is sent; zero = as soon as the sender is free.
    pub schedule_delay: Duration,
    /// Limit of one export; `None` = no limit beyond the exporter's own.
    pub export_timeout: Option<Duration>,
    /// Items held at most; more are dropped and counted.
    pub max_queue_size: usize,
    /// Items in one request at most; never above `max_queue_size`.
    pub max_export_batch_size: usize,
    /// Which item is dropped when the queue is full (`TRACEWELL_TRACES_DROP`, `TRACEWELL_LOGS_DROP`).
    pub drop: DropPolicy,
}

/// How much one span may hold (`OTEL_SPAN_*_LIMIT`, `OTEL_EVENT_*`, `OTEL_LINK_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpanLimits {
    /// Attributes per span.
    pub attributes: u32,
    /// Events per span.
    pub events: u32,
    /// Links per span.
    pub links: u32,
    /// Attributes per event.
    pub attributes_per_event: u32,
    /// Attributes per link.
    pub attributes_per_link: u32,
    /// Characters of a value, and bytes of a byte value; `None` = no limit.
    pub value_length: Option<u32>,
}

/// How much one log record may hold (`OTEL_LOGRECORD_*_LIMIT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLimits {
    /// Attributes per record.
    pub attributes: u32,
    /// Characters of an attribute's value, and bytes of a byte value; `None` = no limit.
    pub value_length: Option<u32>,
}

/// Spans.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TracesConfig {
    /// `OTEL_TRACES_EXPORTER`; empty = `none`.
    pub exporters: Vec<Exporter>,
    /// `OTEL_TRACES_SAMPLER` with its argument.
    pub sampler: Sampler,
    /// `TRACEWELL_SAMPLING_RULES`: they decide before the sampler does, and the first that holds counts.
    pub sampling_rules: Vec<SamplingRule>,
    /// `TRACEWELL_SAMPLING_REMOTE_PARENT`.
    pub remote_parent: RemoteParent,
    /// The batch processor.
    pub batch: Batch,
    /// What one span may hold.
    pub limits: SpanLimits,
    /// The OTLP exporter.
    pub otlp: Otlp,
    /// Further ways out.
    pub more: Vec<Output>,
}

impl TracesConfig {
    /// What decides in the end: the sampler with the rules before it.
    #[must_use]
    pub fn effective_sampler(&self) -> Sampler {
        self.sampler.with_rules(&self.sampling_rules, self.remote_parent == RemoteParent::Ignore)
    }
}

/// Metrics.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MetricsConfig {
    /// `OTEL_METRICS_EXPORTER`; empty = `none`.
    pub exporters: Vec<Exporter>,
    /// `OTEL_METRIC_EXPORT_INTERVAL`, between the starts of exports; never zero.
    pub interval: Duration,
    /// `OTEL_METRIC_EXPORT_TIMEOUT`; `None` = no limit.
    pub timeout: Option<Duration>,
    /// `OTEL_METRICS_EXEMPLAR_FILTER`.
    pub exemplar_filter: ExemplarFilter,
    /// `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`.
    pub temporality: Temporality,
    /// `OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION`.
    pub histogram: HistogramAggregation,
    /// `OTEL_EXPORTER_PROMETHEUS_HOST` and `_PORT`.
    pub prometheus: (String, u16),
    /// How `/metrics` looks.
    pub page: PrometheusPage,
    /// The OTLP exporter.
    pub otlp: Otlp,
    /// Further periodic readers.
    pub more: Vec<MetricOutput>,
    /// Views of the configuration file; those given in code come first.
    pub views: Vec<ViewConfig>,
    /// Series per metric.
    pub cardinality: CardinalityLimits,
}

/// How metrics are shown to Prometheus, with the choices of the specification's Prometheus exporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrometheusPage {
    /// How names are made; `UnderscoreEscapingWithSuffixes` unless said otherwise.
    pub translation: Translation,
    /// Whether every series has `otel_scope_name` and its kin; `true` unless said otherwise.
    pub scope_labels: bool,
    /// Whether the resource is there as `target_info`; `true` unless said otherwise.
    pub target_info: bool,
}

impl Default for PrometheusPage {
    fn default() -> Self {
        Self {
            translation: Translation::UnderscoreEscapingWithSuffixes,
            scope_labels: true,
            target_info: true,
        }
    }
}

impl PrometheusPage {
    /// How names are made.
    #[must_use]
    pub const fn with_translation(mut self, translation: Translation) -> Self {
        self.translation = translation;
        self
    }

    /// Leaves `otel_scope_name` and its kin out.
    #[must_use]
    pub const fn without_scope_labels(mut self) -> Self {
        self.scope_labels = false;
        self
    }

    /// Leaves `target_info` out.
    #[must_use]
    pub const fn without_target_info(mut self) -> Self {
        self.target_info = false;
        self
    }
}

/// The operator's endpoints.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AdminConfig {
    /// `TRACEWELL_ADMIN_ADDR`; `None` = no admin server.
    pub addr: Option<SocketAddr>,
    /// `TRACEWELL_ADMIN_TOKEN`.
    pub token: Option<Secret>,
    /// `TRACEWELL_ADMIN_ALLOW`: addresses trusted without the token, beside loopback.
    pub allow: Vec<IpRange>,
    /// `TRACEWELL_LIVENESS_STALL_MS`; `None` = never.
    pub liveness_stall: Option<Duration>,
    /// `TRACEWELL_CHECKS_DISABLED`.
    pub checks_disabled: Vec<String>,
    /// `TRACEWELL_CONSOLE`.
    pub console: bool,
    /// What the console's store keeps, if it is on.
    pub console_store: ConsoleConfig,
    /// `TRACEWELL_ADMIN_CANCEL`: whether whoever has the token may cancel requests and tasks.
    pub cancel: bool,
}

/// The console: its store's bounds, and where its page leads.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ConsoleConfig {
    /// `TRACEWELL_CONSOLE_MAX_BYTES`.
    pub max_bytes: usize,
    /// `TRACEWELL_CONSOLE_MAX_AGE_MS`.
    pub max_age: Duration,
    /// `TRACEWELL_CONSOLE_LINKS`.
    pub links: Vec<ConsoleLink>,
}

/// The way out.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ShutdownConfig {
    /// `TRACEWELL_SHUTDOWN_MS`: the one deadline of the flush of all signals.
    pub flush: Duration,
    /// `TRACEWELL_DRAIN_MS`: how long running requests may take to finish.
    pub drain: Duration,
    /// `TRACEWELL_PRESTOP_MS`: how long the service goes on accepting after it became unready.
    pub prestop: Duration,
}

/// HTTP instrumentation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpConfig {
    /// `OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS`: every other method is `_OTHER`. Case-sensitive.
    pub known_methods: Vec<String>,
    /// `TRACEWELL_TRUSTED_PROXIES`: whose `Forwarded` and `X-Forwarded-*` headers count.
    pub trusted_proxies: Vec<IpRange>,
    /// `TRACEWELL_PROXY_HEADERS`: which of these headers.
    pub proxy_headers: ProxyHeaders,
    /// `TRACEWELL_PUBLIC_ENDPOINT`: callers' traces are linked to instead of continued.
    pub public_endpoint: bool,
    /// `TRACEWELL_BAGGAGE_ATTRIBUTES`: members of the baggage that spans and log records carry as attributes.
    pub baggage_attributes: Vec<String>,
    /// `OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_REQUEST_HEADERS`, lower-case.
    pub request_headers: Vec<String>,
    /// `OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_RESPONSE_HEADERS`, lower-case.
    pub response_headers: Vec<String>,
}

/// The registry of active requests and tasks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RequestsConfig {
    /// `TRACEWELL_STUCK_MS`; `None` = never.
    pub stuck: Option<Duration>,
    /// `TRACEWELL_STUCK_TASKS_MS`; `None` = never.
    pub stuck_tasks: Option<Duration>,
    /// `TRACEWELL_REQUEST_LOG_LINES`.
    pub log_lines: usize,
    /// `TRACEWELL_METRIC_ATTRIBUTES`.
    pub metric_attributes: Vec<String>,
    /// `TRACEWELL_LEAN_SPANS`: requests' own spans are out of `OpenTelemetrySpanExt`'s reach, and cost less.
    pub lean_spans: bool,
}

/// When the configuration is read again while the service runs.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct ReloadConfig {
    /// `TRACEWELL_CONFIG_RELOAD_MS`: between two looks at the configuration file; `None` = never.
    pub every: Option<Duration>,
    /// `TRACEWELL_CONFIG_RELOAD_SIGHUP`.
    pub sighup: bool,
}

/// What is hidden, in everything that is sent or shown, beside what the program says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedactionConfig {
    /// `TRACEWELL_REDACT_NAMES`; see [`Redactor::with_names`](crate::redaction::Redactor::with_names).
    pub names: Vec<String>,
    /// `TRACEWELL_REDACT_EXCEPT`; see
    /// [`Redactor::with_harmless_names`](crate::redaction::Redactor::with_harmless_names).
    pub except: Vec<String>,
}

impl Config {
    /// Resolves the configuration file or the environment, and defaults. Never fails: what could not be used is in the list, and a default stands in.
    #[must_use]
    pub fn resolve(source: &Source) -> (Self, Vec<Mistake>) {
        vars::resolve(source)
    }
}
