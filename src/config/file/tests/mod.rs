//! What a file creates; in `syntax` and `schema`, what is read of it and what is refused where.

mod schema;
mod syntax;

use super::{
    node::{Node, Value},
    resolve, yaml,
};

use crate::config::{
    AttributeValue, Compression, Config, Detector, ExemplarFilter, Exporter, Mistake, Propagator, Protocol,
    Sampler, Source,
};

/// A file of its own that goes with the test.
struct Written(std::path::PathBuf);

impl Written {
    fn new(text: &str) -> Self {
        let name = format!("tracewell-{}.yaml", uuid::Uuid::new_v4());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn load_with(text: &str, variables: &[(&str, &str)]) -> (Config, Vec<Mistake>) {
    let file = Written::new(text);
    let source = Source::from_pairs(variables.iter().map(|(name, value)| (*name, *value)));
    resolve(&source, super::CONFIG_FILE, file.0.to_str().unwrap())
}

fn load(text: &str) -> (Config, Vec<Mistake>) {
    load_with(text, &[])
}

/// The configuration of a file without any mistake.
fn fine(text: &str) -> Config {
    let (config, mistakes) = load(text);
    assert!(mistakes.is_empty(), "{mistakes:#?}");
    config
}

fn lines(mistakes: &[Mistake]) -> Vec<String> {
    mistakes.iter().map(ToString::to_string).collect()
}

fn table_source() -> Source {
    Source::from_pairs([
        ("STRING_VALUE", "value"),
        ("BOOL_VALUE", "true"),
        ("INT_VALUE", "1"),
        ("FLOAT_VALUE", "1.1"),
        ("HEX_VALUE", "0xdeadbeef"),
        ("INVALID_MAP_VALUE", "value\nkey:value"),
        ("DO_NOT_REPLACE_ME", "Never use this value"),
        ("REPLACE_ME", "${DO_NOT_REPLACE_ME}"),
        ("VALUE_WITH_ESCAPE", "value$$"),
    ])
}

#[test]
fn what_is_not_in_the_file_is_not_there_whatever_the_variables_say() {
    let variables = [
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://elsewhere:4318"),
        ("OTEL_SERVICE_NAME", "elsewhere"),
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "no number"),
        ("TRACEWELL_DRAIN_MS", "7"),
        ("RUST_LOG", "debug"),
    ];
    let (config, mistakes) = load_with("file_format: \"1.1\"", &variables);
    assert_eq!(mistakes, []);
    assert!(
        !config.disabled && config.resource.service_name.is_none() && config.resource.detectors.is_empty()
    );
    assert!(config.propagators.is_empty());
    assert!(config.traces.exporters.is_empty() && config.metrics.exporters.is_empty());
    assert!(config.logs.exporters.is_empty());
    // ours count all the same
    assert_eq!((config.shutdown.drain.as_millis(), config.logs.filter.as_str()), (7, "debug"));
    let text = "file_format: \"1.1\"\ntracer_provider: {processors: [{batch: {exporter: {otlp_http: }}}]}";
    let (config, mistakes) = load_with(text, &variables);
    assert_eq!(mistakes, []);
    assert_eq!(config.traces.otlp.endpoint.as_str(), "http://localhost:4318/v1/traces");
    assert_eq!(config.traces.sampler, Sampler::parent_based(Sampler::AlwaysOn));
    assert_eq!(
        (config.traces.batch.max_queue_size, config.traces.otlp.compression),
        (2048, Compression::None)
    );
}

const VALUES: &str = include_str!("../../../../tests/config_file/values.yaml");

#[test]
fn a_whole_file_becomes_the_values_that_variables_make() {
    let config = fine(VALUES);
    assert_eq!(config.log_level, crate::config::LogLevel::Warn);
    assert_eq!(config.resource.service_name.as_deref(), Some("shop"));
    assert_eq!(
        config.resource.attributes,
        [("region".to_owned(), "eu,1".to_owned()), ("team".to_owned(), "a".to_owned())]
    );
    let typed: Vec<_> =
        config.resource.typed.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let zones = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(
        typed,
        [
            ("answer", AttributeValue::Int(42)),
            ("share", AttributeValue::Double(1.0)),
            ("zones", AttributeValue::Strings(zones)),
        ]
    );
    assert_eq!(config.resource.detectors, [Detector::Process, Detector::Container, Detector::Kubernetes]);
    assert!(
        config.resource.detected.contains("process.owner")
            && !config.resource.detected.contains("process.pid")
    );
    assert_eq!(config.propagators, [Propagator::B3, Propagator::TraceContext, Propagator::Baggage]);
    let traces = &config.traces;
    assert_eq!((traces.batch.export_timeout, traces.batch.max_export_batch_size), (None, 100));
    assert_eq!(
        (traces.otlp.protocol, traces.otlp.endpoint.as_str()),
        (Protocol::Grpc, "http://collector:4317")
    );
    let headers: Vec<_> =
        traces.otlp.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!((headers, traces.otlp.timeout), (vec![("a", "2"), ("b", " x")], None));
    assert_eq!((traces.more.len(), traces.more[0].exporters.as_slice()), (1, [Exporter::Console].as_slice()));
    assert_eq!(
        (traces.limits.events, traces.limits.attributes, traces.limits.value_length),
        (3, 10, Some(99))
    );
    let sampler = "parentbased_traceidratio{0.25},remote_parent_not_sampled=always_on";
    assert_eq!(traces.sampler.to_string(), sampler);
}

#[test]
fn metrics_logs_and_our_own_settings_of_a_file_are_values_too() {
    let config = fine(VALUES);
    let metrics = &config.metrics;
    assert_eq!(metrics.exporters, [Exporter::Otlp, Exporter::Prometheus]);
    assert_eq!(
        (metrics.exemplar_filter, metrics.otlp.protocol),
        (ExemplarFilter::AlwaysOff, Protocol::HttpJson)
    );
    assert_eq!((metrics.prometheus.clone(), metrics.interval.as_millis()), (("0.0.0.0".to_owned(), 0), 5000));
    assert_eq!((metrics.cardinality.default, metrics.cardinality.by_type[0]), (Some(50), Some(7)));
    assert_eq!((metrics.views.len(), metrics.views[1].meter.as_deref()), (2, Some("noisy")));
    assert_eq!((config.logs.limits.attributes, config.http.known_methods.len()), (4, 2));
    assert_eq!((config.shutdown.drain.as_millis(), config.admin.checks_disabled.len()), (123, 2));
    assert_eq!(config.logs.filter, "warn,shop=debug");
    let places = config.file.unwrap().places;
    for (variable, path) in [
        ("OTEL_TRACES_SAMPLER", "tracer_provider.sampler"),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "tracer_provider.processors[0].batch.exporter.otlp_grpc.endpoint",
        ),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "tracer_provider.processors[0].batch.max_queue_size"),
        ("TRACEWELL_DRAIN_MS", "distribution.tracewell.drain_ms"),
    ] {
        assert_eq!(places.get(variable).map(String::as_str), Some(path));
    }
}

