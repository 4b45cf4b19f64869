//! The example service from outside: its routes, what it says, and that its three signals agree to the request.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use reqwest::{Client, RequestBuilder, Response, StatusCode, Version};
use serde_json::{Value, json};
use tracewell::testing::{
    Collector, LogRecord, Signal, SpanRecord,
    proto::metrics::v1::{AggregationTemporality, metric::Data},
};

const PATIENCE: Duration = Duration::from_secs(10);
/// The span that the test's own requests say they come from.
const PARENT: &str = "00f067aa0ba902b7";
const DURATION: &str = "http.server.request.duration";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_keeps_its_contract_and_every_signal_tells_the_same() {
    let tour = Tour::start();
    catalogue(&tour).await;
    orders(&tour).await;
    logins(&tour).await;
    stages(&tour).await;
    streams(&tour).await;
    departures(&tour).await;
    panics(&tour).await;
    spawns(&tour).await;
    http2(&tour).await;

    let totals = tour.totals_at_rest().await;
    // failed: the payments that were refused as asked, 2 of one order and 4 of another
    let expected =
        json!({ "started": 31, "completed": 20, "failed": 6, "cancelled": 2, "panicked": 1, "aborted": 2 });
    let started = identity(&tour, &totals, &expected).await;
    let scraped = scraped_exemplars(&tour).await;
    terminated(tour, started, &scraped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_collector_it_says_so_once_per_signal_and_serves() {
    let collector = Collector::start();
    collector.refuse();
    let mut service = Service::start(
        &["--visitors", "2"],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()), ("TRACEWELL_SHUTDOWN_MS", "500")],
    );
    let client = Client::builder().no_proxy().build().unwrap();
    poll("visitors in the shop", async || {
        let page = json(&client, &format!("{}/debug/requests", service.admin)).await;
        (page["totals"]["started"].as_u64()? >= 4).then_some(())
    })
    .await;
    poll("every signal is down, and tried again", async || {
        let page = json(&client, &format!("{}/telemetry", service.admin)).await;
        let down = ["traces", "metrics", "logs"].iter().all(|signal| page[signal]["state"] == "down");
        (down && page["metrics"]["failed"].as_u64()? > 0).then_some(())
    })
    .await;
    let answer = client.get(format!("{}/products", service.shop)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);

    assert!(service.end("INT").success());
    let naming: Vec<String> = service.stderr.all(|line| line.contains(&collector.endpoint()));
    for signal in ["traces: ", "metrics: ", "logs: "] {
        let lines = naming.iter().filter(|line| line.contains(signal)).count();
        assert_eq!(lines, 1, "{signal}{naming:#?}");
    }
    assert_eq!(naming.len(), 3, "{naming:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_breaker_opens_and_lets_probes_pass_when_its_time_has_come() {
    let service = Service::start(
        &["--visitors", "0"],
        &[
            ("OTEL_SDK_DISABLED", "true"),
            ("STOREFRONT_BREAKER_OPEN_MS", "300"),
            ("STOREFRONT_BREAKER_MIN_CALLS", "4"),
        ],
    );
    let client = Client::builder().no_proxy().build().unwrap();
    let order = async |fail: &str| {
        let request = client.post(format!("{}/orders", service.shop)).body(r#"{"product":1,"quantity":1}"#);
        let answer = request.header("x-fail", fail).send().await.unwrap();
        let retries = answer.headers()["x-retry-count"].to_str().unwrap().to_owned();
        (answer.status(), retries)
    };
    assert_eq!(order("99").await, (StatusCode::ACCEPTED, "3".to_owned()));
    assert_eq!(order("0").await, (StatusCode::ACCEPTED, "0".to_owned()), "open: payments is not asked");
    poll("payments is asked again", async || (order("0").await.0 == StatusCode::CREATED).then_some(())).await;
    for _ in 0..3 {
        assert_eq!(order("0").await.0, StatusCode::CREATED, "closed again");
    }
}

#[test]
fn settings_that_cannot_be_used_are_named_with_what_is_accepted() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], i32, &'a [&'a str]);
    let cases: [Case<'_>; 8] = [
        (&["--visitors", "many"], &[], 2, &["--visitors", "\"many\"", "0 to 100"]),
        (&["--visitors=-1"], &[], 2, &["--visitors", "\"-1\"", "0 to 100"]),
        (&["--visitors"], &[], 2, &["--visitors", "0 to 100"]),
        (&["--verbose"], &[], 2, &["--verbose", "--visitors N"]),
        (&[], &[("STOREFRONT_ADDR", "localhost")], 2, &["STOREFRONT_ADDR", "localhost", "127.0.0.1:8080"]),
        (&[], &[("PAYMENTS_ADDR", "127.0.0.1:x")], 2, &["PAYMENTS_ADDR", "127.0.0.1:x", "port 0"]),
        (&["--visitors=0"], &[("PAYMENTS_ADDR", &taken)], 1, &["PAYMENTS_ADDR", &taken, "in use"]),
        (
            &["--visitors=0"],
            &[("TRACEWELL_ADMIN_ADDR", &taken)],
            1,
            &["TRACEWELL_ADMIN_ADDR", &taken, "in use"],
        ),
    ];
    for (arguments, variables, code, named) in cases {
        let output = command(arguments, variables).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(named.iter().all(|name| stderr.contains(name)), "{named:?} in {stderr}");
    }
}

