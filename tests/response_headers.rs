//! A response says what its request's work went through.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use http::{HeaderMap, Request};
use tower::ServiceExt as _;
use tracewell::{
    http::ServerLayer,
    resilience::{Fallback, Policy, Retry, Substitute},
    testing::Capture,
};

async fn headers(capture: &Capture, layer: ServerLayer, path: &str, failures: u32) -> HeaderMap {
    headers_for(None, capture, layer, (path, failures)).await
}

async fn headers_for(
    caller: Option<&str>,
    capture: &Capture,
    layer: ServerLayer,
    (path, failures): (&str, u32),
) -> HeaderMap {
    static CACHED: Fallback = Fallback::new("prices", "cached");
    let left = std::sync::Arc::new(AtomicU32::new(failures));
    let handler = move || async move {
        let retry =
            Retry::new().with_delays(Duration::from_millis(1), Duration::from_millis(1)).with_budget(None);
        let call = || async {
            match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
                Ok(_) => Err("refused"),
                Err(_) => Ok("fresh"),
            }
        };
        let result = Policy::new("prices").with_retry(retry).call(call).await;
        CACHED.instead_of(result, |_| Substitute::new("old")).value
    };
    let app = Router::new().route(path, get(handler)).layer(layer);
    let request = Request::get(path);
    let request = caller.into_iter().fold(request, |request, caller| request.header("traceparent", caller));
    let request = request.body(Body::empty()).unwrap();
    capture.run(app.oneshot(request)).await.unwrap().headers().clone()
}

#[tokio::test]
async fn retries_and_fallbacks_are_in_the_headers_with_the_trace_and_nothing_is_without_them() {
    let capture = Capture::new();
    let untouched = headers(&capture, capture.server_layer(), "/untouched", 0).await;
    assert!(!untouched.contains_key("x-retry-count") && !untouched.contains_key("traceparent"));

    let retried = headers(&capture, capture.server_layer(), "/retried", 2).await;
    assert_eq!(retried["x-retry-count"], "2");
    assert!(!retried.contains_key("x-fallback") && !retried.contains_key("x-trace-id"));
    let span = capture.span("GET /retried").unwrap();
    // made here: sampled, and random
    assert_eq!(retried["traceparent"], format!("00-{}-{}-03", span.trace_id(), span.span_id()));

    let fell_back = headers(&capture, capture.server_layer().with_trace_id_header(), "/fell-back", 9).await;
    assert_eq!(fell_back["x-retry-count"], "3");
    assert_eq!(fell_back["x-fallback"], "cached");
    assert_eq!(fell_back["x-trace-id"], capture.span("GET /fell-back").unwrap().trace_id());
}

/// W3C Trace Context Level 2, section 3.2.2.5: the flag of a random id is passed on as it came, here as in calls that leave.
#[tokio::test]
async fn the_trace_in_the_headers_has_the_flags_that_its_caller_sent() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for flags in ["00", "01", "02", "03"] {
        let capture = Capture::new();
        let caller = format!("00-{trace}-00f067aa0ba902b7-{flags}");
        let told = headers_for(Some(&caller), &capture, capture.server_layer(), ("/flags", 1)).await;
        let told = told["traceparent"].to_str().unwrap().to_owned();
        assert!(told.starts_with(&format!("00-{trace}-")) && told.ends_with(&format!("-{flags}")), "{told}");
    }
}
