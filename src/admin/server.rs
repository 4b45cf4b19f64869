//! The admin server's own thread.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    thread,
};

use axum::Router;
use tokio::sync::oneshot;

use crate::diagnostics;

/// A running admin server; it stops when this is dropped.
pub(crate) struct AdminServer {
    address: SocketAddr,
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new().name("tracewell-admin".into()).spawn(move || {
            let _quiet = tracing::subscriber::set_default(diagnostics::Listener);
            let _suppressed = opentelemetry::Context::enter_telemetry_suppressed_scope();
            let served = runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let service = router.into_make_service_with_connect_info::<SocketAddr>();
                tokio::select! {
                    served = axum::serve(listener, service).into_future() => served,
                    _ = stopped => Ok(()),
                }
            });
            if let Err(error) = served {
                diagnostics::warn("admin", format_args!("the admin server ended: {error}"));
            }
            // a scrape whose callbacks hang must not keep this thread
            runtime.shutdown_background();
        })?;
        Ok(Self { address, _stop: stop })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}
