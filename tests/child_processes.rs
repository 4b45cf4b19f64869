//! A child process goes on with its parent's trace, through its environment.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{io::Write as _, process::Command};

use opentelemetry::{Context, KeyValue, baggage::BaggageExt as _, trace::TraceContextExt as _};
use tracewell::{Telemetry, tasks};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// What makes this test play the child.
const ROLE: &str = "CHILD_PROCESSES_ROLE";
const THIS: &str = "the_parents_trace_goes_on_in_the_child";

#[tokio::test]
async fn the_parents_trace_goes_on_in_the_child() {
    let telemetry = Telemetry::builder()
        .with_env([
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_LOGS_EXPORTER", "none"),
        ])
        .with_stdout(false)
        .install()
        .unwrap();
    if std::env::var_os(ROLE).is_some() {
        child()
    } else {
        parent()
    }
    telemetry.shutdown().await.unwrap();
}

fn child() {
    let context = tasks::env_context();
    let tenant = context.baggage().get("tenant").map(ToString::to_string).unwrap_or_default();
    let state = context.span().span_context().trace_state().header();
    let remote = context.span().span_context().span_id();
    let _parent = context.attach();
    let job = tracing::info_span!("job").context().span().span_context().clone();
    let line = format!("trace={} parent={remote} tenant={tenant} state={state};\n", job.trace_id());
    // past libtest's capture
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

fn parent() {
    assert_eq!(
        said(&[]),
        format!("trace=? parent={:016} tenant= state=", 0),
        "nothing inherited, nothing made up"
    );
    let span = tracing::info_span!("work");
    let _entered = span.enter();
    let ids = span.context().span().span_context().clone();
    let _baggage = Context::current_with_baggage([KeyValue::new("tenant", "acme inc")]).attach();
    let expected = format!("trace={} parent={} tenant=acme inc state=", ids.trace_id(), ids.span_id());
    assert_eq!(said(&tasks::child_env()), expected);
    let names: Vec<_> = tasks::child_env().into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"TRACEPARENT".to_owned()) && names.contains(&"BAGGAGE".to_owned()), "{names:?}");
}

/// What a child with these variables says; `?` for the id of a trace of its own.
fn said(variables: &[(String, String)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", THIS, "--nocapture"])
        .env(ROLE, "child")
        .env_remove("TRACEPARENT")
        .envs(variables.iter().cloned())
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let start = output.find("trace=").unwrap_or_else(|| panic!("{output}"));
    let line = output[start..].split_once(';').unwrap().0;
    if variables.is_empty() { format!("trace=?{}", &line["trace=".len() + 32..]) } else { line.to_owned() }
}
