//! The admin server's own thread.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt, io,
    net::{SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{net::TcpStream, runtime::Handle, sync::oneshot, task::JoinSet};
use tower_service::Service as _;

use crate::diagnostics;

/// Connections at once; a further one takes the place of the oldest, so that slow ones cannot keep a probe out.
const MAX_CONNECTIONS: usize = 256;
/// How long a caller may take for a request's headers.
const HEADERS: Duration = Duration::from_secs(5);
/// How long a connection may last, idle or not.
const LIFETIME: Duration = Duration::from_secs(300);
/// Longest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// A running admin server; it stops when this is dropped.
pub(crate) struct AdminServer {
    address: SocketAddr,
    runtime: Handle,
    _stop: oneshot::Sender<()>,
}

impl fmt::Debug for AdminServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl AdminServer {
    pub(super) fn start(address: SocketAddr, router: Router) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        // threads of the usual name count as the service's
        let runtime = runtime.enable_all().thread_name("tracewell-work").build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new().name("tracewell-admin".into()).spawn(move || {
            let _quiet = diagnostics::listen();
            let _suppressed = opentelemetry::Context::enter_telemetry_suppressed_scope();
            let served = runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                tokio::select! {
                    never = accept(listener, router) => match never {},
                    _ = stopped => io::Result::Ok(()),
                }
            });
            if let Err(error) = served {
                diagnostics::warn("admin", format_args!("the admin server ended: {error}"));
            }
            // a scrape whose callbacks hang must not keep this thread
            runtime.shutdown_background();
        })?;
        Ok(Self { address, runtime: handle, _stop: stop })
    }

    /// Does something on the server's thread after a while, if it is still there then.
    pub(super) fn after(&self, pause: Duration, work: impl FnOnce() + Send + 'static) {
        self.runtime.spawn(async move {
            tokio::time::sleep(pause).await;
            work();
        });
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(listener: tokio::net::TcpListener, router: Router) -> Infallible {
    let mut connections = JoinSet::new();
    let mut oldest = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                while connections.try_join_next().is_some() {}
                oldest.retain(|connection: &tokio::task::AbortHandle| !connection.is_finished());
                if oldest.len() >= MAX_CONNECTIONS {
                    if let Some(connection) = oldest.pop_front() {
                        connection.abort();
                    }
                }
                oldest.push_back(connections.spawn(serve(stream, peer, router.clone())));
            }
            Err(error) => {
                diagnostics::warn("admin-accept", format_args!("the admin server cannot accept: {error}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, router: Router) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut router = router.clone();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        async move { Ok::<_, Infallible>(router.call(request).await.unwrap_or_else(|never| match never {})) }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(MAX_HEAD);
    server.http2().timer(TokioTimer::new()).max_header_list_size(MAX_HEAD as u32).max_concurrent_streams(16);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    // an error is the caller's, and past its lifetime a connection is not needed any more
    let _ = tokio::time::timeout(LIFETIME, connection).await;
}
