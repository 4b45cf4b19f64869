//! What calls go through is seen by an operator: in Prometheus' names, on the admin server, in logs and in readiness.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::pending,
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tracewell::{
    Telemetry,
    health::Check,
    http::ClientLayer,
    resilience::{
        Breaker, Breakers, Bulkhead, BulkheadFull, Failure, Fallback, Policy, Retry, State, Substitute,
        Verdict,
    },
    testing::Collector,
};

const AT_ONCE: Duration = Duration::from_millis(1);
static CACHED: Fallback = Fallback::new("prices", "cached");

async fn page(admin: SocketAddr, path: &str) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(format!("http://{admin}{path}")).send().await.unwrap().text().await.unwrap()
}

/// A server that answers 503 so often, then 200; the address, and the requests it saw.
async fn failing(times: u32) -> (SocketAddr, &'static AtomicU32) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen: &'static AtomicU32 = Box::leak(Box::default());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                head.push(byte);
            }
            let status = if seen.fetch_add(1, Ordering::SeqCst) < times { "503 Busy" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, seen)
}

fn bulkhead_and_breaker(full: Failure<&'static str>) {
    let Failure::Full(BulkheadFull { bulkhead, limit, .. }) = full else { panic!("{full:?}") };
    assert_eq!((&*bulkhead, limit), ("stock", 1));
}

#[expect(clippy::too_many_lines, reason = "one process, one story")]
#[tokio::test]
async fn everything_is_seen() {
    let collector = Collector::start();
    let dead = Breaker::builder("dead").with_min_calls(1).build();
    let telemetry = Telemetry::builder()
        .with_env([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
            ("TRACEWELL_PRESET", "test".to_owned()),
            ("TRACEWELL_ADMIN_ADDR", "127.0.0.1:0".to_owned()),
        ])
        .with_health_check("dead", Check::breaker(&dead))
        .with_stdout(false)
        .install()
        .unwrap();
    let admin = telemetry.admin_address().unwrap();

    // two retries, by reqwest, each seen by the other side; a body that can be sent again
    let (address, seen) = failing(2).await;
    let retry = Retry::new().with_delays(AT_ONCE, AT_ONCE).with_budget(None);
    let policy = Policy::new("orders")
        .with_retry(retry.clone())
        .with_breakers(Breakers::bounded(2, |target| Breaker::builder(target).with_min_calls(100)));
    let client =
        reqwest_middleware::ClientBuilder::new(reqwest::Client::builder().no_proxy().build().unwrap())
            .with(policy.middleware())
            .with(ClientLayer::new().middleware())
            .build();
    let order = client.put(format!("http://{address}/orders/1")).body("one");
    assert_eq!(order.send().await.unwrap().status(), 200);
    assert_eq!(seen.load(Ordering::SeqCst), 3);
    // a POST is not sent twice, nor is what the error policy gives up at once
    let (address, seen) = failing(9).await;
    assert_eq!(client.post(format!("http://{address}/orders")).send().await.unwrap().status(), 503);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    let given_up = policy.middleware().with_errors(|_| Verdict::Fail);
    let client =
        reqwest_middleware::ClientBuilder::new(reqwest::Client::builder().no_proxy().build().unwrap())
            .with(given_up)
            .with(ClientLayer::new().middleware())
            .build();
    let refusing = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    assert!(client.get(format!("http://{refusing}/refused")).send().await.is_err());

    // one place, taken: who comes next is refused, and the breaker knows nothing of it
    let breaker = Breaker::builder("stock").with_min_calls(1).build();
    let stock = Policy::new("stock")
        .with_retry(retry)
        .with_breaker(breaker.clone())
        .with_bulkhead(Bulkhead::new("stock", 1));
    let mut first = std::pin::pin!(stock.call(pending::<Result<(), &str>>));
    assert!(futures_util::poll!(first.as_mut()).is_pending());
    bulkhead_and_breaker(stock.call(|| async { Ok(()) }).await.unwrap_err());
    assert_eq!(breaker.state(), State::Closed);

    let failed = Policy::new("dead").with_breaker(dead.clone()).call(|| async { Err::<u32, _>("no") }).await;
    assert_eq!(CACHED.instead_of(failed, |_| Substitute::new(7)).value, 7);
    assert_eq!(dead.state(), State::Open);

    let metrics = page(admin, "/metrics").await;
    let value = |name: &str, labels: &[&str]| {
        let of_series =
            |line: &&str| line.starts_with(name) && labels.iter().all(|label| line.contains(label));
        metrics.lines().find(of_series).and_then(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
    };
    assert_eq!(value("retry_attempts_total{", &["policy=\"orders\""]), Some(2.0), "{metrics}");
    assert_eq!(value("breakers_state{", &["breaker=\"dead\"", "state=\"open\""]), Some(1.0));
    assert_eq!(value("breakers_state{", &["breaker=\"dead\"", "state=\"closed\""]), Some(0.0));
    let cached = ["fallback=\"cached\"", "feature=\"prices\""];
    assert_eq!(value("fallback_invocations_total{", &cached), Some(1.0));
    assert_eq!(value("bulkhead_rejections_total{", &["bulkhead=\"stock\""]), Some(1.0));

    let json: Value = serde_json::from_str(&page(admin, "/debug/resilience").await).unwrap();
    let breakers = json["breakers"].as_array().unwrap();
    assert_eq!((&breakers[0]["target"], &breakers[0]["state"]), (&"dead".into(), &"open".into()));
    assert!(breakers[0]["open_since_ms"].is_u64() && breakers[0]["by_hand"] == false);
    let targets = breakers.iter().filter(|breaker| breaker["target"].as_str().unwrap().starts_with("127."));
    assert_eq!(targets.count(), 2, "three were called, two are kept");
    let bulkhead = &json["bulkheads"][0];
    assert_eq!((&bulkhead["in_use"], &bulkhead["rejected"]), (&1.into(), &1.into()));
    let policies = json["policies"].as_array().unwrap();
    assert!(policies.iter().any(|policy| policy["name"] == "orders" && policy["retries"] == 2));
    assert!(page(admin, "/debug/resilience?format=html").await.contains("<td>dead<td>open"));
    assert!(page(admin, "/debug/resilience?format=xml").await.contains("accepted are json and html"));

    assert!(page(admin, "/ready").await.contains("the breaker of dead is open"));
    dead.reset();
    assert!(page(admin, "/ready").await.contains("the breaker of dead is closed"));

    assert!(telemetry.shutdown().await.unwrap().is_complete());
    let logs = collector.logs();
    let of = |name: &str| -> Vec<_> {
        let orders =
            |log: &&tracewell::testing::LogRecord| log.attribute("policy").as_deref() == Some("orders");
        logs.iter().filter(orders).filter(|log| log.record.event_name == name).collect()
    };
    let retries = of("tracewell.retry");
    assert_eq!(retries.len(), 2, "one record per retry");
    for (attempt, log) in (1..).zip(&retries) {
        assert_eq!(log.attribute("error").as_deref(), Some("the answer was 503 Service Unavailable"));
        assert_eq!(log.attribute("attempt"), Some(attempt.to_string()));
        assert!(log.attribute("delay").is_some() && log.attribute("elapsed").is_some());
    }
    let results: Vec<_> =
        of("tracewell.retry.result").iter().map(|log| log.attribute("result").unwrap()).collect();
    assert_eq!(results, ["success", "failure", "failure"], "one record with each result");
    let refused = of("tracewell.retry.result")[2].attribute("error").unwrap();
    assert!(refused.contains("Connection refused"), "the cause is told: {refused}");
}
