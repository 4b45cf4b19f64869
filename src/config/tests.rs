//! Behaviour of the configuration, row by row.

use std::{
    collections::HashSet,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::*;

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn resolve(pairs: Pairs<'_>) -> (Config, Vec<String>) {
    let (config, mistakes) = Config::resolve(&Source::from_pairs(pairs.iter().copied()));
    (config, mistakes.iter().map(Mistake::to_string).collect())
}

/// The configuration of variables that hold no mistake.
#[track_caller]
fn accepted(pairs: Pairs<'_>) -> Config {
    let (config, mistakes) = resolve(pairs);
    assert!(mistakes.is_empty(), "{pairs:?}: {mistakes:?}");
    config
}

/// The configuration of variables with exactly this mistake.
#[track_caller]
fn mistaken(pairs: Pairs<'_>, line: &str) -> Config {
    let (config, mistakes) = resolve(pairs);
    assert_eq!(mistakes, [line], "{pairs:?}");
    config
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn shown(config: &Config) -> String {
    format!("{config:?}")
}

/// A file of its own that is gone at the end.
struct TempFile(PathBuf);

impl TempFile {
    fn holding(content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tracewell-{}.pem", uuid::Uuid::new_v4()));
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

// ---- the table

#[test]
fn an_empty_environment_gives_the_documented_defaults() {
    let c = accepted(&[]);
    assert!(!c.disabled && !c.strict && !c.admin.console);
    assert_eq!(c.preset, Preset::Production);
    assert_eq!((c.resource.service_name, c.resource.attributes), (None, Vec::new()));
    assert_eq!(c.propagators, [Propagator::TraceContext, Propagator::Baggage]);
    for exporters in [&c.traces.exporters, &c.metrics.exporters, &c.logs.exporters] {
        assert_eq!(*exporters, [Exporter::Otlp]);
    }
    assert_eq!(c.traces.sampler, Sampler::parent_based(Sampler::AlwaysOn));
    let batch = |b: Batch| (b.schedule_delay, b.export_timeout, b.max_queue_size, b.max_export_batch_size);
    assert_eq!(batch(c.traces.batch), (ms(5000), Some(ms(30_000)), 2048, 512));
    assert_eq!(batch(c.logs.batch), (ms(1000), Some(ms(30_000)), 2048, 512));
    let limits = SpanLimits {
        attributes: 128,
        events: 128,
        links: 128,
        attributes_per_event: 128,
        attributes_per_link: 128,
        value_length: None,
    };
    assert_eq!(c.traces.limits, limits);
    assert_eq!(c.logs.limits, LogLimits { attributes: 128, value_length: None });
    assert_eq!((c.metrics.interval, c.metrics.timeout), (ms(60_000), Some(ms(30_000))));
    assert_eq!(c.metrics.exemplar_filter, ExemplarFilter::TraceBased);
    assert_eq!(c.metrics.temporality, Temporality::Cumulative);
    assert_eq!(c.metrics.histogram, HistogramAggregation::ExplicitBucket);
    assert_eq!(c.metrics.prometheus, ("localhost".to_owned(), 9464));
    for (otlp, signal) in [(c.traces.otlp, "traces"), (c.metrics.otlp, "metrics"), (c.logs.otlp, "logs")] {
        assert_eq!(otlp.endpoint.as_str(), format!("http://localhost:4318/v1/{signal}"));
        assert_eq!(otlp.protocol, Protocol::HttpProtobuf);
        assert_eq!((otlp.timeout, otlp.compression), (Some(ms(10_000)), Compression::None));
        assert!(otlp.headers.is_empty());
        assert_eq!((otlp.certificate, otlp.client_certificate, otlp.client_key), (None, None, None));
    }
    assert_eq!((c.logs.filter.as_str(), c.logs.format, c.logs.access_log), ("info", None, AccessLog::Off));
    assert!(c.admin.addr.is_none() && c.admin.token.is_none() && c.admin.allow.is_empty());
    assert_eq!((c.admin.liveness_stall, c.admin.checks_disabled.len()), (Some(ms(60_000)), 0));
    assert_eq!((c.shutdown.flush, c.shutdown.drain, c.shutdown.prestop), (ms(5000), ms(5000), ms(0)));
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];
    assert_eq!(c.http.known_methods, methods);
}

#[test]
fn names_in_the_table_are_unique_and_every_row_is_complete() {
    let mut names = HashSet::new();
    for row in variables() {
        assert!(names.insert(row.name), "{} twice", row.name);
        assert!(!row.accepted.is_empty() && !row.effect.is_empty(), "{}", row.name);
    }
    let planned =
        ["OTEL_SDK_DISABLED", "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY", "RUST_LOG", "TRACEWELL_PRESTOP_MS"];
    assert!(planned.iter().all(|name| names.contains(name)));
}

#[test]
fn a_blank_value_is_an_unset_value() {
    for row in variables() {
        for blank in ["", "  ", "\t\n"] {
            assert_eq!(shown(&accepted(&[(row.name, blank)])), shown(&accepted(&[])), "{}", row.name);
        }
    }
}

#[test]
fn a_default_written_out_changes_nothing_whatever_the_preset() {
    for preset in ["production", "development", "test"] {
        let expected = shown(&accepted(&[("TRACEWELL_PRESET", preset)]));
        for row in
            variables().filter(|row| row.name != "TRACEWELL_PRESET" && row.name != "OTEL_TRACES_SAMPLER_ARG")
        {
            let default = row.default_in(accepted(&[("TRACEWELL_PRESET", preset)]).preset);
            if !default.is_empty() && !default.starts_with('(') {
                let config = accepted(&[("TRACEWELL_PRESET", preset), (row.name, default)]);
                assert_eq!(shown(&config), expected, "{}={default}", row.name);
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn every_row_is_read_and_a_value_that_is_not_utf8_is_one_mistake() {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};

    for row in variables() {
        let not_utf8 = OsString::from_vec(vec![b'1', 0xff]);
        // makes the sampler's argument count
        let sampler = ("OTEL_TRACES_SAMPLER", "traceidratio".into());
        let (_, mistakes) = Config::resolve(&Source::from_pairs([sampler, (row.name, not_utf8)]));
        assert_eq!(mistakes.len(), 1, "{}: {mistakes:?}", row.name);
        assert_eq!((mistakes[0].variable.as_ref(), &mistakes[0].value), (row.name, &None));
        assert!(mistakes[0].to_string().starts_with(&format!("{}: not valid UTF-8; ", row.name)));
    }
}

#[test]
fn a_source_is_the_process_environment_or_the_pairs_given() {
    let source = Source::process();
    assert_eq!(source.get("CARGO_MANIFEST_DIR").as_deref(), Some(env!("CARGO_MANIFEST_DIR")));
    assert_eq!(format!("{source:?}"), "Source(process)");
    let source = Source::from_pairs([("B", "1"), ("A", " s3cret "), ("A", " later ")]);
    assert_eq!((source.get("A").as_deref(), source.get("PATH")), (Some("later"), None));
    assert_eq!(format!("{source:?}"), r#"Source{"A", "B"}"#);
}

#[test]
fn presets_lower_delays_and_explicit_settings_win_over_them() {
    for (preset, delay, interval, console) in [("development", 1000, 1000, true), ("TEST", 100, 500, false)] {
        let c = accepted(&[("TRACEWELL_PRESET", preset)]);
        assert_eq!((c.traces.batch.schedule_delay, c.logs.batch.schedule_delay), (ms(delay), ms(delay)));
        assert_eq!((c.metrics.interval, c.admin.console), (ms(interval), console));
        let c = accepted(&[
            ("TRACEWELL_PRESET", preset),
            ("OTEL_BSP_SCHEDULE_DELAY", "7"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "9"),
            ("TRACEWELL_CONSOLE", "false"),
        ]);
        assert_eq!(
            (c.traces.batch.schedule_delay, c.metrics.interval, c.admin.console),
            (ms(7), ms(9), false)
        );
    }
    let line = r#"TRACEWELL_PRESET="staging": accepted is production, development or test; using production"#;
    assert_eq!(mistaken(&[("TRACEWELL_PRESET", "staging")], line).preset, Preset::Production);
    let bad = [("TRACEWELL_PRESET", "test"), ("OTEL_METRIC_EXPORT_INTERVAL", "0")];
    let line = "OTEL_METRIC_EXPORT_INTERVAL=\"0\": accepted is milliseconds, a whole number from 1 to 2147483647; using 500";
    assert_eq!(mistaken(&bad, line).metrics.interval, ms(500));
}

// ---- kinds of values

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

// ---- what goes where

#[test]
fn exporters_are_lists_and_what_is_known_of_a_list_is_used() {
    let c = accepted(&[
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "Prometheus, otlp,,console"),
        ("OTEL_LOGS_EXPORTER", "otlp,OTLP"),
    ]);
    assert_eq!(c.traces.exporters, []);
    assert_eq!(c.metrics.exporters, [Exporter::Prometheus, Exporter::Otlp, Exporter::Console]);
    assert_eq!(c.logs.exporters, [Exporter::Otlp]);
    let accepted = "accepted is a list of otlp, console; or none";
    for (value, why, used, exporters) in [
        ("zipkin", "\"zipkin\" is deprecated and not supported; ", "otlp", vec![Exporter::Otlp]),
        (
            "console,logging",
            "\"logging\" is deprecated and not supported; ",
            "console",
            vec![Exporter::Console],
        ),
        (
            "jaeger,what",
            "\"jaeger\" is deprecated and not supported, \"what\" is unknown; ",
            "otlp",
            vec![Exporter::Otlp],
        ),
        ("console,none", "\"none\" must stand alone; ", "console", vec![Exporter::Console]),
        ("prometheus", "\"prometheus\" is for metrics only; ", "otlp", vec![Exporter::Otlp]),
        (",", "", "otlp", vec![Exporter::Otlp]),
    ] {
        let line = format!("OTEL_TRACES_EXPORTER={value:?}: {why}{accepted}; using {used}");
        assert_eq!(mistaken(&[("OTEL_TRACES_EXPORTER", value)], &line).traces.exporters, exporters);
    }
}

#[test]
fn propagators_keep_their_order_without_duplicates() {
    let set = |value| accepted(&[("OTEL_PROPAGATORS", value)]).propagators;
    assert_eq!(set("Baggage,tracecontext,baggage"), [Propagator::Baggage, Propagator::TraceContext]);
    assert_eq!(set("none"), []);
    assert_eq!(set("b3,B3MULTI,b3"), [Propagator::B3, Propagator::B3Multi]);
    for (name, why) in [
        ("jaeger", "is deprecated and not supported"),
        ("xray", "is not supported yet"),
        ("ottrace", "is deprecated and not supported"),
    ] {
        let value = format!("{name},tracecontext");
        let line = format!(
            "OTEL_PROPAGATORS={value:?}: {name:?} {why}; \
             accepted is a list of tracecontext, baggage, b3, b3multi; or none; using tracecontext"
        );
        assert_eq!(mistaken(&[("OTEL_PROPAGATORS", &value)], &line).propagators, [Propagator::TraceContext]);
    }
}

#[test]
fn samplers_are_known_in_any_case_and_shown_in_the_specifications_words() {
    for (name, arg, expected) in [
        ("always_on", "", "always_on"),
        ("ALWAYS_OFF", "", "always_off"),
        ("traceidratio", "", "traceidratio{1}"),
        ("TraceIdRatio", "0.25", "traceidratio{0.25}"),
        ("parentbased_always_on", "0.5", "parentbased_always_on"),
        ("parentbased_always_off", "", "parentbased_always_off"),
        ("ParentBased_TraceIdRatio", "0.1", "parentbased_traceidratio{0.1}"),
        ("parentbased_traceidratio", "0", "parentbased_traceidratio{0}"),
    ] {
        let c = accepted(&[("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", arg)]);
        assert_eq!(c.traces.sampler.to_string(), expected);
    }
    for name in ["jaeger_remote", "parentbased_jaeger_remote", "xray", "sometimes", "parentbased_"] {
        let pairs = [("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", "endpoint=http://x")];
        let (c, mistakes) = resolve(&pairs);
        assert_eq!(c.traces.sampler.to_string(), "parentbased_always_on");
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].starts_with(&format!("OTEL_TRACES_SAMPLER={name:?}: ")), "{mistakes:?}");
        assert!(mistakes[0].ends_with("; using parentbased_always_on"), "{mistakes:?}");
    }
}

#[test]
fn a_sampling_share_outside_zero_to_one_is_a_mistake() {
    for arg in ["1.5", "-0.1", "NaN", "inf", "10%", "half"] {
        let line = format!("OTEL_TRACES_SAMPLER_ARG={arg:?}: accepted is a number from 0 to 1; using 1");
        let pairs = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", arg)];
        assert_eq!(mistaken(&pairs, &line).traces.sampler, Sampler::TraceIdRatio(1.0));
    }
    let line = "OTEL_TRACES_SAMPLER_ARG=\"0.1\": accepted is a share only with a traceidratio sampler in \
                OTEL_TRACES_SAMPLER; using parentbased_always_on";
    mistaken(&[("OTEL_TRACES_SAMPLER_ARG", "0.1")], line);
}

#[test]
fn a_batch_is_never_larger_than_its_queue() {
    let sizes = |c: &Config| (c.traces.batch.max_queue_size, c.traces.batch.max_export_batch_size);
    let queue = ("OTEL_BSP_MAX_QUEUE_SIZE", "100");
    assert_eq!(sizes(&accepted(&[queue])), (100, 100));
    let line = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=\"200\": accepted is at most the queue's size, 100; using 100";
    assert_eq!(sizes(&mistaken(&[queue, ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "200")], line)), (100, 100));
    let line =
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=\"x\": accepted is a whole number from 1 to 2147483647; using 100";
    assert_eq!(sizes(&mistaken(&[queue, ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "x")], line)), (100, 100));
}

#[test]
fn the_general_attribute_limit_stands_in_for_those_that_are_not_set() {
    let c = accepted(&[("OTEL_ATTRIBUTE_COUNT_LIMIT", "10"), ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "3")]);
    let limits = c.traces.limits;
    assert_eq!((limits.attributes, limits.attributes_per_event, limits.attributes_per_link), (10, 3, 10));
    assert_eq!((limits.events, limits.links), (128, 128));
}

#[test]
fn lists_keep_what_is_good_and_name_what_is_not() {
    let c = accepted(&[
        ("TRACEWELL_CHECKS_DISABLED", " database , disk,"),
        ("TRACEWELL_ADMIN_ALLOW", "10.0.0.0/8, ::1"),
        ("TRACEWELL_TRUSTED_PROXIES", "10.0.0.0/8"),
        ("TRACEWELL_PROXY_HEADERS", "X-Forwarded"),
        ("TRACEWELL_PUBLIC_ENDPOINT", "true"),
        ("TRACEWELL_BAGGAGE_ATTRIBUTES", "tenant,app.user"),
        ("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "GET,purge"),
    ]);
    assert_eq!(c.admin.checks_disabled, ["database", "disk"]);
    assert_eq!(c.admin.allow.len(), 2);
    assert_eq!(c.http.known_methods, ["GET", "purge"]);
    assert_eq!(c.http.trusted_proxies, [IpRange::parse("10.0.0.0/8").unwrap()]);
    assert_eq!(c.http.proxy_headers, ProxyHeaders::XForwarded);
    assert!(c.http.public_endpoint);
    assert_eq!(c.http.baggage_attributes, ["tenant", "app.user"]);
    let line = "TRACEWELL_ADMIN_ALLOW=\"10.0.0.0/33,::1\": \"10.0.0.0/33\" is not one; \
                accepted is a list of IP addresses and ranges such as 10.0.0.0/8; using ::1/128";
    assert_eq!(mistaken(&[("TRACEWELL_ADMIN_ALLOW", "10.0.0.0/33,::1")], line).admin.allow.len(), 1);
    let line = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS=\"G T,PUT\": \"G T\" is not one; \
                accepted is a list of HTTP methods, case-sensitive; using PUT";
    let pairs = [("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "G T,PUT")];
    assert_eq!(mistaken(&pairs, line).http.known_methods, ["PUT"]);
}

#[test]
fn operator_addresses_and_the_filter_are_read() {
    let c = accepted(&[
        ("TRACEWELL_ADMIN_ADDR", "localhost:0"),
        ("TRACEWELL_ADMIN_TOKEN", "t0ken"),
        ("RUST_LOG", "warn,my_crate[span{id=1}]=trace"),
        ("OTEL_EXPORTER_PROMETHEUS_HOST", "[::1]"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "0"),
    ]);
    assert_eq!(c.admin.addr, Some("127.0.0.1:0".parse().unwrap()));
    assert_eq!(c.admin.token.unwrap().expose(), "t0ken");
    assert_eq!(c.logs.filter, "warn,my_crate[span{id=1}]=trace");
    assert_eq!(c.metrics.prometheus, ("::1".to_owned(), 0));
}

// ---- who the service is

#[test]
fn resource_attributes_are_decoded_and_the_service_name_has_its_own_place() {
    let attributes = "team=a%2Cb, k%3D1 = v%20w ,team=last,service.name=from-attributes,empty=,";
    let c = accepted(&[("OTEL_RESOURCE_ATTRIBUTES", attributes)]);
    assert_eq!(c.resource.service_name.as_deref(), Some("from-attributes"));
    let pairs: Vec<_> = c.resource.attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(pairs, [("team", "last"), ("k=1", "v w"), ("empty", "")]);
    let c = accepted(&[("OTEL_RESOURCE_ATTRIBUTES", attributes), ("OTEL_SERVICE_NAME", "named")]);
    assert_eq!(c.resource.service_name.as_deref(), Some("named"));
    assert!(c.resource.attributes.iter().all(|(key, _)| key != "service.name"));
}

#[test]
fn one_malformed_pair_discards_all_resource_attributes_with_one_mistake() {
    for (value, why) in [
        ("a=1,b", "pair 2 has no \"=\""),
        ("a=%ff", "pair 1 is not percent-encoded UTF-8"),
        ("a=100%,b=2", "pair 1 is not percent-encoded UTF-8"),
        ("a=%4", "pair 1 is not percent-encoded UTF-8"),
        ("a=1,service.name=x,=2", "pair 3 has no key"),
    ] {
        let line = format!(
            "OTEL_RESOURCE_ATTRIBUTES={value:?}: {why}, so none is used; \
             accepted is name=value,name=value with \",\", \"=\" and \"%\" percent-encoded; ignored"
        );
        let c = mistaken(&[("OTEL_RESOURCE_ATTRIBUTES", value)], &line);
        assert_eq!((c.resource.service_name, c.resource.attributes.len()), (None, 0));
    }
}

// ---- OTLP

#[test]
fn the_general_endpoint_is_a_base_and_a_signals_own_is_used_as_it_is() {
    let general = "OTEL_EXPORTER_OTLP_ENDPOINT";
    for (base, traces) in [
        ("http://c", "http://c/v1/traces"),
        ("http://c:4318/", "http://c:4318/v1/traces"),
        ("HTTPS://c/otlp//", "https://c/otlp/v1/traces"),
        ("http://[::1]:9/p?x=1", "http://[::1]:9/p/v1/traces?x=1"),
    ] {
        assert_eq!(accepted(&[(general, base)]).traces.otlp.endpoint.as_str(), traces);
    }
    let c = accepted(&[(general, "http://all"), ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://logs:1")]);
    assert_eq!(c.logs.otlp.endpoint.as_str(), "https://logs:1/");
    assert_eq!(c.logs.otlp.endpoint.uri().path(), "/");
    assert_eq!(c.metrics.otlp.endpoint.as_str(), "http://all/v1/metrics");
    let c = accepted(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/custom/")]);
    assert_eq!(c.traces.otlp.endpoint.as_str(), "http://t/custom/");
}

#[test]
fn for_grpc_only_the_origin_counts_and_the_scheme_may_be_missing() {
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "true");
    assert_eq!(accepted(&[grpc]).logs.otlp.endpoint.as_str(), "http://localhost:4317");
    for (endpoint, secure, plain) in [
        ("c:4317", "https://c:4317", "http://c:4317"),
        ("c", "https://c", "http://c"),
        ("http://c:4317/v1/traces?x=1", "http://c:4317", "http://c:4317"),
        ("https://c", "https://c", "https://c"),
        ("[::1]:4317", "https://[::1]:4317", "http://[::1]:4317"),
    ] {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        assert_eq!(accepted(&[grpc, endpoint]).traces.otlp.endpoint.as_str(), secure);
        assert_eq!(accepted(&[grpc, endpoint, insecure]).traces.otlp.endpoint.as_str(), plain);
    }
    let c = accepted(&[
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "m:1"),
        ("OTEL_EXPORTER_OTLP_METRICS_INSECURE", "true"),
    ]);
    assert_eq!(c.metrics.otlp.endpoint.as_str(), "http://m:1");
    assert_eq!(c.traces.otlp.endpoint.as_str(), "http://localhost:4318/v1/traces");
}

#[test]
fn a_malformed_endpoint_is_one_mistake_and_the_default_is_used() {
    for value in [
        "collector:4318",
        "localhost",
        "ftp://c",
        "http://",
        "http://:4318",
        "http://c:99999",
        "http://[x]",
        "http://a b",
    ] {
        let (c, mistakes) = resolve(&[("OTEL_EXPORTER_OTLP_ENDPOINT", value)]);
        assert_eq!(mistakes.len(), 1, "{value}: {mistakes:?}");
        let start = format!("OTEL_EXPORTER_OTLP_ENDPOINT={value:?}: accepted is an http:// or https:// URL");
        assert!(mistakes[0].starts_with(&start), "{mistakes:?}");
        assert!(mistakes[0].ends_with("; using http://localhost:4318"), "{mistakes:?}");
        assert_eq!(c.traces.otlp.endpoint.as_str(), "http://localhost:4318/v1/traces");
    }
    let pairs =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all"), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "c:1")];
    let line = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=\"c:1\": accepted is an http:// or https:// URL; using http://all/v1/traces";
    assert_eq!(mistaken(&pairs, line).traces.otlp.endpoint.as_str(), "http://all/v1/traces");
    let pairs = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "unix:///x")];
    let line = "OTEL_EXPORTER_OTLP_ENDPOINT=\"unix:///x\": accepted is an http:// or https:// URL or host:port; using http://localhost:4317";
    assert_eq!(mistaken(&pairs, line).traces.otlp.endpoint.as_str(), "http://localhost:4317");
}

#[test]
fn an_endpoint_knows_host_port_and_scheme() {
    for (text, host, port, https) in [
        ("http://c", "c", 80, false),
        ("https://c", "c", 443, true),
        ("https://u:p@[::1]:4318/x", "::1", 4318, true),
    ] {
        let endpoint = Endpoint::parse(text).unwrap();
        assert_eq!((endpoint.host_and_port(), endpoint.is_https()), ((host, port), https));
    }
}

#[test]
fn credentials_of_an_endpoint_are_sent_as_a_header_and_shown_redacted() {
    let endpoint = Endpoint::parse("https://Aladdin:open%20sesame@c/x?key=k3y").unwrap();
    assert_eq!(endpoint.authorization().unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert!(endpoint.authorization().unwrap().is_sensitive());
    assert_eq!(
        (endpoint.as_str(), endpoint.uri().to_string()),
        ("https://c/x?key=k3y", endpoint.as_str().to_owned())
    );
    assert_eq!(endpoint.to_string(), "https://REDACTED:REDACTED@c/x?REDACTED");
    assert_eq!(format!("{endpoint:?}"), "\"https://REDACTED:REDACTED@c/x?REDACTED\"");
    for (user, header) in [("ab", "Basic YWI6"), ("ab:", "Basic YWI6"), ("a:bc", "Basic YTpiYw==")] {
        let endpoint = Endpoint::parse(&format!("http://{user}@c")).unwrap();
        assert_eq!(endpoint.authorization().unwrap(), header);
    }
    let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://ab@c");
    let value = |c: Config| c.logs.otlp.headers.iter().next().unwrap().1.clone();
    assert_eq!(value(accepted(&[general])), "Basic YWI6");
    let own = ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20x");
    assert_eq!(value(accepted(&[general, own])), "Bearer x");
}

#[test]
fn a_blank_or_bad_setting_of_one_signal_does_not_mask_that_of_all() {
    let all = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "k=v"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "7"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
    ];
    for own in ["HEADERS", "TIMEOUT", "COMPRESSION", "PROTOCOL"] {
        let name = format!("OTEL_EXPORTER_OTLP_TRACES_{own}");
        for value in [" ", "nonsense"] {
            let mut pairs = all.to_vec();
            pairs.push((&name, value));
            let (c, mistakes) = resolve(&pairs);
            let otlp = c.traces.otlp;
            assert_eq!(otlp.headers.iter().len(), 1);
            assert_eq!(
                (otlp.timeout, otlp.compression, otlp.protocol),
                (Some(ms(7)), Compression::Gzip, Protocol::HttpJson)
            );
            let using = format!("; using the value of OTEL_EXPORTER_OTLP_{own}");
            assert_eq!(mistakes.len(), usize::from(value == "nonsense"));
            assert!(mistakes.iter().all(|line| line.ends_with(&using)), "{mistakes:?}");
        }
    }
    let c = accepted(&[all[1], ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "8")]);
    assert_eq!((c.traces.otlp.timeout, c.logs.otlp.timeout), (Some(ms(8)), Some(ms(7))));
}

#[test]
fn header_values_are_decoded_and_a_bad_header_is_left_out_without_its_value() {
    let parse = |text: &str| {
        let headers = Headers::parse(text)?;
        assert!(headers.iter().all(|(_, value)| value.is_sensitive()));
        Ok::<_, String>(
            headers.iter().map(|(n, v)| format!("{n}={}", v.to_str().unwrap())).collect::<Vec<_>>(),
        )
    };
    assert_eq!(parse("X-Key = a%2Cb%3D , b=1;m,,x-key=2").unwrap(), ["x-key=2", "b=1;m"]);
    assert_eq!(parse("a=Basic abc==").unwrap(), ["a=Basic abc=="]);
    for bad in ["s3cret", "s3c ret=1", "k=s3cret%0Ax", "k=s3cret%", "k=s3cret\u{e9}"] {
        let line = parse(bad).unwrap_err();
        assert!(line.starts_with("entry 1 ") && !line.contains("ret"), "{line}");
    }
    let line = "OTEL_EXPORTER_OTLP_HEADERS=******: entry 2 (bad) has no valid value; \
                accepted is name=value,name=value with percent-encoded values; using good";
    let c = mistaken(&[("OTEL_EXPORTER_OTLP_HEADERS", "good=1,bad=%zz")], line);
    assert_eq!(format!("{:?}", c.traces.otlp.headers), r#"{"good"}"#);
}

#[test]
fn certificate_files_are_read_before_they_are_believed() {
    let certificate =
        TempFile::holding("text before\n-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n");
    let key = TempFile::holding("-----BEGIN EC PRIVATE KEY-----\nMA==\n-----END EC PRIVATE KEY-----\n");
    let (cert, key) = (certificate.path(), key.path());
    let c = accepted(&[
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", cert),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", cert),
        ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY", key),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", key),
    ]);
    assert_eq!(c.logs.otlp.certificate.as_deref(), Some(Path::new(cert)));
    assert_eq!(c.metrics.otlp.client_certificate.as_deref(), Some(Path::new(cert)));
    assert_eq!(c.traces.otlp.client_key.as_deref(), Some(Path::new(key)));
    let missing = format!("{cert}.missing");
    let folder = std::env::temp_dir();
    for (path, why) in [
        (missing.as_str(), "cannot be read (entity not found)"),
        (folder.to_str().unwrap(), "is not a file"),
        (key, "holds no such PEM section"),
    ] {
        let line = format!(
            "OTEL_EXPORTER_OTLP_CERTIFICATE={path:?}: {why}; accepted is a PEM file of certificates; \
             using the system's certificates"
        );
        assert_eq!(
            mistaken(&[("OTEL_EXPORTER_OTLP_CERTIFICATE", path)], &line).traces.otlp.certificate,
            None
        );
    }
}

#[test]
fn half_a_client_identity_is_a_mistake_and_not_used() {
    let certificate = TempFile::holding("-----BEGIN CERTIFICATE-----\n");
    let key = TempFile::holding("-----BEGIN PRIVATE KEY-----\n");
    let neither = |otlp: &Otlp| otlp.client_certificate.is_none() && otlp.client_key.is_none();
    for (name, path, missing) in [
        ("CLIENT_CERTIFICATE", certificate.path(), "OTEL_EXPORTER_OTLP_CLIENT_KEY"),
        ("CLIENT_KEY", key.path(), "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"),
        ("LOGS_CLIENT_KEY", key.path(), "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"),
    ] {
        let name = format!("OTEL_EXPORTER_OTLP_{name}");
        let (c, mistakes) = resolve(&[(&name, path)]);
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].starts_with(&format!("{name}={path:?}: {missing} is not set; ")), "{mistakes:?}");
        assert!(neither(&c.traces.otlp) && neither(&c.logs.otlp));
    }
    // the half that cannot be read is the only mistake
    let pairs = [
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", certificate.path()),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/none"),
    ];
    let (c, mistakes) = resolve(&pairs);
    assert!(
        neither(&c.traces.otlp) && mistakes.len() == 1 && mistakes[0].contains("\"/none\""),
        "{mistakes:?}"
    );
}

