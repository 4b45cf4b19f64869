//! A server that stops: unready, drained within a deadline, telemetry flushed.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, IntoFuture},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tower_service::Service as _;

use super::connection::ScopedStream;
use crate::{
    Telemetry,
    diagnostics::{self, Severity},
    http::ConnectionScope,
    requests::DrainReport,
    telemetry::ShutdownReport,
};

/// After an error of `accept` that concerns the process (no descriptors left), time for it to pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What connections get after the last request's last frame to write it out.
const WRITE_OUT: Duration = Duration::from_millis(500);

type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A server to be run to its orderly end; made by [`Telemetry::serve`].
#[must_use = "nothing is served before it is awaited"]
pub struct Serve {
    telemetry: Telemetry,
    servers: Vec<(TcpListener, Router)>,
    stop: Option<Stop>,
}

/// How a server ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Served {
    /// Who was still running at the drain's deadline.
    pub drain: DrainReport,
    /// What became of the telemetry.
    pub telemetry: ShutdownReport,
}

/// A listener cannot be used any more.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve: {0}")]
pub struct ServeError(#[from] io::Error);

impl fmt::Debug for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Serves `app` until SIGTERM or SIGINT, then stops in order: unready at once; `TRACEWELL_PRESTOP_MS` later no new
    /// connection; running requests get `TRACEWELL_DRAIN_MS`, long streams are not waited for; what is left is dropped;
    /// telemetry is flushed within `TRACEWELL_SHUTDOWN_MS`. The admin server outlives all of it.
    ///
    /// HTTP/1.1, and HTTP/2 with prior knowledge, on the same port. Requests have `ConnectInfo<SocketAddr>`. Lost
    /// telemetry is said on stderr and in [`Served`]; it is not an error of the service's.
    ///
    /// Awaiting it fails with [`ServeError`] when a listener cannot be used. Dropped before its end, connections are
    /// closed and telemetry ends as by `drop`.
    pub fn serve(self, listener: TcpListener, app: Router) -> Serve {
        Serve { telemetry: self, servers: vec![(listener, app)], stop: None }
    }
}

impl Serve {
    /// Serves another app on another listener, with the same end.
    pub fn and(mut self, listener: TcpListener, app: Router) -> Self {
        self.servers.push((listener, app));
        self
    }

    /// Stops when `stop` resolves, instead of at a signal.
    pub fn until(mut self, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        self.stop = Some(Box::pin(stop));
        self
    }

    async fn run(self) -> Result<Served, ServeError> {
        let Self { telemetry, servers, stop } = self;
        let config = telemetry.config().shutdown;
        let mut stop = stop.unwrap_or_else(|| Box::pin(super::signal()));
        let mut heart = JoinSet::new();
        heart.spawn(telemetry.health().clone().beat());

        let (stopped, stopping) = watch::channel(false);
        let mut accepting = JoinSet::new();
        for (listener, app) in servers {
            accepting.spawn(accept(listener, app, stopping.clone()));
        }
        telemetry.health().set_ready();
        let early = tokio::select! {
            () = &mut stop => None,
            ended = accepting.join_next() => ended,
        };
        telemetry.health().set_draining();
        if early.is_none() && !config.prestop.is_zero() {
            tokio::time::sleep(config.prestop).await;
        }
        let _ = stopped.send(true);
        let deadline = Instant::now() + config.drain;
        let drain = drain(&telemetry, &mut accepting, deadline).await;
        let report = match telemetry.shutdown().await {
            Ok(report) => report,
            Err(error) => {
                diagnostics::say(Severity::Warn, format_args!("{error}"));
                error.report
            }
        };
        match early {
            Some(Ok(Err(error))) => Err(error.into()),
            _ => Ok(Served { drain, telemetry: report }),
        }
    }
}

impl IntoFuture for Serve {
    type Output = Result<Served, ServeError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// Waits for the running requests until `deadline`, then ends every connection.
async fn drain(
    telemetry: &Telemetry,
    accepting: &mut JoinSet<io::Result<()>>,
    deadline: Instant,
) -> DrainReport {
    let report = telemetry.requests().drain(deadline.saturating_duration_since(Instant::now())).await;
    let written_out = async { while accepting.join_next().await.is_some() {} };
    let limit = WRITE_OUT.min(deadline.saturating_duration_since(Instant::now()));
    if tokio::time::timeout(limit, written_out).await.is_err() {
        // the listeners' tasks own their connections' tasks
        accepting.shutdown().await;
        // streams of HTTP/2 notice the end of their connection in tasks of their own
        let _ = tokio::time::timeout(WRITE_OUT, telemetry.requests().idle()).await;
    }
    report
}

/// Accepts connections until it is told to stop, then sees the open ones to their end.
async fn accept(listener: TcpListener, app: Router, mut stopping: watch::Receiver<bool>) -> io::Result<()> {
    listener.local_addr()?;
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let server = Arc::new(server());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
            // ended connections are let go as they end
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, peer)) => connect(&server, stream, peer, &app, &graceful, &mut connections),
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                diagnostics::warn("accept", format_args!("no connection can be accepted: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tokio::join!(graceful.shutdown(), async { while connections.join_next().await.is_some() {} });
    Ok(())
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    // with a timer, hyper's own limits hold: 30 s for the headers of a request
    server.http1().timer(TokioTimer::new());
    server.http2().timer(TokioTimer::new());
    server
}

fn connect(
    server: &Arc<auto::Builder<TokioExecutor>>,
    stream: TcpStream,
    peer: SocketAddr,
    app: &Router,
    graceful: &GracefulShutdown,
    connections: &mut JoinSet<()>,
) {
    let _ = stream.set_nodelay(true);
    let scope = ConnectionScope::new();
    let stream = TokioIo::new(ScopedStream::new(stream, scope.clone()));
    let app = app.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let mut app = app.clone();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        async move { Ok::<_, Infallible>(app.call(request).await.unwrap_or_else(|never| match never {})) }
    });
    let connection = server.serve_connection_with_upgrades(stream, service).into_owned();
    let connection = graceful.watch(connection);
    connections.spawn(async move {
        // an error here is the client's: the request's own end has been recorded where it happened
        let _ = scope.scope(connection).await;
    });
}

/// Errors of one connection that is gone before it was accepted.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
