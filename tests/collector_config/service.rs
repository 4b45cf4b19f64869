//! A service in trouble, inside the test's own process: a stuck request, a full queue.

use std::time::Duration;

use tower::{Layer as _, ServiceExt as _};
use tracewell::{Telemetry, http::ServerLayer, requests};

/// Goes on sending until dropped.
pub(crate) struct Troubled {
    _telemetry: Telemetry,
    _runtime: tokio::runtime::Runtime,
}

/// One per process: it installs the telemetry.
pub(crate) fn in_trouble(otlp: &str) -> Troubled {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let entered = runtime.enter();
    let telemetry = Telemetry::builder()
        .default_service_name("troubled")
        .with_env([
            ("TRACEWELL_PRESET", "development"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", otlp),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "8"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8"),
            ("OTEL_BLRP_MAX_QUEUE_SIZE", "8"),
            ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "8"),
            ("RUST_LOG", "info"),
        ])
        .install()
        .unwrap();
    let thresholds = requests::Thresholds::new(Duration::from_millis(50));
    runtime.spawn(requests::watch(thresholds));
    runtime.spawn(async {
        let stuck = tower::service_fn(|_: http::Request<axum::body::Body>| async {
            std::future::pending::<()>().await;
            Ok::<_, std::convert::Infallible>(http::Response::new(axum::body::Body::empty()))
        });
        let request = http::Request::get("/never").body(axum::body::Body::empty()).unwrap();
        let _ = ServerLayer::new().layer(stuck).oneshot(request).await;
    });
    for number in 0..2000 {
        tracing::info_span!("burst").in_scope(|| tracing::info!(number, "more than a queue of eight takes"));
    }
    drop(entered);
    Troubled { _telemetry: telemetry, _runtime: runtime }
}
