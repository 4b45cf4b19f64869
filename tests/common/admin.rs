//! The operator's endpoints, asked within the test's own process, as a trusted caller or as a stranger.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use axum::{Router, body::Body, extract::ConnectInfo};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tracewell::{Builder, Telemetry, requests::Registry};

pub(crate) const LOCAL: &str = "127.0.0.1";
pub(crate) const STRANGER: &str = "192.0.2.7";
pub(crate) const QUIET: [(&str, &str); 3] =
    [("OTEL_TRACES_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none")];

/// Telemetry that exports nothing and touches no global, with these variables on top.
pub(crate) fn builder(variables: &[(&str, &str)]) -> Builder {
    let variables = QUIET.iter().chain(variables).map(|(name, value)| (*name, *value));
    Telemetry::builder().with_env(variables).with_registry(Registry::new(64)).with_stdout(false)
}

pub(crate) fn telemetry(variables: &[(&str, &str)]) -> Telemetry {
    builder(variables).build().unwrap()
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Empty when there is none.
    pub(crate) fn content_type(&self) -> &str {
        self.headers.get(header::CONTENT_TYPE).map_or("", |value| value.to_str().unwrap())
    }
}

/// Sends a request as if it came from `peer`.
pub(crate) async fn send(
    app: Router,
    method: Method,
    peer: &str,
    uri: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::from(body.to_owned())).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 1)));
    let response = app.oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
}
