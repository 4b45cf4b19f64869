//! axum's WebSocket, with a client that is not ours: active from the handshake to the last frame, over HTTP/1.1.

use axum::{
    Router,
    extract::ws::{Message, WebSocket, WebSocketUpgrade},
    routing::any,
};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};
use tracewell::requests::STREAMING;

use crate::harness::{DURATION, Expected, World, until};

/// Says back what it hears, in the request's own context.
async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if let Message::Text(text) = message {
            if socket.send(Message::Text(text)).await.is_err() {
                return;
            }
        }
    }
}

fn app() -> Router {
    Router::new().route("/", any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo)))
}

async fn open(address: std::net::SocketAddr) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (socket, response) = client_async(format!("ws://{address}/"), stream).await.unwrap();
    assert_eq!(response.status(), 101);
    socket
}

async fn say(socket: &mut WebSocketStream<TcpStream>, text: &str) {
    socket.send(tungstenite::Message::text(text)).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().as_str(), text);
}

#[test]
fn a_websocket_is_active_until_it_is_closed_or_its_client_is_gone() {
    for closes in [true, false] {
        let mut world = World::new();
        let mut server = world.serve_to_the_end(app());
        let (address, registry) = (server.address, world.registry.clone());
        world.run(async move {
            let mut socket = open(address).await;
            say(&mut socket, "first").await;
            until("it is a stream", || {
                registry.snapshot().active.iter().any(|entry| entry.stage.as_deref() == Some(STREAMING))
            })
            .await;
            say(&mut socket, "second").await;
            if closes {
                socket.close(None).await.unwrap();
                while let Some(Ok(_)) = socket.next().await {}
            }
            drop(socket);
            until("it has ended", || registry.active_count() == 0).await;
            server.stop();
            server.task.await.unwrap().unwrap();
        });
        world.assert_one(&Expected::completed(101).stream());
    }
}

#[test]
fn a_websocket_that_is_open_at_the_shutdown_is_closed_and_counted_once() {
    let mut world = World::new();
    let mut server = world.serve_to_the_end(app());
    let address = server.address;
    let served = world.run(async move {
        let mut socket = open(address).await;
        say(&mut socket, "first").await;
        server.stop();
        // the end of the connection, with or without a last frame
        while let Some(Ok(_)) = socket.next().await {}
        server.task.await.unwrap().unwrap()
    });
    assert_eq!((served.drain.streams.len(), served.drain.left.len()), (1, 0));
    world.assert_one(&Expected::completed(101).stream());
    assert_eq!(world.metrics().count(DURATION), 1);
}

#[test]
fn a_handshake_that_is_refused_is_an_answer_like_any() {
    let world = World::new();
    let address = world.serve_app(app());
    world.run(async move {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut request =
            tungstenite::client::IntoClientRequest::into_client_request(format!("ws://{address}/")).unwrap();
        request.headers_mut().insert("sec-websocket-version", "7".parse().unwrap());
        let refused = client_async(request, stream).await.unwrap_err();
        assert!(matches!(refused, tungstenite::Error::Http(response) if response.status() == 400));
    });
    world.assert_one(&Expected::completed(400));
}
