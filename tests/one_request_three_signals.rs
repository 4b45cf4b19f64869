//! The central promise: a request's span, its exemplars and its log lines carry one trace id, over every OTLP transport,
//! and a line on stdout carries the ids of its OTLP record.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    process::{Command, Stdio},
    time::Duration,
};

use axum::{Router, body::Body, extract::Path, extract::State, routing::get};
use http::Request;
use opentelemetry::{
    InstrumentationScope, KeyValue,
    metrics::{Counter, Histogram},
};
use tower::ServiceExt as _;
use tracewell::{
    Telemetry, requests,
    testing::{
        Collector, ExemplarRecord, LogRecord, MetricRecord, Signal, SpanRecord,
        proto::metrics::v1::metric::Data,
    },
};
use tracing::{Dispatch, Instrument as _, dispatcher::DefaultGuard};
use tracing_subscriber::layer::SubscriberExt as _;

const LONG: Duration = Duration::from_secs(30);
const REQUESTS: u64 = 24;
const REMOTE_SPAN: &str = "00f067aa0ba902b7";

fn remote_trace(n: u64) -> String {
    format!("{n:032x}")
}

/// Every third request comes alone; the others continue a trace, half of those inside of an unrelated span.
fn is_remote(n: u64) -> bool {
    n % 3 != 0
}

#[derive(Clone)]
struct Instruments {
    logins: Counter<u64>,
    cost: Histogram<f64>,
}

async fn user(State(instruments): State<Instruments>, Path(n): Path<u64>) -> &'static str {
    instruments.logins.add(1, &[KeyValue::new("kind", if n % 2 == 0 { "password" } else { "key" })]);
    tracing::debug!(n, "detail");
    tracing::info!(n, "loaded");
    let select = tracing::info_span!("select", n);
    tracing::warn!(parent: &select, n, "in select");
    select.in_scope(|| instruments.cost.record(10.0 * (REQUESTS - n) as f64, &[]));
    let task = async move { tracing::info_span!("job", n).in_scope(|| tracing::error!(n, "in job")) };
    let (task, bare) = (requests::spawn(task), requests::spawn(async move { tracing::info!(n, "in task") }));
    task.await.unwrap();
    bare.await.unwrap();
    requests::spawn_blocking(move || tracing::info!(n, "blocking")).await.unwrap();
    "a user"
}

fn app(telemetry: &Telemetry, meter: &opentelemetry::metrics::Meter) -> Router {
    let instruments = Instruments {
        logins: meter.u64_counter("logins").build(),
        cost: meter.f64_histogram("cost").with_boundaries(vec![50.0, 100.0, 150.0]).build(),
    };
    Router::new().route("/users/{n}", get(user)).layer(telemetry.server_layer()).with_state(instruments)
}

/// A runtime whose threads all have this subscriber, as a program with a subscriber of its own may have.
fn runtime(dispatch: &Dispatch) -> tokio::runtime::Runtime {
    thread_local!(static GUARD: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) });
    let dispatch = dispatch.clone();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_all()
        .on_thread_start(move || GUARD.set(Some(tracing::dispatcher::set_default(&dispatch))))
        .on_thread_stop(|| GUARD.set(None))
        .build()
        .unwrap()
}

async fn serve(app: Router, n: u64) {
    let mut request = Request::get(format!("/users/{n}"));
    if is_remote(n) {
        request = request.header("traceparent", format!("00-{}-{REMOTE_SPAN}-01", remote_trace(n)));
    }
    let ambient = if n % 3 == 2 { tracing::info_span!("ambient") } else { tracing::Span::none() };
    let response = app.oneshot(request.body(Body::empty()).unwrap()).instrument(ambient).await.unwrap();
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    assert_eq!(&body[..], b"a user");
}

/// Serves all requests at once, shuts down, and has lost nothing.
fn observe(protocol: &str) -> Collector {
    let collector = Collector::start();
    let telemetry = Telemetry::builder()
        .with_env([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
            ("OTEL_SERVICE_NAME", "three-signals".to_owned()),
            ("RUST_LOG", "debug".to_owned()),
        ])
        .with_stdout(false)
        .build()
        .unwrap();
    let dispatch = Dispatch::new(tracing_subscriber::Registry::default().with(telemetry.layers()));
    let meters = telemetry.meter_provider();
    let scope = InstrumentationScope::builder("custom").build();
    let app = app(&telemetry, &opentelemetry::metrics::MeterProvider::meter_with_scope(&meters, scope));
    let runtime = runtime(&dispatch);
    runtime.block_on(async {
        let all = (0..REQUESTS).map(|n| tokio::spawn(serve(app.clone(), n))).collect::<Vec<_>>();
        for one in all {
            one.await.unwrap();
        }
        let report = telemetry.shutdown_within(LONG).await.unwrap();
        assert!(report.is_complete(), "{report:?}");
    });
    collector
}

