//! The files with which Go's implementation is tested mean the same here. They are fetched from its module when the test runs;
//! without Go this is skipped, and with `TRACEWELL_REQUIRE_BACKENDS=1` that is a failure.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tracewell::config::{Config, Exporter, Mistake, Source};

const MODULE: &str = "go.opentelemetry.io/contrib/otelconf@v0.27.0";

/// The folder of the fixtures, or why there is none.
fn fixtures() -> Result<PathBuf, String> {
    let output = Command::new("go")
        .args(["mod", "download", "-json", MODULE])
        .current_dir(std::env::temp_dir())
        .env("GOTOOLCHAIN", "local")
        .output()
        .map_err(|error| format!("go cannot be run: {error}"))?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match answer["Dir"].as_str() {
        Some(directory) if output.status.success() => Ok(Path::new(directory).join("testdata")),
        _ => Err(format!("{MODULE} cannot be fetched: {}", answer["Error"])),
    }
}

/// What a fixture becomes, with what it leaves to be filled in.
fn load(directory: &Path, name: &str, variables: &[(&str, &str)]) -> (Config, Vec<Mistake>) {
    let certificate = |file: &str| directory.join(file).to_str().unwrap().to_owned();
    let text = fs::read_to_string(directory.join(name)).unwrap();
    let text = text
        .replace("<CA_CERT>", &certificate("server-certs/server.crt"))
        .replace("<CLIENT_CERT>", &certificate("client-certs/client.crt"))
        .replace("<CLIENT_KEY>", &certificate("client-certs/client.key"));
    let path = std::env::temp_dir().join(format!("tracewell-{}.yaml", uuid::Uuid::new_v4()));
    fs::write(&path, text).unwrap();
    let source = Source::from_pairs(variables.iter().copied()).with_override("OTEL_CONFIG_FILE", &path);
    let loaded = Config::resolve(&source);
    fs::remove_file(path).unwrap();
    loaded
}

fn errors(mistakes: &[Mistake]) -> Vec<String> {
    mistakes.iter().filter(|mistake| !mistake.warning).map(ToString::to_string).collect()
}

#[test]
fn the_fixtures_of_another_implementation_mean_the_same() {
    let directory = match fixtures() {
        Ok(directory) => directory,
        Err(why) => {
            let required = std::env::var("TRACEWELL_REQUIRE_BACKENDS").as_deref() == Ok("1");
            assert!(!required, "{why}");
            eprintln!("skipped: {why}");
            return;
        }
    };
    everything(&directory);
    variables(&directory);
    for (name, why) in [
        ("v1.0.0_invalid_nil_name.yaml", "headers[1].name (line 13): required and missing"),
        ("v1.0.0_invalid_nil_value.yaml", "headers[1].value (line 13): required and missing"),
        ("invalid_bool.yaml", "file_format \"yaml\" is no version"),
        ("v0.2.yaml", "of another major version"),
        ("v0.3.yaml", "of another major version"),
        ("valid_empty.yaml", "of another major version"),
    ] {
        let errors = errors(&load(&directory, name, &[]).1);
        assert!(errors.iter().any(|error| error.contains(why)), "{name}: {errors:#?}");
    }
}

/// All that can be configured, and no more than this is refused: files (by Go's as well), and propagators that are not
/// there.
fn everything(directory: &Path) {
    let (config, mistakes) = load(directory, "v1.0.0.yaml", &[]);
    let refused: Vec<&str> =
        mistakes.iter().filter(|mistake| !mistake.warning).map(|mistake| &*mistake.variable).collect();
    let expected = [
        "propagator.composite[4].jaeger",
        "propagator.composite[5].ottrace",
        "propagator.composite_list",
        "propagator.composite_list",
        "propagator.composite_list",
        "tracer_provider.processors[2].batch.exporter.otlp_file/development.output_stream",
        "meter_provider.readers[3].periodic.exporter.otlp_file/development.output_stream",
        "logger_provider.processors[2].batch.exporter.otlp_file/development.output_stream",
    ];
    assert_eq!(refused, expected, "{:#?}", errors(&mistakes));
    assert_eq!((config.traces.more.len(), config.logs.more.len(), config.propagators.len()), (3, 3, 4));
    assert_eq!(config.file.unwrap().format, "1.0-rc.2");
    assert_eq!(config.traces.sampler.to_string(), "parentbased_traceidratio{0.0001}");
    assert_eq!(config.metrics.exporters, [Exporter::Otlp, Exporter::Prometheus]);
}

/// The values that Go's own test expects of these variables.
fn variables(directory: &Path) {
    let (config, mistakes) = load(
        directory,
        "v1.0.0_env_var.yaml",
        &[
            ("OTEL_SDK_DISABLED", "false"),
            ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4096"),
            ("STRING_VALUE", "value"),
            ("BOOL_VALUE", "true"),
            ("INT_VALUE", "1"),
            ("FLOAT_VALUE", "1.1"),
            ("HEX_VALUE", "0xbeef"),
            ("INVALID_MAP_VALUE", "value\nkey:value"),
            ("ENV_VAR_IN_KEY", "env_var_in_key"),
            ("DO_NOT_REPLACE_ME", "Never use this value"),
            ("REPLACE_ME", "${DO_NOT_REPLACE_ME}"),
            ("VALUE_WITH_ESCAPE", "value$$"),
        ],
    );
    // the schema has had no such key since before 1.0
    let errors = errors(&mistakes);
    assert!(errors.len() == 1 && errors[0].starts_with("resource.detectors "), "{errors:#?}");
    assert_eq!((config.disabled, config.attribute_limits), (false, (128, Some(4096))));
    let shown = |name: &str| {
        let text = config
            .resource
            .attributes
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone());
        let typed = || {
            config.resource.typed.iter().find(|(known, _)| known == name).map(|(_, value)| value.to_string())
        };
        text.or_else(typed)
    };
    for (name, expected) in [
        ("service.namespace", Some("my-namespace")),
        ("bool_value", Some("true")),
        ("int_value", Some("1")),
        ("float_value", Some("1.1")),
        ("hex_value", Some("48879")),
        ("quoted_hex_value", Some("0xbeef")),
        ("alternative_env_syntax", Some("value")),
        ("invalid_map_value", Some("value\nkey:value")),
        ("multiple_references_inject", Some("foo value 1.1")),
        ("undefined_key", None),
        ("undefined_key_fallback", Some("fallback")),
        ("env_var_in_key", Some("value")),
        ("replace_me", Some("${DO_NOT_REPLACE_ME}")),
        ("undefined_defaults_to_var", Some("${STRING_VALUE}")),
        ("escaped_does_not_substitute", Some("${STRING_VALUE}")),
        ("escaped_and_substituted_fallback", Some("${STRING_VALUE:-value}")),
        ("escaped_and_substituted", Some("$value")),
        ("multiple_escaped_and_not_substituted", Some("$${STRING_VALUE}")),
        ("value_with_escape", Some("value$$")),
        ("escape_sequence", Some("a $ b")),
    ] {
        assert_eq!(shown(name).as_deref(), expected, "{name}");
    }
    assert_eq!(config.resource.schema_url.as_deref(), Some("https://opentelemetry.io/schemas/1.16.0"));
}