#[test]
fn the_file_of_the_documentation_is_a_file_without_mistakes() {
    let page = include_str!("../../../docs/configuration_file.md");
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let config = fine(rest.split_once("```").unwrap().0);
    assert_eq!(config.propagators, [Propagator::TraceContext, Propagator::Baggage]);
    assert_eq!(config.traces.otlp.endpoint.as_str(), "http://localhost:4318/v1/traces");
    assert_eq!(config.logs.filter, "info,shop=debug");
}

#[test]
fn own_options_are_our_variables_below_the_environment() {
    let text = "file_format: \"1.0\"\ndistribution: {tracewell: {drain_ms: 5, prestop_ms: soon, drain: 1, admin_tokn: pl4nted}}";
    let (config, mistakes) = load_with(text, &[("TRACEWELL_DRAIN_MS", "9")]);
    assert_eq!(config.shutdown.drain.as_millis(), 9);
    let lines = lines(&mistakes);
    assert!(lines.len() == 3 && !format!("{lines:?}{mistakes:?}").contains("pl4nted"), "{lines:#?}");
    assert!(lines[0].starts_with("distribution.tracewell.drain (line 2)=\"1\": unknown key; accepted are "));
    assert!(lines[1].contains("admin_tokn") && lines[1].contains("did you mean admin_token?"), "{lines:#?}");
    assert!(lines[2].starts_with("distribution.tracewell.prestop_ms=\"soon\""), "{lines:#?}");
    let (config, _) = load("file_format: \"1.0\"\ndistribution: {tracewell: {preset: test}}");
    assert_eq!(config.preset, crate::config::Preset::Test);
}

#[test]
fn every_stable_node_has_its_effect() {
    let config = fine(include_str!("../../../../tests/config_file/everything.yaml"));
    assert_eq!((config.traces.more.len(), config.metrics.more.len(), config.logs.more.len()), (2, 1, 1));
    assert_eq!((config.metrics.views.len(), config.resource.typed.len()), (6, 7));
    let page = config.metrics.page;
    assert_eq!(
        (page.translation.as_str(), page.scope_labels, page.target_info),
        ("NoTranslation", false, false)
    );
    assert_eq!(
        (config.http.request_headers[0].as_str(), config.http.response_headers[0].as_str()),
        ("x-tenant", "x-cache")
    );
    // each node that has an effect is set to other than its default: nothing here is as a file without it
    let empty = fine("file_format: \"1.1\"");
    let (with, without) = (format!("{config:#?}"), format!("{empty:#?}"));
    assert!(with.lines().count() > without.lines().count() + 100);
}
