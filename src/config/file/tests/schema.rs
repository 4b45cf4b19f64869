//! What is refused: each mistake with its path, its line and what is accepted.

use super::*;

#[test]
fn the_format_decides_whether_a_file_is_read() {
    for (format, expected) in [
        ("\"1.0\"", Ok(false)),
        ("\"1.1\"", Ok(false)),
        ("1.0", Ok(false)),
        ("\"1.0-rc.3\"", Ok(true)),
        ("\"1.2\"", Ok(true)),
        ("\"1.10\"", Ok(true)),
        ("\"0.4\"", Err("major")),
        ("\"2.0\"", Err("major")),
        ("1", Err("an integer")),
        ("yaml", Err("no version")),
        ("\"1.x\"", Err("no version")),
        ("\"1.0-\"", Err("no version")),
        ("null", Err("null")),
    ] {
        // a key of a later version
        let text = format!("file_format: {format}\nattribute_limits: {{new_limit: 1}}\n");
        let (config, mistakes) = load(&text);
        match expected {
            Ok(lenient) => {
                assert_eq!(config.file.unwrap().format, format.trim_matches('"'));
                assert_eq!(
                    mistakes.iter().all(|mistake| mistake.warning),
                    lenient,
                    "{format}: {mistakes:#?}"
                );
                assert!(lines(&mistakes).iter().any(|line| line.contains("attribute_limits.new_limit")));
            }
            Err(why) => {
                assert!(config.file.unwrap().format.is_empty());
                assert_eq!((mistakes.len(), mistakes[0].warning), (1, false), "{format}");
                assert!(mistakes[0].problem.contains(why), "{format}: {mistakes:?}");
                assert!(config.traces.exporters.is_empty(), "nothing is sent");
            }
        }
    }
    assert!(load("disabled: true").1[0].problem.contains("required"));
}

#[test]
fn the_deprecated_name_of_the_variable_is_read_and_said_to_be_that() {
    let file = Written::new("file_format: \"1.0\"");
    let path = file.0.to_str().unwrap();
    let (config, mistakes) = Config::resolve(&Source::from_pairs([("OTEL_EXPERIMENTAL_CONFIG_FILE", path)]));
    assert!(config.file.is_some() && mistakes.len() == 1 && mistakes[0].warning, "{mistakes:?}");
    assert!(mistakes[0].problem.contains("deprecated"));
    let (config, _) = Config::resolve(&Source::from_pairs([
        ("OTEL_EXPERIMENTAL_CONFIG_FILE", "/nowhere.yaml"),
        ("OTEL_CONFIG_FILE", path),
    ]));
    assert_eq!(config.file.unwrap().format, "1.0");
}

/// What is wrong with `mistakes.yaml`, and nothing else.
const MISTAKES: &[&str] = &[
    "disabled (line 2)=\"notabool\": accepted is true or false; using false",
    "log_level (line 3)=\"loud\": accepted is trace, ",
    "attribute_limits.attribute_count_limit (line 5)=\"-1\": accepted is a whole number from 0 to 2147483647; using 128",
    "tracer_providers (line 6): unknown key; did you mean tracer_provider?",
    "tracer_provider.processors[0].batch.schedule_delay (line 10)=\"soon\": accepted is a whole number from 0",
    "tracer_provider.processors[0].batch.max_export_batch_size (line 11)=\"4000\": accepted is at most",
    "tracer_provider.processors[0].batch.exporter.otlp_http.protocol (line 14)=\"grpc\": unknown key; accepted are endpoint,",
    "tracer_provider.processors[0].batch.exporter.otlp_http.endpoint (line 15)=\"ftp://x\": accepted is an http://",
    "tracer_provider.processors[0].batch.exporter.otlp_http.compression (line 16)=\"zstd\": accepted is none or gzip",
    "tracer_provider.processors[0].batch.exporter.otlp_http.headers[0].value (line 18): required and missing",
    "tracer_provider.processors[0].batch.exporter.otlp_http.headers[1].value (line 20)=******: accepted is text or null",
    "tracer_provider.processors[0].batch.exporter.otlp_http.tls.ca_file (line 24)=\"relative.pem\": accepted is an absolute path",
    "tracer_provider.processors[0].batch.exporter.otlp_http.tls.key_file (line 25)=\"/key.pem\": accepted is it with cert_file",
    "tracer_provider.processors[0].batch.exporter.otlp_http.timeout (line 26)=\"1.5\": accepted is a whole number",
    "tracer_provider.processors[1].simple.exporter (line 27): required and missing; accepted is a mapping with one of otlp_http",
    "tracer_provider.processors[2].batch.exporter (line 28): console, otlp_http exclude each other",
    "tracer_provider.sampler.trace_id_ratio_based.ratio (line 30)=\"1.5\": accepted is a number from 0 to 1; using 1",
    "meter_provider.readers (line 32): accepted is a list of 1 or more",
    "propagator.composite_list (line 34)=\"tracecontext,xray\": \"xray\" is unknown",
    "propagator.composite[0].jaeger (line 36)=\"null\": no such propagator",
    "logger_provider (line 37)=\"null\": accepted is a mapping",
];

#[test]
fn every_mistake_is_named_with_its_path_line_value_and_what_is_accepted() {
    let (config, mistakes) = load(include_str!("../../../../tests/config_file/mistakes.yaml"));
    let lines = lines(&mistakes);
    for expected in MISTAKES {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected}\n{lines:#?}");
    }
    assert_eq!((lines.len(), mistakes.iter().any(|mistake| mistake.warning)), (MISTAKES.len(), false));
    // what can be used is used
    assert_eq!(config.traces.exporters, [Exporter::Otlp]);
    assert_eq!(
        config.traces.otlp.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["fine"]
    );
    assert_eq!(config.propagators, [Propagator::TraceContext]);
    assert!(config.metrics.exporters.is_empty() && config.logs.exporters.is_empty());
}

#[test]
fn null_is_not_missing() {
    let with = |rest: &str| load(&format!("file_format: \"1.0\"\n{rest}"));
    // present with its defaults
    let config =
        fine("file_format: \"1.0\"\ntracer_provider: {processors: [simple: {exporter: {console: }}]}");
    assert_eq!(config.traces.exporters, [Exporter::Console]);
    // null where the schema has none
    for text in [
        "tracer_provider:",
        "attribute_limits:",
        "resource: {attributes: }",
        "propagator: {composite: [b3: 1]}",
    ] {
        assert_eq!(with(text).1.len(), 1, "{text}: {:?}", with(text).1);
    }
    // null where it is as good as missing
    for text in [
        "disabled:",
        "log_level: ~",
        "attribute_limits: {attribute_count_limit: }",
        "resource: {schema_url: null}",
    ] {
        assert_eq!(with(text).1, [], "{text}");
    }
}

#[test]
fn a_file_that_cannot_be_read_sends_nothing_and_says_why() {
    let source = Source::from_pairs([("TRACEWELL_DRAIN_MS", "9")]);
    for (path, why) in [
        ("/nowhere/otel.yaml", "cannot be read"),
        ("/etc/hostname", ".yaml or .yml"),
        (concat!(env!("CARGO_MANIFEST_DIR"), "/src/config.yaml"), "cannot be read"),
    ] {
        let (config, mistakes) = resolve(&source, super::super::CONFIG_FILE, path);
        assert_eq!((mistakes.len(), config.traces.exporters.len()), (1, 0));
        assert!(mistakes[0].problem.contains(why), "{mistakes:?}");
        assert_eq!(config.shutdown.drain.as_millis(), 9);
    }
}
