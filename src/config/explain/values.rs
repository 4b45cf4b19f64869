//! Every setting's value in use, as one would write it.

use std::fmt;

use crate::config::{Config, Otlp, Sampler, SamplingRule, Signal, Variable};

pub(super) fn per_signal(name: &str) -> Option<(Signal, &str)> {
    let rest = name.strip_prefix("OTEL_EXPORTER_OTLP_")?;
    [("TRACES_", Signal::Traces), ("METRICS_", Signal::Metrics), ("LOGS_", Signal::Logs)]
        .into_iter()
        .find_map(|(prefix, signal)| rest.strip_prefix(prefix).map(|suffix| (signal, suffix)))
        .filter(|(_, suffix)| !matches!(*suffix, "TEMPORALITY_PREFERENCE" | "DEFAULT_HISTOGRAM_AGGREGATION"))
}

fn list<T: fmt::Display>(values: &[T]) -> String {
    if values.is_empty() { "none".to_owned() } else { joined(values) }
}

fn joined<T: fmt::Display>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

fn limit<T: fmt::Display>(limit: Option<T>) -> String {
    limit.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string())
}

fn timeout(limit: Option<std::time::Duration>) -> String {
    limit.map_or(0, |limit| limit.as_millis()).to_string()
}

/// A setting's value in use, as one would write it.
pub(in crate::config) fn value(config: &Config, variable: &Variable) -> String {
    let name = variable.name;
    if let Some((signal, suffix)) = per_signal(name) {
        return otlp(config, signal, suffix);
    }
    if let Some(suffix) = name.strip_prefix("OTEL_EXPORTER_OTLP_") {
        if !suffix.starts_with("METRICS_") {
            return shared(config, suffix);
        }
    }
    if let Some(value) = resource(config, name).or_else(|| signals(config, name)) {
        return value;
    }
    own(config, name)
}

/// What the three signals have in common, if anything.
fn shared(config: &Config, suffix: &str) -> String {
    let values = [Signal::Traces, Signal::Metrics, Signal::Logs].map(|signal| otlp(config, signal, suffix));
    match &values {
        [one, two, three] if one == two && two == three => one.clone(),
        _ => "(differs by signal)".to_owned(),
    }
}

fn otlp(config: &Config, signal: Signal, suffix: &str) -> String {
    let Otlp {
        protocol,
        endpoint,
        headers,
        timeout: limit,
        compression,
        certificate,
        client_certificate,
        client_key,
    } = match signal {
        Signal::Traces => &config.traces.otlp,
        Signal::Metrics => &config.metrics.otlp,
        Signal::Logs => &config.logs.otlp,
    };
    let path = |path: &Option<std::path::PathBuf>| {
        path.as_ref().map_or_else(String::new, |path| path.display().to_string())
    };
    match suffix {
        "ENDPOINT" => endpoint.to_string(),
        "PROTOCOL" => protocol.to_string(),
        // names alone
        "HEADERS" => headers.iter().map(|(name, _)| format!("{name}=******")).collect::<Vec<_>>().join(","),
        "TIMEOUT" => timeout(*limit),
        "COMPRESSION" => compression.to_string(),
        "INSECURE" => (!endpoint.is_https()).to_string(),
        "CERTIFICATE" => path(certificate),
        "CLIENT_CERTIFICATE" => path(client_certificate),
        "CLIENT_KEY" => path(client_key),
        _ => String::new(),
    }
}

fn resource(config: &Config, name: &str) -> Option<String> {
    let resource = &config.resource;
    Some(match name {
        "OTEL_SERVICE_NAME" => resource.service_name.clone().unwrap_or_default(),
        "OTEL_RESOURCE_ATTRIBUTES" => {
            let pairs = resource.attributes.iter().map(|(key, value)| format!("{key}={value}"));
            let typed = resource.typed.iter().map(|(key, value)| format!("{key}={value}"));
            pairs.chain(typed).collect::<Vec<_>>().join(",")
        }
        "OTEL_RUST_RESOURCE_DETECTORS" => list(&resource.detectors),
        _ => return None,
    })
}

