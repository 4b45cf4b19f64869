//! The error that a function marked `#[instrument(err)]` returns is its span's status, and nobody else's.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt;

use axum::{Router, body::Body, http::Request, routing::get};
use tower::ServiceExt as _;
use tracewell::{
    Telemetry,
    testing::{Capture, Collector, proto::trace::v1::status::StatusCode},
};
use tracing::instrument;

#[derive(Debug)]
struct Unreachable(&'static str);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot reach {}", self.0)
    }
}

#[instrument(err)]
async fn reads_stock() -> Result<u32, Unreachable> {
    tokio::task::yield_now().await;
    prices_stock("postgres://shop:hunter2@db.internal/stock").map_err(|_| Unreachable("the stock"))
}

#[instrument(skip_all, err(Debug, level = "warn"))]
fn prices_stock(at: &'static str) -> Result<u32, Unreachable> {
    counts_stock().unwrap();
    Err(Unreachable(at))
}

#[instrument(err)]
fn counts_stock() -> Result<u32, Unreachable> {
    Ok(1)
}

/// Something is wrong, and what is asked for is answered all the same.
#[instrument]
fn shrugs() {
    let error = Unreachable("the cache");
    tracing::error!(%error);
    tracing::error!(%error, "no cache");
}

/// Not a span at the level that is exported: its error is no other span's.
#[instrument(level = "debug", err)]
fn unseen() -> Result<(), Unreachable> {
    Err(Unreachable("nothing"))
}

/// The program has the last word.
#[instrument(err, fields(otel.status_code = "OK"))]
fn forgiven() -> Result<(), Unreachable> {
    Err(Unreachable("anybody"))
}

async fn handler() -> &'static str {
    shrugs();
    let _ = (unseen(), forgiven());
    let _ = tracing::info_span!("around").in_scope(unseen);
    let _ = reads_stock().await;
    "not in stock"
}

#[tokio::test]
async fn the_functions_span_fails_and_the_requests_own_does_not() {
    let capture = Capture::new();
    let app: Router = Router::new().route("/stock", get(handler)).layer(capture.server_layer());
    let request = Request::get("/stock").body(Body::empty()).unwrap();
    let response = capture.run(app.oneshot(request)).await.unwrap();
    assert_eq!(response.status(), 200);
    drop(axum::body::to_bytes(response.into_body(), 1024).await);

    let status = |name: &str| {
        let span = capture.span(name).unwrap();
        (span.is_error(), span.status_message().to_owned())
    };
    assert_eq!(status("reads_stock"), (true, "cannot reach the stock".to_owned()));
    let (failed, description) = status("prices_stock");
    assert!(failed && description.starts_with("Unreachable("), "{description}");
    for name in ["counts_stock", "shrugs", "around", "forgiven", "GET /stock"] {
        assert_eq!(status(name), (false, String::new()), "{name}");
    }
    assert!(capture.tree().contains("ERROR error=cannot reach the stock"), "it is logged as before");
}

#[derive(Debug)]
struct Endless;

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..10_000).try_for_each(|_| f.write_str("à la "))
    }
}

#[instrument(err)]
fn never_stops() -> Result<(), Endless> {
    Err(Endless)
}

#[instrument(err)]
async fn alone() -> Result<(), Unreachable> {
    Err(Unreachable("postgres://shop:hunter2@db.internal/stock"))
}

/// As a program has it that installs nothing else; nothing is logged, and secrets stay here.
#[tokio::test]
async fn whatever_is_logged_the_span_fails() {
    let collector = Collector::start();
    let variables = [("RUST_LOG", "off".to_owned()), ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())];
    let telemetry = Telemetry::builder().with_env(variables).with_stdout(false).install().unwrap();
    let _ = (alone().await, never_stops());
    shrugs();
    assert!(telemetry.shutdown().await.unwrap().is_complete());

    let spans = collector.spans();
    let status = |name: &str| {
        let span = spans.iter().find(|span| span.name() == name).unwrap();
        span.span.status.clone().map(|status| (status.code(), status.message)).unwrap_or_default()
    };
    let (code, description) = status("alone");
    assert_eq!(
        (code, &*description),
        (StatusCode::Error, "cannot reach postgres://REDACTED:REDACTED@db.internal/stock")
    );
    assert_eq!(status("shrugs"), (StatusCode::Unset, String::new()));
    let (code, description) = status("never_stops");
    assert_eq!(code, StatusCode::Error);
    assert!(description.starts_with("à la à la") && (1000..=1024).contains(&description.len()));
    assert!(collector.logs().is_empty(), "{:?}", collector.logs());
}
