//! End to end through a real Collector, Jaeger, Loki and Prometheus.
//!
//! `tests/backends/build` makes the programs. Without them the trials are ignored; with `TRACEWELL_REQUIRE_BACKENDS=1` that
//! is a failure. An own harness, because the built-in one cannot ignore a test at run time.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed helper fails its trial; the harness reports"
)]

mod common {
    pub(crate) mod backends;
    pub(crate) mod killed;
    pub(crate) mod sampled;
    pub(crate) mod storefront;
}

use std::{
    fs,
    net::TcpListener,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::Duration,
};

use libtest_mimic::{Arguments, Trial};
use opentelemetry::trace::{Tracer as _, TracerProvider as _};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use rustix::process::test_kill_process;
use tracewell::{SignalState, Telemetry, config::Signal};

use self::common::{
    backends::{
        Backends, Ports, Received, config_dir, require_or_skip, run,
        sample::{DURATION, Sample},
        wait_until,
    },
    killed, sampled,
    storefront::Storefront,
};

/// How long an answer of a program of the test may take.
const ANSWER: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let ignored = !require_or_skip("end_to_end_backends");
    let backends = Arc::new(Shared::default());
    let shared = |name: &str, test: fn(&Backends)| {
        let backends = Arc::clone(&backends);
        trial(name, move || test(backends.get()))
    };
    let trials = vec![
        shared("one_trace_id_leads_from_exemplar_to_trace_to_log_line", one_trace_id),
        shared("both_endpoints_of_the_collector_take_otlp", both_endpoints),
        shared("the_queries_for_grafana_answer", grafana_queries),
        shared("a_request_to_storefront_is_one_trace_id_everywhere_over_grpc", |backends| {
            storefront(backends, "grpc", &backends.otlp_grpc_endpoint());
        }),
        shared("a_request_to_storefront_is_one_trace_id_everywhere_over_http_protobuf", |backends| {
            storefront(backends, "http/protobuf", &backends.otlp_http_endpoint());
        }),
        shared("a_request_to_storefront_is_one_trace_id_everywhere_over_http_json", |backends| {
            storefront(backends, "http/json", &backends.otlp_http_endpoint());
        }),
        trial(
            "prometheus_scrapes_every_page_with_its_exemplars",
            common::backends::scraping::prometheus_scrapes_every_page,
        ),
        trial("a_killed_collector_comes_back_on_the_same_ports", collector_restart),
        trial("what_was_emitted_while_the_collector_was_away_arrives_to_the_unit_over_grpc", || {
            collector_away("grpc", Backends::otlp_grpc_endpoint);
        }),
        trial("what_was_emitted_while_the_collector_was_away_arrives_to_the_unit_over_http", || {
            collector_away("http/protobuf", Backends::otlp_http_endpoint);
        }),
        trial("a_collector_killed_and_stopped_twenty_times_under_load_over_grpc", || {
            killed::twenty_times("grpc", Backends::otlp_grpc_endpoint);
        }),
        trial("a_collector_killed_and_stopped_twenty_times_under_load_over_http", || {
            killed::twenty_times("http/protobuf", Backends::otlp_http_endpoint);
        }),
        trial("the_collector_counts_what_sampled_spans_stand_for", sampled::counted),
        trial("a_port_that_is_taken_meanwhile_is_replaced", port_taken),
        trial("a_panicking_test_leaves_no_process_behind", no_process_left),
        trial("the_programs_accept_their_files", files_accepted),
    ];
    let trials = trials.into_iter().map(|trial| trial.with_ignored_flag(ignored)).collect();
    // the last reference to the shared backends is dropped here: they stop before the process ends
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// Started by the first trial that needs it; a filtered run that needs none starts nothing.
#[derive(Default)]
struct Shared(OnceLock<Result<Backends, String>>);

impl Shared {
    fn get(&self) -> &Backends {
        self.0.get_or_init(Backends::start).as_ref().unwrap_or_else(|error| panic!("{error}"))
    }
}

