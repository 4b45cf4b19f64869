//! What the operator wants of requests: HTTP instrumentation and the registry.

use std::time::Duration;

use super::{IpRange, ProxyHeaders};

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
