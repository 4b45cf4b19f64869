//! The operator's endpoints: strict meanings, safe by default, and there when nothing else is.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/admin.rs"]
mod admin_endpoints;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use http::{Method, StatusCode};
use opentelemetry::metrics::MeterProvider as _;
use tracewell::{Telemetry, requests::NewEntry};

use self::admin_endpoints::{Answer, LOCAL, STRANGER, send, telemetry};

const LIMIT: Duration = Duration::from_secs(20);

async fn get(telemetry: &Telemetry, peer: &str, uri: &str, headers: &[(&str, &str)]) -> Answer {
    send(tracewell::admin::router(telemetry), Method::GET, peer, uri, headers, "").await
}

#[tokio::test]
async fn liveness_stays_while_readiness_follows_the_service_from_start_to_drain() {
    let telemetry = telemetry(&[]);
    let codes = async || {
        (
            get(&telemetry, LOCAL, "/health", &[]).await.status,
            get(&telemetry, LOCAL, "/ready", &[]).await.status,
        )
    };
    assert_eq!(codes().await, (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE), "starting");
    telemetry.health().set_ready();
    assert_eq!(codes().await, (StatusCode::OK, StatusCode::OK));
    let ready = get(&telemetry, LOCAL, "/readyz", &[]).await.json();
    assert_eq!(ready["status"], "success");
    assert_eq!(ready["results"][0]["passed"], true);
    telemetry.health().set_draining();
    assert_eq!(codes().await, (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE), "draining");
    let health = get(&telemetry, LOCAL, "/livez", &[]).await.json();
    assert_eq!((health["status"].as_str(), health["ready"].as_bool()), (Some("ok"), Some(false)));
}

