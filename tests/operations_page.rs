//! The page for whoever is on call names every metric that there is, and none that there is not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, time::Duration};

use axum::{Router, body::Body, routing::get};
use http::Request;
use tower::ServiceExt as _;
use tracewell::{health::Check, tasks::Tasks, testing::Capture};

const PAGE: &str = include_str!("../src/docs/operations.md");

/// What stands in backquotes in the first column of the page's table of metrics.
fn named() -> Vec<&'static str> {
    let table = PAGE.split("\n## Metrics").nth(1).unwrap().split("\n## ").next().unwrap();
    let cells = table.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let named: Vec<_> = cells.flat_map(|cell| cell.split('`')).filter(|word| word.contains('.')).collect();
    assert!(named.len() > 30, "{named:?}");
    named
}

fn sources(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_metric_that_is_measured_is_on_the_page() {
    let capture = Capture::new();
    let app = Router::new().route("/", get(|| async { "done" })).layer(capture.server_layer());
    let call = tower::ServiceBuilder::new().layer(capture.client_layer()).service(app);
    capture.paused_runtime().block_on(async {
        let request = Request::get("http://shop.example/").header("content-length", "0");
        let response = call.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
        let tasks = Tasks::new(capture.requests().clone(), &capture.telemetry().meter_provider());
        let clean = || async { Ok::<_, std::io::Error>(()) };
        let job = tokio::spawn(tasks.periodic("clean", Duration::from_secs(1), clean));
        tokio::time::sleep(Duration::from_secs(3)).await;
        job.abort();
        let health = capture.telemetry().health();
        health.register("always", Check::new(|| async { Ok::<_, String>(()) }));
        health.report().await;
        let _ = tokio::time::timeout(Duration::from_secs(2), health.clone().beat()).await;
    });
    let (measured, page) = (capture.metric_names(), named());
    for expected in ["http.server.request.duration", "http.client.request.duration", "tracewell.tasks"] {
        assert!(measured.iter().any(|name| name == expected), "{measured:?}");
    }
    let missing: Vec<_> = measured.iter().filter(|name| !page.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "add to src/docs/operations.md: {missing:?}");
}

#[test]
fn every_metric_on_the_page_is_in_the_code() {
    let mut code = String::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut code);
    // names of otel.sdk are put together from parts
    let gone: Vec<_> = named()
        .into_iter()
        .filter(|name| !name.starts_with("otel.sdk.") && !code.contains(&format!("\"{name}\"")))
        .collect();
    assert!(gone.is_empty(), "{gone:?}");
}