fn sampler_argument(sampler: &Sampler) -> String {
    match sampler {
        Sampler::TraceIdRatio(ratio) => ratio.to_string(),
        Sampler::ParentBased(root) => sampler_argument(root),
        Sampler::ParentBasedBy(by) => sampler_argument(&by.root),
        _ => String::new(),
    }
}

fn signals(config: &Config, name: &str) -> Option<String> {
    let (traces, metrics, logs) = (&config.traces, &config.metrics, &config.logs);
    if let Some((batch, setting)) = match name.strip_prefix("OTEL_BSP_") {
        Some(setting) => Some((traces.batch, setting)),
        None => name.strip_prefix("OTEL_BLRP_").map(|setting| (logs.batch, setting)),
    } {
        return Some(match setting {
            "SCHEDULE_DELAY" => batch.schedule_delay.as_millis().to_string(),
            "EXPORT_TIMEOUT" => timeout(batch.export_timeout),
            "MAX_QUEUE_SIZE" => batch.max_queue_size.to_string(),
            _ => batch.max_export_batch_size.to_string(),
        });
    }
    Some(match name {
        "OTEL_TRACES_EXPORTER" => list(&traces.exporters),
        "OTEL_METRICS_EXPORTER" => list(&metrics.exporters),
        "OTEL_LOGS_EXPORTER" => list(&logs.exporters),
        "OTEL_TRACES_SAMPLER" => match &traces.sampler {
            by @ (Sampler::ParentBasedBy(_) | Sampler::RuleBased(_) | Sampler::ParentThreshold(_)) => {
                by.to_string()
            }
            other => other.to_string().split('{').next().unwrap_or_default().to_owned(),
        },
        "OTEL_TRACES_SAMPLER_ARG" => sampler_argument(&traces.sampler),
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" => traces.limits.attributes.to_string(),
        "OTEL_SPAN_EVENT_COUNT_LIMIT" => traces.limits.events.to_string(),
        "OTEL_SPAN_LINK_COUNT_LIMIT" => traces.limits.links.to_string(),
        "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT" => traces.limits.attributes_per_event.to_string(),
        "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT" => traces.limits.attributes_per_link.to_string(),
        "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT" => logs.limits.attributes.to_string(),
        "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT" => limit(traces.limits.value_length),
        "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT" => limit(logs.limits.value_length),
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE" => metrics.temporality.to_string(),
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION" => metrics.histogram.to_string(),
        "OTEL_METRICS_EXEMPLAR_FILTER" => metrics.exemplar_filter.to_string(),
        "OTEL_METRIC_EXPORT_INTERVAL" => metrics.interval.as_millis().to_string(),
        "OTEL_METRIC_EXPORT_TIMEOUT" => timeout(metrics.timeout),
        "OTEL_EXPORTER_PROMETHEUS_HOST" => metrics.prometheus.0.clone(),
        "OTEL_EXPORTER_PROMETHEUS_PORT" => metrics.prometheus.1.to_string(),
        "RUST_LOG" => logs.filter.clone(),
        "TRACEWELL_SAMPLING_RULES" => {
            traces.sampling_rules.iter().map(SamplingRule::to_string).collect::<Vec<_>>().join(", ")
        }
        "TRACEWELL_SAMPLING_REMOTE_PARENT" => traces.remote_parent.to_string(),
        "TRACEWELL_TRACES_DROP" => traces.batch.drop.to_string(),
        "TRACEWELL_LOGS_DROP" => logs.batch.drop.to_string(),
        "TRACEWELL_ACCESS_LOG" => logs.access_log.to_string(),
        // what limits fall back to is theirs where they have no value of their own
        "OTEL_ATTRIBUTE_COUNT_LIMIT" => config.attribute_limits.0.to_string(),
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT" => limit(config.attribute_limits.1),
        name => return logs.value(name),
    })
}

