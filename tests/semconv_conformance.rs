//! What the examples send is named, typed and measured as the semantic conventions say: no unknown name, type, unit or kind
//! without a reason in `semconv/exceptions.txt`, and nothing required is missing. The conventions are read from the Go module
//! that is made of them, fetched when the test runs; without Go this is skipped, and with `TRACEWELL_REQUIRE_BACKENDS=1` that
//! is a failure.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tracewell::testing::{
    Collector,
    proto::{
        common::v1::{KeyValue, any_value::Value},
        metrics::v1::metric::Data,
        trace::v1::span::SpanKind,
    },
};

#[expect(dead_code, reason = "others ask over it, too")]
#[path = "common/program.rs"]
mod program;

/// The module, and the version of the conventions inside of it.
const MODULE: &str = "go.opentelemetry.io/otel@v1.47.0";
const VERSION: &str = "v1.43.0";

/// What must be there: on spans of a kind that have the first of these attributes.
const REQUIRED_OF_SPANS: [(SpanKind, &[&str]); 4] = [
    (SpanKind::Server, &["rpc.system.name", "rpc.method"]),
    (SpanKind::Client, &["rpc.system.name", "rpc.method", "server.address"]),
    (SpanKind::Server, &["http.request.method", "url.path", "url.scheme"]),
    (SpanKind::Client, &["http.request.method", "server.address", "server.port", "url.full"]),
];

/// And on every point of these metrics.
const REQUIRED_OF_METRICS: [(&str, &[&str]); 5] = [
    ("rpc.server.call.duration", &["rpc.system.name"]),
    ("rpc.client.call.duration", &["rpc.system.name", "server.address"]),
    ("http.server.request.duration", &["http.request.method", "url.scheme"]),
    ("http.server.active_requests", &["http.request.method", "url.scheme"]),
    ("http.client.request.duration", &["http.request.method", "server.address", "server.port"]),
];

/// The conventions, as far as they can be compared.
#[derive(Default)]
struct Conventions {
    /// Attributes and their types.
    attributes: BTreeMap<String, String>,
    /// Families of attributes, such as `http.request.header.`, and their types.
    families: BTreeMap<String, String>,
    /// Metrics: kind and unit.
    metrics: BTreeMap<String, (String, String)>,
}

impl Conventions {
    fn read(folder: &Path) -> Self {
        let mut all = Self::default();
        all.read_attributes(&fs::read_to_string(folder.join("attribute_group.go")).unwrap());
        for entry in fs::read_dir(folder).unwrap() {
            if let Ok(text) = fs::read_to_string(entry.unwrap().path().join("metric.go")) {
                all.read_metrics(&text);
            }
        }
        all
    }

    fn read_attributes(&mut self, text: &str) {
        let mut kind = String::new();
        for line in text.lines() {
            if let Some(found) = line.trim().strip_prefix("// Type: ") {
                kind = found.to_owned();
            } else if let Some((_, name)) = line.split_once("= attribute.Key(\"") {
                self.attributes.insert(name.trim_end_matches("\")").to_owned(), kind.clone());
            } else if let Some((function, rest)) =
                line.trim().split_once("(\"").filter(|_| line.contains("\"+key"))
            {
                let kind = match function {
                    "return attribute.StringSlice" => "string[]",
                    "return attribute.String" => "string",
                    _ => "any",
                };
                self.families.insert(rest.split('"').next().unwrap().to_owned(), kind.to_owned());
            }
        }
    }

