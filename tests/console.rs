//! The console's endpoints over sockets: what they say is what the service did, to those who may see it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use axum::{Router, extract::Path, http::StatusCode, routing::get};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tracewell::{Telemetry, http::ServerLayer, requests::Registry};
use tracing::Instrument as _;
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

const PATIENCE: Duration = Duration::from_secs(20);
/// The key is split so that nothing that scans this file takes it for one.
const SECRET: &str = concat!("sk_live_", "4eC39HqLyjWDarjtT1zdp7dc");
const MARKUP: &str = "</script><img src=x onerror=alert(1)>\"'&\u{202e}";

/// A service with its telemetry and its admin server.
struct Service {
    telemetry: Telemetry,
    shop: String,
    admin: String,
    client: Client,
    _quiet: tracing::subscriber::DefaultGuard,
}

async fn order(Path(id): Path<u32>) -> (StatusCode, String) {
    async {
        tracing::info!(order.id = id, note = MARKUP, "looking for the order");
        tracing::debug!("nobody asks for this");
    }
    .instrument(tracing::info_span!("find order", order.id = id, api_key = SECRET, note = MARKUP))
    .await;
    if id == 13 {
        tracing::error!(order.id = id, "the order is {MARKUP} with password={SECRET}");
        return (StatusCode::INTERNAL_SERVER_ERROR, "no".to_owned());
    }
    (StatusCode::OK, format!("order {id}"))
}

impl Service {
    /// No collector answers; `variables` come on top.
    async fn start(variables: &[(&str, &str)]) -> Self {
        let defaults = [
            ("OTEL_SERVICE_NAME", "shop"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
            ("OTEL_LOG_LEVEL", "none"),
            ("TRACEWELL_SHUTDOWN_MS", "100"),
            ("TRACEWELL_CONSOLE", "true"),
            ("TRACEWELL_ADMIN_ADDR", "127.0.0.1:0"),
        ];
        let others = defaults.iter().filter(|(name, _)| variables.iter().all(|(own, _)| own != name));
        let telemetry = Telemetry::builder()
            .with_env(others.chain(variables).map(|(name, value)| (*name, *value)))
            .with_registry(Registry::new(64))
            .with_console_link("Jaeger", "http://jaeger.example/trace/{trace_id}")
            .with_stdout(false)
            .build()
            .unwrap();
        let quiet = tracing_subscriber::registry().with(telemetry.layers()).set_default();
        let layer: ServerLayer = telemetry.server_layer();
        let app = Router::new().route("/orders/{id}", get(order)).layer(layer);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shop = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let admin = format!("http://{}", telemetry.admin_address().unwrap());
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { telemetry, shop, admin, client, _quiet: quiet }
    }

    async fn order(&self, id: u32) {
        self.client.get(format!("{}/orders/{id}", self.shop)).send().await.unwrap().bytes().await.unwrap();
    }

    async fn ask(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.admin)).send().await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        let answer = self.ask(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/json", "{path}");
        answer.json().await.unwrap()
    }

