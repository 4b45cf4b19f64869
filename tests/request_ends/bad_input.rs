//! What no client should send: never a panic, never a lost request, and never a series per absurdity.

use std::net::SocketAddr;

use axum::{Router, body::Body, extract::Request, routing::any};
use http::{HeaderValue, Method};
use tower::{Layer as _, Service as _, ServiceExt as _};

use crate::harness::{DURATION, Http1, World, answering};

fn app() -> Router {
    Router::new().route("/{*path}", any(|| async { "ok" })).route("/", any(|| async { "ok" }))
}

/// Sends raw bytes on a connection of their own; the status code, if there was an answer.
async fn status_of(address: SocketAddr, request: &[u8]) -> Option<u16> {
    let mut client = Http1::open(address).await;
    client.write(request).await;
    let answer = client.rest().await;
    answer.split(' ').nth(1)?.parse().ok()
}

fn with_header(name: &str, value: &[u8]) -> Vec<u8> {
    let mut request = b"GET /x HTTP/1.1\r\nhost: test\r\nconnection: close\r\n".to_vec();
    request.extend_from_slice(name.as_bytes());
    request.extend_from_slice(b": ");
    request.extend_from_slice(value);
    request.extend_from_slice(b"\r\n\r\n");
    request
}

fn remote(flags: &str) -> String {
    format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}")
}

#[test]
fn malformed_trace_headers_start_a_trace_of_their_own() {
    let world = World::new();
    let address = world.serve_app(app());
    let long = "x".repeat(64 * 1024);
    let many = (0..5000).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
    let zero = "00-00000000000000000000000000000000-0000000000000000-01";
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("traceparent", b"".to_vec()),
        ("traceparent", b"00".to_vec()),
        ("traceparent", zero.into()),
        ("traceparent", remote("zz").into()),
        ("traceparent", format!("{}-more", remote("01")).into()),
        ("traceparent", remote("01").to_uppercase().replace("00F", "0ZF").into()),
        ("traceparent", b"\xff\xfe\x80".to_vec()),
        ("traceparent", long.clone().into()),
        ("tracestate", long.clone().into()),
        ("tracestate", b"=,=,;\xff".to_vec()),
        ("baggage", long.into()),
        ("baggage", many.into()),
        ("baggage", b"a=%zz,%ff=%ff,;;;=,\x80\xff=\xff".to_vec()),
    ];
    let sent = bad.len();
    world.run(async move {
        for (name, value) in bad {
            assert_eq!(status_of(address, &with_header(name, &value)).await, Some(200), "{name}");
        }
    });
    world.idle();
    assert_eq!((world.totals().started, world.totals().completed), (sent as u64, sent as u64));
    let spans = world.server_spans();
    assert_eq!(spans.len(), sent);
    assert!(spans.iter().all(|span| span.parent_span_id == opentelemetry::SpanId::INVALID));
}

