//! Streams: active until their own end, while span and duration ended at the headers.

use std::sync::Arc;

use axum::{Router, body::Body, extract::Request, routing::any};
use bytes::Bytes;
use http::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
};
use tokio_stream::StreamExt as _;
use tracewell::requests::STREAMING;

use crate::harness::{self, DURATION, Expected, Http1, World, http2, until};

/// Sends one event and waits for `end`.
fn events(end: Arc<Notify>) -> Router {
    Router::new().route(
        "/",
        any(move || {
            let end = Arc::clone(&end);
            async move {
                let first = tokio_stream::iter([Ok::<_, std::io::Error>("data: 1\n\n")]);
                let rest = futures_util::stream::once(async move {
                    end.notified().await;
                    Ok("data: 2\n\n")
                });
                let header = [("content-type", "Text/Event-Stream; charset=utf-8")];
                (header, Body::from_stream(first.chain(rest)))
            }
        }),
    )
}

/// In every signal: one request is active as a stream, and its duration is already there.
fn assert_streaming(world: &World) {
    let snapshot = world.registry.snapshot();
    assert_eq!(snapshot.active.len(), 1);
    assert_eq!(snapshot.active[0].stage.as_deref(), Some(STREAMING));
    assert_eq!(world.server_spans().len(), 1, "the span ended at the headers");
    let metrics = world.metrics();
    assert_eq!((metrics.count(DURATION), metrics.active()), (1, 1));
}

#[test]
fn server_sent_events_to_their_own_end() {
    let (world, end) = (World::new(), Arc::new(Notify::new()));
    let address = world.serve_app(events(Arc::clone(&end)));
    let mut client = world.run(async move {
        let mut client = Http1::get(address, "/").await;
        client.read_until("data: 1\n\n").await;
        client
    });
    assert_streaming(&world);
    end.notify_one();
    world.run(async move {
        client.read_until("data: 2\n\n\r\n0\r\n\r\n").await;
    });
    world.assert_one(&Expected::completed(200).stream());
}

#[test]
fn server_sent_events_that_the_client_leaves() {
    for version in ["1.1", "2"] {
        let world = World::new();
        let address = world.serve_app(events(Arc::default()));
        let registry = world.registry.clone();
        world.run(async move {
            if version == "2" {
                let (response, _) =
                    http2(address).await.send_request(harness::get(address, "/"), true).unwrap();
                let mut body = response.await.unwrap().into_body();
                assert_eq!(body.data().await.unwrap().unwrap(), "data: 1\n\n");
            } else {
                Http1::get(address, "/").await.read_until("data: 1\n\n").await;
            }
            until("it has ended", || registry.active_count() == 0).await;
        });
        world.assert_one(&Expected::aborted(200).version(version).stream());
    }
}

/// Echoes what comes through the tunnel; `panic` panics.
async fn echo(mut request: Request) -> Response<Body> {
    let connect = request.method() == http::Method::CONNECT;
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut tunnel = TokioIo::new(upgrade.await.unwrap());
        let mut chunk = [0; 64];
        while let Ok(read @ 1..) = tunnel.read(&mut chunk).await {
            assert_ne!(&chunk[..read], b"panic");
            tunnel.write_all(&chunk[..read]).await.unwrap();
        }
    });
    let response = if connect {
        Response::builder()
    } else {
        let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        response.header("connection", "upgrade").header("upgrade", "echo")
    };
    response.body(Body::empty()).unwrap()
}

pub(crate) const UPGRADE: &str =
    "GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

pub(crate) fn tunnels() -> Router {
    Router::new().route("/", any(echo))
}

#[test]
fn an_upgraded_connection_is_active_until_it_closes() {
    for panics in [false, true] {
        let mut world = World::new();
        let mut server = world.serve_to_the_end(tunnels());
        let (address, registry) = (server.address, world.registry.clone());
        world.run(async move {
            let mut client = Http1::send(address, UPGRADE).await;
            assert!(client.head().await.starts_with("HTTP/1.1 101"));
            client.write("hello").await;
            client.read_until("hello").await;
            assert_eq!(registry.snapshot().active[0].stage.as_deref(), Some(STREAMING));
            if panics {
                client.write("panic").await;
                client.rest().await;
            }
            drop(client);
            until("it has ended", || registry.active_count() == 0).await;
            server.stop();
            assert!(server.task.await.unwrap().unwrap().drain.is_clean());
        });
        let expected =
            if panics { Expected::panicked(Some(101)).unlogged() } else { Expected::completed(101) };
        world.assert_one(&expected.stream());
    }
}

#[test]
fn an_upgrade_on_a_server_that_knows_no_scope_ends_at_the_headers() {
    let world = World::new();
    let address = world.serve_app(tunnels());
    world.run(async move {
        let mut client = Http1::send(address, UPGRADE).await;
        client.head().await;
        client.write("hello").await;
        client.read_until("hello").await;
    });
    world.assert_one(&Expected::completed(101).stream());
}

#[test]
fn a_tunnel_through_http_2_ends_before_its_connection() {
    let mut world = World::new();
    let mut server = world.serve_to_the_end(tunnels());
    let (address, registry) = (server.address, world.registry.clone());
    world.run(async move {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut client = client.ready().await.unwrap();
        until_extended(&client).await;
        let mut request = harness::get(address, "/");
        *request.method_mut() = http::Method::CONNECT;
        request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        let (response, mut tunnel) = client.send_request(request, false).unwrap();
        let mut answers = response.await.unwrap().into_body();
        tunnel.send_data(Bytes::from_static(b"hello"), false).unwrap();
        assert_eq!(answers.data().await.unwrap().unwrap(), "hello");
        assert_eq!(registry.snapshot().active[0].stage.as_deref(), Some(STREAMING));
        tunnel.send_data(Bytes::new(), true).unwrap();
        until("the tunnel has ended", || registry.active_count() == 0).await;
        assert!(!connection.is_finished());
        server.stop();
        assert!(server.task.await.unwrap().unwrap().drain.is_clean());
    });
    world.assert_one(&Expected::completed(200).method("CONNECT").version("2").stream());
}

/// The server says in its settings that it can do this.
async fn until_extended(client: &h2::client::SendRequest<Bytes>) {
    until("extended CONNECT", || client.is_extended_connect_protocol_enabled()).await;
}
