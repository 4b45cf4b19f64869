//! A connection's life, for requests that become tunnels.

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::exchange::{End, Exchange};

tokio::task_local! {
    static CONNECTION: ConnectionScope;
}

/// The life of one connection, for requests that become something else: an upgraded request (RFC 9110, section 7.8) or a tunnel
/// (`CONNECT`, section 9.3.6, and RFC 8441 for HTTP/2) stays among the active ones until the last clone of its connection's
/// scope is dropped.
///
/// `Telemetry::serve` keeps one per connection, and one per stream of HTTP/2. For another server: serve the connection
/// inside [`scope`](Self::scope), and let the connection's own stream hold a clone.
#[derive(Debug, Clone, Default)]
pub struct ConnectionScope(Arc<Tunnels>);

#[derive(Debug, Default)]
struct Tunnels {
    exchanges: Mutex<Vec<Exchange>>,
    any: AtomicBool,
}

impl ConnectionScope {
    /// A scope of one connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves a connection; cancel safe if `connection` is. Requests that become tunnels while it is polled belong to this scope.
    pub async fn scope<F: Future>(&self, connection: F) -> F::Output {
        CONNECTION.scope(self.clone(), connection).await
    }

    /// Whether a request has become a tunnel through this connection.
    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        self.0.any.load(Ordering::Acquire)
    }

    pub(super) fn current() -> Option<Self> {
        CONNECTION.try_with(Clone::clone).ok()
    }

    pub(super) fn keep(&self, exchange: Exchange) {
        self.0.exchanges.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
        self.0.any.store(true, Ordering::Release);
    }
}

impl Drop for Tunnels {
    fn drop(&mut self) {
        let exchanges = mem::take(self.exchanges.get_mut().unwrap_or_else(PoisonError::into_inner));
        for exchange in exchanges {
            exchange.end(if thread::panicking() { End::Panicked } else { End::Delivered });
        }
    }
}