    async fn events(&self, views: &str) -> Events {
        let response = self.ask(&format!("/console/api/events?views={views}")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut events = Events { response, text: String::new() };
        // the stream has begun: what happens from here on is told
        events.until(|text| text.contains("retry: ").then_some(())).await;
        events
    }
}

/// A stream of events.
struct Events {
    response: Response,
    text: String,
}

impl Events {
    async fn until<T>(&mut self, found: impl Fn(&str) -> Option<T>) -> T {
        loop {
            if let Some(found) = found(&self.text) {
                return found;
            }
            let chunk = self.response.chunk().await.unwrap().expect("the stream goes on");
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Everything of this name so far, once it is enough.
    async fn all(&mut self, name: &str, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let wanted = format!("event: {name}\ndata: ");
        self.until(|text| {
            let whole = &text[..text.rfind("\n\n").map_or(0, |end| end + 2)];
            let found = whole.split("\n\n").filter_map(|event| event.strip_prefix(&wanted));
            let found: Vec<Value> = found.map(|data| serde_json::from_str(data).unwrap()).collect();
            enough(&found).then_some(found)
        })
        .await
    }

    /// The last that is told of the trace of each request, once all have a root.
    async fn traces(&mut self, requests: usize) -> Vec<Value> {
        let last = |events: &[Value]| {
            let mut last: Vec<Value> = Vec::new();
            for trace in events.iter().flat_map(|event| event["traces"].as_array().unwrap()) {
                last.retain(|known| known["trace_id"] != trace["trace_id"]);
                last.push(trace.clone());
            }
            last.retain(|trace| trace["root"] == true && trace["spans"] == 2);
            last
        };
        last(&self.all("traces", |events| last(events).len() == requests).await)
    }
}

fn records(logs: &Value) -> Vec<&Value> {
    let resources = logs["resourceLogs"].as_array().unwrap().iter();
    let scopes = resources.flat_map(|resource| resource["scopeLogs"].as_array().unwrap());
    scopes.flat_map(|scope| scope["logRecords"].as_array().unwrap()).collect()
}

fn spans(trace: &Value) -> Vec<&Value> {
    let resources = trace["resourceSpans"].as_array().unwrap().iter();
    let scopes = resources.flat_map(|resource| resource["scopeSpans"].as_array().unwrap());
    scopes.flat_map(|scope| scope["spans"].as_array().unwrap()).collect()
}

fn said(record: &Value) -> &str {
    record["body"]["stringValue"].as_str().unwrap()
}

fn attribute<'a>(of: &'a Value, key: &str) -> &'a Value {
    let attributes = of["attributes"].as_array().unwrap().iter();
    let found = attributes.filter(|attribute| attribute["key"] == key).collect::<Vec<_>>();
    assert_eq!(found.len(), 1, "{key} in {of}");
    &found[0]["value"]
}

#[tokio::test]
async fn what_the_service_did_is_there_while_no_collector_answers() {
    let service = Service::start(&[]).await;
    let mut events = service.events("traces,logs,metrics,overview,requests").await;
    for id in [7, 8, 13] {
        service.order(id).await;
    }
    let told = events.traces(3).await;
    let ids: Vec<&str> = told.iter().map(|trace| trace["trace_id"].as_str().unwrap()).collect();
    let failed = told.iter().find(|trace| trace["errors"] == 1).unwrap();
    let id = failed["trace_id"].as_str().unwrap();
    assert_eq!(
        (&failed["name"], &failed["method"], &failed["route"], &failed["status_code"], &failed["outcome"]),
        (&json!("GET /orders/{id}"), &json!("GET"), &json!("/orders/{id}"), &json!(500), &json!("failed")),
    );
    assert!(failed["duration_ms"].as_f64().unwrap() > 0.0 && failed["logs"].as_u64() >= Some(2), "{failed}");

    let lines =
        events.all("logs", |events| events.iter().map(|logs| records(logs).len()).sum::<usize>() >= 4);
    let lines = lines.await;
    let lines: Vec<&str> = lines.iter().flat_map(records).map(said).collect();
    assert_eq!(
        lines.iter().filter(|line| **line == "looking for the order").count(),
        3,
        "once each: {lines:?}"
    );
    assert!(!lines.contains(&"nobody asks for this"));

    searches(&service, &ids, id).await;
    one_trace(&service, id).await;
    the_log(&service, id).await;
    the_metrics(&service, &mut events, &ids).await;
    the_rest(&service, &mut events).await;
}

async fn searches(service: &Service, ids: &[&str], failed: &str) {
    let found = async |query: &str| {
        let list = service.json(&format!("/console/api/traces?{query}")).await;
        let list = list["traces"].as_array().unwrap().clone();
        list.iter().map(|trace| trace["trace_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let newest_first = [ids[2], ids[1], ids[0]];
    assert_eq!(found("").await, newest_first);
    for (query, expected) in [
        ("status=error", vec![failed]),
        ("status=500&method=GET&route=%2Forders%2F%7Bid%7D", vec![failed]),
        ("status=ok&outcome=completed&min_ms=0", vec![ids[1], ids[0]]),
        ("attribute=order.id%3D8", vec![ids[1]]),
        ("text=FIND+Order", newest_first.to_vec()),
        ("text=onerror&outcome=failed", vec![failed]),
        (&format!("text={}", &ids[0][..20]), vec![ids[0]]),
        ("min_ms=60000", vec![]),
        ("method=PUT", vec![]),
        // it was said, and it is nowhere to be found
        (&format!("text={SECRET}"), vec![]),
        (&format!("attribute=api_key%3D{SECRET}"), vec![]),
    ] {
        assert_eq!(found(query).await, expected, "{query}");
    }
    let page = service.json("/console/api/traces?limit=2").await;
    let next = service.json(&format!("/console/api/traces?before={}", page["next"].as_str().unwrap())).await;
    assert_eq!((page["traces"].as_array().unwrap().len(), &next["next"]), (2, &Value::Null));
    assert_eq!(next["traces"][0]["trace_id"], ids[0]);
}

async fn one_trace(service: &Service, id: &str) {
    let trace = service.json(&format!("/console/api/traces/{id}")).await;
    let resource = &trace["resourceSpans"][0]["resource"];
    assert_eq!(attribute(resource, "service.name")["stringValue"], "shop");
    let spans = spans(&trace);
    let [root, child] = spans.as_slice() else { panic!("{trace}") };
    assert_eq!((&root["traceId"], &child["parentSpanId"]), (&json!(id), &root["spanId"]));
    assert_eq!(attribute(root, "http.response.status_code")["intValue"], "500", "{root}");
    assert_eq!(attribute(child, "note")["stringValue"], MARKUP, "as it was, in JSON's own quotes");
    assert_eq!(attribute(child, "api_key")["stringValue"], "REDACTED");

    let download = service.ask(&format!("/console/api/traces/{id}?download=1")).await;
    let named = format!("attachment; filename=\"trace-{id}.json\"");
    assert_eq!(download.headers()["content-disposition"], named.as_str());
    assert_eq!(download.json::<Value>().await.unwrap(), trace);

    let logs = service.json(&format!("/console/api/traces/{id}/logs")).await;
    let records = records(&logs);
    assert!(records.iter().all(|record| record["traceId"] == id));
    let at = |record: &&Value| record["timeUnixNano"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(records.is_sorted_by_key(at), "{logs}");
    assert_eq!(said(records[0]), "looking for the order");
    assert_eq!(records[0]["spanId"], child["spanId"]);

    let requests = service.json(&format!("/console/api/traces/{id}/requests")).await;
    assert_eq!(
        (requests["active"].as_array().unwrap().len(), &requests["recent"][0]["trace_id"]),
        (0, &json!(id))
    );
    assert_eq!(
        (&requests["recent"][0]["status"], requests["recent"].as_array().unwrap().len()),
        (&json!(500), 1)
    );

    let unknown = "0123456789abcdef0123456789abcdef";
    for path in ["", "/logs"] {
        let answer = service.ask(&format!("/console/api/traces/{unknown}{path}")).await;
        assert_eq!(answer.status(), 404);
        assert_eq!(answer.json::<Value>().await.unwrap()["error"], "no trace with this id is kept");
    }
}

async fn the_log(service: &Service, id: &str) {
    let errors = service.json("/console/api/logs?min_level=error").await;
    let messages: Vec<&str> = records(&errors).into_iter().map(said).collect();
    let expected = format!("the order is {MARKUP} with password=REDACTED");
    assert!(messages.contains(&expected.as_str()), "{messages:?}");
    let all = service.json("/console/api/logs?target=console&text=LOOKING").await;
    assert_eq!(records(&all).len(), 3, "{all}");
    assert_eq!(attribute(records(&all)[0], "order.id")["intValue"], "13", "newest first");
    assert_eq!(all["resourceLogs"][0]["scopeLogs"][0]["scope"]["name"], "console", "the target");
    let mut before = String::new();
    let mut found = Vec::new();
    loop {
        let page =
            service.json(&format!("/console/api/logs?target=console&text=looking&limit=1{before}")).await;
        found.extend(records(&page).into_iter().map(|record| attribute(record, "order.id").clone()));
        let Some(next) = page["next"].as_str() else { break };
        before = format!("&before={next}");
    }
    assert_eq!(found, [13, 8, 7].map(|id| json!({ "intValue": id.to_string() })));
    let of_trace = service.json(&format!("/console/api/logs?trace_id={id}")).await;
    assert!(records(&of_trace).len() >= 2 && records(&of_trace).iter().all(|record| record["traceId"] == id));
    let nothing = service.json("/console/api/logs?target=cons").await;
    assert_eq!(nothing, json!({ "resourceLogs": [], "next": null }));
}

async fn the_metrics(service: &Service, events: &mut Events, ids: &[&str]) {
    const DURATION: &str = "http.server.request.duration";
    let told = |events: &[Value]| {
        events.iter().any(|event| event["names"].as_array().unwrap().iter().any(|name| name == DURATION))
    };
    events.all("metrics", told).await;
    let list = service.json("/console/api/metrics").await;
    let instruments = list["instruments"].as_array().unwrap();
    let duration = instruments.iter().find(|instrument| instrument["name"] == DURATION).unwrap();
    assert_eq!((&duration["kind"], &duration["unit"]), (&json!("histogram"), &json!("s")));
    assert_eq!(duration["series"], 2, "200 and 500");
    let page = service.json(&format!("/console/api/metrics/{DURATION}")).await;
    let metric = &page["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0];
    let points = metric["histogram"]["dataPoints"].as_array().unwrap();
    let last: Vec<u64> = points
        .chunk_by(|one, other| one["attributes"] == other["attributes"])
        .map(|series| series.last().unwrap()["count"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(last.iter().sum::<u64>(), 3, "{page}");
    let exemplars: Vec<_> =
        points.iter().filter_map(|point| point["exemplars"].as_array()).flatten().collect();
    assert!(
        !exemplars.is_empty() && exemplars.iter().all(|dot| ids.contains(&dot["traceId"].as_str().unwrap()))
    );
    assert_eq!(service.ask("/console/api/metrics/nobodys").await.status(), 404);
}

async fn the_rest(service: &Service, events: &mut Events) {
    let three = |overviews: &[Value]| overviews.iter().any(|overview| overview["routes"][0]["requests"] == 3);
    events.all("overview", three).await;
    let overview = service.json("/console/api/overview").await;
    assert_eq!((&overview["service"]["name"], &overview["window_seconds"]), (&json!("shop"), &json!(60)));
    let route = &overview["routes"][0];
    assert_eq!((&route["method"], &route["route"]), (&json!("GET"), &json!("/orders/{id}")));
    assert_eq!((&route["requests"], &route["errors"]), (&json!(3), &json!(1)));
    assert!(route["p50_ms"].as_f64() > Some(0.0) && route["p99_ms"].as_f64() >= route["p50_ms"].as_f64());
    assert_eq!(overview["active"], json!({ "requests": 0, "tasks": 0 }));
    assert_eq!(overview["health"], json!({ "ready": false, "failing": [] }));
    let store = &overview["store"];
    assert_eq!(
        (&store["traces"], &store["spans"], &store["evicted_traces"]),
        (&json!(3), &json!(6), &json!(0))
    );
    assert_eq!((&store["limit_bytes"], &store["max_age_seconds"]), (&json!(33_554_432), &json!(3600.0)));
    assert!(store["bytes"].as_u64() > Some(1000) && store["metric_points"].as_u64() > Some(10), "{store}");
    let requests = events.all("requests", |events| !events.is_empty()).await;
    assert!(requests[0]["totals"]["started"].is_u64() && requests[0]["groups"].is_array());

    let configuration = service.json("/console/api/configuration").await;
    let settings = configuration["settings"].as_array().unwrap();
    let console = settings.iter().find(|setting| setting["name"] == "TRACEWELL_CONSOLE").unwrap();
    assert_eq!((&console["value"], &console["source"]), (&json!("true"), &json!("environment")));
    let link = json!({ "label": "Jaeger", "url": "http://jaeger.example/trace/{trace_id}" });
    assert_eq!(service.json("/console/api/links").await, json!({ "links": [link] }));
}

#[tokio::test]
async fn exporters_that_are_off_hide_nothing_and_delta_is_read_once_only() {
    let service = Service::start(&[
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
    ])
    .await;
    let mut events = service.events("traces,logs").await;
    service.order(7).await;
    assert_eq!(events.traces(1).await.len(), 1);
    events.all("logs", |events| !events.is_empty()).await;
}

#[tokio::test]
async fn a_burst_of_records_is_told_in_part_and_the_rest_as_a_number() {
    let service = Service::start(&[]).await;
    let mut events = service.events("logs").await;
    for number in 0..2000 {
        tracing::info!(number, "one of many");
    }
    let everything = |text: &str| {
        let whole = &text[..text.rfind("\n\n").map_or(0, |end| end + 2)];
        let sum = |name: &str, count: &dyn Fn(&Value) -> usize| -> usize {
            let found = whole.split("\n\n").filter_map(|event| event.strip_prefix(name));
            found.map(|data| count(&serde_json::from_str(data).unwrap())).sum()
        };
        let told = sum("event: logs\ndata: ", &|logs| records(logs).len());
        let lost = sum("event: lost\ndata: ", &|lost| lost["logs"].as_u64().unwrap() as usize);
        (told + lost >= 2000).then_some((told, lost))
    };
    let (told, lost) = events.until(everything).await;
    assert!(told + lost == 2000 && told >= 500 && lost > 0, "{told} told, {lost} lost");
    assert_eq!(
        records(&service.json("/console/api/logs?limit=1000").await).len(),
        1000,
        "all of them are kept"
    );
}

/// Every path below `/console/`.
const PATHS: [&str; 11] = [
    "overview",
    "traces",
    "traces/0123456789abcdef0123456789abcdef",
    "traces/0123456789abcdef0123456789abcdef/logs",
    "traces/0123456789abcdef0123456789abcdef/requests",
    "logs",
    "metrics",
    "metrics/http.server.request.duration",
    "configuration",
    "links",
    "events",
];

#[tokio::test]
async fn strangers_pages_of_others_and_other_methods_are_refused() {
    let service = Service::start(&[("TRACEWELL_ADMIN_TOKEN", "s3cret")]).await;
    for path in PATHS {
        let url = format!("{}/console/api/{path}", service.admin);
        let rebound = service.client.get(&url).header("host", "evil.example").send().await.unwrap();
        assert_eq!(rebound.status(), 403, "{path}");
        let passed_on = service.client.get(&url).header("x-forwarded-for", "192.0.2.7").send().await.unwrap();
        assert_eq!(passed_on.status(), 403, "{path}");
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let method = method.parse().unwrap();
            let answer = service.client.request(method, &url).body("{}").send().await.unwrap();
            assert_eq!(answer.status(), 405, "{path}");
        }
        let answer = service.client.get(&url).header("host", "evil.example").bearer_auth("s3cret").send();
        let answer = answer.await.unwrap();
        assert_ne!(answer.status(), 403, "{path}");
        let headers = answer.headers();
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
        assert!(headers.get("access-control-allow-origin").is_none(), "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_named_with_what_is_accepted() {
    let service = Service::start(&[]).await;
    for (path, said) in [
        ("traces?status=bad", "status=\"bad\"; accepted is ok, error, or a status code from 100 to 599"),
        ("traces?limit=501", "limit=\"501\"; accepted is a whole number from 1 to 500"),
        ("traces?min_ms=-1", "min_ms=\"-1\"; accepted is a number of milliseconds, 0 or more"),
        ("traces?min_ms=1e300", "min_ms=\"1e300\"; accepted is a number of milliseconds, 0 or more"),
        ("traces?attribute=x", "attribute=\"x\"; accepted is key=value, percent-encoded"),
        (
            "traces?outcome=or",
            "outcome=\"or\"; accepted is completed, failed, cancelled, panicked, aborted or interrupted",
        ),
        ("traces?before=x", "before=\"x\"; accepted is a whole number"),
        (
            "traces?colour=red",
            "\"colour\" is no parameter; accepted are route, method, status, outcome, min_ms, max_ms, attribute, text, limit, before",
        ),
        ("traces?text=a&text=b", "text is there twice; accepted is once"),
        ("traces/xyz", "trace id \"xyz\"; accepted are 32 hexadecimal digits"),
        ("logs?min_level=loud", "min_level=\"loud\"; accepted is trace, debug, info, warn or error"),
        ("logs?trace_id=1", "trace_id=\"1\"; accepted is 32 hexadecimal digits"),
        ("logs?limit=1001", "limit=\"1001\"; accepted is a whole number from 1 to 1000"),
        (
            "events?views=all",
            "views=\"all\"; accepted are overview, requests, traces, logs and metrics, comma separated",
        ),
    ] {
        let answer = service.ask(&format!("/console/api/{path}")).await;
        assert_eq!(answer.status(), 400, "{path}");
        assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "error": said }), "{path}");
    }
}

#[tokio::test]
async fn without_the_store_the_endpoints_say_how_to_have_it() {
    let service = Service::start(&[("TRACEWELL_CONSOLE", "false")]).await;
    for path in PATHS {
        let answer = service.ask(&format!("/console/api/{path}")).await;
        if ["configuration", "links"].contains(&path) {
            assert_eq!(answer.status(), 200, "{path}");
            continue;
        }
        assert_eq!(answer.status(), 404, "{path}");
        let said = "the console's store is off: set TRACEWELL_CONSOLE=true";
        assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "error": said }), "{path}");
    }
}

#[tokio::test]
async fn streams_are_limited_and_their_places_come_free() {
    let service = Service::start(&[]).await;
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(service.events("logs").await);
    }
    let refused = service.ask("/console/api/events").await;
    assert_eq!(refused.status(), 503);
    drop(open);
    let answered = tokio::time::timeout(PATIENCE, async {
        // the server hears of the end of a connection when it next writes or reads
        while service.ask("/console/api/events?views=overview").await.status() != 200 {
            tokio::task::yield_now().await;
        }
    });
    answered.await.expect("a place comes free");
    service.telemetry.shutdown().await.unwrap_err();
}