#[test]
fn what_is_not_supported_is_said_once_and_has_no_effect() {
    for name in ["OTEL_EXPORTER_ZIPKIN_TIMEOUT", "OTEL_EXPORTER_ZIPKIN_ENDPOINT"] {
        let (c, mistakes) = resolve(&[(name, "5")]);
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        let line = &mistakes[0];
        assert!(
            line.starts_with(&format!("{name}=\"5\": "))
                && line.contains("not supported")
                && line.ends_with("; ignored")
        );
        assert_eq!(shown(&c), shown(&accepted(&[])));
        accepted(&[(name, " ")]);
    }
}

// ---- addresses

#[test]
fn ranges_hold_what_they_say_in_both_families() {
    for (range, inside, outside) in [
        ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
        ("10.1.2.3/8", "10.0.0.0", "9.255.255.255"),
        ("10.0.0.0/8", "::ffff:10.1.1.1", "::ffff:11.1.1.1"),
        ("192.168.1.7", "192.168.1.7", "192.168.1.8"),
        ("0.0.0.0/0", "255.1.2.3", "::1"),
        ("::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.0"),
        ("fd00::/8", "fdff::1", "fe00::1"),
        ("::1", "::1", "::2"),
        ("::/1", "7fff::", "8000::"),
    ] {
        let parsed = IpRange::parse(range).unwrap();
        assert!(parsed.contains(inside.parse::<IpAddr>().unwrap()), "{range} {inside}");
        assert!(!parsed.contains(outside.parse::<IpAddr>().unwrap()), "{range} {outside}");
    }
    assert!(IpRange::parse("::/0").unwrap().contains("8000::".parse().unwrap()));
    for bad in [
        "",
        "10.0.0",
        "10.0.0.0/33",
        "::/129",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "localhost",
        "::ffff:1.2.3.4/",
    ] {
        assert!(IpRange::parse(bad).unwrap_err().contains("10.0.0.0/8"), "{bad}");
    }
}

