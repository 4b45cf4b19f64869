//! The operator's window: health, readiness, active requests, metrics, and the pipeline about itself.
//!
//! | path | answer | strangers |
//! |---|---|---|
//! | `/health`, `/livez` | 200 while the service's runtime lives, else 503; from memory | status only |
//! | `/ready`, `/readyz` | 200 when traffic may come and the checks of its group pass, else 503 | status only |
//! | `/startup` | 200 once the start is over, else 503; the phases of the start | status only |
//! | `/healthcheck` | every check (`?group=`, `?exclude=`, `?verbose`), the version, sections of the program's own | refused |
//! | `/environment` | what runs here, with which settings, secrets left out | refused |
//! | `/loglevel` | which events are logged; `PUT` changes it, for good or for a while | refused |
//! | `/debug/requests` | active and recent requests and tasks, by route and latency, and periodic tasks: JSON, or HTML for browsers | refused |
//! | `/debug/requests/{id}` | one of them with its stages and last log lines; `DELETE` cancels it | refused |
//! | `/metrics` | OpenMetrics with exemplars, or Prometheus text 0.0.4 | refused |
//! | `/telemetry` | what became of every span, point and record | refused |
//! | `/` | the list of these | refused |
//!
//! Callers from loopback and from `TRACEWELL_ADMIN_ALLOW`, or with `TRACEWELL_ADMIN_TOKEN` as a bearer token, are
//! trusted. Served on `TRACEWELL_ADMIN_ADDR` by a thread of its own, which answers even when every worker of the service
//! is busy, and whose requests are in nobody's telemetry.
//!
//! # Requests and tasks
//!
//! `/debug/requests` is filtered by `?kind=request|task`, `?route=`, `?name=`, `?trace_id=`, `?min_age_ms=`, `?stage=`,
//! `?stuck=true` and `?outcome=`. JSON has beside `active`, `totals`, `task_totals` and `recent`: `groups` (per route and
//! task name the last ten of each latency, of errors and of what was cancelled), `jobs` (periodic tasks) and `task_counts`.
//! Annotations marked sensitive are shown to whoever gives the token, and to nobody else.
//!
//! With `TRACEWELL_ADMIN_CANCEL=true`, `DELETE /debug/requests/{id}` (or `POST /debug/requests/{id}/cancel`, both with
//! `?by=name`) drops an active request, or a task that was started as cancellable, and answers 202. The token is needed,
//! from trusted addresses too: a page in the operator's browser has none to send. 404 says that nothing of this id is
//! active, 409 that it cannot be cancelled.
//!
//! The paths that strangers are refused answer 429 above 100 requests a second; the others have no limit: a storm of
//! probes is answered from memory and runs each check once per cache period.
//!
//! # In the program's own router
//!
//! All of it ([`router`]) or parts ([`probes`], [`metrics`]) can be merged into the program's router. [`is_own_path`]
//! keeps requests to them out of its telemetry:
//!
//! ```
//! use axum::{Router, routing::get};
//! use tracewell::{admin, http::ServerLayer};
//!
//! # fn app(telemetry: &tracewell::Telemetry) -> Router {
//! Router::new()
//!     .route("/users/{id}", get(|| async { "a user" }))
//!     .merge(admin::probes(telemetry))
//!     .layer(ServerLayer::new().with_unobserved(admin::is_own_path))
//! # }
//! ```

mod access;
mod endpoints;
mod limit;
mod page;
mod probes;
mod requests;
mod requests_page;
mod server;
mod settings;

use std::{
    net::ToSocketAddrs as _,
    sync::{Arc, PoisonError, Weak},
};

use axum::Router;

use self::{access::Access, limit::Limit, server::AdminServer};
use crate::{Telemetry, config::Exporter, telemetry::Inner};

/// What every endpoint sees: the telemetry, as long as it lives.
#[derive(Clone)]
pub(super) struct Window {
    telemetry: Weak<Inner>,
    access: Arc<Access>,
    limit: Arc<Limit>,
}

