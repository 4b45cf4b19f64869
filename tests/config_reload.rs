//! The configuration is read again while the service runs: what changes, what waits for a restart, and what a mistake does.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use tracewell::{LogFilter, Telemetry, config::Sampler};
use tracing_subscriber::layer::SubscriberExt as _;

const PATIENCE: Duration = Duration::from_secs(10);

struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tracewell-{}.yaml", uuid::Uuid::new_v4()));
        let file = Self(path);
        file.write(text);
        file
    }

    /// As a whole, like whoever replaces configurations does it.
    fn write(&self, text: &str) {
        let next = self.0.with_extension("next");
        fs::write(&next, format!("file_format: \"1.1\"\n{text}")).unwrap();
        fs::rename(&next, &self.0).unwrap();
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn configured(sampler: &str, own: &str) -> String {
    format!(
        "tracer_provider: {{processors: [simple: {{exporter: {{console: }}}}], sampler: {{{sampler}: }}}}
distribution: {{tracewell: {{{own}}}}}"
    )
}

fn sampled(telemetry: &Telemetry) -> bool {
    telemetry.tracer_provider().tracer("test").start("span").span_context().is_sampled()
}

fn filter(telemetry: &Telemetry) -> String {
    let LogFilter { directives, .. } = telemetry.log_filter();
    directives
}

/// Looks again until it holds.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

fn start(file: &File, variables: &[(&str, &str)]) -> Telemetry {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Telemetry::builder().with_env(variables).with_config_file(file.path()).with_stdout(false).build().unwrap()
}

#[test]
fn filter_sampler_and_redaction_change_at_once_and_the_rest_waits() {
    let file = File::new(&configured("always_off", "rust_log: info"));
    let telemetry = start(&file, &[]);
    let redactor = telemetry.redactor().clone();
    assert_eq!((sampled(&telemetry), filter(&telemetry)), (false, "info".to_owned()));
    assert_eq!(redactor.value("customer", "ada"), "ada");
    let second = configured("always_on", "rust_log: debug, redact_names: [customer], drain_ms: 77")
        .replace("processors: [", "processors: [simple: {exporter: {otlp_http: }}, ");
    file.write(&second);
    let reloaded = telemetry.reload().unwrap();
    assert_eq!(reloaded.changed, ["OTEL_TRACES_SAMPLER", "RUST_LOG", "TRACEWELL_REDACT_NAMES"]);
    // the last one stands for what no variable names
    assert_eq!(reloaded.at_restart, ["OTEL_TRACES_EXPORTER", "TRACEWELL_DRAIN_MS", "OTEL_CONFIG_FILE"]);
    assert_eq!((sampled(&telemetry), filter(&telemetry)), (true, "debug".to_owned()));
    // clones that are in use everywhere follow
    assert_eq!(redactor.value("customer", "ada"), "REDACTED");
    assert_eq!(tracewell::redaction::Redactor::new().value("customer", "ada"), "ada");
    // a filter set by hand stays until the configured one changes
    telemetry.set_log_filter("trace", None).unwrap();
    assert!(telemetry.reload().unwrap().changed.is_empty());
    assert_eq!(filter(&telemetry), "trace");
}

#[test]
fn which_events_are_lines_of_a_file_changes_at_once() {
    let log = std::env::temp_dir().join(format!("tracewell-{}.log", uuid::Uuid::new_v4()));
    let own = |filter: &str| format!("log_file: \"{}\", log_file_filter: {filter}", log.display());
    let file = File::new(&configured("always_off", &own("error")));
    let telemetry = start(&file, &[]);
    let subscriber = tracing_subscriber::Registry::default().with(telemetry.layers());
    tracing::subscriber::with_default(subscriber, || {
        let say = |what| tracing::debug!("{what}");
        say("before");
        file.write(&configured("always_off", &own("debug")));
        assert_eq!(telemetry.reload().unwrap().changed, ["TRACEWELL_LOG_FILE_FILTER"]);
        // the same place in the code: what it was told before does not stay with it
        say("after");
    });
    telemetry.shutdown_blocking().unwrap();
    let lines = fs::read_to_string(&log).unwrap();
    fs::remove_file(&log).unwrap();
    assert!(lines.contains("\"after\"") && lines.lines().count() == 1, "{lines}");
}

#[test]
fn a_file_with_mistakes_changes_nothing() {
    let file = File::new(&configured("always_off", "rust_log: info"));
    let telemetry = start(&file, &[]);
    for text in [
        configured("always_on", "rust_log: debug, drain_ms: soon"),
        configured("allways_on", "rust_log: debug"),
        "tracer_provider: [".to_owned(),
        "a: ${1}".to_owned(),
    ] {
        file.write(&text);
        let error = telemetry.reload().unwrap_err().to_string();
        assert!(error.contains("not reloaded") && !error.contains('\n'), "{error}");
        assert_eq!((sampled(&telemetry), filter(&telemetry)), (false, "info".to_owned()), "{text}");
    }
    fs::remove_file(file.path()).unwrap();
    assert!(telemetry.reload().unwrap_err().to_string().contains("cannot be read"));
}

#[test]
fn what_is_set_in_code_stays() {
    let file = File::new(&configured("always_off", "rust_log: info"));
    let builder = Telemetry::builder().with_env([("", "")]).with_config_file(file.path()).with_stdout(false);
    let telemetry = builder.with_sampler(Sampler::AlwaysOff).with_log_filter("info").build().unwrap();
    file.write(&configured("always_on", "rust_log: debug"));
    assert!(telemetry.reload().unwrap().changed.is_empty());
    assert_eq!((sampled(&telemetry), filter(&telemetry)), (false, "info".to_owned()));
}

#[test]
fn a_file_that_is_watched_is_read_when_it_changes() {
    let file = File::new(&configured("always_off", "rust_log: info"));
    let telemetry = start(&file, &[("TRACEWELL_CONFIG_RELOAD_MS", "5")]);
    file.write(&configured("always_on", "rust_log: debug"));
    eventually("the filter changes", || filter(&telemetry) == "debug");
    eventually("the sampler changes", || sampled(&telemetry));
    file.write(&configured("nonsense", "rust_log: trace"));
    file.write(&configured("always_off", "rust_log: warn"));
    eventually("a later file is read", || filter(&telemetry) == "warn" && !sampled(&telemetry));
}

/// The only one in this process that listens.
#[cfg(unix)]
#[test]
fn the_signal_reloads() {
    let file = File::new(&configured("always_off", "rust_log: info"));
    let telemetry = start(&file, &[("TRACEWELL_CONFIG_RELOAD_SIGHUP", "true")]);
    file.write(&configured("always_on", "rust_log: debug"));
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
    eventually("the filter changes", || filter(&telemetry) == "debug" && sampled(&telemetry));
}