/// As `unwrap`, with the lines of a log as lines.
fn started<T>(result: Result<T, String>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn send(backends: &Backends) -> Sample {
    let sample = Sample::new();
    backends.send_json("traces", &sample.traces).unwrap();
    backends.send_json("logs", &sample.logs).unwrap();
    backends.send_json("metrics", &sample.metrics).unwrap();
    sample
}

/// An order in the example shop, found by its trace id in all three backends; and every exemplar leads to a trace.
fn storefront(backends: &Backends, protocol: &str, endpoint: &str) {
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)];
    let mut shop = Storefront::start(&protocol.replace('/', "-"), &variables);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let trace_id = runtime.block_on(order_and_browse(&shop.shop));

    // the order, the call to payments, payments' side of it
    let trace = backends.wait_jaeger_trace(&trace_id, 3);
    let names: Vec<_> =
        trace["spans"].as_array().unwrap().iter().map(|span| &span["operationName"]).collect();
    assert!(names.iter().any(|name| *name == "POST /orders"), "{names:?}");
    let lines = backends.wait_loki_lines("storefront", &trace_id, 1);
    assert!(lines.iter().all(|line| line.metadata["trace_id"] == trace_id), "{lines:?}");

    let selector =
        "http_server_request_duration_seconds_bucket{service_name=\"storefront\",http_route=\"/orders\"}";
    backends
        .wait_prometheus_exemplars(selector, |found| found.iter().any(|found| found.trace_id == trace_id));
    // a counter that a plain `opentelemetry::global::meter` made has them too
    let logins = backends
        .wait_prometheus_exemplars("logins_total{service_name=\"storefront\"}", |found| !found.is_empty());
    let selector = "{__name__=~\".+\",service_name=\"storefront\"}";
    let all = backends.wait_prometheus_exemplars(selector, |found| found.len() >= logins.len());
    for exemplar in &all {
        backends.wait_jaeger_trace(&exemplar.trace_id, 1);
    }

    let status = shop.terminate();
    assert!(status.success(), "{status}: {}", shop.said());
    assert!(!shop.said().contains("lost"), "{}", shop.said());
}

/// The trace id of the order.
async fn order_and_browse(shop: &str) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for product in 1..=5 {
        client.get(format!("{shop}/products/{product}")).send().await.unwrap().error_for_status().unwrap();
    }
    let login = client.post(format!("{shop}/login")).json(&serde_json::json!({ "user": "a" }));
    login.send().await.unwrap().error_for_status().unwrap();
    let order = serde_json::json!({ "product": 1, "quantity": 2 });
    let answer = client.post(format!("{shop}/orders")).json(&order).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let traceparent = answer.headers()["traceparent"].to_str().unwrap();
    traceparent.split('-').nth(1).unwrap().to_owned()
}

