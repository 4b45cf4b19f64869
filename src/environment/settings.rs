//! The effective configuration, variable by variable, with where each value comes from.

use serde_json::{Map, Value, json};

use super::scrub;
use crate::config::{Batch, Config, Explanation, Origin, Otlp, Setting, Source, variables};

type Settings = Vec<(&'static str, Value)>;

/// `{"OTEL_…": {"value": …, "source": "code" | "environment" | "file: path" | …}}`, and what could not be used.
pub(super) fn section(config: &Config, explanation: &Explanation, source: &Source) -> Value {
    let from = |name: &str| explanation.get(name).map_or_else(String::new, Setting::source);
    let mut shown = Map::new();
    for (name, value) in effective(config) {
        shown.insert(name.to_owned(), json!({ "value": value, "source": from(name) }));
    }
    // what has no value of its own in the configuration, but was given
    for variable in variables().filter(|variable| !shown_under_another_name(variable.name)) {
        let given =
            explanation.get(variable.name).is_some_and(|setting| setting.origin == Origin::Environment);
        if shown.contains_key(variable.name) || !given {
            continue;
        }
        if let Some(value) = source.get(variable.name) {
            let value =
                if variable.secret { scrub::HIDDEN.into() } else { scrub::value(variable.name, &value) };
            shown.insert(variable.name.to_owned(), json!({ "value": value, "source": "environment" }));
        }
    }
    let mistakes = explanation.settings.iter().filter_map(|setting| setting.mistake.as_ref());
    let mistakes: Vec<String> = mistakes.chain(&explanation.others).map(ToString::to_string).collect();
    json!({ "settings": shown, "mistakes": mistakes })
}

fn shown_under_another_name(name: &str) -> bool {
    matches!(name, "OTEL_EXPORTER_PROMETHEUS_PORT" | "OTEL_TRACES_SAMPLER_ARG")
}

fn words<T: ToString>(items: &[T]) -> Value {
    if items.is_empty() {
        return "none".into();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",").into()
}

fn millis(time: Option<std::time::Duration>) -> Value {
    time.map_or(json!(0), |time| json!(time.as_millis() as u64))
}

fn effective(config: &Config) -> Settings {
    let mut settings = vec![
        ("OTEL_SDK_DISABLED", json!(config.disabled)),
        ("OTEL_PROPAGATORS", words(&config.propagators)),
        ("OTEL_TRACES_EXPORTER", words(&config.traces.exporters)),
        ("OTEL_METRICS_EXPORTER", words(&config.metrics.exporters)),
        ("OTEL_LOGS_EXPORTER", words(&config.logs.exporters)),
        ("OTEL_TRACES_SAMPLER", json!(config.traces.sampler.to_string())),
        ("OTEL_METRIC_EXPORT_INTERVAL", millis(Some(config.metrics.interval))),
        ("OTEL_METRIC_EXPORT_TIMEOUT", millis(config.metrics.timeout)),
        ("OTEL_METRICS_EXEMPLAR_FILTER", json!(config.metrics.exemplar_filter.to_string())),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", json!(config.metrics.temporality.to_string())),
        (
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            json!(config.metrics.histogram.to_string()),
        ),
        ("OTEL_EXPORTER_PROMETHEUS_HOST", json!(config.metrics.prometheus.0)),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", json!(config.metrics.prometheus.1)),
        ("RUST_LOG", json!(config.logs.filter)),
        ("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", words(&config.http.known_methods)),
        ("TRACEWELL_TRUSTED_PROXIES", words(&config.http.trusted_proxies)),
        ("TRACEWELL_PROXY_HEADERS", json!(config.http.proxy_headers.to_string())),
        ("TRACEWELL_PUBLIC_ENDPOINT", json!(config.http.public_endpoint)),
        ("TRACEWELL_BAGGAGE_ATTRIBUTES", words(&config.http.baggage_attributes)),
        ("TRACEWELL_PRESET", json!(config.preset.to_string())),
        ("TRACEWELL_STRICT", json!(config.strict)),
        ("TRACEWELL_LOG_FORMAT", json!(config.logs.format.map(|format| format.to_string()))),
        ("TRACEWELL_ACCESS_LOG", json!(config.logs.access_log.to_string())),
    ];
    settings.extend(own(config));
    let traces =
        ["TRACES_ENDPOINT", "TRACES_PROTOCOL", "TRACES_HEADERS", "TRACES_TIMEOUT", "TRACES_COMPRESSION"];
    settings.extend(otlp(&config.traces.otlp, traces));
    let metrics =
        ["METRICS_ENDPOINT", "METRICS_PROTOCOL", "METRICS_HEADERS", "METRICS_TIMEOUT", "METRICS_COMPRESSION"];
    settings.extend(otlp(&config.metrics.otlp, metrics));
    let logs = ["LOGS_ENDPOINT", "LOGS_PROTOCOL", "LOGS_HEADERS", "LOGS_TIMEOUT", "LOGS_COMPRESSION"];
    settings.extend(otlp(&config.logs.otlp, logs));
    let spans = [
        "OTEL_BSP_SCHEDULE_DELAY",
        "OTEL_BSP_EXPORT_TIMEOUT",
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    ];
    settings.extend(batch(&config.traces.batch, spans));
    let records = [
        "OTEL_BLRP_SCHEDULE_DELAY",
        "OTEL_BLRP_EXPORT_TIMEOUT",
        "OTEL_BLRP_MAX_QUEUE_SIZE",
        "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
    ];
    settings.extend(batch(&config.logs.batch, records));
    settings
}

fn own(config: &Config) -> Settings {
    let (admin, shutdown) = (&config.admin, &config.shutdown);
    vec![
        ("TRACEWELL_ADMIN_ADDR", json!(admin.addr.map(|addr| addr.to_string()))),
        ("TRACEWELL_ADMIN_TOKEN", json!(admin.token.as_ref().map(|_| scrub::HIDDEN))),
        ("TRACEWELL_ADMIN_ALLOW", words(&admin.allow)),
        ("TRACEWELL_LIVENESS_STALL_MS", millis(admin.liveness_stall)),
        ("TRACEWELL_CHECKS_DISABLED", words(&admin.checks_disabled)),
        ("TRACEWELL_CONSOLE", json!(admin.console)),
        ("TRACEWELL_CONSOLE_MAX_BYTES", json!(admin.console_store.max_bytes)),
        ("TRACEWELL_CONSOLE_MAX_AGE_MS", millis(Some(admin.console_store.max_age))),
        ("TRACEWELL_CONSOLE_LINKS", words(&admin.console_store.links)),
        ("TRACEWELL_ADMIN_CANCEL", json!(admin.cancel)),
        ("TRACEWELL_STUCK_MS", millis(config.requests.stuck)),
        ("TRACEWELL_STUCK_TASKS_MS", millis(config.requests.stuck_tasks)),
        ("TRACEWELL_REQUEST_LOG_LINES", json!(config.requests.log_lines)),
        ("TRACEWELL_METRIC_ATTRIBUTES", words(&config.requests.metric_attributes)),
        ("TRACEWELL_LEAN_SPANS", json!(config.requests.lean_spans)),
        ("OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_REQUEST_HEADERS", words(&config.http.request_headers)),
        ("OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_RESPONSE_HEADERS", words(&config.http.response_headers)),
        ("TRACEWELL_SHUTDOWN_MS", millis(Some(shutdown.flush))),
        ("TRACEWELL_DRAIN_MS", millis(Some(shutdown.drain))),
        ("TRACEWELL_PRESTOP_MS", millis(Some(shutdown.prestop))),
    ]
}

/// The names without their common beginning, in the order endpoint, protocol, headers, timeout, compression.
fn otlp(otlp: &Otlp, names: [&'static str; 5]) -> Settings {
    let headers: Vec<String> =
        otlp.headers.iter().map(|(name, _)| format!("{name}={}", scrub::HIDDEN)).collect();
    let values = [
        json!(otlp.endpoint.to_string()),
        json!(otlp.protocol.to_string()),
        json!(headers.join(",")),
        millis(otlp.timeout),
        json!(otlp.compression.to_string()),
    ];
    let full = |name: &str| {
        variables().map(|known| known.name).find(|known| known.strip_prefix(PREFIX) == Some(name))
    };
    names.into_iter().filter_map(full).zip(values).collect()
}

const PREFIX: &str = "OTEL_EXPORTER_OTLP_";

fn batch(batch: &Batch, [delay, timeout, queue, size]: [&'static str; 4]) -> Settings {
    vec![
        (delay, millis(Some(batch.schedule_delay))),
        (timeout, millis(batch.export_timeout)),
        (queue, json!(batch.max_queue_size)),
        (size, json!(batch.max_export_batch_size)),
    ]
}