/// The server span of each request, by its number.
fn servers(spans: &[SpanRecord]) -> HashMap<i64, &SpanRecord> {
    let number = |span: &SpanRecord| span.attribute("url.path")?.strip_prefix("/users/")?.parse().ok();
    spans.iter().filter_map(|span| Some((number(span)?, span))).collect()
}

/// The field `n` of a child span.
fn number(span: &SpanRecord) -> Option<i64> {
    span.attribute("n")?.parse().ok()
}

fn assert_traces(spans: &[SpanRecord]) {
    let servers = servers(spans);
    assert_eq!(servers.len() as u64, REQUESTS);
    for n in 0..REQUESTS {
        let server = servers[&(n as i64)];
        if is_remote(n) {
            let ids = (server.trace_id(), server.parent_span_id());
            assert_eq!(ids, (remote_trace(n), REMOTE_SPAN.to_owned()), "request {n}");
        } else {
            assert_eq!(server.parent_span_id(), "", "request {n}");
        }
        for child in ["select", "job"] {
            let is_child = |span: &&SpanRecord| span.name() == child && number(span) == Some(n as i64);
            let child = spans.iter().find(is_child).unwrap();
            assert_eq!(child.parent_span_id(), server.span_id(), "request {n}");
        }
    }
}

/// Every line has its request's trace id, and the id of the span it belongs to.
fn assert_logs(spans: &[SpanRecord], logs: &[LogRecord]) {
    let servers = servers(spans);
    let mut seen = HashMap::new();
    for log in logs.iter().filter(|log| log.attributes().i64("n").is_some()) {
        let n = log.attributes().i64("n").unwrap();
        let own = |name: &str| {
            let own = |span: &&SpanRecord| span.name() == name && number(span) == Some(n);
            spans.iter().find(own).unwrap().span_id()
        };
        let (level, span) = match &*log.body() {
            "detail" => ("DEBUG", servers[&n].span_id()),
            "in select" => ("WARN", own("select")),
            "in job" => ("ERROR", own("job")),
            "loaded" | "in task" | "blocking" => ("INFO", servers[&n].span_id()),
            other => panic!("unexpected line {other:?}"),
        };
        assert_eq!(log.trace_id(), servers[&n].trace_id(), "{n} {}", log.body());
        assert_eq!(log.span_id(), span, "{n} {}", log.body());
        assert_eq!(log.severity(), level);
        *seen.entry(n).or_insert(0) += 1;
    }
    assert_eq!(seen, (0..REQUESTS).map(|n| (n as i64, 6)).collect::<HashMap<_, _>>());
}

/// Every exemplar of every metric names a span that was sent.
fn assert_exemplars(spans: &[SpanRecord], metrics: &[MetricRecord]) {
    let sent: HashSet<_> = spans.iter().map(|span| (span.trace_id(), span.span_id())).collect();
    let mut with_exemplars = HashSet::new();
    for metric in metrics {
        let exemplars = metric.exemplars();
        for exemplar in &exemplars {
            let ids = (exemplar.trace_id(), exemplar.span_id());
            assert!(sent.contains(&ids), "{} names {ids:?}, which was never sent", metric.name());
            with_exemplars.insert(metric.name().to_owned());
        }
        for pair in exemplars.windows(2).filter(|pair| pair[0].point == pair[1].point) {
            assert!(pair[0].value() <= pair[1].value(), "{}", metric.name());
        }
    }
    let expected = [
        "cost",
        "http.server.request.duration",
        "http.server.response.body.size",
        "logins",
        "tracewell.http.server.time_to_first_byte",
    ];
    let mut names: Vec<_> = with_exemplars.iter().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, expected);
}

