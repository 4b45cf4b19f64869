//! Each kind of value: what is accepted, and what stands in for the rest.

use super::*;

#[test]
fn booleans_are_true_or_false_in_any_case_and_nothing_else() {
    for (text, expected) in
        [("true", true), ("TRUE", true), (" True ", true), ("false", false), ("FALSE", false)]
    {
        let c =
            accepted(&[("OTEL_SDK_DISABLED", text), ("TRACEWELL_STRICT", text), ("TRACEWELL_CONSOLE", text)]);
        assert_eq!((c.disabled, c.strict, c.admin.console), (expected, expected, expected));
    }
    for text in ["1", "0", "yes", "on", "truee"] {
        let line = format!("OTEL_SDK_DISABLED={text:?}: accepted is true or false; using false");
        assert!(!mistaken(&[("OTEL_SDK_DISABLED", text)], &line).disabled);
    }
    let line = r#"TRACEWELL_CONSOLE="on": accepted is true or false; using true"#;
    assert!(
        mistaken(&[("TRACEWELL_PRESET", "development"), ("TRACEWELL_CONSOLE", "on")], line).admin.console
    );
}

#[test]
fn numbers_out_of_range_or_unreadable_fall_back_to_the_default() {
    let default = shown(&accepted(&[]));
    let (none, zero) = (&["-1", "abc", "1.5", "5s", "2147483648", "99999999999999999999"][..], &["0"][..]);
    for (name, used, zero_too) in [
        ("OTEL_BSP_SCHEDULE_DELAY", "5000", false),
        ("OTEL_BSP_EXPORT_TIMEOUT", "30000", false),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "2048", true),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "512", true),
        ("OTEL_BLRP_SCHEDULE_DELAY", "1000", false),
        ("OTEL_BLRP_EXPORT_TIMEOUT", "30000", false),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "2048", true),
        ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "512", true),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "128", false),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "128", false),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "128", false),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "128", false),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "128", false),
        ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "128", false),
        ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "128", false),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "no limit", false),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "no limit", false),
        ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "no limit", false),
        ("OTEL_METRIC_EXPORT_INTERVAL", "60000", true),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "30000", false),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "9464", false),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10000", false),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "10000", false),
        ("TRACEWELL_SHUTDOWN_MS", "5000", false),
        ("TRACEWELL_DRAIN_MS", "5000", false),
        ("TRACEWELL_PRESTOP_MS", "0", false),
        ("TRACEWELL_LIVENESS_STALL_MS", "60000", false),
        ("TRACEWELL_STUCK_MS", "60000", false),
        ("TRACEWELL_STUCK_TASKS_MS", "600000", false),
        ("TRACEWELL_REQUEST_LOG_LINES", "0", false),
    ] {
        let row = variables().find(|row| row.name == name).unwrap();
        for value in none.iter().chain(if zero_too { zero } else { &[] }) {
            let line = format!("{name}={value:?}: accepted is {}; using {used}", row.accepted);
            assert_eq!(shown(&mistaken(&[(name, value)], &line)), default);
        }
    }
}

#[test]
fn zero_means_no_limit_for_timeouts_and_at_once_for_delays() {
    let c = accepted(&[
        ("OTEL_BSP_EXPORT_TIMEOUT", "0"),
        ("OTEL_BLRP_EXPORT_TIMEOUT", "0"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("TRACEWELL_LIVENESS_STALL_MS", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("TRACEWELL_DRAIN_MS", "0"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "0"),
    ]);
    let timeouts = [
        c.traces.batch.export_timeout,
        c.logs.batch.export_timeout,
        c.metrics.timeout,
        c.traces.otlp.timeout,
        c.logs.otlp.timeout,
        c.admin.liveness_stall,
    ];
    assert_eq!(timeouts, [None; 6]);
    assert_eq!((c.traces.batch.schedule_delay, c.shutdown.drain, c.traces.limits.events), (ms(0), ms(0), 0));
}

#[test]
fn each_word_is_known_in_any_case_and_an_unknown_one_falls_back() {
    let c = accepted(&[
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "LowMemory"),
        ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "BASE2_exponential_bucket_histogram"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "ALWAYS_OFF"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZip"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "HTTP/JSON"),
        ("TRACEWELL_LOG_FORMAT", "Pretty"),
        ("TRACEWELL_ACCESS_LOG", "SLOW"),
    ]);
    assert_eq!(
        (c.metrics.temporality, c.metrics.exemplar_filter),
        (Temporality::LowMemory, ExemplarFilter::AlwaysOff)
    );
    assert_eq!(c.metrics.histogram, HistogramAggregation::Base2Exponential);
    assert_eq!((c.logs.otlp.compression, c.logs.otlp.protocol), (Compression::Gzip, Protocol::HttpJson));
    assert_eq!((c.logs.format, c.logs.access_log), (Some(LogFormat::Pretty), AccessLog::Slow));
    let default = shown(&accepted(&[]));
    for (name, value, rest) in [
        (
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            "low_memory",
            "cumulative, delta or lowmemory; using cumulative",
        ),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "on", "always_on, always_off or trace_based; using trace_based"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "none or gzip; using none"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zstd", "none or gzip; using none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http", "grpc, http/protobuf or http/json; using http/protobuf"),
        ("TRACEWELL_LOG_FORMAT", "xml", "json, pretty, logfmt or ecs; ignored"),
        ("TRACEWELL_ACCESS_LOG", "on", "off, errors, slow or all; using off"),
        (
            "RUST_LOG",
            "info,a=b=c=d",
            "directives of tracing's EnvFilter such as info,my_crate=debug; using info",
        ),
        ("TRACEWELL_ADMIN_ADDR", "9470", "an address and port such as 127.0.0.1:9470; ignored"),
        ("OTEL_EXPORTER_PROMETHEUS_HOST", "a b", "a host name or an IP address; using localhost"),
    ] {
        let line = format!("{name}={value:?}: accepted is {rest}");
        assert_eq!(shown(&mistaken(&[(name, value)], &line)), default);
    }
}
