//! Cancelled from outside: by an operator's will, over the admin endpoints, and seen as such in every signal.

use std::{future::pending, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, routing::any};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tracewell::requests::Outcome;

use crate::harness::{self, Expected, Http1, World, http2, until};

const ALLOWED: [(&str, &str); 2] = [("TRACEWELL_ADMIN_TOKEN", "s3cret"), ("TRACEWELL_ADMIN_CANCEL", "true")];

fn app() -> Router {
    let half = || async {
        let first = tokio_stream::iter([Ok::<_, std::io::Error>("first")]);
        Body::from_stream(tokio_stream::StreamExt::chain(first, tokio_stream::pending()))
    };
    Router::new().route("/", any(pending::<()>)).route("/half", any(half))
}

/// What an operator does: looks for the one active request and cancels it. The answer's status and body.
async fn cancel(
    admin: Router,
    world_id: String,
    method: Method,
    suffix: &str,
    token: Option<&str>,
) -> (u16, String) {
    let uri = format!("/debug/requests/{world_id}{suffix}");
    let mut request = http::Request::builder().method(method).uri(uri);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
    let response = admin.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

fn only_id(world: &World) -> String {
    let snapshot = world.registry.snapshot();
    assert_eq!(snapshot.active.len(), 1);
    snapshot.active[0].id.to_string()
}

/// The one request, cancelled by `ada`; what the span says of it, and what the log does.
fn assert_cancelled_by_ada(world: &World, expected: &Expected) {
    world.assert_one(expected);
    let span = &world.server_spans()[0];
    let said = |key: &str| {
        let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == key);
        found.map(|attribute| attribute.value.to_string())
    };
    assert_eq!(said("tracewell.cancel.reason").as_deref(), Some("operator"));
    assert_eq!(said("tracewell.cancel.by").as_deref(), Some("ada"));
    let recent = &world.registry.snapshot().recent[0];
    let by = recent.entry.annotations.iter().find(|annotation| annotation.key == "cancelled_by");
    assert_eq!(by.map(|by| by.shown()), Some("ada"));
    let trace = span.span_context.trace_id().to_string();
    let warned = world.records_at("WARN");
    assert_eq!(warned.len(), 1, "the one change that is logged");
    assert_eq!((warned[0].trace_id(), warned[0].body().contains("cancelled by ada")), (trace, true));
}

