//! Each value in use says where it comes from.

use super::*;

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