// the tour: each step's request has a trace id made from the step's name

async fn catalogue(tour: &Tour) {
    let answer = tour.get("/products", "products").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let products: Vec<Value> = answer.json().await.unwrap();
    assert_eq!(products.iter().map(|product| &product["id"]).collect::<Vec<_>>(), Vec::from_iter(1..=20));
    let product: Value = tour.get("/products/7", "product").await.json().await.unwrap();
    assert_eq!(product["id"], 7);
    for (path, name) in [("/products/21", "product 21"), ("/products/abc", "product abc")] {
        let answer = tour.get(path, name).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        answer.bytes().await.unwrap();
    }
}

async fn orders(tour: &Tour) {
    let good = r#"{"product":1,"quantity":2}"#;
    for (name, fail, code, retries) in
        [("paid", "2", StatusCode::CREATED, "2"), ("deferred", "99", StatusCode::ACCEPTED, "3")]
    {
        let answer = tour.post("/orders", name, good).header("x-fail", fail).send().await.unwrap();
        assert_eq!(answer.status(), code);
        let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("x-retry-count"), Some(retries));
        assert!(header("traceparent").unwrap().starts_with(&format!("00-{}-", trace(name))));
        assert_eq!(header("x-fallback"), (name == "deferred").then_some("deferred"));
        let order: Value = answer.json().await.unwrap();
        assert_eq!((&order["product"], &order["quantity"]), (&json!(1), &json!(2)));
    }
    let bad = StatusCode::BAD_REQUEST;
    let unacceptable = StatusCode::UNPROCESSABLE_ENTITY;
    for (name, body, fail, code, told) in [
        ("no json", "{", "0", bad, "EOF"),
        ("no quantity", r#"{"product":1}"#, "0", bad, "quantity"),
        ("bad x-fail", good, "twice", bad, "x-fail"),
        ("no such product", r#"{"product":99,"quantity":1}"#, "0", unacceptable, "no product 99"),
        ("nothing", r#"{"product":1,"quantity":0}"#, "0", unacceptable, "quantity 0"),
    ] {
        let answer = tour.post("/orders", name, body).header("x-fail", fail).send().await.unwrap();
        assert_eq!(answer.status(), code, "{name}");
        let problem = answer.json::<Value>().await.unwrap()["error"].as_str().unwrap().to_owned();
        assert!(problem.contains(told), "{told} in {problem}");
    }
}

async fn logins(tour: &Tour) {
    for (name, body, code) in [
        ("login", r#"{"user":"a"}"#, StatusCode::OK),
        ("again", r#"{"user":"b"}"#, StatusCode::OK),
        ("nobody", "{}", StatusCode::BAD_REQUEST),
    ] {
        let answer = tour.post("/login", name, body).send().await.unwrap();
        assert_eq!(answer.status(), code);
        answer.bytes().await.unwrap();
    }
}

async fn stages(tour: &Tour) {
    let running = tokio::spawn(tour.request("/slow?ms=700", "slow").send());
    let seen = tour.active("slow").await;
    assert_eq!((&seen["stage"], &seen["route"]), (&json!("waiting"), &json!("/slow")));
    let answer = running.await.unwrap().unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "ms": 700 }));
    let ended = poll("the slow request among the recent ones", async || {
        let page = tour.page().await;
        page["recent"].as_array()?.iter().find(|entry| entry["trace_id"] == trace("slow")).cloned()
    })
    .await;
    let stages: Vec<_> = ended["stages"].as_array().unwrap().iter().map(|stage| &stage["stage"]).collect();
    assert_eq!(stages, ["start", "waiting", "finish"]);
    assert!(tour.get("/slow?ms=soon", "bad ms").await.status() == StatusCode::BAD_REQUEST);
}

async fn streams(tour: &Tour) {
    let text = tour.get("/stream?chunks=3&ms=5", "stream").await.text().await.unwrap();
    assert_eq!(text, "chunk 1 of 3\nchunk 2 of 3\nchunk 3 of 3\n");

    let mut events = tour.get("/events", "events").await;
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let first = events.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: tick\n"), "{first:?}");
    assert_eq!(tour.active("events").await["stage"], "streaming");
    drop(events);
    tour.total("aborted", 1).await;
}

async fn departures(tour: &Tour) {
    tour.leave(&tour.client, "left slow").await;
    tour.total("cancelled", 1).await;
    let mut stream = tour.get("/stream?chunks=5000&ms=10", "left stream").await;
    stream.chunk().await.unwrap();
    drop(stream);
    tour.total("aborted", 2).await;
}

async fn panics(tour: &Tour) {
    let answer = tour.request("/panic", "panic").send().await;
    assert!(answer.is_err_and(|error| !error.is_timeout()), "the connection is closed");
    tour.total("panicked", 1).await;
}

async fn spawns(tour: &Tour) {
    let answer: Value = tour.get("/spawn?n=4", "spawn").await.json().await.unwrap();
    assert_eq!(answer, json!({ "ran": 4 }));
}

async fn http2(tour: &Tour) {
    let client = Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let answer = tour.request_of(&client, "/products/20", "http2").send().await.unwrap();
    assert_eq!((answer.version(), answer.status()), (Version::HTTP_2, StatusCode::OK));
    answer.bytes().await.unwrap();
    tour.leave(&client, "left http2").await;
    tour.total("cancelled", 2).await;
}

// what the tour left behind

/// With nothing running: started = all outcomes = the durations recorded.
async fn identity(tour: &Tour, totals: &Value, expected: &Value) -> u64 {
    assert_eq!(totals, expected);
    let metrics = tour.metrics().await;
    let values = |name: &str| {
        let lines = metrics.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        let numbers = lines.map(|line| line.rsplit_once("} ").unwrap().1.parse::<f64>().unwrap());
        numbers.collect::<Vec<_>>()
    };
    let started = totals["started"].as_u64().unwrap();
    assert_eq!(values("http_server_request_duration_seconds_count").iter().sum::<f64>(), started as f64);
    let active = values("http_server_active_requests");
    assert!(!active.is_empty() && active.iter().all(|value| *value == 0.0), "{active:?}");
    started
}

/// The trace ids of the exemplars on `/metrics`.
async fn scraped_exemplars(tour: &Tour) -> HashSet<String> {
    let metrics = tour.metrics().await;
    assert!(metrics.ends_with("# EOF\n"));
    let logins = metrics.lines().find(|line| line.starts_with("logins_total{")).unwrap();
    let (series, exemplar) = logins.split_once(" # ").unwrap();
    assert!(series.ends_with("} 2"), "{series}");
    assert!(exemplar.contains(&trace("login")) || exemplar.contains(&trace("again")), "{exemplar}");
    let ids = metrics.split("trace_id=\"").skip(1).map(|rest| rest[..32].to_owned());
    ids.collect()
}

/// SIGTERM with a request and a stream under way: the one is finished, the other not waited for, and nothing is lost.
async fn terminated(tour: Tour, started: u64, scraped: &HashSet<String>) {
    let slow = tokio::spawn(tour.request("/slow?ms=400", "last").send());
    let events = tour.get("/events", "open").await;
    tour.active("last").await;
    tour.active("open").await;
    let telemetry = json(&tour.client, &format!("{}/telemetry", tour.service.admin)).await;
    for signal in ["traces", "metrics", "logs"] {
        let count = |key| telemetry[signal][key].as_u64().unwrap();
        assert_eq!(
            count("emitted"),
            count("exported") + count("dropped") + count("failed") + count("queued")
        );
        assert_eq!(count("dropped") + count("failed"), 0, "{telemetry}");
    }

    let Tour { mut service, collector, .. } = tour;
    let ending = tokio::task::spawn_blocking(move || {
        let at = Instant::now();
        (service.end("TERM"), at.elapsed(), service)
    });
    assert_eq!(slow.await.unwrap().unwrap().status(), StatusCode::OK, "drained, not dropped");
    let (status, took, service) = ending.await.unwrap();
    drop(events);
    assert!(status.success() && took < Duration::from_secs(5), "{status} after {took:?}");
    let lost = service.stderr.all(|line| line.contains(" WARN ") || line.contains(" ERROR "));
    assert!(lost.is_empty(), "{lost:#?}");

    let spans = collector.spans();
    let logs = collector.logs();
    let served = spans.iter().filter(|span| kind(span) == SERVER).count() as u64;
    assert_eq!(served, started + 2);
    assert_eq!(recorded_durations(&collector), started + 2);
    assert!(collector.accepted_items(Signal::Metrics) >= telemetry["metrics"]["emitted"].as_u64().unwrap());
    lines_are_records(&service, &logs);
    one_trace(&spans, &logs);
    exemplars_lead_to_traces(&collector, &spans, scraped);
    for name in ["products", "slow", "left slow", "left stream", "panic", "http2", "last", "open"] {
        let span = served_as(&spans, name);
        assert_eq!(span.parent_span_id(), PARENT, "{name}");
        assert_eq!(span.resource().str("service.name"), Some("storefront"));
    }
    let listed = served_as(&spans, "products").span_id();
    let query = spans.iter().find(|span| span.name() == "SELECT products" && span.parent_span_id() == listed);
    let query = query.unwrap();
    assert_eq!(query.attribute("db.system.name").as_deref(), Some("sqlite"));
    let exemplars = collector.exemplars("db.client.operation.duration");
    assert!(exemplars.iter().any(|exemplar| exemplar.span_id() == query.span_id()), "{exemplars:?}");
}

/// The sum over all series in the last export.
fn recorded_durations(collector: &Collector) -> u64 {
    let last = collector.metrics().into_iter().rfind(|metric| metric.name() == DURATION).unwrap();
    let Some(Data::Histogram(histogram)) = last.metric.data else { panic!("no histogram") };
    assert_eq!(histogram.aggregation_temporality(), AggregationTemporality::Cumulative);
    histogram.data_points.iter().map(|point| point.count).sum()
}

/// Each line on stdout is a record at the collector, with the same ids, and no other.
fn lines_are_records(service: &Service, logs: &[LogRecord]) {
    let lines: Vec<Value> =
        service.stdout.all(|_| true).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or("").to_owned();
    let mut on_stdout: Vec<_> =
        lines.iter().map(|l| [text(l, "message"), text(l, "trace_id"), text(l, "span_id")]).collect();
    let mut at_collector: Vec<_> =
        logs.iter().map(|log| [log.body(), log.trace_id(), log.span_id()]).collect();
    on_stdout.sort();
    at_collector.sort();
    assert_eq!(on_stdout, at_collector);

    for (name, key, value) in [
        ("products", "products", json!(20)),
        ("product", "product.id", json!(7)),
        ("product 21", "product.id", json!(21)),
        ("http2", "product.id", json!(20)),
    ] {
        let of_trace: Vec<_> = lines.iter().filter(|line| line["trace_id"] == trace(name)).collect();
        assert_eq!(of_trace.len(), 1, "{name}: {of_trace:#?}");
        assert_eq!((&of_trace[0]["level"], &of_trace[0]["attributes"][key]), (&json!("INFO"), &value));
    }
}

/// An order's trace goes through the payment service, a request's through the tasks it spawned, and logs are inside.
fn one_trace(spans: &[SpanRecord], logs: &[LogRecord]) {
    for name in ["paid", "deferred"] {
        let order = served_as(spans, name);
        let of_trace = |name_: &str, kind_: i32| -> Vec<&SpanRecord> {
            let wanted = |span: &&SpanRecord| {
                span.name() == name_ && kind(span) == kind_ && span.trace_id() == trace(name)
            };
            let mut found: Vec<_> = spans.iter().filter(wanted).collect();
            found.sort_by_key(|span| span.span.start_time_unix_nano);
            found
        };
        let (calls, payments) = (of_trace("POST /payments", CLIENT), of_trace("POST /payments", SERVER));
        let statuses: &[&str] = if name == "paid" { &["503", "503", "201"] } else { &["503"; 4] };
        assert_eq!((calls.len(), payments.len()), (statuses.len(), statuses.len()));
        for (attempt, ((call, payment), status)) in calls.into_iter().zip(payments).zip(statuses).enumerate()
        {
            assert_eq!(payment.parent_span_id(), call.span_id());
            assert_eq!(call.parent_span_id(), order.span_id());
            assert_eq!(call.attribute("http.response.status_code").as_deref(), Some(*status));
            let resends = (attempt > 0).then(|| attempt.to_string());
            assert_eq!(call.attribute("http.request.resend_count"), resends);
            assert!(
                logs.iter().any(|log| log.span_id() == payment.span_id()),
                "payments logged in its own span"
            );
        }
    }
    let request = served_as(spans, "spawn");
    let tasks: Vec<_> = spans.iter().filter(|span| span.name() == "task").collect();
    assert_eq!(tasks.len(), 4);
    for task in tasks {
        assert_eq!((task.trace_id(), task.parent_span_id()), (trace("spawn"), request.span_id()));
        assert!(logs.iter().any(|log| log.span_id() == task.span_id()), "the task logged in its own span");
    }
    assert!(logs.iter().any(|log| log.severity() == "ERROR" && log.trace_id() == trace("panic")));
}

fn exemplars_lead_to_traces(collector: &Collector, spans: &[SpanRecord], scraped: &HashSet<String>) {
    let known: HashSet<(String, String)> =
        spans.iter().map(|span| (span.trace_id(), span.span_id())).collect();
    let traces: HashSet<String> = spans.iter().map(SpanRecord::trace_id).collect();
    let mut seen = 0;
    for metric in collector.metrics() {
        for exemplar in metric.exemplars() {
            let ids = (exemplar.trace_id(), exemplar.span_id());
            assert!(known.contains(&ids), "{} has an exemplar of an unknown span: {ids:?}", metric.name());
            seen += 1;
        }
    }
    assert!(seen > 0);
    assert!(!scraped.is_empty() && scraped.is_subset(&traces), "{scraped:?}");
    let slow =
        collector.exemplars(DURATION).into_iter().find(|exemplar| exemplar.trace_id() == trace("slow"));
    assert!(slow.is_some_and(|exemplar| exemplar.value() >= 0.7), "the slow request is an exemplar");
}

const SERVER: i32 = 2;
const CLIENT: i32 = 3;

fn kind(span: &SpanRecord) -> i32 {
    span.span.kind
}

/// The span of the test's own request of this name.
fn served_as<'a>(spans: &'a [SpanRecord], name: &str) -> &'a SpanRecord {
    let mut found = spans.iter().filter(|span| {
        kind(span) == SERVER && span.trace_id() == trace(name) && span.parent_span_id() == PARENT
    });
    let first = found.next().unwrap_or_else(|| panic!("no span of {name}"));
    assert!(found.next().is_none(), "{name} has one span");
    first
}

