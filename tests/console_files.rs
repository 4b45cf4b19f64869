//! The console's files: for trusted callers, under a policy that lets nothing else in, and as a list for whoever has no scripts.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{net::SocketAddr, time::Duration};

use axum::{body::Body, extract::ConnectInfo};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use opentelemetry::{SpanId, TraceId};
use tower::ServiceExt as _;
use tracewell::{
    Telemetry,
    requests::{EndDetails, NewEntry, Outcome, Registry},
};

fn telemetry(variables: &[(&str, &str)]) -> Telemetry {
    let quiet =
        [("OTEL_TRACES_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none")];
    let builder = Telemetry::builder().with_env(quiet.iter().chain(variables).copied());
    builder.with_registry(Registry::new(8)).with_stdout(false).build().unwrap()
}

async fn get(
    telemetry: &Telemetry,
    peer: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 1)));
    let response = tracewell::admin::router(telemetry).oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
}

const LOCAL: &str = "127.0.0.1";

/// What a page or module asks for: `src="…"`, `href="…"`, `from '…'`.
fn asked_for(text: &str) -> Vec<&str> {
    let after = |mark: &'static str, end: char| {
        text.split(mark).skip(1).map(move |rest| rest.split(end).next().unwrap_or_default())
    };
    after("src=\"", '"')
        .chain(after("<link rel=\"modulepreload\" href=\"", '"'))
        .chain(after("from '", '\''))
        .collect()
}

#[tokio::test]
async fn the_page_is_under_a_policy_that_lets_nothing_else_in() {
    let telemetry = telemetry(&[]);
    let (status, headers, _) = get(&telemetry, LOCAL, "/", &[]).await;
    assert_eq!(status, StatusCode::OK);
    let policy = headers["content-security-policy"].to_str().unwrap();
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "form-action 'self'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy.split("; ").any(|has| has == rule), "{rule}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(
        (&headers["cache-control"], &headers["x-content-type-options"]),
        (&"no-store".parse().unwrap(), &"nosniff".parse().unwrap())
    );
}

/// What makes markup out of text, code out of text, or a request to somewhere else.
const FORBIDDEN: [&str; 9] = [
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "eval(",
    "new Function",
    "//cdn",
    "@import",
    "https://",
];

#[tokio::test]
async fn every_file_is_served_and_asks_for_nothing_from_elsewhere() {
    let telemetry = telemetry(&[]);
    let (_, _, shell) = get(&telemetry, LOCAL, "/", &[]).await;
    let mut left = vec!["/console/style.css".to_owned()];
    left.extend(asked_for(&shell).iter().map(|path| format!("/{path}")));
    let mut seen = Vec::new();
    while let Some(path) = left.pop() {
        if seen.contains(&path) {
            continue;
        }
        let (status, headers, text) = get(&telemetry, LOCAL, &path, &[]).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        let is_style = path.ends_with(".css");
        let expected = if is_style { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" };
        assert_eq!(
            (headers["content-type"].to_str().unwrap(), headers["x-content-type-options"].to_str().unwrap()),
            (expected, "nosniff")
        );
        // whoever has it asks only whether it is still the same
        let tag = headers["etag"].to_str().unwrap();
        let (again, _, nothing) = get(&telemetry, LOCAL, &path, &[("if-none-match", tag)]).await;
        assert_eq!((again, nothing.as_str()), (StatusCode::NOT_MODIFIED, ""), "{path}");
        let (other, ..) = get(&telemetry, LOCAL, &path, &[("if-none-match", "\"other\"")]).await;
        assert_eq!(other, StatusCode::OK);
        for forbidden in FORBIDDEN {
            assert!(!text.contains(forbidden), "{path}: {forbidden}");
        }
        let folder = path.rsplit_once('/').unwrap().0;
        for module in if is_style { Vec::new() } else { asked_for(&text) } {
            let (base, name) = match module.strip_prefix("../") {
                Some(name) => (folder.rsplit_once('/').unwrap().0, name),
                None => (folder, module.strip_prefix("./").unwrap()),
            };
            left.push(format!("{base}/{name}"));
        }
        seen.push(path);
    }
    assert!(seen.len() > 20, "{seen:?}");
}

#[tokio::test]
async fn strangers_see_no_file_and_no_other_path_is_one() {
    let telemetry = telemetry(&[("TRACEWELL_ADMIN_TOKEN", "s3cret")]);
    for path in ["/", "/console/app.js", "/console/style.css", "/console/lib/api.js"] {
        assert_eq!(get(&telemetry, "192.0.2.7", path, &[]).await.0, StatusCode::FORBIDDEN, "{path}");
        let token = [("authorization", "Bearer s3cret")];
        assert_eq!(get(&telemetry, "192.0.2.7", path, &token).await.0, StatusCode::OK, "{path}");
    }
    for path in [
        "/console",
        "/console/",
        "/console/index.html",
        "/console/lib",
        "/console/../Cargo.toml",
        "/console/lib%2fapi.js",
    ] {
        assert_eq!(get(&telemetry, LOCAL, path, &[]).await.0, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn files_do_not_use_up_what_costly_paths_may_answer() {
    let telemetry = telemetry(&[]);
    let router = tracewell::admin::router(&telemetry);
    let ask = async |path: &str| {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(LOCAL.parse().unwrap(), 1)));
        router.clone().oneshot(request).await.unwrap().status()
    };
    for _ in 0..300 {
        assert_eq!(ask("/console/app.js").await, StatusCode::OK);
    }
    assert_eq!(ask("/telemetry").await, StatusCode::OK);
}

#[tokio::test]
async fn without_scripts_the_page_is_a_list_of_what_is_served() {
    let telemetry = telemetry(&[]);
    let (_, _, shell) = get(&telemetry, LOCAL, "/", &[]).await;
    for path in [
        "debug/requests",
        "debug/resilience",
        "telemetry",
        "metrics",
        "health",
        "ready",
        "startup",
        "healthcheck",
        "environment",
        "loglevel",
    ] {
        assert!(shell.contains(&format!("<a href=\"{path}\"><code>/{path}</code></a>")), "{path}");
    }
    assert!(shell.contains("<noscript>") && shell.contains("<td>traces</td>"), "{shell}");
    assert!(
        shell.contains("data-cancel=\"false\"") && !shell.contains('{'),
        "nothing is left to be filled in"
    );
}

#[tokio::test]
async fn a_slow_request_is_still_told_of_when_many_quick_ones_have_ended_since() {
    let telemetry = telemetry(&[("TRACEWELL_CONSOLE", "true")]);
    let start = |trace: u128| {
        let new = NewEntry::request("GET").with_route("/slow").with_path("/slow");
        telemetry.requests().start(new.with_span(TraceId::from(trace), SpanId::from(7), true))
    };
    let slow = start(1);
    slow.handle().set_stage("waiting");
    let details = |millis| EndDetails::new(Duration::from_millis(millis)).with_status(200);
    slow.end(Outcome::Completed, details(2000));
    for trace in 2..2000 {
        start(trace).end(Outcome::Completed, details(1));
    }
    let id = TraceId::from(1_u128);
    let (status, _, body) = get(&telemetry, LOCAL, &format!("/console/api/traces/{id}/requests"), &[]).await;
    assert_eq!(status, StatusCode::OK);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let recent = body["recent"].as_array().unwrap();
    assert_eq!((recent.len(), &recent[0]["stages"][0]["stage"]), (1, &"waiting".into()), "{body}");
}
