//! The service under load: everything that can become of a request.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    response::{IntoResponse as _, Response},
    routing::{any, get, post},
};
use http::{StatusCode, header};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tower::{ServiceBuilder, ServiceExt as _};
use tracewell::{http::ServerLayer, requests};

/// Where clients go; some need a longer way to be hit.
pub(crate) const PATHS: [&str; 18] = [
    "/users/1",
    "/users/2",
    "/users/3",
    "/ok",
    "/nothing",
    "/error",
    "/slow",
    "/slow",
    "/panic",
    "/panic-in-body",
    "/stream",
    "/stream",
    "/broken",
    "/events",
    "/abort",
    "/timeout",
    "/spawn",
    "/nowhere",
];

/// The panics that are part of the game.
pub(crate) const PANIC: &str = "a panic of the soak's";

/// Spans that handlers make beside the servers'.
pub(crate) type Extra = Arc<AtomicU64>;

fn chunks(count: usize, fails: bool) -> Body {
    let chunks = futures_util::stream::unfold(0, move |sent| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        match sent {
            _ if sent < count => Some((Ok(Bytes::from_static(b"data: x\n\n")), sent + 1)),
            _ if sent == count && fails => Some((Err(std::io::Error::other("broken")), sent + 1)),
            _ => None,
        }
    });
    Body::from_stream(chunks)
}

fn panicking_body() -> Body {
    let chunks = futures_util::stream::unfold(0, |sent| async move {
        assert!(sent < 2, "{PANIC}");
        Some((Ok::<_, Infallible>(Bytes::from_static(b"x")), sent + 1))
    });
    Body::from_stream(chunks)
}

async fn user(Path(id): Path<u64>) -> Response {
    let current = requests::current();
    if let Some(current) = &current {
        current.set_stage("database");
        current.annotate("user", id);
    }
    tracing::info!(user = id, "found");
    format!("user {id}").into_response()
}

async fn spawned(State(extra): State<Extra>) -> &'static str {
    for number in 0..3 {
        let extra = Arc::clone(&extra);
        // nobody waits for it: it may outlive its request
        drop(requests::spawn(async move {
            extra.fetch_add(1, Ordering::Relaxed);
            let _span = tracing::info_span!("work", number).entered();
            tracing::info!("done");
        }));
    }
    "spawned"
}

async fn upload(body: Result<Bytes, axum::extract::rejection::BytesRejection>) -> Response {
    match body {
        Ok(body) => body.len().to_string().into_response(),
        Err(refused) => refused.into_response(),
    }
}

fn router(extra: Extra) -> Router {
    let slow = || tokio::time::sleep(Duration::from_millis(4));
    let panic = || async {
        tokio::task::yield_now().await;
        assert!(std::hint::black_box(false), "{PANIC}");
    };
    let events = || async { ([(header::CONTENT_TYPE, "text/event-stream")], chunks(usize::MAX, false)) };
    Router::new()
        .route("/users/{id}", get(user))
        .route("/ok", any(|| async { "ok" }))
        .route("/nothing", any(|| async { StatusCode::NO_CONTENT }))
        .route("/error", any(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "no") }))
        .route("/slow", any(slow))
        .route("/abort", any(slow))
        .route("/timeout", any(|| std::future::pending::<()>()))
        .route("/panic", any(panic))
        .route("/panic-in-body", any(|| async { panicking_body() }))
        .route("/stream", any(|| async { chunks(4, false) }))
        .route("/broken", any(|| async { chunks(2, true) }))
        .route("/events", any(events))
        .route("/spawn", any(spawned))
        .route("/upload", post(upload))
        .with_state(extra)
}

/// A server until it is dropped; its connections with it.
pub(crate) async fn serve(listener: TcpListener, layer: ServerLayer, extra: Extra) {
    let observed = router(extra).layer(layer);
    let timed = ServiceBuilder::new().timeout(Duration::from_millis(3)).service(observed.clone());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(connection(stream, observed.clone(), timed.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection<T>(stream: TcpStream, observed: Router, timed: T)
where
    T: tower::Service<Request, Response = Response, Error = tower::BoxError> + Clone + Send + Sync + 'static,
    T::Future: Send,
{
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (observed, timed) = (observed.clone(), timed.clone());
        async move { Ok::<_, Infallible>(answer(request.map(Body::new), observed, timed).await) }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new());
    // an error is the client's leaving
    let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

/// Some requests are given up from outside: by a timeout, or by the end of their task.
async fn answer<T>(request: Request, observed: Router, timed: T) -> Response
where
    T: tower::Service<Request, Response = Response, Error = tower::BoxError>,
{
    let gone = || StatusCode::GATEWAY_TIMEOUT.into_response();
    match request.uri().path() {
        "/timeout" => timed.oneshot(request).await.unwrap_or_else(|_| gone()),
        "/abort" => {
            let task = tokio::spawn(observed.oneshot(request));
            tokio::time::sleep(Duration::from_millis(2)).await;
            task.abort();
            match task.await {
                Ok(Ok(answer)) => answer,
                _ => gone(),
            }
        }
        _ => observed.oneshot(request).await.unwrap_or_else(|never| match never {}),
    }
}

/// A listener on loopback.
pub(crate) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}
