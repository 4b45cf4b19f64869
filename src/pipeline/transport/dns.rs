//! Names into addresses, by the system, anew for each connection.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::client::legacy::connect::{
    HttpConnector,
    dns::{GaiResolver, Name},
};
use tower_service::Service;

/// Asks the system's resolver each time: a collector may move to another address.
#[derive(Debug, Clone)]
pub(super) struct Resolver(GaiResolver);

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        #[cfg(test)]
        if let Some(addresses) = hosts::of(name.as_str()) {
            return Box::pin(std::future::ready(Ok(addresses.into_iter())));
        }
        let addresses = self.0.call(name);
        Box::pin(async move { Ok(addresses.await?.collect::<Vec<_>>().into_iter()) })
    }
}

/// Plain connections; TLS is for whoever wraps it. The limit is for all of a name's addresses together: one that does not
/// answer leaves time for the next.
pub(super) fn connector(limit: Option<Duration>) -> HttpConnector<Resolver> {
    let mut connector = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(limit);
    connector
}

/// Names that the tests give addresses to, ports included.
#[cfg(test)]
pub(super) mod hosts {
    use std::{
        collections::HashMap,
        net::SocketAddr,
        sync::{LazyLock, Mutex, PoisonError},
    };

    static HOSTS: LazyLock<Mutex<HashMap<String, SocketAddr>>> = LazyLock::new(Mutex::default);

    pub(in super::super) fn set(name: &str, address: SocketAddr) {
        HOSTS.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), address);
    }

    pub(super) fn of(name: &str) -> Option<Vec<SocketAddr>> {
        HOSTS.lock().unwrap_or_else(PoisonError::into_inner).get(name).map(|address| vec![*address])
    }
}
