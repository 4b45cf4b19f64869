//! Secrets are planted in every signal and every setting, in a process of its own with a real environment; none may
//! leave it, on the wire, on stdout or on stderr.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

use opentelemetry::{
    Array, KeyValue, Value,
    logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _},
    trace::{Span as _, Status, Tracer as _, TracerProvider as _},
};
use tracewell::{
    Telemetry,
    redaction::Redactor,
    testing::{Collector, Signal},
};

const SECRET: &str = "hunter2";
const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.dozjgNryP4J3jVmNHl0w5NXgL0n3I9PlFUP0THsR8U";
const CHILD: &str = "TRACEWELL_TEST_CHILD";

#[derive(Debug)]
#[expect(dead_code, reason = "shown by Debug")]
struct User {
    name: &'static str,
    password: Option<&'static str>,
}

#[tracing::instrument]
fn login(user: &str, password: &str, config: &User) {
    tracing::info!(api_key = SECRET, user, token = 42, has_token = true, "login with password={password}");
    tracing::warn!(?config, url = "postgres://app:hunter2@db/shop", "connecting");
    let error = std::io::Error::other("no such user: Authorization: Bearer hunter2-Abc");
    tracing::error!(error = &error as &dyn std::error::Error, jwt = JWT, "failed for {JWT}");
    log::warn!("{{\"secret\":\"{password}\"}}");
}

fn plant(telemetry: &Telemetry) {
    login("ada", SECRET, &User { name: "ada", password: Some(SECRET) });
    let tracer = telemetry.tracer_provider().tracer("direct");
    let mut span = tracer.start("GET /x?token=hunter2");
    span.set_attribute(KeyValue::new("http.request.header.authorization", "hunter2"));
    span.set_attribute(KeyValue::new("url.query", "sig=hunter2&a=1"));
    span.set_attribute(KeyValue::new("session.id", 1234));
    let list = ["https://a:hunter2@h/", "plain"].map(Into::into).to_vec();
    span.set_attribute(KeyValue::new("args", Value::Array(Array::String(list))));
    span.add_event("e", vec![KeyValue::new("cookie", SECRET)]);
    span.set_status(Status::error("password=hunter2 refused"));
    drop(span);
    let logger = telemetry.logger_provider().logger("direct");
    let mut record = logger.create_log_record();
    record.set_body(AnyValue::Map(Box::new([("password".into(), SECRET.into())].into())));
    record.add_attribute("db.password", SECRET);
    logger.emit(record);
    let counter = opentelemetry::global::meter("direct").u64_counter("logins").build();
    counter.add(1, &[KeyValue::new("api_key", SECRET), KeyValue::new("kind", "plain")]);
}

/// Runs in the child alone.
#[test]
#[ignore = "started by the other tests"]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let telemetry = tracewell::init().unwrap();
    plant(&telemetry);
    println!("{}", tracewell::config::explain());
    println!("{:?}\n{:?}", telemetry.config(), telemetry);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = runtime.block_on(telemetry.shutdown());
    println!("{report:?}");
}

/// What a process with this environment and no other printed.
fn run(pairs: &[(&str, &str)]) -> (String, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", "--exact", "--ignored", "--nocapture"]).env_clear().env(CHILD, "1");
    let Output { status, stdout, stderr } = command.envs(pairs.iter().copied()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success(), "{stdout}\n{stderr}");
    (stdout, stderr)
}