// ---- secrets and robustness

/// Every text there is of a configuration, its mistakes and its source.
fn everything_shown(source: &Source) -> String {
    let (config, mistakes) = Config::resolve(source);
    let lines: Vec<_> =
        mistakes.iter().map(|mistake| format!("{mistake}\n{mistake:?}\n{mistake:#?}")).collect();
    let endpoints =
        [&config.traces.otlp, &config.metrics.otlp, &config.logs.otlp].map(|otlp| otlp.endpoint.to_string());
    let token = config.admin.token.as_ref().map(ToString::to_string);
    format!("{config:?}\n{config:#?}\n{source:?}\n{}\n{endpoints:?}\n{token:?}", lines.join("\n"))
}

#[test]
fn a_planted_secret_is_shown_nowhere() {
    let planted = [
        "https://user:s3cret@c:4318/x",
        "https://s3cret@c",
        "https://user:s3cret@c:99999",
        "https://user:p@s3cret@c",
        "https://user:12/s3cret@c",
        "https://user:12?s3cret@c",
        "https://user:a,s3cret@c",
        "ftp://user:s3cret@c",
        "user:s3cret@c:4317",
        "//user:s3cret@c",
        "https://c/?api_key=s3cret",
        "https://c:x/?api_key=s3cret",
    ];
    for row in variables().filter(|row| !row.secret && !SHOWS_ITS_VALUE.contains(&row.name)) {
        for value in planted {
            for protocol in ["grpc", "http/json"] {
                let pairs = [("OTEL_EXPORTER_OTLP_PROTOCOL", protocol), (row.name, value)];
                let text = everything_shown(&Source::from_pairs(pairs));
                assert!(!text.contains("s3cret"), "{}={value}: {text}", row.name);
            }
        }
    }
    let header = [
        "authorization=s3cret",
        "k=s3cret%",
        "k k=s3cret",
        "k=s3cret%0A,l=1",
        "s3cret",
        "s3cret%20",
        "k=1,s3cret s3cret",
    ];
    let token = ["s3cret", "s3cret s3cret", "s3cret\u{e9}"];
    for row in variables().filter(|row| row.secret) {
        for value in if row.name.ends_with("HEADERS") { &header[..] } else { &token[..] } {
            let text = everything_shown(&Source::from_pairs([(row.name, *value)]));
            assert!(!text.contains("s3cret"), "{}={value}: {text}", row.name);
        }
    }
}

