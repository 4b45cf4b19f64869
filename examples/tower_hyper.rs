//! Shows: a plain tower service on hyper, without axum: who says the route and the peer, and who says when to stop.
//!
//! Run with: `cargo run --example tower_hyper`, then `curl localhost:8080/hello/you`. `ADDR` changes the address.

use std::{convert::Infallible, env, error::Error, io::Write as _, pin::pin, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, time::timeout};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracewell::{
    Telemetry,
    http::{Peer, ServerLayer},
    requests, shutdown,
};

/// How long running requests may take once the service is asked to stop.
const DRAIN: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let telemetry = Telemetry::builder().default_service_name("tower-hyper").install()?;
    // the route, which axum would have told, is said below
    let observed = ServerLayer::new().layer(service_fn(hello));

    let listener = TcpListener::bind(env::var("ADDR").unwrap_or("127.0.0.1:8080".to_owned())).await?;
    writeln!(std::io::stderr(), "listening on http://{}", listener.local_addr()?)?;
    // what `Telemetry::serve` does for axum: `/health` notices a blocked runtime, and what is stuck is flagged and logged
    tokio::spawn(telemetry.health().clone().beat());
    tokio::spawn(telemetry.requests().watch(telemetry.stuck_thresholds().clone()));
    telemetry.health().set_ready();
    let server = auto::Builder::new(TokioExecutor::new());
    let connections = GracefulShutdown::new();
    let mut stop = pin!(shutdown::signal());
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted?,
        };
        let service = observed.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer)); // becomes client.address
            request
        });
        let connection = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = connections.watch(connection.into_owned());
        tokio::spawn(async move {
            // an error here is the client's; what became of its request has been recorded
            let _ = connection.await;
        });
    }
    drop(listener);
    // unready, running requests get their time, and who is left is named; then what waits is sent
    let (drained, _) = tokio::join!(telemetry.drain(DRAIN), timeout(DRAIN, connections.shutdown()));
    let report = telemetry.shutdown().await?;
    writeln!(std::io::stderr(), "drained: {}, sent: {}", drained.is_clean(), report.is_complete())?;
    Ok(())
}

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let Some(name) = request.uri().path().strip_prefix("/hello/") else {
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::NOT_FOUND;
        return Ok(answer);
    };
    requests::set_route("/hello/{name}"); // the template, never the path
    tracing::info!(name, "greeted");
    Ok(Response::new(Full::from(format!("hello {name}"))))
}