#[test]
fn no_planted_secret_leaves_the_process() {
    let collector = Collector::start();
    let endpoint = format!("http://operator:{SECRET}@{}", collector.address());
    let (stdout, stderr) = run(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=hunter2"),
        ("OTEL_RESOURCE_ATTRIBUTES", "api_key=hunter2,team=shop"),
        ("OTEL_TRACES_EXPORTER", "otlp,console"),
        ("OTEL_LOGS_EXPORTER", "otlp,console"),
        ("OTEL_METRICS_EXPORTER", "otlp,console"),
        ("TRACEWELL_ADMIN_TOKEN", "hunter2"),
        // mistakes, each with a secret in it
        ("OTEL_TRACES_SAMPLER", "token=hunter2"),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "hunter2"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "https://a:hunter2@h"),
        ("OTEL_ENTITIES", "service{password=hunter2}"),
    ]);
    for signal in [Signal::Traces, Signal::Metrics, Signal::Logs] {
        assert!(collector.accepted_items(signal) > 0, "{signal}");
    }
    let wire: String = collector.requests().iter().map(|request| format!("{:?}", request.export)).collect();
    for (place, text) in [("wire", &wire), ("stdout", &stdout), ("stderr", &stderr)] {
        if let Some(at) = text.find(SECRET).or_else(|| text.find(JWT)) {
            let from = text[..at].char_indices().rev().nth(120).map_or(0, |(at, _)| at);
            panic!("{place}: {}", &text[from..at + SECRET.len()]);
        }
    }
    // and what is no secret did leave
    assert!(wire.contains("ada") && wire.contains("plain") && wire.contains("shop"));
    let login = collector.logs().into_iter().find(|log| log.body().starts_with("login")).unwrap();
    assert_eq!(login.body(), "login with password=REDACTED");
    assert_eq!(login.attribute("user").as_deref(), Some("ada"));
    assert_eq!(login.attribute("token").as_deref(), Some("REDACTED"));
    assert_eq!(login.attribute("has_token").as_deref(), Some("true"));
    let span = collector.spans().into_iter().find(|span| span.name() == "login").unwrap();
    assert_eq!(span.attribute("password").as_deref(), Some("REDACTED"));
    assert_eq!(span.attribute("user").as_deref(), Some("ada"));
    for name in ["OTEL_TRACES_SAMPLER", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_ENTITIES"] {
        let lines = stderr.lines().filter(|line| line.contains(&format!("configuration: {name}="))).count();
        assert_eq!(lines, 1, "{name} once, in {stderr}");
    }
    assert!(
        stdout.contains("\"resourceSpans\"") && stdout.contains("\"resourceLogs\""),
        "the console exporters"
    );
}

#[test]
fn a_disabled_sdk_still_logs_and_its_own_voice_has_a_level() {
    let (stdout, stderr) =
        run(&[("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_SAMPLER", "x"), ("TRACEWELL_LOG_FORMAT", "json")]);
    assert!(
        stdout.lines().any(|line| line.starts_with("{\"timestamp\"") && line.contains("login with")),
        "{stdout}"
    );
    assert!(stderr.contains("configuration: OTEL_TRACES_SAMPLER"), "{stderr}");
    for (level, heard) in [("error", false), ("none", false), ("WARN", true), ("debug", true)] {
        let (_, stderr) =
            run(&[("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_SAMPLER", "x"), ("OTEL_LOG_LEVEL", level)]);
        assert_eq!(stderr.contains("configuration:"), heard, "{level}: {stderr}");
    }
    let (stdout, _) = run(&[("OTEL_SDK_DISABLED", "true"), ("RUST_LOG", "error")]);
    assert!(!stdout.contains("login with") && stdout.contains("\"ERROR\""), "{stdout}");
}

#[test]
fn a_program_chooses_its_own_rules() {
    let collector = Collector::start();
    let telemetry = Telemetry::builder()
        .with_env([("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())])
        .with_redaction(Redactor::new().with_names(["tenant"]).with_harmless_names(["session.id"]))
        .with_stdout(false)
        .build()
        .unwrap();
    let mut span = telemetry.tracer_provider().tracer("direct").start("s");
    span.set_attribute(KeyValue::new("x.tenant", "a"));
    span.set_attribute(KeyValue::new("session.id", "b"));
    drop(span);
    assert_eq!(telemetry.redactor().value("tenant", "a"), "REDACTED");
    drop(telemetry);
    let span = &collector.spans()[0];
    assert_eq!(span.attribute("x.tenant").as_deref(), Some("REDACTED"));
    assert_eq!(span.attribute("session.id").as_deref(), Some("b"));
}