/// Settings that are plain text to be shown: names, attributes, a log filter, a path.
const SHOWS_ITS_VALUE: &[&str] = &[
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "TRACEWELL_CHECKS_DISABLED",
    "TRACEWELL_REDACT_NAMES",
    "TRACEWELL_REDACT_EXCEPT",
    "RUST_LOG",
    "TRACEWELL_LOG_FILE",
];

#[test]
fn a_mistake_stays_on_one_line_of_bounded_length() {
    let value = format!("a\nb\u{1b}[31m{}", "x".repeat(10_000));
    for row in variables() {
        let (_, mistakes) = resolve(&[(row.name, &value)]);
        for line in mistakes {
            assert!(line.len() < 1200 && !line.contains(['\n', '\u{1b}']), "{line}");
        }
    }
}

/// What the values of the next test are made of.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "http://", "https://", "@", ":", "/", "?", "#", "%", "%2C", "%ff", ",", "=", ";", "[", "]", "::1",
    "0", "1", "-", "+", ".", "1e9", "NaN", "4294967296", "18446744073709551616", "none", "otlp", "true",
    "é", "\u{202e}", "\0", "\n", " ", "x", "{", "}", "\"", "info", "a=debug", "parentbased_",
    "traceidratio", "10.0.0.0", "/8", "host",
];

