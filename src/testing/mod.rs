//! Help for tests: capture of telemetry in the test itself, and an OTLP server in the test's own process.
//!
//! [`Capture`] sees the telemetry of one test, whatever runs beside it: nothing global, no thread, no socket.
//! [`Collector`] is for what only a real export shows: protocols, faults, losses.
//!
//! ```
//! use axum::{Router, body::Body, http::Request, routing::get};
//! use tower::ServiceExt as _;
//! use tracewell::testing::Capture;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let capture = Capture::new();
//! let app = Router::new()
//!     .route("/users/{id}", get(|| async { tracing::info!(n = 3, "loaded") }))
//!     .layer(capture.server_layer());
//!
//! let request = Request::get("/users/7").body(Body::empty()).unwrap();
//! capture.run(app.oneshot(request)).await.unwrap();
//!
//! assert_eq!(capture.tree(), "GET /users/{id} [server] 200\n  INFO loaded n=3");
//! let duration = capture.metric("http.server.request.duration").unwrap();
//! assert_eq!(duration.exemplars()[0].trace_id(), capture.logs()[0].trace_id());
//! # }
//! ```

mod assertion;
mod capture;
mod collector;
mod tree;

pub use crate::config::{Protocol, Signal};
pub use assertion::{Expected, LogAssertion, MetricAssertion, SpanAssertion, assert_nothing_active};
pub use capture::{
    Capture, CaptureBuilder, CaptureRuntime, Captured, CapturedLog, CapturedMetric, CapturedPoint,
    CapturedSpan,
};
pub use collector::{
    Attributes, Collector, ExemplarRecord, Export, Fault, LogRecord, MetricRecord, Received, Recorded,
    SpanRecord, TlsFiles, proto,
};
