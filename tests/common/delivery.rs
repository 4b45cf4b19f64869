//! What the tests of delivery share: telemetry that touches no global, something to send, and what was said on stderr.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use axum::{Router, routing::get};
use tower::ServiceExt as _;
use tracewell::{
    Telemetry,
    requests::Registry,
    testing::{Collector, Signal},
};
use tracing_subscriber::layer::SubscriberExt as _;

pub(crate) const SIGNALS: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];
pub(crate) const PROTOCOLS: [&str; 3] = ["grpc", "http/protobuf", "http/json"];

/// Far longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Telemetry with short intervals and a subscriber of its own.
pub(crate) struct Service {
    pub(crate) telemetry: Telemetry,
    pub(crate) dispatch: tracing::Dispatch,
}

impl Service {
    pub(crate) fn start(endpoint: &str, protocol: &str, variables: &[(&str, &str)]) -> Self {
        let telemetry = builder(endpoint, protocol, variables).build().unwrap();
        let subscriber = tracing_subscriber::Registry::default().with(telemetry.layers());
        Self { dispatch: tracing::Dispatch::new(subscriber), telemetry }
    }

    pub(crate) fn of(collector: &Collector, protocol: &str) -> Self {
        Self::start(&collector.endpoint(), protocol, &[])
    }

    /// So many spans and as many log records.
    pub(crate) fn emit(&self, items: usize) {
        tracing::dispatcher::with_default(&self.dispatch, || emit(items));
    }

    /// One request: a span, a log record and points of metrics.
    pub(crate) fn request(&self) {
        let dispatch = self.dispatch.clone();
        handle(self.telemetry.server_layer(), dispatch);
    }

    /// Points of metrics, without a span or a log record that would be counted.
    pub(crate) fn request_without_span(&self) {
        handle(self.telemetry.server_layer(), tracing::Dispatch::none());
    }

    /// A signal's report, which must add up.
    pub(crate) fn report(&self, signal: Signal) -> tracewell::SignalReport {
        let report = self.telemetry.status().into_iter().find(|report| report.signal == signal).unwrap();
        assert_adds_up(&report);
        report
    }

    /// Blocks until a signal's report fulfils a condition.
    pub(crate) fn wait_until(
        &self,
        signal: Signal,
        what: &str,
        condition: impl Fn(&tracewell::SignalReport) -> bool,
    ) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(&self.report(signal)) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.report(signal));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// One request through a layer, on a thread of its own: the caller may be inside a runtime.
fn handle(layer: tracewell::http::ServerLayer, dispatch: tracing::Dispatch) {
    let request = move || {
        let _default = tracing::dispatcher::set_default(&dispatch);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let handler = get(|| async { tracing::info!("handled") });
            let request = http::Request::get("/").body(axum::body::Body::empty()).unwrap();
            let response = Router::new().route("/", handler).layer(layer).oneshot(request).await.unwrap();
            let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
            drop(body);
        });
    };
    std::thread::spawn(request).join().unwrap();
}

pub(crate) fn builder(endpoint: &str, protocol: &str, variables: &[(&str, &str)]) -> tracewell::Builder {
    let base = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_SERVICE_NAME", "delivery"),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "20"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
    ];
    // of two with one name the later one counts
    let all: std::collections::BTreeMap<_, _> = base.iter().chain(variables).copied().collect();
    Telemetry::builder().with_env(all).with_stdout(false).with_registry(Registry::new(16))
}

pub(crate) fn emit(items: usize) {
    for item in 0..items {
        let _span = tracing::info_span!("work", item).entered();
        tracing::info!(item, "done");
    }
}

pub(crate) fn assert_adds_up(report: &tracewell::SignalReport) {
    let account = &report.account;
    let sum = account.exported + account.dropped + account.failed + account.queued;
    assert_eq!(account.emitted, sum, "{report:?}");
    let reasons: u64 = account.losses().map(|(_, lost)| lost).sum();
    assert_eq!(reasons, account.dropped + account.failed, "{report:?}");
}

/// `exported ≤ accepted ≤ received ≤ exported + failed`.
pub(crate) fn assert_agrees(report: &tracewell::SignalReport, collector: &Collector) {
    let accepted = collector.accepted_items(report.signal);
    let account = &report.account;
    assert!(
        account.exported <= accepted && accepted <= account.exported + account.failed,
        "the collector took {accepted}: {report:?}"
    );
}

/// Runs one ignored test of this binary in a process of its own and returns what it wrote to stderr.
pub(crate) fn child(test: &str, variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("DELIVERY_CHILD", "1")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{test}: {stderr}\n{}", String::from_utf8_lossy(&output.stdout));
    stderr
}

/// A variable given to a child; `None` in a run of all tests, ignored ones included, where a child has nothing to do.
pub(crate) fn given(name: &str) -> Option<String> {
    std::env::var("DELIVERY_CHILD").ok()?;
    std::env::var(name).ok()
}