#[test]
fn no_value_of_any_variable_makes_it_panic() {
    // xorshift: the same values in each run
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let names: Vec<_> = variables().map(|row| row.name).collect();
    let protocols = ["grpc", "http/protobuf"];
    for round in 0..200 {
        let pairs: Vec<(&str, String)> = names
            .iter()
            .map(|name| (*name, (0..=next(8)).map(|_| PIECES[next(PIECES.len())]).collect()))
            .chain([("OTEL_EXPORTER_OTLP_PROTOCOL", protocols[round % 2].to_owned())])
            .collect();
        let source = Source::from_pairs(pairs);
        let (config, mistakes) = Config::resolve(&source);
        for mistake in &mistakes {
            assert!(!mistake.to_string().contains('\n'), "{mistake}");
        }
        let seen: HashSet<_> = mistakes.iter().map(|mistake| &mistake.variable).collect();
        assert_eq!(seen.len(), mistakes.len(), "one mistake a variable: {mistakes:?}");
        let batch = config.traces.batch;
        assert!(batch.max_export_batch_size > 0 && batch.max_export_batch_size <= batch.max_queue_size);
        assert!(!config.metrics.interval.is_zero());
    }
}

// ---- the explanation

fn explained(pairs: Pairs<'_>) -> Explanation {
    let source = Source::from_pairs(pairs.iter().copied()).with_defaults([("OTEL_SERVICE_NAME", "program")]);
    let (config, mistakes) = Config::resolve(&source);
    Explanation::new(&source, &config, &config, &mistakes, &crate::redaction::Redactor::new())
}