#[test]
fn before_the_headers_the_client_sees_an_empty_503() {
    for version in ["1.1", "2"] {
        let world = World::with(&ALLOWED);
        let (address, registry) = (world.serve_app(app()), world.registry.clone());
        let started = world.run(async move {
            let (mut h1, mut h2) = (None, None);
            if version == "2" {
                let mut client = http2(address).await;
                h2 = Some((client.send_request(harness::get(address, "/"), true).unwrap().0, client));
            } else {
                h1 = Some(Http1::get(address, "/").await);
            }
            until("it is active", || registry.active_count() == 1).await;
            (h1, h2)
        });
        let (admin, id) = (world.admin(), only_id(&world));
        world.run(async move {
            let answer = cancel(admin, id, Method::DELETE, "?by=ada", Some("s3cret")).await;
            assert_eq!(answer.0, 202, "{}", answer.1);
            match started {
                (Some(mut h1), _) => {
                    let head = h1.head().await;
                    assert!(head.starts_with("HTTP/1.1 503") && head.contains("content-length: 0"), "{head}");
                }
                (_, Some((response, _client))) => {
                    assert_eq!(response.await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
                }
                _ => unreachable!(),
            }
        });
        assert_cancelled_by_ada(&world, &Expected::cancelled().version(version));
    }
}

#[test]
fn in_the_middle_of_the_body_the_response_breaks_off() {
    for version in ["1.1", "2"] {
        let world = World::with(&ALLOWED);
        let address = world.serve_app(app());
        let started = world.run(async move {
            if version == "2" {
                let mut client = http2(address).await;
                let response = client.send_request(harness::get(address, "/half"), true).unwrap().0;
                let mut body = response.await.unwrap().into_body();
                assert_eq!(body.data().await.unwrap().unwrap(), "first");
                (None, Some((body, client)))
            } else {
                let mut client = Http1::get(address, "/half").await;
                client.read_until("first\r\n").await;
                (Some(client), None)
            }
        });
        let (admin, id) = (world.admin(), only_id(&world));
        world.run(async move {
            let answer = cancel(admin, id, Method::POST, "/cancel?by=ada", Some("s3cret")).await;
            assert_eq!(answer.0, 202, "{}", answer.1);
            match started {
                (Some(mut h1), _) => assert_eq!(h1.rest().await, "", "no last chunk: it is not complete"),
                (_, Some((mut body, _client))) => {
                    assert!(body.data().await.unwrap().unwrap_err().is_reset());
                }
                _ => unreachable!(),
            }
        });
        assert_cancelled_by_ada(&world, &Expected::aborted(200).route("/half").version(version));
    }
}

#[test]
fn nobody_cancels_without_the_token_or_where_it_is_off() {
    for (variables, token, expected) in [
        (&ALLOWED[..], None, 403),
        (&ALLOWED[..], Some("s3crets"), 403),
        (&ALLOWED[..1], Some("s3cret"), 404),
        (&[("TRACEWELL_ADMIN_CANCEL", "true")][..], None, 404),
    ] {
        let world = World::with(variables);
        let (address, registry) = (world.serve_app(app()), world.registry.clone());
        let client = world.run(async move {
            let client = Http1::get(address, "/").await;
            until("it is active", || registry.active_count() == 1).await;
            client
        });
        let id = only_id(&world);
        assert_eq!(world.registry.snapshot().active.len(), 1);
        for (method, suffix) in [(Method::DELETE, ""), (Method::POST, "/cancel")] {
            let answer = world.run(cancel(world.admin(), id.clone(), method, suffix, token));
            assert_eq!(answer.0, expected, "{variables:?}, {token:?}: {}", answer.1);
        }
        assert_eq!(world.registry.active_count(), 1);
        drop(client);
        world.assert_one(&Expected::cancelled());
        let span = &world.server_spans()[0];
        let reason =
            |attribute: &opentelemetry::KeyValue| attribute.key.as_str() == "tracewell.cancel.reason";
        assert!(!span.attributes.iter().any(reason), "a client that left is told apart");
    }
}

#[test]
fn what_cannot_be_cancelled_says_so_and_goes_on() {
    let mut world = World::with(&ALLOWED);
    let admin = world.admin();
    let mut server = world.serve_to_the_end(super::streams::tunnels());
    let (address, registry) = (server.address, world.registry.clone());
    world.run(async move {
        let mut client = Http1::send(address, super::streams::UPGRADE).await;
        client.head().await;
        until("it is a tunnel", || {
            registry.snapshot().active.iter().any(tracewell::requests::ActiveEntry::is_stream)
        })
        .await;
        let id = registry.snapshot().active[0].id.to_string();
        let answer = cancel(admin.clone(), id.clone(), Method::DELETE, "", Some("s3cret")).await;
        assert_eq!(answer.0, 409, "{}", answer.1);
        client.write("still here").await;
        client.read_until("still here").await;
        drop(client);
        tokio::time::timeout(Duration::from_secs(20), registry.idle()).await.unwrap();
        for gone in [id.as_str(), "0", "+1", "zz", "ffffffffffffffffff"] {
            let answer = cancel(admin.clone(), gone.to_owned(), Method::DELETE, "", Some("s3cret")).await;
            assert_eq!(answer.0, 404, "{gone}: {}", answer.1);
        }
        server.stop();
        server.task.await.unwrap().unwrap();
    });
    assert_eq!(world.registry.snapshot().recent[0].outcome, Outcome::Completed);
}