/// The request's own metrics, and the program's in the span where it measured.
fn assert_where(spans: &[SpanRecord], collector: &Collector) {
    let name_of = |exemplar: &ExemplarRecord| {
        spans.iter().find(|span| span.span_id() == exemplar.span_id()).unwrap().name().to_owned()
    };
    let names = |metric| -> HashSet<_> { collector.exemplars(metric).iter().map(name_of).collect() };
    assert_eq!(names("http.server.request.duration"), HashSet::from(["GET /users/{n}".to_owned()]));
    assert_eq!(names("logins"), HashSet::from(["GET /users/{n}".to_owned()]));
    assert_eq!(names("cost"), HashSet::from(["select".to_owned()]));
    assert_eq!(collector.exemplars("logins").len(), 2, "one per series");
    assert_eq!(collector.exemplars("cost").len(), 4, "one per bucket");
    let durations = collector.metrics();
    let duration = durations.iter().find(|metric| metric.name() == "http.server.request.duration").unwrap();
    let Some(Data::Histogram(histogram)) = &duration.metric.data else { panic!("no histogram") };
    assert_eq!(histogram.data_points.iter().map(|point| point.count).sum::<u64>(), REQUESTS);
}

fn three_signals_agree(protocol: &str) {
    let collector = observe(protocol);
    let (spans, logs, metrics) = (collector.spans(), collector.logs(), collector.metrics());
    assert_traces(&spans);
    assert_logs(&spans, &logs);
    assert_exemplars(&spans, &metrics);
    assert_where(&spans, &collector);
    let resources = spans.iter().map(SpanRecord::resource).chain(logs.iter().map(LogRecord::resource));
    for resource in resources.chain(metrics.iter().map(MetricRecord::resource)) {
        assert_eq!(resource.str("service.name"), Some("three-signals"));
    }
}

#[test]
fn the_signals_of_a_request_agree_over_grpc() {
    three_signals_agree("grpc");
}

#[test]
fn the_signals_of_a_request_agree_over_http_protobuf() {
    three_signals_agree("http/protobuf");
}

#[test]
fn the_signals_of_a_request_agree_over_http_json() {
    three_signals_agree("http/json");
}

/// The child of the next test: a service that writes lines on stdout.
#[test]
#[ignore = "it is a process of the test below"]
fn a_service_that_writes_lines() {
    let Ok(_) = std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT") else { return };
    let telemetry = tracewell::init().unwrap();
    let app = app(&telemetry, &opentelemetry::global::meter("custom"));
    tracing::info!(n = 100, ratio = 0.5, ok = true, text = "a \"quoted\"\nline", "outside");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        serve(app, 1).await;
        telemetry.shutdown_within(LONG).await.unwrap();
    });
}

#[test]
fn a_line_on_stdout_says_the_same_as_its_otlp_record() {
    let collector = Collector::start();
    // in a process of its own: stdout belongs to the process
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_service_that_writes_lines", "--ignored", "--nocapture"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .env("RUST_LOG", "debug")
        .env("TRACEWELL_LOG_FORMAT", "json")
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(child.status.success());
    let stdout = String::from_utf8(child.stdout).unwrap();
    let lines: Vec<serde_json::Value> = stdout
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| !line["attributes"]["n"].is_null())
        .collect();
    assert_eq!(lines.len(), 7, "{stdout}");
    assert_eq!(collector.rejected_items(Signal::Logs), 0);
    let records = collector.logs();
    for line in &lines {
        let record = records.iter().find(|record| *record.body() == line["message"]).unwrap();
        assert_same(line, record);
    }
    let outside = lines.iter().find(|line| line["message"] == "outside").unwrap();
    let typed = serde_json::json!({"n": 100, "ratio": 0.5, "ok": true, "text": "a \"quoted\"\nline"});
    assert_eq!(outside["attributes"], typed);
    assert!(outside.get("trace_id").is_none() && outside.get("request").is_none());
}

fn assert_same(line: &serde_json::Value, record: &LogRecord) {
    assert_eq!(line["trace_id"].as_str().unwrap_or(""), record.trace_id());
    assert_eq!(line["span_id"].as_str().unwrap_or(""), record.span_id());
    assert_eq!(line["level"], record.severity());
    assert_eq!(line["target"], record.scope.name);
    assert_eq!(line["attributes"]["n"], record.attributes().i64("n").unwrap());
    let keys: HashSet<_> = line["attributes"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, record.attributes().keys().collect());
    // µs of the same reading of the clock
    let micros = record.record.time_unix_nano / 1000 % 1_000_000;
    let time = line["timestamp"].as_str().unwrap();
    assert!(time.ends_with(&format!(".{micros:06}Z")), "{time} is not {micros} µs");
    if record.trace_id() == remote_trace(1) {
        assert_eq!(line["trace_flags"], "01");
        assert_eq!(line["request"]["route"], "/users/{n}");
        assert_eq!(line["request"]["method"], "GET");
    } else {
        assert_eq!(line["message"], "outside");
    }
}
