//! Every row of the table: its default, its presets, and what a blank value is.

use super::*;

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
