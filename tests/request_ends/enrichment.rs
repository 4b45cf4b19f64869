//! What a program adds to a request in one call, the headers an operator asked for, and the error behind a 5xx.

use std::fmt;

use axum::{Extension, Router, response::IntoResponse as _, routing::any};
use http::StatusCode;
use opentelemetry::{Array, Value};
use tracewell::{
    http::{Cause, Failure, ServerLayer},
    requests::{self, Current},
    testing::LogRecord,
};

use crate::harness::{DURATION, Expected, Http1, World};

fn ask(world: &World, app: Router, request: &'static str) -> String {
    let address = world.serve_app(app);
    let answer = world.run(async move { Http1::send(address, request).await.rest().await });
    world.idle();
    answer
}

fn span_attribute(world: &World, key: &str) -> Option<Value> {
    let spans = world.server_spans();
    assert_eq!(spans.len(), 1);
    spans[0]
        .attributes
        .iter()
        .find(|attribute| attribute.key.as_str() == key)
        .map(|found| found.value.clone())
}

const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";

#[test]
fn one_call_adds_an_attribute_to_span_logs_and_allowed_metrics() {
    async fn handler(request: Current) -> &'static str {
        tracing::info!("before");
        request.set_attribute("shop.tenant", "acme");
        requests::set_attribute("shop.items", 3);
        request.set_attribute("shop.password", "hunter2");
        request.set_attribute("shop.items", 4);
        // what is spawned in the request's context is the request's as well
        requests::spawn(async { tracing::info!(shop.tenant = "its own", "after") }).await.unwrap();
        "done"
    }
    let world = World::with(&[("TRACEWELL_METRIC_ATTRIBUTES", "shop.tenant,unused")]);
    assert!(ask(&world, Router::new().route("/", any(handler)), GET).ends_with("done"));
    assert_eq!(span_attribute(&world, "shop.tenant"), Some("acme".into()));
    assert_eq!(span_attribute(&world, "shop.items"), Some(4.into()));
    let metrics = world.metrics();
    let points = metrics.histogram(DURATION);
    assert_eq!(points.len(), 1);
    let own: Vec<_> = points[0].0.iter().filter(|(key, _)| key.starts_with("shop.")).collect();
    assert_eq!(own, [(&"shop.tenant".to_owned(), &"acme".to_owned())], "the allowed ones alone");
    let (before, after) = (world.records_of("before"), world.records_of("after"));
    assert_eq!(before[0].attribute("shop.tenant"), None);
    assert_eq!(after[0].attribute("shop.items").as_deref(), Some("4"));
    assert_eq!(after[0].attribute("shop.tenant").as_deref(), Some("its own"), "the event's own wins");
    assert_eq!(after[0].attribute("shop.password").as_deref(), Some("REDACTED"));
    let annotations = &world.registry.snapshot().recent[0].entry.annotations;
    assert!(annotations.iter().any(|fact| fact.key == "shop.tenant" && fact.shown() == "acme"));
}

#[test]
fn listed_headers_are_attributes_and_secrets_in_them_are_not_shown() {
    let world = World::with(&[
        ("OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_REQUEST_HEADERS", "X-Tenant,authorization,x-absent"),
        ("OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_RESPONSE_HEADERS", "x-cache"),
    ]);
    let app = Router::new().route("/", any(async || [("x-cache", "hit"), ("x-other", "no")]));
    let request = "GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\nx-tenant: a\r\nX-Tenant: b\r\n\
                   authorization: Bearer abc123\r\nx-unlisted: no\r\n\r\n";
    ask(&world, app, request);
    let list = |values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned().into()).collect();
        Some(Value::Array(Array::String(values)))
    };
    assert_eq!(span_attribute(&world, "http.request.header.x-tenant"), list(&["a", "b"]));
    assert_eq!(span_attribute(&world, "http.request.header.authorization"), list(&["REDACTED"]));
    assert_eq!(span_attribute(&world, "http.response.header.x-cache"), list(&["hit"]));
    for key in
        ["http.request.header.x-absent", "http.request.header.x-unlisted", "http.response.header.x-other"]
    {
        assert_eq!(span_attribute(&world, key), None);
    }
}

#[test]
fn a_layer_may_be_told_in_code_as_well() {
    let world = World::new();
    let layer = world
        .layer
        .clone()
        .with_captured_request_headers([http::HeaderName::from_static("x-tenant")])
        .with_metric_attributes(["shop.tenant"]);
    let handler = async || requests::set_attribute("shop.tenant", "acme");
    let address = world.serve_service(Router::new().route("/", any(handler)).layer(layer));
    world.run(async move {
        let request = "GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\nx-tenant: a\r\n\r\n";
        Http1::send(address, request).await.rest().await
    });
    world.idle();
    assert!(span_attribute(&world, "http.request.header.x-tenant").is_some());
    assert_eq!(world.metrics().histogram(DURATION)[0].0.get("shop.tenant").map(String::as_str), Some("acme"));
}

#[derive(Debug)]
struct Outer(std::num::ParseIntError);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the order has no number")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

fn no_number() -> Outer {
    Outer("x".parse::<u8>().unwrap_err())
}

fn exceptions(world: &World) -> Vec<LogRecord> {
    world.records_at("ERROR")
}

#[test]
fn the_error_behind_a_5xx_is_logged_with_its_causes_and_not_shown_to_the_client() {
    let failing = async || -> Result<(), Failure> { Err(no_number())? };
    let by_hand =
        async || (StatusCode::BAD_GATEWAY, Extension(Cause::new(no_number())), "sorry").into_response();
    for (app, code, shown) in [
        (Router::new().route("/", any(failing)), 500, "Internal Server Error"),
        (Router::new().route("/", any(by_hand)), 502, "sorry"),
    ] {
        let world = World::new();
        let answer = ask(&world, app, GET);
        assert!(answer.ends_with(shown), "{answer}");
        let logged = exceptions(&world);
        assert_eq!(logged.len(), 1);
        let said = |key: &str| logged[0].attribute(key).unwrap_or_default();
        assert_eq!(logged[0].record.event_name, "http.server.request.exception");
        assert!(said("exception.type").ends_with("::Outer"), "{}", said("exception.type"));
        assert_eq!(said("exception.message"), "the order has no number: invalid digit found in string");
        assert!(said("exception.stacktrace").contains("\nCaused by: invalid digit"));
        world.assert_one(&Expected::failed(code).logged());
    }
}

#[test]
fn an_error_behind_another_status_is_the_clients_business() {
    let world = World::new();
    let missing = async || Failure::new("no such user").with_status(StatusCode::NOT_FOUND);
    let answer = ask(&world, Router::new().route("/", any(missing)), GET);
    assert!(answer.ends_with("Not Found"), "{answer}");
    assert!(exceptions(&world).is_empty());
    world.assert_one(&Expected::completed(404));
}

#[test]
fn without_a_layer_there_is_no_entry_to_ask_for() {
    let world = World::new();
    let app = Router::new()
        .route("/", any(async |_: Current| "never"))
        .route("/maybe", any(async |entry: Option<Current>| entry.is_none().to_string()));
    let address = world.serve_service(app);
    world.run(async move {
        assert!(Http1::send(address, GET).await.rest().await.starts_with("HTTP/1.1 500"));
        let maybe = "GET /maybe HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
        assert!(Http1::send(address, maybe).await.rest().await.ends_with("true"));
    });
    let _: ServerLayer = ServerLayer::new().with_cancellation();
}