#[test]
fn every_variable_is_explained_and_its_default_is_the_tables() {
    let explanation = explained(&[]);
    for row in variables() {
        let setting = explanation.get(row.name).unwrap();
        assert!(!setting.value.contains("unknown"), "{}", row.name);
        if !row.default.starts_with('(') && row.name != "OTEL_TRACES_SAMPLER_ARG" {
            let expected = if row.name.ends_with("_INSECURE") { "true" } else { row.default };
            let expected =
                if row.name == "OTEL_EXPORTER_OTLP_ENDPOINT" { "(differs by signal)" } else { expected };
            assert_eq!(setting.value, expected, "{}", row.name);
        }
    }
}

#[test]
fn each_value_says_where_it_comes_from_and_secrets_are_hidden() {
    let explanation = explained(&[
        ("TRACEWELL_PRESET", "test"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "7"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "none"),
        ("OTEL_TRACES_EXPORTER", "console,what"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hunter2@localhost:1"),
        ("OTEL_RESOURCE_ATTRIBUTES", "db.password=hunter2,team=shop"),
        ("TRACEWELL_ADMIN_TOKEN", "hunter2"),
        ("OTEL_ENTITIES", "service{token=hunter2}"),
    ]);
    for (name, value, origin) in [
        ("TRACEWELL_PRESET", "test", Origin::Environment),
        ("OTEL_SERVICE_NAME", "program", Origin::ProgramDefault),
        ("OTEL_BSP_SCHEDULE_DELAY", "100", Origin::Preset),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "2048", Origin::Default),
        ("OTEL_TRACES_EXPORTER", "console", Origin::Environment),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "7", Origin::Environment),
        ("OTEL_RESOURCE_ATTRIBUTES", "db.password=REDACTED,team=shop", Origin::Environment),
        ("OTEL_TRACES_SAMPLER", "parentbased_always_on", Origin::Default),
    ] {
        let setting = explanation.get(name).unwrap();
        assert_eq!((setting.value.as_str(), setting.origin), (value, origin), "{name}");
    }
    let text = explanation.to_string();
    assert!(!text.contains("hunter2") && !format!("{explanation:?}").contains("hunter2"), "{text}");
    assert!(text.contains("! OTEL_BSP_MAX_QUEUE_SIZE=") && text.contains("! OTEL_ENTITIES="), "{text}");
}
