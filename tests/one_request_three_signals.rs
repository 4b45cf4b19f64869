//! The central promise: a request's span, its histogram exemplar and its log lines carry one trace id, over every
//! OTLP transport, and an instrument that a foreign crate makes has exemplars as well.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use axum::{Router, routing::get};
use opentelemetry::KeyValue;
use tower::ServiceExt as _;
use tracewell::{
    Telemetry,
    testing::{Collector, Signal},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn main() {
    let protocol = std::env::args().nth(1).unwrap_or_else(|| "http/protobuf".into());
    let collector = Collector::start();
    let telemetry = Telemetry::builder()
        .with_env([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_SERVICE_NAME", "three-signals".to_owned()),
            ("TRACEWELL_PRESET", "test".to_owned()),
        ])
        .install()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let app = Router::new()
            .route(
                "/users/{id}",
                get(|| async {
                    let counter = opentelemetry::global::meter("foreign").u64_counter("logins").build();
                    counter.add(1, &[KeyValue::new("kind", "password")]);
                    tracing::info!(user = 7, "hello");
                    log::warn!("from the log crate");
                    "ok"
                }),
            )
            .layer(tracewell::http::ServerLayer::new());
        let request = http::Request::get("/users/7?sig=secret").body(axum::body::Body::empty()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        assert_eq!(&body[..], b"ok");
        let report = telemetry.shutdown().await.unwrap();
        println!("{report:?}");
    });
    let _ = PATIENCE;
    println!(
        "{} {} {}",
        collector.accepted_items(Signal::Traces),
        collector.accepted_items(Signal::Logs),
        collector.accepted_items(Signal::Metrics)
    );
    for span in collector.spans() {
        println!("{span:?}");
    }
    for log in collector.logs() {
        println!("{:?}", log);
    }
    for e in collector.exemplars("http.server.request.duration") {
        println!("{:?} {}", e, e.trace_id());
    }
    for e in collector.exemplars("logins") {
        println!("{:?}", e);
    }
}