    fn read_metrics(&mut self, text: &str) {
        let (mut kinds, mut names, mut units) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2) {
            let value = || pair[1].trim().trim_start_matches("return ").trim_matches('"').to_owned();
            if let Some(name) = pair[0].strip_prefix("type ").and_then(|rest| rest.strip_suffix(" struct {"))
            {
                kinds.insert(name, pair[1].trim().trim_start_matches("metric.").to_owned());
            } else if let Some(name) = of_method(pair[0], "Name") {
                names.insert(name, value());
            } else if let Some(name) = of_method(pair[0], "Unit") {
                units.insert(name, value());
            }
        }
        for (of, name) in names {
            let unit = units.get(of).cloned().unwrap_or_default();
            self.metrics.insert(name, (kinds[of].clone(), unit));
        }
    }

    fn type_of(&self, name: &str) -> Option<&str> {
        let family = || {
            self.families.iter().find(|(family, _)| name.starts_with(family.as_str())).map(|(_, kind)| kind)
        };
        self.attributes.get(name).or_else(family).map(String::as_str)
    }
}

/// `func (ServerRequestDuration) Name() string {` belongs to `ServerRequestDuration`.
fn of_method<'a>(line: &'a str, method: &str) -> Option<&'a str> {
    let (receiver, rest) = line.strip_prefix("func (")?.split_once(") ")?;
    (rest == format!("{method}() string {{")).then_some(receiver)
}

/// The folder of the conventions, or why there is none.
fn conventions() -> Result<PathBuf, String> {
    let output = Command::new("go")
        .args(["mod", "download", "-json", MODULE])
        .current_dir(std::env::temp_dir())
        .env("GOTOOLCHAIN", "local")
        .output()
        .map_err(|error| format!("go cannot be run: {error}"))?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match answer["Dir"].as_str() {
        Some(directory) if output.status.success() => Ok(Path::new(directory).join("semconv").join(VERSION)),
        _ => Err(format!("{MODULE} cannot be fetched: {}", answer["Error"])),
    }
}

/// What was sent and is not as it should be, each once.
struct Findings<'a> {
    conventions: &'a Conventions,
    exceptions: BTreeMap<&'a str, bool>,
    found: BTreeSet<String>,
}

impl<'a> Findings<'a> {
    fn new(conventions: &'a Conventions, exceptions: &'a str) -> Self {
        let mut known = BTreeMap::new();
        for line in exceptions.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (name, reason) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            assert!(!reason.trim().is_empty(), "{name} has no reason");
            known.insert(name, false);
        }
        Self { conventions, exceptions: known, found: BTreeSet::new() }
    }

    /// Whether there is a reason for this name, or for the family it belongs to.
    fn is_excepted(&mut self, name: &str) -> bool {
        let fits = |known: &str| {
            known == name || known.strip_suffix('*').is_some_and(|family| name.starts_with(family))
        };
        match self.exceptions.iter_mut().find(|(known, _)| fits(known)) {
            Some((_, used)) => {
                *used = true;
                true
            }
            None => false,
        }
    }

    fn attributes(&mut self, place: &str, attributes: &[KeyValue]) {
        for attribute in attributes {
            let name = attribute.key.as_str();
            let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
            match self.conventions.type_of(name) {
                None if self.is_excepted(name) => {}
                None => {
                    self.found.insert(format!("{place}: attribute {name} is unknown, or deprecated"));
                }
                Some(expected) if fits(expected, value) => {}
                Some(expected) => {
                    self.found
                        .insert(format!("{place}: attribute {name} is {value:?}, not of type {expected}"));
                }
            }
        }
    }

    fn required(&mut self, place: &str, required: &[&str], attributes: &[KeyValue]) {
        for name in required {
            if !attributes.iter().any(|attribute| attribute.key == *name) {
                self.found.insert(format!("{place}: {name} is required and missing"));
            }
        }
    }

    fn metric(&mut self, name: &str, unit: &str, data: &Data) {
        let kind = match data {
            Data::Gauge(_) => "Gauge",
            Data::Sum(sum) if sum.is_monotonic => "Counter",
            Data::Sum(_) => "UpDownCounter",
            Data::Histogram(_) | Data::ExponentialHistogram(_) => "Histogram",
            Data::Summary(_) => "Summary",
        };
        match self.conventions.metrics.get(name) {
            None if self.is_excepted(name) => {}
            None => {
                self.found.insert(format!("metric {name} ({kind}, {unit:?}) is unknown, or deprecated"));
            }
            Some((expected, expected_unit)) => {
                let of_kind = expected.trim_start_matches("Int64").trim_start_matches("Float64");
                if of_kind.trim_start_matches("Observable") != kind || unit != expected_unit {
                    let wrong =
                        format!("metric {name}: {kind} in {unit:?}, not {expected} in {expected_unit:?}");
                    self.found.insert(wrong);
                }
            }
        }
    }
}

