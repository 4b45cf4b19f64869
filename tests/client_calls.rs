//! Calls out, as their spans, their metric and the other side see them: one truth for all three.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tower::{Service as _, ServiceBuilder, ServiceExt as _};
use tracewell::{
    Telemetry,
    http::{ClientLayer, UrlTemplate},
    requests::{self, NewEntry, Registry},
    resilience::{Breaker, Policy, Retry, State},
    testing::{Collector, Signal, SpanRecord},
};
use tracing::Instrument as _;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What the downstream does with one connection, after the request's head is there.
#[derive(Clone, Copy)]
enum Turn {
    Say(&'static str),
    /// Says this, then nothing more.
    Stall(&'static str),
}

/// A server whose connections go by a script; the heads of the requests it saw.
async fn downstream(script: &'static [Turn]) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&seen);
    tokio::spawn(async move {
        for turn in script {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            heads.lock().unwrap().push(String::from_utf8(head).unwrap());
            let (Turn::Say(words) | Turn::Stall(words)) = *turn;
            stream.write_all(words.as_bytes()).await.unwrap();
            if let Turn::Stall(_) = turn {
                tokio::spawn(async move {
                    // until the other side is gone
                    let _ = stream.read(&mut [0]).await;
                });
            }
        }
    });
    (address, seen)
}

fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).unwrap()
}

fn traced(head: &str) -> Option<&str> {
    head.lines().find_map(|line| line.strip_prefix("traceparent: 00-"))?.get(33..49)
}

