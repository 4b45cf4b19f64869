//! Telemetry does not feed itself: with every crate at TRACE and every exporter at work, an idle service sends metrics
//! and nothing else.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/delivery.rs"]
mod support;

use std::time::{Duration, Instant};

use tracewell::{
    Telemetry,
    testing::{Collector, Signal},
};

use support::{PATIENCE, PROTOCOLS, child, given};

#[test]
fn an_idle_service_sends_nothing_but_metrics() {
    for protocol in PROTOCOLS {
        for filter in ["trace", "trace,nothing[span]=trace"] {
            let collector = Collector::start();
            // a name, so that it is resolved: another thread's work
            let endpoint = collector.endpoint().replace("127.0.0.1", "localhost");
            let variables = [
                ("FEEDBACK_ENDPOINT", &*endpoint),
                ("FEEDBACK_PROTOCOL", protocol),
                ("FEEDBACK_FILTER", filter),
            ];
            child("child_that_is_idle", &variables);
            let foreign =
                ["hyper", "h2", "tonic", "rustls", "tower", "opentelemetry", "tokio_util", "want", "mio"];
            for log in collector.logs() {
                let target = log.scope.name.clone();
                assert!(!foreign.iter().any(|name| target.starts_with(name)), "{protocol}: from {target}");
            }
            let lines = collector.logs().len();
            assert_eq!(lines, 2, "{protocol}: what the service itself did, at TRACE as well");
            assert_eq!(collector.accepted_items(Signal::Traces), 1, "{protocol}");
        }
    }
}

#[test]
#[ignore = "a child of another test"]
fn child_that_is_idle() {
    let Some(endpoint) = given("FEEDBACK_ENDPOINT") else { return };
    let variables = [
        ("RUST_LOG", &*given("FEEDBACK_FILTER").unwrap()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "50"),
        ("OTEL_TRACES_EXPORTER", "otlp,console"),
        ("OTEL_METRICS_EXPORTER", "otlp,console"),
        ("OTEL_LOGS_EXPORTER", "otlp,console"),
        ("TRACEWELL_ADMIN_ADDR", "127.0.0.1:0"),
    ];
    let telemetry =
        support::builder(&endpoint, &given("FEEDBACK_PROTOCOL").unwrap(), &variables).install().unwrap();
    let counter = opentelemetry::global::meter("idle").u64_counter("work").build();
    {
        let _span = tracing::info_span!("work").entered();
        counter.add(1, &[]);
        tracing::trace!("at work");
        log::trace!("through the log crate");
    }
    let exports = |signal: Signal| {
        telemetry.status().into_iter().find(|report| report.signal == signal).unwrap().account.exported
    };
    wait_until(&telemetry, || {
        exports(Signal::Traces) == 1 && exports(Signal::Logs) == 2 && exports(Signal::Metrics) > 0
    });
    // several intervals of metrics, each of them a chance to feed itself
    let before = exports(Signal::Metrics);
    wait_until(&telemetry, || exports(Signal::Metrics) >= before + 10);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = runtime.block_on(telemetry.shutdown()).unwrap();
    let [traces, _, logs] = &report.signals;
    assert_eq!((traces.account.emitted, logs.account.emitted), (1, 2), "{report:?}");
}

fn wait_until(telemetry: &Telemetry, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{:?}", telemetry.status());
        std::thread::sleep(Duration::from_millis(5));
    }
}
