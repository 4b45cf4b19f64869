//! `install()`: the line that says which sampler is in use, and spans of whoever knows only the global provider.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use opentelemetry::{
    Context,
    trace::{Span as _, TraceContextExt as _, Tracer as _},
};
use tracewell::{Telemetry, testing::Collector};

const CHILD: &str = "SAMPLING_CHILD";

/// What this test says on stderr in a process of its own, from the word on.
fn child(variables: &[(&str, &str)]) -> Vec<String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_is_installed", "--ignored", "--nocapture"])
        .env(CHILD, "1")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    text.lines()
        .filter_map(|line| line.split_once(" INFO tracewell: "))
        .map(|(_, said)| said.to_owned())
        .collect()
}

#[test]
fn one_line_says_which_sampler_is_in_use_where_it_was_chosen() {
    assert!(child(&[]).is_empty());
    let rules = [
        ("TRACEWELL_SAMPLING_RULES", "drop path=/health,5/s header.x-debug"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.1"),
    ];
    let line = "sampler in use: parentbased_rules{drop path=/health, 5/s header.x-debug, 10%}";
    assert_eq!(child(&rules), [line]);
    assert!(child(&[rules[0], ("OTEL_SDK_DISABLED", "true")]).is_empty(), "nothing is sampled then");
    assert!(child(&[rules[0], ("OTEL_LOG_LEVEL", "warn")]).is_empty());
}

#[test]
#[ignore = "a child of another test"]
fn child_that_is_installed() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let collector = Collector::start();
    let pick = |name: &str| std::env::var(name).ok().map(|value| (name.to_owned(), value));
    let variables = [
        "TRACEWELL_SAMPLING_RULES",
        "OTEL_TRACES_SAMPLER",
        "OTEL_TRACES_SAMPLER_ARG",
        "OTEL_SDK_DISABLED",
        "OTEL_LOG_LEVEL",
    ];
    let given = variables.into_iter().filter_map(pick);
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), collector.endpoint());
    let telemetry = Telemetry::builder().with_env(given.chain([endpoint])).install().unwrap();
    if !telemetry.config().disabled {
        let tracer = opentelemetry::global::tracer("foreign");
        let root = tracer.start("root");
        assert_eq!(root.span_context().trace_flags().to_u8() & 2, 2, "its id is random, kept or not");
        let parent = Context::new().with_span(root);
        let child = tracer.start_with_context("child", &parent);
        assert_eq!(child.span_context().trace_flags(), parent.span().span_context().trace_flags());
        drop((child, parent));
    }
    telemetry.shutdown_blocking().unwrap();
    assert!(collector.spans().iter().all(|span| span.span.flags & 3 == 3));
}