#[expect(
    clippy::too_many_lines,
    clippy::await_holding_invalid_type,
    reason = "one story in its order, on one thread of its own"
)]
#[tokio::test]
async fn every_attempt_is_one_span_one_point_and_one_request_downstream() {
    let collector = Collector::start();
    let telemetry = Telemetry::builder()
        .with_env([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
            ("TRACEWELL_PRESET", "test".to_owned()),
        ])
        .with_stdout(false)
        .install()
        .unwrap();
    let layer = ClientLayer::new();
    let http = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let mut client = ServiceBuilder::new().layer(layer).service(http.clone());
    let guard = Registry::global().start(NewEntry::request("GET"));
    let entry = guard.handle().clone();

    let work = async {
        // a template, secrets, and the stage while it waits
        let (address, seen) = downstream(&[Turn::Say(OK)]).await;
        let mut request = get(&format!("http://{address}/users/7?sig=S3CRET"));
        request.extensions_mut().insert(UrlTemplate("/users/{id}"));
        let _entered = requests::enter(&entry);
        entry.set_stage("before");
        let response = client.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(entry.stage().as_deref(), Some(&*format!("calling {address}")));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
        assert_eq!(entry.stage().as_deref(), Some("before"));
        let heads = vec![seen.lock().unwrap()[0].clone()];

        // refused
        let (refused, _) = downstream(&[]).await;
        tokio::task::yield_now().await;
        assert!(client.call(get(&format!("http://{refused}/refused"))).await.is_err());
        // reset in mid-body
        let (address, _) = downstream(&[Turn::Say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok")]).await;
        let response = client.call(get(&format!("http://{address}/reset"))).await.unwrap();
        assert!(response.into_body().collect().await.is_err());
        // slow headers: given up by the caller
        let (address, _) = downstream(&[Turn::Stall("")]).await;
        let slow = client.call(get(&format!("http://{address}/cancelled")));
        assert!(tokio::time::timeout(Duration::from_millis(50), slow).await.is_err());
        // slow body: left
        let (address, _) = downstream(&[Turn::Stall("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok")]).await;
        drop(client.call(get(&format!("http://{address}/left"))).await.unwrap());

        // not to be trusted
        let (address, seen) = downstream(&[Turn::Say(OK)]).await;
        let private = ClientLayer::new().with_propagation_to(|_| false);
        let mut client = ServiceBuilder::new().layer(private).service(http.clone());
        let response =
            client.ready().await.unwrap().call(get(&format!("http://{address}/stranger"))).await.unwrap();
        response.into_body().collect().await.unwrap();
        assert_eq!(traced(&seen.lock().unwrap()[0]), None);
        heads
    };
    let first = work.instrument(tracing::info_span!("the request")).await;

    // 503 with Retry-After, then an answer that is too slow, then a good one
    let (address, seen) = downstream(&[
        Turn::Say("HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
        Turn::Stall(""),
        Turn::Say(OK),
    ])
    .await;
    let breaker = Breaker::new("downstream");
    let policy = Policy::new("downstream")
        .with_retry(Retry::new().with_delays(Duration::from_millis(1), Duration::from_millis(1)))
        .with_breaker(breaker.clone())
        .with_timeout(Duration::from_millis(200));
    let client = ServiceBuilder::new().layer(policy.layer()).layer(ClientLayer::new()).service(http);
    let response = client
        .oneshot(get(&format!("http://{address}/tried")))
        .instrument(tracing::info_span!("the other request"))
        .await
        .unwrap();
    assert_eq!((response.status(), breaker.state()), (StatusCode::OK, State::Closed));
    response.into_body().collect().await.unwrap();
    assert!(telemetry.shutdown().await.unwrap().is_complete());

    let spans = collector.spans();
    let calls = |path: &str| -> Vec<&SpanRecord> {
        let mut calls: Vec<_> = spans
            .iter()
            .filter(|span| span.attribute("url.full").is_some_and(|url| url.contains(path)))
            .collect();
        calls.sort_by_key(|span| span.span.start_time_unix_nano);
        calls
    };
    let one = |path: &str, key: &str| calls(path)[0].attribute(key);
    let user = calls("/users/7")[0];
    assert_eq!((user.name(), user.span.kind), ("GET /users/{id}", 3));
    assert!(user.attribute("url.full").unwrap().ends_with("?sig=REDACTED"));
    assert_eq!(user.attribute("network.protocol.version").as_deref(), Some("1.1"));
    assert_eq!(traced(&first[0]), Some(&*user.span_id()), "what was sent is the span");
    let parent = spans.iter().find(|span| span.name() == "the request").unwrap();
    assert_eq!(user.parent_span_id(), parent.span_id());

    assert_eq!(one("/refused", "error.type").as_deref(), Some("connect"));
    assert_eq!(one("/reset", "error.type").as_deref(), Some("reset"));
    for (path, outcome) in [("/cancelled", "cancelled"), ("/left", "aborted")] {
        assert_eq!(one(path, "error.type"), None);
        assert_eq!(one(path, "tracewell.outcome").as_deref(), Some(outcome));
    }

    let tried = calls("/tried");
    let values = |key: &str| tried.iter().map(|span| span.attribute(key)).collect::<Vec<_>>();
    let texts = |texts: [Option<&str>; 3]| texts.map(|text| text.map(str::to_owned)).to_vec();
    assert_eq!(values("error.type"), texts([Some("503"), Some("timeout"), None]));
    assert_eq!(values("http.request.resend_count"), texts([None, Some("1"), Some("2")]));
    let heads = seen.lock().unwrap().clone();
    let sent: Vec<_> = heads.iter().map(|head| traced(head).unwrap().to_owned()).collect();
    assert_eq!(
        sent,
        tried.iter().map(|span| span.span_id()).collect::<Vec<_>>(),
        "downstream saw these attempts"
    );
    assert!(tried.iter().all(|span| span.trace_id() == tried[0].trace_id()));

    let exemplars = collector.exemplars("http.client.request.duration");
    for call in tried.iter().chain([&user]) {
        assert!(exemplars.iter().any(|exemplar| exemplar.span_id() == call.span_id()));
    }
    let trace = tried[0].trace_id();
    let logs: Vec<_> = collector.logs().into_iter().filter(|log| log.trace_id() == trace).collect();
    let said: Vec<_> = logs.iter().map(|log| log.severity().to_owned()).collect();
    assert_eq!(said, ["WARN", "WARN", "INFO"], "two retries and the result");
    let names: Vec<_> = collector.metrics().iter().map(|metric| metric.name().to_owned()).collect();
    for name in ["retry.attempts", "breakers.state"] {
        assert!(names.iter().any(|own| own == name), "{name} in {names:?}");
    }
    assert!(collector.accepted_items(Signal::Metrics) > 0);
}