/// A step's trace id: its name in hex digits.
fn trace(name: &str) -> String {
    let digits: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{digits:0>32}")
}

/// The service, the collector it reports to, and a client.
struct Tour {
    service: Service,
    collector: Collector,
    client: Client,
}

impl Tour {
    fn start() -> Self {
        let collector = Collector::start();
        let endpoint = collector.endpoint();
        let service = Service::start(&["--visitors", "0"], &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { service, collector, client }
    }

    fn request_of(&self, client: &Client, path: &str, name: &str) -> RequestBuilder {
        let traceparent = format!("00-{}-{PARENT}-01", trace(name));
        client.get(format!("{}{path}", self.service.shop)).header("traceparent", traceparent)
    }

    fn request(&self, path: &str, name: &str) -> RequestBuilder {
        self.request_of(&self.client, path, name)
    }

    async fn get(&self, path: &str, name: &str) -> Response {
        self.request(path, name).send().await.unwrap()
    }

    fn post(&self, path: &str, name: &str, body: &'static str) -> RequestBuilder {
        let traceparent = format!("00-{}-{PARENT}-01", trace(name));
        let url = format!("{}{path}", self.service.shop);
        self.client.post(url).header("traceparent", traceparent).body(body)
    }

    /// Asks for something slow and is gone before it comes.
    async fn leave(&self, client: &Client, name: &str) {
        let waiting = tokio::spawn(self.request_of(client, "/slow?ms=60000", name).send());
        self.active(name).await;
        waiting.abort();
        assert!(waiting.await.is_err_and(|error| error.is_cancelled()));
    }

    async fn page(&self) -> Value {
        json(&self.client, &format!("{}/debug/requests", self.service.admin)).await
    }

    /// The running request of this name, once it has a stage.
    async fn active(&self, name: &str) -> Value {
        poll(&format!("{name} in a stage"), async || {
            let page = self.page().await;
            let mut active = page["active"].as_array()?.iter();
            active.find(|entry| entry["trace_id"] == trace(name) && entry["stage"].is_string()).cloned()
        })
        .await
    }

    async fn total(&self, outcome: &str, expected: u64) {
        poll(&format!("{expected} {outcome}"), async || {
            let total = self.page().await["totals"][outcome].as_u64()?;
            assert!(total <= expected, "{total} {outcome}");
            (total == expected).then_some(())
        })
        .await;
    }

    async fn totals_at_rest(&self) -> Value {
        poll("no request is active", async || {
            let page = self.page().await;
            page["active"].as_array()?.is_empty().then(|| page["totals"].clone())
        })
        .await
    }

    async fn metrics(&self) -> String {
        let request = self.client.get(format!("{}/metrics", self.service.admin));
        let answer =
            request.header("accept", "application/openmetrics-text;version=1.0.0").send().await.unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        answer.text().await.unwrap()
    }
}

async fn json(client: &Client, url: &str) -> Value {
    client.get(url).send().await.unwrap().json().await.unwrap()
}

/// Asks until there is an answer.
async fn poll<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("never seen: {what}"))
}

