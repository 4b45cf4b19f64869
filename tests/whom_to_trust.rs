//! What callers and proxies say counts as far as they are trusted, and no further.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use axum::{Router, body::Body, routing::get};
use http::{HeaderMap, Request, Response};
use tower::{Layer as _, ServiceExt as _};
use tracewell::{
    config::IpRange,
    http::{ClientLayer, Peer, ServerLayer},
    testing::{Attributes, Capture},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// Sends one request to a handler that logs, and calls on; the headers that this call carried.
async fn served(capture: &Capture, layer: ServerLayer, headers: &[(&str, &str)]) -> HeaderMap {
    let sent: Arc<Mutex<HeaderMap>> = Arc::default();
    let (seen, client) = (Arc::clone(&sent), capture.client_layer());
    let handler = move || async move {
        let parent = tracing::info_span!("step");
        tracing::info!(parent: &parent, "in a step");
        tracing::info!("in the handler");
        call(&client, &seen).await;
    };
    let app = Router::new().route("/users", get(handler)).layer(layer);
    let mut request = Request::get("/users").header("host", "inner:8080");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(Peer("10.1.2.3:4711".parse().unwrap()));
    capture.run(app.oneshot(request)).await.unwrap();
    sent.lock().unwrap().clone()
}

async fn call(layer: &ClientLayer, seen: &Arc<Mutex<HeaderMap>>) {
    let seen = Arc::clone(seen);
    let downstream = tower::service_fn(move |request: Request<Body>| {
        *seen.lock().unwrap() = request.headers().clone();
        async { Ok::<_, std::io::Error>(Response::new(Body::empty())) }
    });
    let request = Request::get("http://downstream/").body(Body::empty()).unwrap();
    layer.layer(downstream).oneshot(request).await.unwrap();
}

fn texts<'a, const N: usize>(attributes: Attributes<'a>, keys: [&str; N]) -> [Option<&'a str>; N] {
    keys.map(|key| attributes.str(key))
}

const WHO: [&str; 4] = ["client.address", "network.peer.address", "server.address", "url.scheme"];
const FORWARDED: [(&str, &str); 1] =
    [("forwarded", "for=6.6.6.6;proto=http;host=evil, for=203.0.113.7;proto=https;host=shop.example")];

#[tokio::test]
async fn proxies_are_believed_when_they_are_on_the_list() {
    let told = [Some("203.0.113.7"), Some("10.1.2.3"), Some("shop.example"), Some("https")];
    let by_variable =
        Capture::builder().with_env([("TRACEWELL_TRUSTED_PROXIES", "192.0.2.1, 10.0.0.0/8")]).build();
    served(&by_variable, by_variable.server_layer(), &FORWARDED).await;
    let span = by_variable.span("GET /users").unwrap();
    assert_eq!(texts(span.attributes(), WHO), told);
    assert_eq!(span.attributes().i64("server.port"), None, "shop.example said none, inner's is not its own");
    let durations = by_variable.metric("http.server.request.duration").unwrap();
    assert!(durations.point(&[("url.scheme", "https")]).is_some());

    let by_layer = Capture::new();
    let layer = by_layer.server_layer().with_trusted_proxies([IpRange::parse("10.1.2.3").unwrap()]);
    served(&by_layer, layer, &[("x-forwarded-for", "203.0.113.7"), ("x-forwarded-proto", "https")]).await;
    let span = by_layer.span("GET /users").unwrap();
    let told = [Some("203.0.113.7"), Some("10.1.2.3"), Some("inner"), Some("https")];
    assert_eq!(texts(span.attributes(), WHO), told);

    let nobody = Capture::new();
    served(&nobody, nobody.server_layer(), &FORWARDED).await;
    let span = nobody.span("GET /users").unwrap();
    assert_eq!(
        texts(span.attributes(), WHO),
        [Some("10.1.2.3"), Some("10.1.2.3"), Some("inner"), Some("http")]
    );
}

#[tokio::test]
async fn a_public_endpoint_links_to_strangers_and_takes_nothing_from_them() {
    let caller = format!("00-{TRACE}-{CALLER}-00");
    let headers = [("traceparent", caller.as_str()), ("baggage", "tenant=acme")];
    let public = Capture::builder()
        .with_env([("TRACEWELL_PUBLIC_ENDPOINT", "true"), ("TRACEWELL_BAGGAGE_ATTRIBUTES", "tenant")])
        .build();
    let sent = served(&public, public.server_layer(), &headers).await;
    let span = public.span("GET /users").expect("sampled by our own choice");
    assert!(span.is_root() && span.trace_id() != TRACE);
    assert_eq!(span.links(), [(TRACE.to_owned(), CALLER.to_owned())]);
    assert_eq!(span.attributes().str("tenant"), None);
    assert!(sent["traceparent"].to_str().unwrap().contains(span.trace_id()));
    assert!(!sent.contains_key("baggage"), "a stranger's baggage goes no further");

    // the layer has the last word
    let layer = public.server_layer().with_public_endpoint(false);
    let known = format!("00-{TRACE}-{CALLER}-01");
    let sent = served(&public, layer, &[("traceparent", &known), ("baggage", "tenant=acme")]).await;
    assert_eq!(sent["baggage"], "tenant=acme");
    let joined = public.spans().into_iter().find(|span| span.trace_id() == TRACE && span.kind() == "server");
    assert!(joined.is_some_and(|span| span.links().is_empty() && span.has_remote_parent()));
}

#[tokio::test]
async fn listed_baggage_members_are_on_every_span_and_log_record_and_others_on_none() {
    let caller = format!("00-{TRACE}-{CALLER}-01");
    let headers =
        [("traceparent", caller.as_str()), ("baggage", "tenant=acme%20inc,user=7,password=hunter2")];
    let capture = Capture::builder()
        .with_telemetry(|builder| builder.with_baggage_attributes(["tenant", "password", "absent"]))
        .build();
    served(&capture, capture.server_layer(), &headers).await;
    let spans = capture.spans();
    assert_eq!(spans.len(), 3, "request, step and call: {}", capture.tree());
    for span in &spans {
        assert_eq!(
            texts(span.attributes(), ["tenant", "user", "absent"]),
            [Some("acme inc"), None, None],
            "{}",
            span.name()
        );
    }
    for message in ["in a step", "in the handler"] {
        let log = capture.log(message).unwrap();
        assert_eq!(
            texts(log.attributes(), ["tenant", "user", "absent"]),
            [Some("acme inc"), None, None],
            "{message}"
        );
        assert_eq!(log.attributes().str("password"), Some("REDACTED"), "a listed name is no licence");
    }
    let plain = Capture::new();
    served(&plain, plain.server_layer(), &headers).await;
    assert_eq!(plain.span("GET /users").unwrap().attributes().str("tenant"), None);
}