#[test]
fn a_callers_trace_goes_on_and_its_decision_with_it() {
    let world = World::new();
    let address = world.serve_app(app());
    world.run(async move {
        for flags in ["01", "00"] {
            let request = with_header("traceparent", remote(flags).as_bytes());
            assert_eq!(status_of(address, &request).await, Some(200));
        }
    });
    world.idle();
    let spans = world.server_spans();
    assert_eq!(spans.len(), 1, "the other one is not sampled");
    assert_eq!(spans[0].span_context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(spans[0].parent_span_id.to_string(), "00f067aa0ba902b7");
    assert!(spans[0].parent_span_is_remote);
    let snapshot = world.registry.snapshot();
    assert!(
        snapshot.recent.iter().all(|ended| ended.entry.trace_id == Some(spans[0].span_context.trace_id()))
    );
    // an unsampled request is measured as well
    let metrics = world.metrics();
    assert_eq!((metrics.count(DURATION), metrics.active()), (2, 0));
}

#[test]
fn absurd_requests_are_requests() {
    let world = World::new();
    let address = world.serve_app(app());
    let huge = "h".repeat(64 * 1024);
    let mut requests: Vec<Vec<u8>> = vec![
        with_header("user-agent", b"\xff\xfe\x80"),
        with_header("user-agent", huge.as_bytes()),
        with_header("content-length", b"18446744073709551615"),
        with_header("forwarded", b"for=\"_\xff\";proto=;host=,,,"),
        with_header("x-forwarded-for", huge.as_bytes()),
        b"GET /x HTTP/1.1\r\nconnection: close\r\nhost: \xff\xff\r\n\r\n".to_vec(),
        b"GET /x HTTP/1.1\r\nconnection: close\r\nhost: [::1\r\n\r\n".to_vec(),
        b"GET /x HTTP/1.1\r\nconnection: close\r\nhost: a:b:c:99999999\r\n\r\n".to_vec(),
        b"GET /%ff%00%zz?%ff&=&&sig=%ff HTTP/1.1\r\nconnection: close\r\nhost: test\r\n\r\n".to_vec(),
        b"GET //..//../%2e%2e HTTP/1.1\r\nconnection: close\r\nhost: test\r\n\r\n".to_vec(),
        b"GET http://user:pass@elsewhere:1/x HTTP/1.1\r\nconnection: close\r\nhost: test\r\n\r\n".to_vec(),
        b"OPTIONS * HTTP/1.1\r\nconnection: close\r\nhost: test\r\n\r\n".to_vec(),
        format!("GET /x HTTP/1.1\r\nconnection: close\r\nhost: {huge}\r\n\r\n").into(),
        format!("GET /{} HTTP/1.1\r\nconnection: close\r\nhost: test\r\n\r\n", "p".repeat(60_000)).into(),
        format!("{} /x HTTP/1.1\r\nconnection: close\r\nhost: test\r\n\r\n", "M".repeat(200)).into(),
    ];
    // what hyper itself refuses never was a request
    requests.push(b"GET /\xff\xff HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n".to_vec());
    requests.push(b"GET\0 / HTTP/1.1\r\nhost: test\r\n\r\n".to_vec());
    let seen = world.run(async move {
        let mut seen = 0;
        for request in requests {
            match status_of(address, &request).await {
                Some(400 | 414 | 431) => {}
                Some(_) => seen += 1,
                None => panic!("no answer: {}", String::from_utf8_lossy(&request[..request.len().min(80)])),
            }
        }
        seen
    });
    world.idle();
    let totals = world.totals();
    assert!(seen >= 13, "{seen}");
    assert_eq!((totals.started, totals.completed), (seen, seen), "{totals:?}");
    assert_eq!(world.server_spans().len() as u64, seen);
    assert_eq!(world.metrics().count(DURATION), seen);
    for span in world.server_spans() {
        for attribute in &span.attributes {
            let text = attribute.value.to_string();
            assert!(text.len() <= 1024, "{} has {} bytes", attribute.key, text.len());
            assert!(!text.contains("pass@"), "{text}");
        }
    }
}

#[test]
fn values_that_are_no_text_are_no_attributes() {
    let world = World::new();
    let service = world.layer.layer(answering(|_| http::Response::new(Body::empty())));
    world.run(async move {
        let mut request = Request::new(Body::empty());
        for name in ["host", "user-agent", "traceparent", "content-length", "baggage"] {
            request.headers_mut().insert(name, HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        }
        service.oneshot(request).await.unwrap();
    });
    world.idle();
    let span = &world.server_spans()[0];
    for absent in ["server.address", "user_agent.original", "http.route"] {
        assert!(span.attributes.iter().all(|attribute| attribute.key.as_str() != absent), "{absent}");
    }
}

#[test]
fn a_thousand_methods_and_paths_are_one_series() {
    let world = World::new();
    let mut service = world.layer.layer(answering(|_| http::Response::new(Body::empty())));
    world.run(async move {
        for number in 0..1000 {
            let request =
                Request::builder().method(Method::from_bytes(format!("M{number}").as_bytes()).unwrap());
            let request = request.uri(format!("/p{number}?q={number}")).header("host", format!("h{number}"));
            service.call(request.body(Body::empty()).unwrap()).await.unwrap();
        }
    });
    world.idle();
    let metrics = world.metrics();
    let points = metrics.histogram(DURATION);
    assert_eq!(points.len(), 1);
    assert_eq!((points[0].1.count, metrics.active()), (1000, 0));
    assert_eq!(points[0].0["http.request.method"], "_OTHER");
    let span = &world.server_spans()[7];
    assert_eq!(span.name, "HTTP");
    let original = span.attributes.iter().find(|each| each.key.as_str() == "http.request.method_original");
    assert_eq!(original.unwrap().value.to_string(), "M7");
}

/// More routes than the SDK keeps series apart, and than this crate remembers: what is over is in the overflow series.
#[test]
fn routes_without_end_are_bounded_series_and_every_request_is_counted() {
    const ROUTES: usize = 4500;
    let world = World::new();
    let mut app = Router::new();
    for number in 0..ROUTES {
        app = app.route(&format!("/r{number}/{{id}}"), any(|| async { "ok" }));
    }
    let mut app = app.layer(world.layer.clone());
    world.run(async move {
        for number in 0..ROUTES {
            let request = Request::builder().uri(format!("/r{number}/1")).body(Body::empty()).unwrap();
            let response = app.call(request).await.unwrap();
            http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
        }
    });
    world.idle();
    assert_eq!(world.totals().completed, ROUTES as u64);
    let metrics = world.metrics();
    let points = metrics.histogram(DURATION);
    assert!(points.len() <= 2001, "{}", points.len());
    assert_eq!((metrics.count(DURATION), metrics.active()), (ROUTES as u64, 0));
    assert!(points.iter().any(|(attributes, _)| attributes.contains_key("otel.metric.overflow")));
    let last = &world.server_spans()[ROUTES - 1];
    assert_eq!(last.name, format!("GET /r{}/{{id}}", ROUTES - 1));
}