/// The running example; killed when it is dropped.
struct Service {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    shop: String,
    admin: String,
}

impl Service {
    fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = command(arguments, variables).spawn().unwrap();
        let stdout = Lines::read(child.stdout.take().unwrap());
        let stderr = Lines::read(child.stderr.take().unwrap());
        let mut service = Self { child, stdout, stderr, shop: String::new(), admin: String::new() };
        let first = service.stderr.first(3);
        let mut addresses = first.iter().zip(["storefront", "payments", "admin"]).map(|(line, who)| {
            let address = line.strip_prefix(&format!("{who} listening on ")).map(str::to_owned);
            address.unwrap_or_else(|| panic!("{who}'s address in {first:?}"))
        });
        service.shop = addresses.next().unwrap();
        addresses.next().unwrap();
        service.admin = addresses.next().unwrap();
        service
    }

    /// Sends a signal and waits for the end; the lines are complete then.
    fn end(&mut self, signal: &str) -> ExitStatus {
        let kill = Command::new("sh").args(["-c", &format!("kill -{signal} {}", self.child.id())]).status();
        assert!(kill.unwrap().success());
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.stdout.end();
                self.stderr.end();
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "it goes on after SIG{signal}: {:?}",
                self.stderr.all(|_| true)
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // fails when it has ended, which is what is wanted
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The example with these settings, and nothing else from this process's environment.
fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut path = PathBuf::from(std::env::current_exe().unwrap().parent().unwrap());
    path.pop();
    path.push("examples/storefront");
    assert!(path.exists(), "{} is missing: cargo build --example storefront", path.display());
    let mut command = Command::new(path);
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for variable in ["STOREFRONT_ADDR", "PAYMENTS_ADDR", "TRACEWELL_ADMIN_ADDR"] {
        command.env(variable, "127.0.0.1:0");
    }
    command.envs(variables.iter().copied());
    command
}

/// The lines of a pipe, read as they come.
struct Lines {
    shared: Arc<(Mutex<Vec<String>>, Condvar)>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Lines {
    fn read(pipe: impl Read + Send + 'static) -> Self {
        let shared = Arc::<(Mutex<Vec<String>>, Condvar)>::default();
        let lines = Arc::clone(&shared);
        let reader = thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                lines.0.lock().unwrap().push(line.unwrap());
                lines.1.notify_all();
            }
        });
        Self { shared, reader: Some(reader) }
    }

    fn first(&self, count: usize) -> Vec<String> {
        let (lines, changed) = &*self.shared;
        let waiting =
            changed.wait_timeout_while(lines.lock().unwrap(), PATIENCE, |lines| lines.len() < count);
        waiting.unwrap().0.iter().take(count).cloned().collect()
    }

    fn all(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        self.shared.0.lock().unwrap().iter().filter(|line| wanted(line)).cloned().collect()
    }

    /// Waits for the pipe's end.
    fn end(&mut self) {
        self.reader.take().unwrap().join().unwrap();
    }
}
