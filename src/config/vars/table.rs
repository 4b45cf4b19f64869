//! The one list of every variable read: name, default, what is accepted, effect.

use crate::config::{Preset, Signal};

/// A variable that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Its default as it would be written; empty = nothing; in parentheses = a description.
    pub default: &'static str,
    /// The default under `TRACEWELL_PRESET=development`, where it differs.
    pub development: Option<&'static str>,
    /// The default under `TRACEWELL_PRESET=test`, where it differs.
    pub test: Option<&'static str>,
    /// What it may be.
    pub accepted: &'static str,
    /// What it does.
    pub effect: &'static str,
    /// No output shows its value.
    pub secret: bool,
}

impl Variable {
    /// The default under a preset.
    #[must_use]
    pub fn default_in(&self, preset: Preset) -> &'static str {
        let other = match preset {
            Preset::Production => None,
            Preset::Development => self.development,
            Preset::Test => self.test,
        };
        other.unwrap_or(self.default)
    }

    const fn presets(mut self, development: &'static str, test: Option<&'static str>) -> Self {
        self.development = Some(development);
        self.test = test;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// A setting that exists for all signals and for each.
#[derive(Debug)]
pub(super) struct PerSignal {
    pub(super) generic: Variable,
    traces: Variable,
    metrics: Variable,
    logs: Variable,
}

impl PerSignal {
    pub(super) fn own(&'static self, signal: Signal) -> &'static Variable {
        match signal {
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
            Signal::Logs => &self.logs,
        }
    }
}

const fn var(
    name: &'static str,
    default: &'static str,
    accepted: &'static str,
    effect: &'static str,
) -> Variable {
    Variable { name, default, development: None, test: None, accepted, effect, secret: false }
}

const BOOL: &str = "true or false";
const COUNT: &str = "a whole number from 0 to 2147483647";
const LENGTH: &str = "a number of characters from 0 to 2147483647";
const SIZE: &str = "a whole number from 1 to 2147483647";
const DELAY: &str = "milliseconds, a whole number from 0 to 2147483647";
const TIMEOUT: &str = "milliseconds, a whole number from 0 (= no limit) to 2147483647";
const AGE: &str = "milliseconds, a whole number from 0 (= never) to 2147483647";
const HEADER_NAMES: &str = "a list of names of HTTP headers";
const LEVELS: &str = "levels by target such as info,my_crate=debug; or off";
const EXPORTERS: &str = "a list of otlp, console; or none";

macro_rules! table {
    ($($id:ident = $row:expr;)+) => {
        $(pub(super) static $id: Variable = $row;)+
        static SINGLE: &[&Variable] = &[$(&$id),+];
    };
}

macro_rules! otlp {
    ($($id:ident $suffix:literal $default:literal, $accepted:literal, $effect:literal $(, $secret:ident)?;)+) => {
        $(pub(super) static $id: PerSignal = PerSignal {
            generic: var(concat!("OTEL_EXPORTER_OTLP_", $suffix), $default, $accepted, $effect) $(.$secret())?,
            traces: otlp!(@own "TRACES_", $suffix, $accepted, $effect $(, $secret)?),
            metrics: otlp!(@own "METRICS_", $suffix, $accepted, $effect $(, $secret)?),
            logs: otlp!(@own "LOGS_", $suffix, $accepted, $effect $(, $secret)?),
        };)+
        static OTLP: &[&PerSignal] = &[$(&$id),+];
    };
    (@own $signal:literal, $suffix:literal, $accepted:literal, $effect:literal $(, $secret:ident)?) => {
        var(
            concat!("OTEL_EXPORTER_OTLP_", $signal, $suffix),
            concat!("(as OTEL_EXPORTER_OTLP_", $suffix, ")"),
            $accepted,
            $effect,
        ) $(.$secret())?
    };
}

table! {
    CONFIG_FILE = var("OTEL_CONFIG_FILE", "", "a YAML file of the declarative configuration, format 1.0 or 1.1",
        "takes the place of every other OTEL_ variable");
    SDK_DISABLED = var("OTEL_SDK_DISABLED", "false", BOOL,
        "true: no exporter, no thread, no socket; propagation and stdout logs keep working");
    SERVICE_NAME = var("OTEL_SERVICE_NAME", "(detected)", "text", "the service's name; wins over service.name in OTEL_RESOURCE_ATTRIBUTES");
    RESOURCE_ATTRIBUTES = var("OTEL_RESOURCE_ATTRIBUTES", "", "name=value,name=value with \",\", \"=\" and \"%\" percent-encoded",
        "attributes of everything sent; one malformed pair and none is used");
    RESOURCE_DETECTORS = var("OTEL_RUST_RESOURCE_DETECTORS", "host,os,process,container,kubernetes",
        "a list of host, os, process, container, kubernetes; or none", "what tells where the service runs");
    LOG_LEVEL = var("OTEL_LOG_LEVEL", "info", "none, error, warn, info, debug or trace",
        "what telemetry says of itself on stderr; the service's own levels are RUST_LOG's");
    PROPAGATORS = var("OTEL_PROPAGATORS", "tracecontext,baggage", "a list of tracecontext, baggage, b3, b3multi; or none",
        "how context travels between services");

    TRACES_EXPORTER = var("OTEL_TRACES_EXPORTER", "otlp", EXPORTERS, "where spans go");
    METRICS_EXPORTER = var("OTEL_METRICS_EXPORTER", "otlp", "a list of otlp, console, prometheus; or none", "where metrics go");
    LOGS_EXPORTER = var("OTEL_LOGS_EXPORTER", "otlp", EXPORTERS, "where log records go, beside the lines on stdout");

    TRACES_SAMPLER = var("OTEL_TRACES_SAMPLER", "parentbased_always_on",
        "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio",
        "which traces are kept");
    TRACES_SAMPLER_ARG = var("OTEL_TRACES_SAMPLER_ARG", "1", "a number from 0 to 1", "the share of traces kept by a traceidratio sampler");

    BSP_SCHEDULE_DELAY = var("OTEL_BSP_SCHEDULE_DELAY", "5000", DELAY, "the longest a span waits before it is sent").presets("1000", Some("100"));
    BSP_EXPORT_TIMEOUT = var("OTEL_BSP_EXPORT_TIMEOUT", "30000", TIMEOUT, "limit of one attempt to send spans, beside that of the exporter");
    BSP_MAX_QUEUE_SIZE = var("OTEL_BSP_MAX_QUEUE_SIZE", "2048", SIZE, "spans held at most; more are dropped and counted");
    BSP_MAX_EXPORT_BATCH_SIZE = var("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "512", SIZE, "spans in one request; at most the queue's size");
    BLRP_SCHEDULE_DELAY = var("OTEL_BLRP_SCHEDULE_DELAY", "1000", DELAY, "the longest a log record waits before it is sent").presets("1000", Some("100"));
    BLRP_EXPORT_TIMEOUT = var("OTEL_BLRP_EXPORT_TIMEOUT", "30000", TIMEOUT, "limit of one attempt to send log records, beside that of the exporter");
    BLRP_MAX_QUEUE_SIZE = var("OTEL_BLRP_MAX_QUEUE_SIZE", "2048", SIZE, "log records held at most; more are dropped and counted");
    BLRP_MAX_EXPORT_BATCH_SIZE = var("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "512", SIZE, "log records in one request; at most the queue's size");

    ATTRIBUTE_COUNT_LIMIT = var("OTEL_ATTRIBUTE_COUNT_LIMIT", "128", COUNT, "the default of the other attribute count limits");
    SPAN_ATTRIBUTE_COUNT_LIMIT = var("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "(as OTEL_ATTRIBUTE_COUNT_LIMIT)", COUNT, "attributes per span");
    SPAN_EVENT_COUNT_LIMIT = var("OTEL_SPAN_EVENT_COUNT_LIMIT", "128", COUNT, "events per span");
    SPAN_LINK_COUNT_LIMIT = var("OTEL_SPAN_LINK_COUNT_LIMIT", "128", COUNT, "links per span");
    EVENT_ATTRIBUTE_COUNT_LIMIT = var("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "(as OTEL_ATTRIBUTE_COUNT_LIMIT)", COUNT, "attributes per span event");
    LINK_ATTRIBUTE_COUNT_LIMIT = var("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "(as OTEL_ATTRIBUTE_COUNT_LIMIT)", COUNT, "attributes per span link");

    ATTRIBUTE_VALUE_LENGTH_LIMIT = var("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "(no limit)", LENGTH, "the default of the other value length limits");
    SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT = var("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "(as OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT)", LENGTH,
        "length of a text attribute of a span, its events and links; what is longer is cut");
    LOGRECORD_ATTRIBUTE_COUNT_LIMIT = var("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "(as OTEL_ATTRIBUTE_COUNT_LIMIT)", COUNT,
        "attributes per log record; how many did not fit is said by dropped_attributes_count in OTLP, and by otel.dropped_attributes_count in a line");
    LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT = var("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "(as OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT)", LENGTH,
        "length of a text attribute of a log record; what is longer is cut");

    METRICS_TEMPORALITY = var("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "cumulative", "cumulative, delta or lowmemory",
        "whether metrics are totals or changes");
    METRICS_HISTOGRAM = var("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "explicit_bucket_histogram",
        "explicit_bucket_histogram or base2_exponential_bucket_histogram", "what a histogram without a view of its own becomes");
    METRICS_EXEMPLAR_FILTER = var("OTEL_METRICS_EXEMPLAR_FILTER", "trace_based", "always_on, always_off or trace_based",
        "which measurements may become exemplars");
    METRIC_EXPORT_INTERVAL = var("OTEL_METRIC_EXPORT_INTERVAL", "60000", "milliseconds, a whole number from 1 to 2147483647",
        "time between the starts of two exports of metrics").presets("1000", Some("500"));
    METRIC_EXPORT_TIMEOUT = var("OTEL_METRIC_EXPORT_TIMEOUT", "30000", TIMEOUT, "limit of one collection and its export, retries included; at most the interval");
    PROMETHEUS_HOST = var("OTEL_EXPORTER_PROMETHEUS_HOST", "localhost", "a host name or an IP address", "where the prometheus exporter listens");
    PROMETHEUS_PORT = var("OTEL_EXPORTER_PROMETHEUS_PORT", "9464", "a port from 0 (= any free one) to 65535", "where the prometheus exporter listens");

    HTTP_KNOWN_METHODS = var("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "GET,HEAD,POST,PUT,DELETE,CONNECT,OPTIONS,TRACE,PATCH,QUERY",
        "a list of HTTP methods, case-sensitive", "replaces the list of known methods; any other is recorded as _OTHER");
    HTTP_REQUEST_HEADERS = var("OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_REQUEST_HEADERS", "", HEADER_NAMES,
        "headers of requests that become attributes http.request.header.<name> of the server span");
    HTTP_RESPONSE_HEADERS = var("OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_RESPONSE_HEADERS", "", HEADER_NAMES,
        "headers of responses that become attributes http.response.header.<name> of the server span");
    EXCEPTION_SIGNAL = var("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs", "logs", "exceptions are log records, never span events");
    RUST_LOG = var("RUST_LOG", "info", "directives of tracing's EnvFilter such as info,my_crate=debug", "which log events are kept");

    PRESET = var("TRACEWELL_PRESET", "production", "production, development or test", "a set of defaults; explicit settings win over it");
    RELOAD = var("TRACEWELL_CONFIG_RELOAD_MS", "0", "milliseconds, a whole number from 0 (= never) to 2147483647",
        "how often the configuration file is looked at for changes");
    RELOAD_SIGHUP = var("TRACEWELL_CONFIG_RELOAD_SIGHUP", "false", BOOL, "true: the signal SIGHUP reads the configuration again");
    REDACT_NAMES = var("TRACEWELL_REDACT_NAMES", "", "a list of names", "values of these names are hidden too, in everything that is sent or shown");
    REDACT_EXCEPT = var("TRACEWELL_REDACT_EXCEPT", "", "a list of names", "values of exactly these names are shown, although a word in them would hide them");
    STRICT = var("TRACEWELL_STRICT", "false", BOOL, "true: a mistake in the configuration is an error of init");
    LOG_FORMAT = var("TRACEWELL_LOG_FORMAT", "(pretty on a terminal, else json)", "json, pretty, logfmt or ecs", "how log lines look on stdout and stderr");
    LOG_STDOUT = var("TRACEWELL_LOG_STDOUT", "(as RUST_LOG)", LEVELS, "which log events are lines on stdout");
    LOG_STDERR = var("TRACEWELL_LOG_STDERR", "", LEVELS, "which log events are lines on stderr");
    LOG_FILE = var("TRACEWELL_LOG_FILE", "", "a path", "the file that log lines are written to, beside stdout");
    LOG_FILE_FILTER = var("TRACEWELL_LOG_FILE_FILTER", "(as RUST_LOG)", LEVELS, "which log events are lines of the file");
    LOG_FILE_FORMAT = var("TRACEWELL_LOG_FILE_FORMAT", "json", "json, pretty, logfmt or ecs", "how lines of the file look");
    LOG_FILE_MAX_BYTES = var("TRACEWELL_LOG_FILE_MAX_BYTES", "104857600", "bytes, a whole number from 0 (= never) to 9223372036854775807",
        "size from which on the file is rotated");
    LOG_FILE_ROTATION = var("TRACEWELL_LOG_FILE_ROTATION", "never", "never, hourly or daily", "when the file is rotated whatever its size (UTC)");
    LOG_FILE_BACKUPS = var("TRACEWELL_LOG_FILE_BACKUPS", "5", "a whole number from 0 to 1000", "rotated files that are kept: the path with .1, .2 and so on");
    LOG_ON_FAILURE = var("TRACEWELL_LOG_ON_FAILURE", "", LEVELS,
        "log events that are kept back with their request or task, and logged only if it fails or logs an error");
    LOG_ON_FAILURE_BYTES = var("TRACEWELL_LOG_ON_FAILURE_BYTES", "65536", SIZE, "memory for what one request or task keeps back; the oldest go first");
    LOG_ON_FAILURE_TOTAL_BYTES = var("TRACEWELL_LOG_ON_FAILURE_TOTAL_BYTES", "16777216", SIZE, "memory for what all of them keep back");
    LOG_SAMPLED = var("TRACEWELL_LOG_SAMPLED", "", LEVELS, "log events that are logged inside of a sampled trace, beside those of RUST_LOG");
    LOG_SPAN_FIELDS = var("TRACEWELL_LOG_SPAN_FIELDS", "", "a list of names of fields: letters, digits, \".\", \"-\" and \"_\"",
        "fields of spans that log records inside of them carry; the nearest span's value counts");
    LOG_CODE = var("TRACEWELL_LOG_CODE", "false", BOOL, "true: log records say where in the code they were made (code.file.path, code.line.number)");
    LOG_REPEATS = var("TRACEWELL_LOG_REPEATS_MS", "0", "milliseconds, a whole number from 0 (= every record is logged) to 2147483647",
        "for so long, further records that say the same are counted; then one record has their number");
    LOG_RATE = var("TRACEWELL_LOG_RATE", "0", "a whole number from 0 (= no limit) to 2147483647",
        "log records a second of one place in the code; what is beyond is counted");
    ACCESS_LOG = var("TRACEWELL_ACCESS_LOG", "off", "off, errors, slow or all", "which finished requests get a completion record");
    SAMPLING_RULES = var("TRACEWELL_SAMPLING_RULES", "",
        "a list of rules such as drop path=/health, keep header.x-debug, 10% route=/orders, 5/s method=GET",
        "which traces are kept, before the sampler is asked: the first rule that holds decides");
    SAMPLING_REMOTE_PARENT = var("TRACEWELL_SAMPLING_REMOTE_PARENT", "follow", "follow or ignore",
        "ignore: rules and sampler decide about the traces of callers too, whatever their callers decided");
    TRACES_DROP = var("TRACEWELL_TRACES_DROP", "newest", "newest or oldest",
        "which span is dropped when the queue is full: the one that comes or the one that waits longest; errors and slow ones are kept first");
    LOGS_DROP = var("TRACEWELL_LOGS_DROP", "newest", "newest or oldest",
        "which log record is dropped when the queue is full: the one that comes or the one that waits longest; errors are kept first");
    ADMIN_ADDR = var("TRACEWELL_ADMIN_ADDR", "(no admin server)", "an address and port such as 127.0.0.1:9470", "where the admin server listens");
    ADMIN_TOKEN = var("TRACEWELL_ADMIN_TOKEN", "", "visible ASCII characters", "bearer token that opens the admin endpoints").secret();
    ADMIN_ALLOW = var("TRACEWELL_ADMIN_ALLOW", "", "a list of IP addresses and ranges such as 10.0.0.0/8",
        "addresses trusted without the token, beside loopback");
    ADMIN_CANCEL = var("TRACEWELL_ADMIN_CANCEL", "false", BOOL,
        "true: whoever has the token may cancel an active request or task on the admin server");
    STUCK = var("TRACEWELL_STUCK_MS", "60000", AGE, "age from which on a request is flagged, logged and counted as stuck");
    STUCK_TASKS = var("TRACEWELL_STUCK_TASKS_MS", "600000", AGE, "the same of tasks");
    REQUEST_LOG_LINES = var("TRACEWELL_REQUEST_LOG_LINES", "0", "a whole number from 0 (= none) to 100",
        "last log lines kept of each request and task, for /debug/requests").presets("20", None);
    METRIC_ATTRIBUTES = var("TRACEWELL_METRIC_ATTRIBUTES", "", "a list of names of attributes: letters, digits, \".\", \"-\" and \"_\"",
        "attributes given to a request or task that its metrics have too; each of their values is a series");
    LEAN_SPANS = var("TRACEWELL_LEAN_SPANS", "false", BOOL,
        "true: requests cost less, and OpenTelemetrySpanExt finds nothing at a request's own span");
    LIVENESS_STALL = var("TRACEWELL_LIVENESS_STALL_MS", "60000", "milliseconds, a whole number from 0 (= never) to 2147483647",
        "age of the runtime's heartbeat that makes /health answer 503");
    TRUSTED_PROXIES = var("TRACEWELL_TRUSTED_PROXIES", "", "a list of IP addresses and ranges such as 10.0.0.0/8",
        "proxies whose Forwarded and X-Forwarded-* headers say who the client is");
    PROXY_HEADERS = var("TRACEWELL_PROXY_HEADERS", "any", "any, forwarded or x-forwarded",
        "which headers of trusted proxies count; any: those that are there, and of both kinds what both say");
    PUBLIC_ENDPOINT = var("TRACEWELL_PUBLIC_ENDPOINT", "false", BOOL,
        "true: strangers call, so each request starts a trace of its own and links to its caller's, whose baggage is not taken");
    BAGGAGE_ATTRIBUTES = var("TRACEWELL_BAGGAGE_ATTRIBUTES", "", "a list of names without spaces, such as tenant",
        "members of the baggage that become attributes of spans and log records");
    CHECKS_DISABLED = var("TRACEWELL_CHECKS_DISABLED", "", "a list of names", "health checks that do not run");
    CONSOLE = var("TRACEWELL_CONSOLE", "false", BOOL, "true: the console page keeps recent telemetry in memory").presets("true", None);
    CONSOLE_MAX_BYTES = var("TRACEWELL_CONSOLE_MAX_BYTES", "33554432", "a number of bytes from 1048576 to 2147483647",
        "memory that the console's store may take; errors and the slowest traces are kept longest");
    CONSOLE_MAX_AGE = var("TRACEWELL_CONSOLE_MAX_AGE_MS", "3600000", "milliseconds, a whole number from 1000 to 2147483647",
        "age from which on the console's store drops what it keeps");
    CONSOLE_LINKS = var("TRACEWELL_CONSOLE_LINKS", "", "a list of label=URL with http:// or https://, commas in them percent-encoded",
        "links from a trace on the console to other tools; {trace_id}, {span_id}, {start_ms}, {end_ms} and {service} are filled in");
    SHUTDOWN = var("TRACEWELL_SHUTDOWN_MS", "5000", DELAY, "the one deadline of the flush of all signals");
    DRAIN = var("TRACEWELL_DRAIN_MS", "5000", DELAY, "how long running requests may take to finish at shutdown");
    PRESTOP = var("TRACEWELL_PRESTOP_MS", "0", DELAY, "how long the service goes on accepting after it became unready");
}

otlp! {
    OTLP_ENDPOINT "ENDPOINT" "(http://localhost:4318, or http://localhost:4317 for grpc)", "an http:// or https:// URL",
        "where OTLP goes: without a signal in the name a base to which /v1/{signal} is added, with one as it is; for grpc the origin";
    OTLP_PROTOCOL "PROTOCOL" "http/protobuf", "grpc, http/protobuf or http/json", "how OTLP is spoken";
    OTLP_HEADERS "HEADERS" "", "name=value,name=value with percent-encoded values", "headers of each OTLP request", secret;
    OTLP_TIMEOUT "TIMEOUT" "10000", "milliseconds, a whole number from 0 (= no limit) to 2147483647", "limit of one attempt to send; a refused request is repeated for 5 minutes";
    OTLP_COMPRESSION "COMPRESSION" "none", "none or gzip", "how OTLP requests are compressed";
    OTLP_INSECURE "INSECURE" "false", "true or false", "true: grpc without TLS when the endpoint has no scheme";
    OTLP_CERTIFICATE "CERTIFICATE" "(the system's)", "a PEM file of certificates", "certificate authorities to trust";
    OTLP_CLIENT_CERTIFICATE "CLIENT_CERTIFICATE" "", "a PEM file of certificates, with its CLIENT_KEY", "the client's certificate chain (mutual TLS)";
    OTLP_CLIENT_KEY "CLIENT_KEY" "", "a PEM file of a private key, with its CLIENT_CERTIFICATE", "the client's private key (mutual TLS)";
}

/// Names that a person may set and that have no effect, with what to do instead.
pub(super) static UNSUPPORTED: &[(&str, &str)] = &[
    ("OTEL_ENTITIES", "not supported yet; accepted is OTEL_RESOURCE_ATTRIBUTES"),
    (
        "OTEL_EXPORTER_ZIPKIN_ENDPOINT",
        "deprecated and not supported; accepted is OTLP, which Zipkin's collector reads",
    ),
    ("OTEL_EXPORTER_ZIPKIN_TIMEOUT", "deprecated and not supported; accepted is OTEL_EXPORTER_OTLP_TIMEOUT"),
    ("OTEL_EXPORTER_OTLP_SPAN_INSECURE", "obsolete; accepted is OTEL_EXPORTER_OTLP_TRACES_INSECURE"),
    ("OTEL_EXPORTER_OTLP_METRIC_INSECURE", "obsolete; accepted is OTEL_EXPORTER_OTLP_METRICS_INSECURE"),
];

/// Every variable that is read, in the order of the documentation.
pub fn table() -> impl Iterator<Item = &'static Variable> {
    let otlp = OTLP.iter().flat_map(|s| [&s.generic, &s.traces, &s.metrics, &s.logs]);
    SINGLE.iter().copied().chain(otlp)
}
