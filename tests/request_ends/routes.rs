//! The route of a request whose router is not axum's: said before the layer, or by the service behind it.

use std::{convert::Infallible, time::Duration};

use axum::body::Body;
use http::{Request, Response};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracewell::{http::RouteTemplate, requests};

use crate::harness::{Expected, Http1, World, answering, until};

fn ask(world: &World, address: std::net::SocketAddr, path: &str) {
    let path = path.to_owned();
    world.run(async move { Http1::get(address, &path).await.skip_response().await });
}

#[test]
fn said_before_the_layer_it_is_there_from_the_start() {
    let world = World::with(&[("TRACEWELL_SAMPLING_RULES", "keep route=/users/{id}, drop")]);
    let seen = std::sync::Arc::new(std::sync::Mutex::new(None));
    let kept = seen.clone();
    let service = world.layer.layer(answering(move |_| {
        *kept.lock().unwrap() = requests::current().unwrap().route();
        Response::new(Body::from("a user"))
    }));
    let routed = service.map_request(|mut request: Request<Body>| {
        request.extensions_mut().insert(RouteTemplate::new("/users/{id}"));
        request
    });
    let address = world.serve_service(routed);
    ask(&world, address, "/users/7");
    world.assert_one(&Expected::completed(200).route("/users/{id}"));
    assert_eq!(seen.lock().unwrap().as_deref(), Some("/users/{id}"));
}

#[test]
fn said_by_the_service_it_is_on_everything_that_ends_later() {
    let world = World::new();
    let service = world.layer.layer(answering(|_| {
        requests::set_route("/hello/{name}");
        tracing::info!("greeted");
        Response::new(Body::from("hello"))
    }));
    let address = world.serve_service(service);
    ask(&world, address, "/hello/you");
    world.assert_one(&Expected::completed(200).route("/hello/{name}"));
}

#[test]
fn a_client_that_leaves_before_the_headers_left_the_route_that_was_said() {
    let world = World::new();
    let service = world.layer.layer(service_fn(|_: Request<Body>| async {
        requests::set_route("/slow");
        std::future::pending::<Result<Response<Body>, Infallible>>().await
    }));
    let address = world.serve_service(service);
    let registry = world.registry.clone();
    world.run(async move {
        let client = Http1::get(address, "/slow").await;
        let routed =
            || registry.snapshot().active.iter().any(|entry| entry.route.as_deref() == Some("/slow"));
        until("the service was called", routed).await;
        drop(client);
    });
    world.assert_one(&Expected::cancelled().route("/slow"));
}

#[test]
fn a_stream_has_it_at_the_headers_and_what_is_said_later_is_too_late() {
    let world = World::new();
    let service = world.layer.layer(answering(|_| {
        requests::set_route("/events");
        let body = Body::from_stream(futures_util::stream::once(async {
            requests::set_route("/too-late");
            Ok::<_, Infallible>("data: 1\n\n")
        }));
        Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
    }));
    let address = world.serve_service(service);
    ask(&world, address, "/events");
    world.assert_one(&Expected::completed(200).route("/events").stream());
}

#[test]
fn what_the_router_said_before_stays() {
    let world = World::new();
    let handler = || async {
        requests::set_route("/of-the-handler");
        tokio::time::sleep(Duration::ZERO).await;
        "text"
    };
    let address = world.serve_app(axum::Router::new().route("/routed", axum::routing::get(handler)));
    ask(&world, address, "/routed");
    world.assert_one(&Expected::completed(200).route("/routed"));
}

#[test]
fn a_template_that_is_none_is_cut() {
    let world = World::new();
    let long = format!("/{}", "é".repeat(1000));
    let service = world.layer.layer(answering(move |_| {
        requests::set_route(&*long);
        Response::new(Body::empty())
    }));
    let address = world.serve_service(service);
    ask(&world, address, "/");
    world.idle();
    let spans = world.server_spans();
    let route = spans[0].attributes.iter().find(|attribute| attribute.key.as_str() == "http.route").unwrap();
    assert_eq!(route.value.as_str().len(), 1023);
}