fn one_trace_id(backends: &Backends) {
    let sample = send(backends);

    let selector =
        format!("http_server_request_duration_seconds_bucket{{service_name=\"{}\"}}", sample.service);
    let exemplars = backends.wait_prometheus_exemplars(&selector, |found| !found.is_empty());
    assert_eq!(exemplars.len(), 1, "{exemplars:?}");
    let exemplar = &exemplars[0];
    assert_eq!((exemplar.series["le"].as_str(), exemplar.value), ("0.05", DURATION));
    assert_eq!(exemplar.series["job"], format!("shop/{}", sample.service));
    assert_eq!(
        (&exemplar.labels["span_id"], &exemplar.labels["order.id"]),
        (&sample.span_id, &"42".to_owned())
    );
    assert_eq!(exemplar.trace_id, sample.trace_id);

    // from here on only with the id that the exemplar gave
    let trace = backends.wait_jaeger_trace(&exemplar.trace_id, 2);
    let spans = trace["spans"].as_array().unwrap();
    let child = spans.iter().find(|span| span["operationName"] == "SELECT orders").unwrap();
    assert_eq!(child["references"][0]["spanID"], *sample.span_id);
    assert_eq!(trace["processes"]["p1"]["serviceName"], *sample.service);

    let lines = backends.wait_loki_lines(&sample.service, &exemplar.trace_id, 1);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!((lines[0].line.as_str(), lines[0].metadata["order_id"].as_str()), ("order loaded", "42"));
    assert_eq!(lines[0].metadata["span_id"], sample.span_id);
    assert!(lines[0].metadata.contains_key("service_instance_id"), "an index label: {:?}", lines[0].labels);

    let count = format!("http_server_request_duration_seconds_count{{service_name=\"{}\"}}", sample.service);
    let counts = backends.wait_prometheus_query(&count, |found| !found.is_empty());
    assert_eq!(
        (counts.len(), counts[0].value, counts[0].labels["http_route"].as_str()),
        (1, 1.0, "/orders/{id}")
    );

    // the queries do tell traces apart
    let other = Sample::new();
    assert!(backends.jaeger_trace(&other.trace_id).is_none());
    assert!(backends.loki_lines(&sample.service, &other.trace_id).is_empty());
    assert!(backends.prometheus_exemplars(&selector.replace(&sample.service, &other.service)).is_empty());
}

fn both_endpoints(backends: &Backends) {
    let over_http = send(backends);
    let over_grpc = Sample::new();
    let message: ExportTraceServiceRequest = serde_json::from_value(over_grpc.traces.clone()).unwrap();
    backends.send_grpc("trace.v1.TraceService", &message.encode_to_vec()).unwrap();

    let received = backends.wait_received("two traces, a log record and a metric", |received| {
        spans_of(received, &over_http) == 2
            && spans_of(received, &over_grpc) == 2
            && received.log_records().iter().any(|record| record["traceId"] == *over_http.trace_id)
            && received.metrics().iter().any(|metric| metric.to_string().contains(&over_http.trace_id))
    });
    assert_eq!(spans_of(&received, &Sample::new()), 0);
    // what came by gRPC goes on like the rest
    backends.wait_jaeger_trace(&over_grpc.trace_id, 2);
}

fn spans_of(received: &Received, sample: &Sample) -> usize {
    received.spans().iter().filter(|span| span["traceId"] == *sample.trace_id).count()
}

/// Every query in the data sources, with Grafana's variables filled in as Grafana would.
fn grafana_queries(backends: &Backends) {
    let sample = Sample::new();
    backends.send_json("metrics", &sample.metrics_before()).unwrap();
    backends.send_json("metrics", &sample.metrics).unwrap();
    backends.send_json("logs", &sample.logs).unwrap();
    backends.wait_loki_lines(&sample.service, &sample.trace_id, 1);

    let file =
        fs::read_to_string(config_dir().join("grafana/provisioning/datasources/tracewell.yaml")).unwrap();
    let quoted =
        |line: &str| Some(line.trim().strip_prefix("query: '")?.strip_suffix('\'')?.replace("$$", "$"));
    let tags = format!("service_name=\"{}\"", sample.service);
    let (mut logs, mut metrics) = (0, 0);
    for query in file.lines().filter_map(quoted) {
        let query = query.replace("${__tags}", &tags).replace("$__tags", &tags);
        if query.contains("${__trace.traceId}") {
            let lines = backends.loki_query(&query.replace("${__trace.traceId}", &sample.trace_id)).unwrap();
            assert_eq!(lines.len(), 1, "{query} found {lines:?}");
            logs += 1;
        } else {
            let found = backends.wait_prometheus_query(&query, |found| !found.is_empty());
            assert!(found.len() == 1 && found[0].value > 0.0, "{query} found {found:?}");
            metrics += 1;
        }
    }
    assert_eq!((logs, metrics), (1, 2));
}