#[tokio::test]
async fn strangers_see_a_status_and_nothing_else_without_the_token() {
    let telemetry =
        telemetry(&[("TRACEWELL_ADMIN_TOKEN", "s3cret"), ("TRACEWELL_ADMIN_ALLOW", "198.51.100.0/24")]);
    telemetry.health().set_ready();
    for path in ["/health", "/ready"] {
        let answer = get(&telemetry, STRANGER, path, &[]).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json().as_object().unwrap().len(), 1, "{}", answer.body);
    }
    for path in
        ["/", "/metrics", "/telemetry", "/debug/requests", "/debug/requests?format=json", "/debug/resilience"]
    {
        assert_eq!(get(&telemetry, STRANGER, path, &[]).await.status, StatusCode::FORBIDDEN, "{path}");
        let wrong = [("authorization", "Bearer s3crets")];
        assert_eq!(get(&telemetry, STRANGER, path, &wrong).await.status, StatusCode::FORBIDDEN, "{path}");
        let right = [("authorization", "Bearer s3cret")];
        assert_eq!(get(&telemetry, STRANGER, path, &right).await.status, StatusCode::OK, "{path}");
        assert_eq!(get(&telemetry, "198.51.100.9", path, &[]).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn active_requests_are_listed_oldest_first_and_filtered() {
    let telemetry = telemetry(&[]);
    let registry = telemetry.requests();
    let _old = registry.start(NewEntry::request("GET").with_route("/slow").with_path("/slow"));
    let _new = registry.start(NewEntry::request("POST").with_route("/orders").with_path("/orders"));
    let _task = registry.start(NewEntry::task("reindex"));
    let list = get(&telemetry, LOCAL, "/debug/requests", &[]).await.json();
    let routes: Vec<_> =
        list["active"].as_array().unwrap().iter().map(|entry| entry["route"].clone()).collect();
    assert_eq!(routes, ["/slow".into(), "/orders".into(), serde_json::Value::Null]);
    assert_eq!(
        (list["totals"]["started"].as_u64(), list["task_totals"]["started"].as_u64()),
        (Some(2), Some(1))
    );
    let only = get(&telemetry, LOCAL, "/debug/requests?kind=request&route=/orders", &[]).await.json();
    assert_eq!(only["active"].as_array().unwrap().len(), 1);
    let none = get(&telemetry, LOCAL, "/debug/requests?min_age_ms=600000", &[]).await.json();
    assert!(none["active"].as_array().unwrap().is_empty());
    let bad = get(&telemetry, LOCAL, "/debug/requests?kind=job", &[]).await;
    assert!(bad.status == StatusCode::BAD_REQUEST && bad.body.contains("request and task"), "{}", bad.body);
    let page = get(&telemetry, LOCAL, "/debug/requests", &[("accept", "text/html,*/*")]).await;
    assert!(page.content_type().starts_with("text/html") && page.body.contains("/slow"));
}

#[tokio::test]
async fn secrets_in_a_request_are_not_shown() {
    let telemetry = telemetry(&[]);
    let entry = telemetry.requests().start(NewEntry::request("GET").with_path("/reset/token=hunter2"));
    entry.handle().annotate("api_key", "hunter2");
    entry.handle().annotate("user", "ada");
    for kind in ["application/json", "text/html"] {
        let shown = get(&telemetry, LOCAL, "/debug/requests", &[("accept", kind)]).await.body;
        assert!(!shown.contains("hunter2") && shown.contains("ada") && shown.contains("/reset/"), "{shown}");
    }
}

#[tokio::test]
async fn metrics_are_negotiated_and_the_pipeline_accounts_for_itself() {
    let telemetry = telemetry(&[]);
    let orders = telemetry.meter_provider().meter("shop").u64_counter("orders").build();
    orders.add(3, &[]);
    let text = get(&telemetry, LOCAL, "/metrics", &[]).await;
    assert!(text.content_type().starts_with("text/plain") && text.content_type().contains("version=0.0.4"));
    assert!(text.body.contains("orders_total{") && !text.body.contains("# EOF"), "{}", text.body);
    let accept = [("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")];
    let open = get(&telemetry, LOCAL, "/metrics", &accept).await;
    assert!(
        open.content_type().starts_with("application/openmetrics-text") && open.body.ends_with("# EOF\n")
    );
    let account = get(&telemetry, LOCAL, "/telemetry", &[]).await.json();
    for signal in ["traces", "metrics", "logs"] {
        let of = |key: &str| account[signal][key].as_u64().unwrap();
        assert_eq!(of("emitted"), of("exported") + of("dropped") + of("failed") + of("queued"));
        assert_eq!(account[signal]["state"], "off");
    }
}

/// One request over a connection of its own.
fn ask(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_admin_server_answers_on_its_own_thread_and_under_hundreds_of_half_open_callers() {
    let telemetry = telemetry(&[("TRACEWELL_ADMIN_ADDR", "127.0.0.1:0")]);
    // no runtime of the service's exists at all
    let address = telemetry.admin_address().unwrap();
    assert!(ask(address, "/health").starts_with("HTTP/1.1 200"));
    let slow: Vec<_> = (0..400)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /health HTTP/1.1\r\nx-slow: ").unwrap();
            stream
        })
        .collect();
    assert!(ask(address, "/health").starts_with("HTTP/1.1 200"));
    assert!(ask(address, "/../../etc/passwd").starts_with("HTTP/1.1 404"));
    let huge = format!("/health?{}", "x".repeat(100_000));
    let mut stream = TcpStream::connect(address).unwrap();
    let _ = write!(stream, "GET {huge} HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(ask(address, "/livez").starts_with("HTTP/1.1 200"), "others are still answered");
    drop(slow);
    drop(telemetry);
    assert!(
        TcpStream::connect(address).is_err()
            || std::panic::catch_unwind(|| ask(address, "/health")).map_or(true, |answer| answer.is_empty())
    );
}

#[test]
fn the_prometheus_exporter_has_a_port_of_its_own_with_metrics_only() {
    let variables = [
        ("OTEL_METRICS_EXPORTER", "prometheus"),
        ("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "0"),
    ];
    let telemetry = telemetry(&variables);
    let address = telemetry.prometheus_address().unwrap();
    telemetry.meter_provider().meter("shop").u64_counter("orders").build().add(1, &[]);
    let page = ask(address, "/metrics");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("orders_total"), "{page}");
    assert!(ask(address, "/debug/requests").starts_with("HTTP/1.1 404"));
}

#[test]
fn an_address_that_is_taken_is_named_with_its_variable() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error =
        Telemetry::builder().with_env([("TRACEWELL_ADMIN_ADDR", &address)]).build().unwrap_err().to_string();
    assert!(error.contains("TRACEWELL_ADMIN_ADDR") && error.contains(&address), "{error}");
}
