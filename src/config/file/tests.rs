//! Each row of the specification's substitution table; the schema's rules; what is created, and what is refused where.

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
fn references_are_replaced_as_every_row_of_the_specification_says() {
    let text = |text: &str| Value::Text(text.to_owned());
    let source = table_source();
    for (input, expected) in [
        ("${STRING_VALUE}", text("value")),
        ("${BOOL_VALUE}", Value::Bool(true)),
        ("${INT_VALUE}", Value::Int(1)),
        ("${FLOAT_VALUE}", Value::Float(1.1)),
        ("${HEX_VALUE}", Value::Int(3_735_928_559)),
        ("\"${STRING_VALUE}\"", text("value")),
        ("\"${BOOL_VALUE}\"", text("true")),
        ("\"${INT_VALUE}\"", text("1")),
        ("\"${FLOAT_VALUE}\"", text("1.1")),
        ("\"${HEX_VALUE}\"", text("0xdeadbeef")),
        ("${env:STRING_VALUE}", text("value")),
        ("${INVALID_MAP_VALUE}", text("value\nkey:value")),
        ("foo ${STRING_VALUE} ${FLOAT_VALUE}", text("foo value 1.1")),
        ("${UNDEFINED_KEY}", Value::Null),
        ("${UNDEFINED_KEY:-fallback}", text("fallback")),
        ("${REPLACE_ME}", text("${DO_NOT_REPLACE_ME}")),
        ("${UNDEFINED_KEY:-${STRING_VALUE}}", text("${STRING_VALUE}")),
        ("$${STRING_VALUE}", text("${STRING_VALUE}")),
        ("$$${STRING_VALUE}", text("$value")),
        ("$$$${STRING_VALUE}", text("$${STRING_VALUE}")),
        ("$${STRING_VALUE:-fallback}", text("${STRING_VALUE:-fallback}")),
        ("$${STRING_VALUE:-${STRING_VALUE}}", text("${STRING_VALUE:-value}")),
        ("${UNDEFINED_KEY:-$${UNDEFINED_KEY}}", text("${UNDEFINED_KEY:-${UNDEFINED_KEY}}")),
        ("${VALUE_WITH_ESCAPE}", text("value$$")),
        ("a $$ b", text("a $ b")),
        ("a $ b", text("a $ b")),
        // beside the table: the default counts for an empty variable, and a block scalar is text
        ("${STRING_VALUE:-fallback}", text("value")),
        ("|-\n  ${INT_VALUE}", text("1")),
        ("!!str ${INT_VALUE}", text("1")),
        ("${UNDEFINED_KEY:-}", Value::Null),
        ("a${}b${STRING_VALUE} ${STRING_VALUE", text("a${}bvalue ${STRING_VALUE")),
    ] {
        let tree = yaml::read(&format!("key: {input}"), &source).unwrap();
        assert_eq!(tree.get("key").map(|node| &node.value), Some(&expected), "{input}");
    }
    // a brace of a reference ends no flow collection, and others do
    let items = |text: &str| yaml::read(text, &source).map(|tree| tree.get("a").unwrap().items().to_vec());
    let values = |text: &str| items(text).unwrap().into_iter().map(|node| node.value).collect::<Vec<_>>();
    assert_eq!(values("a: [${INT_VALUE}, \"${INT_VALUE}\", x]"), [Value::Int(1), text("1"), text("x")]);
    assert_eq!(values("a: [$${A}, ${B:-${C}}, ${UNDEFINED:-f}]"), [text("${A}"), text("${C}"), text("f")]);
    let nested = yaml::read("a: {b: ${INT_VALUE}, c: {d: ${UNDEFINED:-x}}}", &source).unwrap();
    let d = nested.get("a").and_then(|a| a.get("c")).and_then(|c| c.get("d")).map(|d| &d.value);
    assert_eq!(d, Some(&text("x")));
    assert_eq!(values("a: [\"${B\", {c: d}, \"}\"]").len(), 3, "what is YAML as it is stays that");
    assert!(items("a: [${1A}, x]").unwrap_err()[0].what.contains("is no reference"));
    assert!(items("a: [${A}").unwrap_err()[0].what.contains("no YAML"));
    let keys = yaml::read("${STRING_VALUE}: value", &source).unwrap();
    assert_eq!(keys.entries()[0].0, "${STRING_VALUE}");
    for input in ["${STRING_VALUE:?error}", "${1API_KEY}", "${API_$KEY}", "${ STRING_VALUE}", "${sys:name}"] {
        let problems = yaml::read(&format!("a: 1\nkey: {input}\nother: ${{2}}"), &source).unwrap_err();
        // every one of them, and nothing else
        assert_eq!(problems.iter().map(|problem| problem.line).collect::<Vec<_>>(), [2, 3], "{input}");
    }
}