fn collector_restart() {
    let backends = started(Backends::collector_only());
    let before = send(&backends);
    backends.wait_received("the trace before the kill", |received| spans_of(received, &before) == 2);

    backends.kill_collector();
    let lost = Sample::new();
    backends.send_json("traces", &lost.traces).unwrap_err();

    started(backends.restart_collector());
    let after = send(&backends);
    let received =
        backends.wait_received("the trace after the restart", |received| spans_of(received, &after) == 2);
    assert_eq!((spans_of(&received, &before), spans_of(&received, &lost)), (2, 0));
}

/// The queues hold what the Collector is not there to take, and every item arrives once when it is back. Twice: the
/// second time the file of what arrived has a past that ended in a kill.
fn collector_away(protocol: &str, endpoint: fn(&Backends) -> String) {
    const SPANS: u64 = 1500;
    let backends = started(Backends::collector_only());
    let endpoint = endpoint(&backends);
    for before in [0, SPANS] {
        backends.kill_collector();
        assert_eq!(backends.received().spans().len() as u64, before);
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
            ("OTEL_METRICS_EXPORTER", "none"),
        ];
        let telemetry = Telemetry::builder().with_env(variables).with_stdout(false).build().unwrap();
        let tracer = telemetry.tracer_provider().tracer("away");
        (0..SPANS).for_each(|_| drop(tracer.start("work")));
        let traces =
            || telemetry.status().into_iter().find(|report| report.signal == Signal::Traces).unwrap();
        wait_until(ANSWER, || (traces().state == SignalState::Down).then_some(())).unwrap();
        assert_eq!((traces().account.queued, traces().account.exported), (SPANS, 0));

        started(backends.restart_collector());
        wait_until(ANSWER, || (traces().account.queued == 0).then_some(())).unwrap();
        let account = traces().account;
        assert_eq!((account.emitted, account.exported), (SPANS, SPANS), "{account:?}");
        let what = format!("{SPANS} spans over {protocol}");
        let received =
            backends.wait_received(&what, |received| received.spans().len() as u64 >= before + SPANS);
        assert_eq!(received.spans().len() as u64, before + SPANS);
    }
}

fn port_taken() {
    let mut taken = Vec::new();
    let backends = Backends::collector_only_on(|| {
        let ports = Ports::free()?;
        if taken.is_empty() {
            taken.push(TcpListener::bind(("127.0.0.1", ports.otlp_http))?);
        }
        Ok(ports)
    });
    let backends = started(backends);
    let sample = send(&backends);
    backends.wait_received("the trace", |received| spans_of(received, &sample) == 2);
}

fn no_process_left() {
    let mut ids = Vec::new();
    let panicked = panic::catch_unwind(AssertUnwindSafe(|| {
        let backends = started(Backends::collector_only());
        ids = backends.process_ids();
        assert!(ids.iter().all(|id| test_kill_process(*id).is_ok()));
        panic::resume_unwind(Box::new("the test fails")); // as a panic, without its message
    }));
    panicked.unwrap_err();
    assert!(!ids.is_empty() && ids.iter().all(|id| test_kill_process(*id).is_err()), "{ids:?}");
}

/// Prometheus has no such check of its own: that it starts with its file shows as much.
fn files_accepted() {
    let dir = config_dir();
    let mut overlays = Vec::new();
    for entry in fs::read_dir(&dir).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with("otelcol-") {
            overlays.push(vec!["otelcol.yaml".to_owned(), name]);
        }
    }
    assert!(overlays.len() >= 2, "{overlays:?}");
    overlays.push(vec!["otelcol.yaml".to_owned()]);
    for files in overlays {
        let paths =
            files.iter().flat_map(|file| ["--config".to_owned(), dir.join(file).display().to_string()]);
        started(run("otelcol", ["validate".to_owned()].into_iter().chain(paths).collect()));
    }
    let jaeger = dir.join("jaeger.yaml").display().to_string();
    started(run("jaeger", vec!["validate".to_owned(), "--config".to_owned(), jaeger]));
    let loki = format!("-config.file={}", dir.join("loki.yaml").display());
    started(run("loki", vec![loki, "-config.expand-env=true".to_owned(), "-verify-config".to_owned()]));
}