fn own(config: &Config, name: &str) -> String {
    let (admin, shutdown) = (&config.admin, &config.shutdown);
    match name {
        "OTEL_CONFIG_FILE" => {
            config.file.as_ref().map_or_else(String::new, |file| file.path.display().to_string())
        }
        "OTEL_SDK_DISABLED" => config.disabled.to_string(),
        "OTEL_LOG_LEVEL" => config.log_level.to_string(),
        "OTEL_PROPAGATORS" => list(&config.propagators),
        "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN" => "logs".to_owned(),
        "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS" => list(&config.http.known_methods),
        "TRACEWELL_TRUSTED_PROXIES" => joined(&config.http.trusted_proxies),
        "TRACEWELL_PROXY_HEADERS" => config.http.proxy_headers.to_string(),
        "TRACEWELL_PUBLIC_ENDPOINT" => config.http.public_endpoint.to_string(),
        "TRACEWELL_BAGGAGE_ATTRIBUTES" => joined(&config.http.baggage_attributes),
        "OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_REQUEST_HEADERS" => config.http.request_headers.join(","),
        "OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_RESPONSE_HEADERS" => config.http.response_headers.join(","),
        "TRACEWELL_STUCK_MS" => timeout(config.requests.stuck),
        "TRACEWELL_STUCK_TASKS_MS" => timeout(config.requests.stuck_tasks),
        "TRACEWELL_REQUEST_LOG_LINES" => config.requests.log_lines.to_string(),
        "TRACEWELL_METRIC_ATTRIBUTES" => config.requests.metric_attributes.join(","),
        "TRACEWELL_LEAN_SPANS" => config.requests.lean_spans.to_string(),
        "TRACEWELL_ADMIN_CANCEL" => admin.cancel.to_string(),
        "TRACEWELL_PRESET" => config.preset.to_string(),
        "TRACEWELL_CONFIG_RELOAD_MS" => timeout(config.reload.every),
        "TRACEWELL_CONFIG_RELOAD_SIGHUP" => config.reload.sighup.to_string(),
        "TRACEWELL_REDACT_NAMES" => config.redaction.names.join(","),
        "TRACEWELL_REDACT_EXCEPT" => config.redaction.except.join(","),
        "TRACEWELL_STRICT" => config.strict.to_string(),
        "TRACEWELL_ADMIN_ADDR" => admin.addr.map_or_else(String::new, |addr| addr.to_string()),
        "TRACEWELL_ADMIN_TOKEN" => admin.token.as_ref().map_or_else(String::new, |token| token.to_string()),
        "TRACEWELL_ADMIN_ALLOW" => {
            admin.allow.iter().map(|range| range.to_string()).collect::<Vec<_>>().join(",")
        }
        "TRACEWELL_LIVENESS_STALL_MS" => timeout(admin.liveness_stall),
        "TRACEWELL_CHECKS_DISABLED" => admin.checks_disabled.join(","),
        "TRACEWELL_CONSOLE" => admin.console.to_string(),
        "TRACEWELL_CONSOLE_MAX_BYTES" => admin.console_store.max_bytes.to_string(),
        "TRACEWELL_CONSOLE_MAX_AGE_MS" => admin.console_store.max_age.as_millis().to_string(),
        "TRACEWELL_CONSOLE_LINKS" => joined(&admin.console_store.links),
        "TRACEWELL_SHUTDOWN_MS" => shutdown.flush.as_millis().to_string(),
        "TRACEWELL_DRAIN_MS" => shutdown.drain.as_millis().to_string(),
        "TRACEWELL_PRESTOP_MS" => shutdown.prestop.as_millis().to_string(),
        // the test of every variable finds one that is missing here
        other => format!("(unknown: {other})"),
    }
}