impl Window {
    fn new(inner: &Arc<Inner>) -> Self {
        // checks run where the service's other work does
        inner.health.adopt_runtime();
        let access = Arc::new(Access::new(&inner.config.admin));
        Self { telemetry: Arc::downgrade(inner), access, limit: Arc::default() }
    }
}

/// The endpoints, to be merged into a router of the program's own.
///
/// Serve it with `ConnectInfo<SocketAddr>`: where a caller's address is unknown, only the token makes it trusted.
pub fn router(telemetry: &Telemetry) -> Router {
    endpoints::router(Window::new(telemetry.inner()))
}

/// `/health`, `/livez`, `/ready`, `/readyz` and `/startup` alone, for the service's public port: strangers see a status.
///
/// Headers, codes and bodies can be changed by layers around it.
pub fn probes(telemetry: &Telemetry) -> Router {
    endpoints::probe_paths(Window::new(telemetry.inner()))
}

/// `/metrics` alone, for trusted callers.
pub fn metrics(telemetry: &Telemetry) -> Router {
    endpoints::guarded_metrics(Window::new(telemetry.inner()))
}

/// Every path of the operator's but `/`, which on another server is the program's own.
const PATHS: [&str; 11] = [
    "/health",
    "/livez",
    "/ready",
    "/readyz",
    "/startup",
    "/healthcheck",
    "/environment",
    "/metrics",
    "/telemetry",
    "/loglevel",
    "/debug/requests",
];

/// Whether a request is for one of the operator's endpoints, for
/// [`ServerLayer::with_unobserved`](crate::http::ServerLayer::with_unobserved). True for every method; `/` is not one.
#[must_use]
pub fn is_own_path(_: &http::Method, uri: &http::Uri) -> bool {
    PATHS.contains(&uri.path()) || uri.path().starts_with("/debug/requests/")
}

/// Starts the server of `TRACEWELL_ADMIN_ADDR`, if there is one, and the one of the Prometheus exporter, if it is chosen
/// and has another address.
///
/// # Errors
/// The sentence that says why an address cannot be served.
pub(crate) fn start(telemetry: &Telemetry) -> Result<(), String> {
    let inner = telemetry.inner();
    let mut servers = Servers::default();
    let admin = inner.config.admin.addr;
    if let Some(address) = admin {
        let server = AdminServer::start(address, router(telemetry));
        servers.admin = Some(server.map_err(|error| format!("TRACEWELL_ADMIN_ADDR {address}: {error}"))?);
    }
    let metrics = &inner.config.metrics;
    if metrics.exporters.contains(&Exporter::Prometheus) && !inner.config.disabled {
        let (host, port) = &metrics.prometheus;
        let unusable = |error| {
            format!("OTEL_EXPORTER_PROMETHEUS_HOST {host}, OTEL_EXPORTER_PROMETHEUS_PORT {port}: {error}")
        };
        let address = (host.as_str(), *port).to_socket_addrs().map_err(unusable)?.next();
        if let Some(address) = address.filter(|address| Some(*address) != admin) {
            let scraped = endpoints::scraped(Window::new(inner));
            servers.scraped = Some(AdminServer::start(address, scraped).map_err(unusable)?);
        }
    }
    *inner.admin.lock().unwrap_or_else(PoisonError::into_inner) = servers;
    Ok(())
}

/// The running servers.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    admin: Option<AdminServer>,
    scraped: Option<AdminServer>,
}

impl Telemetry {
    /// Where the admin server listens; with port 0 in the configuration, the port it got.
    #[must_use]
    pub fn admin_address(&self) -> Option<std::net::SocketAddr> {
        self.servers(|servers| servers.admin.as_ref().map(AdminServer::address))
    }

    /// Where the Prometheus exporter's own port is served, if `OTEL_METRICS_EXPORTER` has it.
    #[must_use]
    pub fn prometheus_address(&self) -> Option<std::net::SocketAddr> {
        self.servers(|servers| servers.scraped.as_ref().map(AdminServer::address))
    }

    fn servers<T>(&self, read: impl FnOnce(&Servers) -> T) -> T {
        read(&self.inner().admin.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
