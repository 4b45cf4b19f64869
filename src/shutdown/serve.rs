//! A server that stops: unready, drained within a deadline, telemetry flushed.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, IntoFuture},
    io,
    net::SocketAddr,
    pin::Pin,
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::Instant,
};
use tower_service::Service as _;

use super::connection::{ScopedExecutor, ScopedStream};
use crate::{
    Telemetry,
    diagnostics::{self, Severity},
    http::ConnectionScope,
    requests::DrainReport,
    shutdown::end::{self, ShutdownReport},
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
    /// connection; running requests get `TRACEWELL_DRAIN_MS`, long streams are not waited for; what is left is dropped,
    /// upgraded connections included; telemetry is flushed within `TRACEWELL_SHUTDOWN_MS`. The admin server outlives all
    /// of it.
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
        heart.spawn(telemetry.requests().watch(telemetry.stuck_thresholds().clone()));

        let (stopped, stopping) = watch::channel(false);
        // dropped with this future, however it ends: what became a tunnel closes then
        let (open, opened) = watch::channel(());
        let mut accepting = JoinSet::new();
        for (listener, app) in servers {
            accepting.spawn(accept(listener, app, stopping.clone(), opened.clone()));
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
        let deadline = end::deadline(Instant::now().into_std(), config.drain).into();
        let drain = drain(&telemetry, &mut accepting, open, deadline).await;
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
    open: watch::Sender<()>,
    deadline: Instant,
) -> DrainReport {
    let left = || deadline.saturating_duration_since(Instant::now());
    let report = telemetry.drain(left()).await;
    // without a stream, a connection that is still open is being written to, or has a request that nobody observes
    let limit =
        if report.streams.is_empty() && report.unlisted == 0 { left() } else { WRITE_OUT.min(left()) };
    let written_out = async { while accepting.join_next().await.is_some() {} };
    let all_closed = tokio::time::timeout(limit, written_out).await.is_ok();
    // the listeners' tasks own their connections' tasks
    accepting.shutdown().await;
    drop(open);
    if !all_closed || !report.streams.is_empty() {
        // streams of HTTP/2 and tunnels notice the end of their connection in tasks of their own
        let _ = tokio::time::timeout(WRITE_OUT, telemetry.requests().idle()).await;
    }
    report
}

/// What the connections of a listener are told.
struct Listening {
    /// Ask for no further request.
    graceful: GracefulShutdown,
    /// Closed when the server is gone.
    open: watch::Receiver<()>,
}

/// Accepts connections until it is told to stop, then sees the open ones to their end.
async fn accept(
    listener: TcpListener,
    app: Router,
    mut stopping: watch::Receiver<bool>,
    open: watch::Receiver<()>,
) -> io::Result<()> {
    listener.local_addr()?;
    let listening = Listening { graceful: GracefulShutdown::new(), open };
    let mut connections = JoinSet::new();
    let server = server();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
            // ended connections are let go as they end
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(connect(&server, stream, peer, &app, &listening));
            }
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                diagnostics::warn("accept", format_args!("no connection can be accepted: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tokio::join!(listening.graceful.shutdown(), async { while connections.join_next().await.is_some() {} });
    Ok(())
}

fn server() -> auto::Builder<ScopedExecutor> {
    let mut server = auto::Builder::new(ScopedExecutor);
    // with a timer, hyper's own limits hold: 30 s for the headers of a request
    server.http1().timer(TokioTimer::new());
    // without it no WebSocket can be opened over HTTP/2 (RFC 8441)
    server.http2().timer(TokioTimer::new()).enable_connect_protocol();
    server
}

/// One connection, to be run to its end.
fn connect(
    server: &auto::Builder<ScopedExecutor>,
    stream: TcpStream,
    peer: SocketAddr,
    app: &Router,
    listening: &Listening,
) -> impl Future<Output = ()> + Send + 'static {
    let _ = stream.set_nodelay(true);
    let scope = ConnectionScope::new();
    let stream = ScopedStream::new(stream, scope.clone(), listening.open.clone());
    let app = app.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let mut app = app.clone();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        async move { Ok::<_, Infallible>(app.call(request).await.unwrap_or_else(|never| match never {})) }
    });
    let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    let connection = listening.graceful.watch(connection);
    async move {
        // an error here is the client's: the request's own end has been recorded where it happened
        let _ = scope.scope(connection).await;
    }
}

/// Errors of one connection that is gone before it was accepted.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