#[test]
fn the_tree_is_bounded_whatever_aliases_repeat() {
    let read = |text: &str| yaml::read(text, &Source::from_pairs(Vec::<(String, String)>::new()));
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [before.as_str(); 9].join(", ")));
    }
    assert!(read(&bomb).unwrap_err()[0].what.contains("too much"));
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(read(&deep(60)).is_ok());
    assert!(read(&deep(100)).unwrap_err()[0].what.contains("levels"));
    assert!(read(&"- ".repeat(30_000)).is_err());
    assert!(read("a: &a [*a]").is_err(), "an alias of itself");
    // in time that grows with the text, and no faster
    assert!(read(&format!("a: {}", "${".repeat(400_000))).is_ok());
    let copied: Node = read("base: &base {x: 1}\nother: *base").unwrap();
    assert_eq!(copied.get("other"), copied.get("base"));
    for (text, expected) in [
        ("a: 1\na: 2", "twice"),
        ("a: 1\n---\nb: 2", "second document"),
        ("", "empty"),
        ("{[a]: b}", "key"),
        ("a: !secret x", "tag"),
        ("a: !!int x", "tag"),
        ("a: [", "no YAML"),
    ] {
        let problems = read(text).unwrap_err();
        assert!(problems[0].what.contains(expected), "{text}: {problems:?}");
    }
}

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
    let (config, mistakes) = load(include_str!("../../../tests/config_file/mistakes.yaml"));
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

const VALUES: &str = include_str!("../../../tests/config_file/values.yaml");

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
    let page = include_str!("../../docs/configuration_file.md");
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let config = fine(rest.split_once("```").unwrap().0);
    assert_eq!(config.propagators, [Propagator::TraceContext, Propagator::Baggage]);
    assert_eq!(config.traces.otlp.endpoint.as_str(), "http://localhost:4318/v1/traces");
    assert_eq!(config.logs.filter, "info,shop=debug");
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
fn a_file_that_cannot_be_read_sends_nothing_and_says_why() {
    let source = Source::from_pairs([("TRACEWELL_DRAIN_MS", "9")]);
    for (path, why) in [
        ("/nowhere/otel.yaml", "cannot be read"),
        ("/etc/hostname", ".yaml or .yml"),
        (concat!(env!("CARGO_MANIFEST_DIR"), "/src/config.yaml"), "cannot be read"),
    ] {
        let (config, mistakes) = resolve(&source, super::CONFIG_FILE, path);
        assert_eq!((mistakes.len(), config.traces.exporters.len()), (1, 0));
        assert!(mistakes[0].problem.contains(why), "{mistakes:?}");
        assert_eq!(config.shutdown.drain.as_millis(), 9);
    }
}

#[test]
fn every_stable_node_has_its_effect() {
    let config = fine(include_str!("../../../tests/config_file/everything.yaml"));
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

/// Small mistakes in the making of a file, by a generator that always makes the same ones.
fn mangled(text: &str, seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below.max(1) as u64).unwrap_or(0)
    };
    let pieces = [
        "\n",
        " ",
        ":",
        "- ",
        "${",
        "}",
        "$$",
        "[",
        "]",
        "{",
        "*a ",
        "&a ",
        "\"",
        "'",
        "null",
        "-1",
        "1e999",
        "0x",
        "!!str ",
        "|\n",
        "é\u{0}\u{feff}",
        "\t",
        "? ",
        "# ",
        "---\n",
        "%YAML 1.2\n",
        "<<: *a\n",
        "99999999999999999999",
    ];
    let mut text: Vec<char> = text.chars().collect();
    for _ in 0..=next(6) {
        let at = next(text.len());
        match next(4) {
            0 => drop(text.drain(at..(at + next(40)).min(text.len()))),
            1 => {
                let piece: Vec<char> = pieces[next(pieces.len())].chars().collect();
                text.splice(at..at, piece);
            }
            2 => {
                let from = next(text.len());
                let part: Vec<char> = text[from..(from + next(200)).min(text.len())].to_vec();
                text.splice(at..at, part);
            }
            _ => {
                if let Some(c) = text.get_mut(at) {
                    *c = char::from(32 + u8::try_from(next(95)).unwrap_or(0));
                }
            }
        }
    }
    text.into_iter().collect()
}

#[test]
fn a_mangled_file_never_panics_and_never_is_silent_about_what_it_lost() {
    let whole = include_str!("../../../tests/config_file/everything.yaml");
    let source = table_source();
    let (mut read, mut refused) = (0, 0);
    for seed in 0..1500 {
        let text = mangled(whole, seed);
        match yaml::read(&text, &source) {
            Err(problems) => {
                refused += 1;
                assert!(problems.iter().all(|problem| !problem.what.is_empty()), "seed {seed}");
            }
            Ok(_) if seed % 10 == 0 => {
                read += 1;
                let (_, mistakes) = load(&text);
                for mistake in &mistakes {
                    assert!(
                        !mistake.variable.is_empty() && !mistake.problem.is_empty(),
                        "seed {seed}: {mistake:?}"
                    );
                    assert!(!mistake.to_string().contains('\n'), "seed {seed}: {mistake}");
                }
            }
            Ok(_) => {}
        }
    }
    assert!(read > 20 && refused > 100, "{read} {refused}");
}