/// Whether a value is of a type of the conventions.
fn fits(expected: &str, value: Option<&Value>) -> bool {
    let all = |values: &[tracewell::testing::proto::common::v1::AnyValue], of: &str| {
        values.iter().all(|value| fits(of, value.value.as_ref()))
    };
    match (expected, value) {
        ("any", Some(_))
        | ("string", Some(Value::StringValue(_)))
        | ("Enum", Some(Value::StringValue(_) | Value::IntValue(_)))
        | ("int", Some(Value::IntValue(_)))
        | ("double", Some(Value::DoubleValue(_)))
        | ("boolean", Some(Value::BoolValue(_))) => true,
        (array, Some(Value::ArrayValue(values))) => {
            array.strip_suffix("[]").is_some_and(|of| all(&values.values, of))
        }
        _ => false,
    }
}

/// Drives the storefront through everything it can do.
async fn drive(shop: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = |path: &str| client.get(format!("{shop}{path}")).send();
    for path in [
        "/products",
        "/products/7?token=x",
        "/products/999",
        "/slow?ms=20",
        "/stream?chunks=2&ms=5",
        "/spawn?n=2",
    ] {
        get(path).await.unwrap().bytes().await.unwrap();
    }
    // the connection of a handler that panicked is closed
    let _ = get("/panic").await;
    let order = |fail: u32, body: &'static str| {
        let request = client.post(format!("{shop}/orders")).header("x-fail", fail.to_string());
        request.header("content-type", "application/json").body(body).send()
    };
    for (fail, body) in [(0, r#"{"product":1,"quantity":2}"#), (1, r#"{"product":1,"quantity":2}"#), (0, "{")]
    {
        order(fail, body).await.unwrap().bytes().await.unwrap();
    }
    let login = client
        .post(format!("{shop}/login"))
        .header("content-type", "application/json")
        .body(r#"{"user":"a"}"#);
    login.send().await.unwrap().bytes().await.unwrap();
    // left in the middle
    let left = client.get(format!("{shop}/slow?ms=20000")).timeout(Duration::from_millis(50)).send().await;
    assert!(left.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_examples_send_is_what_the_conventions_name() {
    let folder = match conventions() {
        Ok(folder) => folder,
        Err(why) => {
            assert!(std::env::var("TRACEWELL_REQUIRE_BACKENDS").as_deref() != Ok("1"), "{why}");
            eprintln!("skipped: {why}");
            return;
        }
    };
    let conventions = Conventions::read(&folder);
    assert!(
        conventions.attributes.len() > 500 && conventions.metrics.len() > 100,
        "the module looks different"
    );
    let exceptions = include_str!("semconv/exceptions.txt");
    let mut findings = Findings::new(&conventions, exceptions);
    check(&sent_by_storefront().await, &mut findings);
    check(&sent_by_grpc().await, &mut findings);
    check(&sent_by_worker().await, &mut findings);
    let unused: Vec<&str> =
        findings.exceptions.iter().filter(|(_, used)| !**used).map(|(name, _)| *name).collect();
    assert!(findings.found.is_empty(), "{}", findings.found.into_iter().collect::<Vec<_>>().join("\n"));
    assert!(unused.is_empty(), "exceptions that nothing needs: {unused:?}");
}

async fn sent_by_storefront() -> Collector {
    let collector = Collector::start();
    let endpoint = collector.endpoint();
    let shop = program::Program::start_with(
        "storefront",
        &["--visitors", "0"],
        &[
            ("STOREFRONT_ADDR", "127.0.0.1:0"),
            ("PAYMENTS_ADDR", "127.0.0.1:0"),
            ("TRACEWELL_ADMIN_ADDR", "127.0.0.1:0"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("TRACEWELL_ACCESS_LOG", "all"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.version=1.2.3"),
        ],
    );
    drive(&format!("http://{}", shop.address("storefront "))).await;
    tokio::task::spawn_blocking(move || shop.stop()).await.unwrap();
    collector
}

/// Both sides of calls, good and bad ones, and of a stream that is left.
async fn sent_by_grpc() -> Collector {
    let collector = Collector::start();
    let endpoint = collector.endpoint();
    let environment = [("ADDR", "127.0.0.1:0"), ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint)];
    let grpc = program::Program::start("grpc", &environment);
    let end = move || {
        program::wait_until(|| grpc.said().contains("the calls are made").then_some(())).unwrap();
        grpc.stop();
    };
    tokio::task::spawn_blocking(end).await.unwrap();
    collector
}

/// A periodic task, and messages that are sent, processed, and delivered again.
async fn sent_by_worker() -> Collector {
    let collector = Collector::start();
    let endpoint = collector.endpoint();
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let worker = program::Program::start("worker", &environment);
    let end = move || {
        let processed = |name: &str| name.starts_with("process ");
        let twice = collector.wait_for(Duration::from_secs(20), |recorded| {
            recorded.spans().iter().filter(|span| processed(span.name())).count() > 2
        });
        assert!(twice, "{:?}", collector.spans());
        worker.stop();
        collector
    };
    tokio::task::spawn_blocking(end).await.unwrap()
}

fn check(collector: &Collector, findings: &mut Findings<'_>) {
    let (spans, logs, metrics) = (collector.spans(), collector.logs(), collector.metrics());
    assert!(!spans.is_empty() && !logs.is_empty() && metrics.len() > 10, "{spans:?} {logs:?} {metrics:?}");
    findings.attributes("resource", spans[0].resource().0);
    for span in &spans {
        let place = format!("span {}", span.name());
        let attributes = span.attributes().0;
        findings.attributes(&place, attributes);
        for event in &span.span.events {
            findings.attributes(&format!("{place}, event {}", event.name), &event.attributes);
        }
        for (kind, required) in REQUIRED_OF_SPANS {
            if span.span.kind == kind as i32
                && attributes.iter().any(|attribute| attribute.key == required[0])
            {
                findings.required(&place, required, attributes);
            }
        }
    }
    for log in &logs {
        findings.attributes(&format!("log {:?}", log.body()), log.attributes().0);
    }
    for metric in &metrics {
        let Some(data) = &metric.metric.data else { continue };
        findings.metric(metric.name(), &metric.metric.unit, data);
        let place = format!("metric {}", metric.name());
        let required = REQUIRED_OF_METRICS
            .iter()
            .find(|(name, _)| *name == metric.name())
            .map(|(_, required)| *required);
        for attributes in points(data) {
            findings.attributes(&place, attributes);
            findings.required(&place, required.unwrap_or_default(), attributes);
        }
    }
}

/// The attributes of each point.
fn points(data: &Data) -> Vec<&[KeyValue]> {
    match data {
        Data::Gauge(gauge) => gauge.data_points.iter().map(|point| &*point.attributes).collect(),
        Data::Sum(sum) => sum.data_points.iter().map(|point| &*point.attributes).collect(),
        Data::Histogram(histogram) => histogram.data_points.iter().map(|point| &*point.attributes).collect(),
        Data::ExponentialHistogram(histogram) => {
            histogram.data_points.iter().map(|point| &*point.attributes).collect()
        }
        Data::Summary(summary) => summary.data_points.iter().map(|point| &*point.attributes).collect(),
    }
}
