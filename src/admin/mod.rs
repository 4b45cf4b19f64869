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
//! | `/debug/resilience` | breakers, bulkheads, policies: JSON, or HTML for browsers | refused |
//! | `/metrics` | OpenMetrics with exemplars, or Prometheus text 0.0.4 | refused |
//! | `/telemetry` | what became of every span, point and record | refused |
//! | `/console/api/…` | what the console's store keeps, if it is on: recent traces, log records, metrics, and a stream of what is new | refused |
//! | `/`, `/console/…` | the console: a page on all of these, and their list for whoever has no JavaScript | refused |
//!
//! Callers from loopback and from `TRACEWELL_ADMIN_ALLOW`, or with `TRACEWELL_ADMIN_TOKEN` as a bearer token, are
//! trusted. Served on `TRACEWELL_ADMIN_ADDR` by a thread of its own, which answers even when every worker of the service
//! is busy, and whose requests are in nobody's telemetry.
//!
//! A request that a proxy passes on (`Forwarded`, `X-Forwarded-For`) is a stranger's whatever the proxy's address, unless
//! it has the token. So is one from loopback whose `Host` is a domain name, with a dot in it: a page in a browser
//! on this machine may have sent it (DNS rebinding).
//!
//! The paths that strangers are refused answer 429 above 100 requests a second. Probes are always answered: a storm of
//! them runs each check once per cache period, and above 100 a second those without a cache say what they last said;
//! liveness is read from memory, and nothing can make it wait or lie.
//!
//! # Forms
//!
//! Probes and `/healthcheck` answer in JSON; as `application/health+json` (draft-inadarei-api-health-check-06) where
//! `Accept` names it; and with `?verbose` in the lines of Kubernetes' own endpoints. Codes, headers and bodies are
//! replaced by [`Health::set_status_codes`](crate::health::Health::set_status_codes) and
//! [`Health::set_renderer`](crate::health::Health::set_renderer).
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
//! # In the program's own router
//!
//! [`Telemetry::serve`] says when the service is ready and beats for its liveness. With another server, a program does it
//! itself: `tokio::spawn(telemetry.health().clone().beat())`, then [`set_ready`](crate::health::Health::set_ready) and, at
//! the end, [`set_draining`](crate::health::Health::set_draining). Without a heartbeat liveness knows of no stall.
//!
//! All of it ([`router`]) or parts ([`probes`], [`metrics`]) can be merged into the program's router, and each endpoint is
//! a tower service for a path of the program's choice ([`service`]). [`is_own_path`] keeps requests to them out of its
//! telemetry:
//!
//! ```
//! use axum::{Router, routing::get};
//! use tracewell::{admin, http::ServerLayer};
//!
//! # fn app(telemetry: &tracewell::Telemetry) -> Router {
//! Router::new()
//!     .route("/users/{id}", get(|| async { "a user" }))
//!     // a router with a state of its own is given it here: .with_state(state)
//!     .merge(admin::probes(telemetry))
//!     .route_service("/environment", admin::service(telemetry, admin::Endpoint::Environment))
//!     .layer(ServerLayer::new().with_unobserved(admin::is_own_path))
//! # }
//! ```

mod access;
mod answers;
mod console;
mod console_events;
mod console_overview;
mod console_query;
mod endpoints;
mod format;
mod limit;
mod page;
mod probes;
mod requests;
mod requests_page;
mod resilience;
mod server;
mod settings;

use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    sync::{
        Arc, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::MethodRouter};

use self::{access::Access, limit::Limit, server::AdminServer};
use crate::{Telemetry, config::Exporter, diagnostics, health::Health, telemetry::Inner};

/// How long a start may last before the console's address is told all the same.
const UNTOLD: Duration = Duration::from_secs(3);

/// What every endpoint sees: the telemetry, as long as it lives.
#[derive(Clone)]
pub(super) struct Window {
    telemetry: Weak<Inner>,
    /// Probes are answered without the telemetry.
    health: Health,
    access: Arc<Access>,
    limit: Arc<Limit>,
    probes: Arc<Limit>,
    shown: Arc<console_overview::Shown>,
}

impl Window {
    fn new(inner: &Arc<Inner>) -> Self {
        // checks run where the service's other work does
        inner.health.adopt_runtime();
        let access = Arc::new(Access::new(&inner.config.admin));
        Self {
            telemetry: Arc::downgrade(inner),
            health: inner.health.clone(),
            access,
            limit: Arc::default(),
            probes: Arc::default(),
            shown: Arc::default(),
        }
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
/// [`Health::set_renderer`] changes codes, headers and bodies.
pub fn probes(telemetry: &Telemetry) -> Router {
    endpoints::probe_paths(Window::new(telemetry.inner()))
}

/// `/metrics` alone, for trusted callers: OpenMetrics 1.0 with exemplars, or Prometheus text 0.0.4, as `Accept` asks.
pub fn metrics(telemetry: &Telemetry) -> Router {
    endpoints::guarded_metrics(Window::new(telemetry.inner()))
}

/// One of the operator's endpoints; see [`service`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `/health`: whether the service's runtime lives.
    Liveness,
    /// `/ready`: whether traffic may come.
    Readiness,
    /// `/startup`: whether the start is over.
    Startup,
    /// `/healthcheck`: every check, for trusted callers.
    Healthcheck,
    /// `/environment`: what runs here, for trusted callers.
    Environment,
    /// `/metrics`, for trusted callers.
    Metrics,
    /// `/telemetry`: what became of what was emitted, for trusted callers.
    Telemetry,
    /// `/loglevel`: which events are logged, for trusted callers.
    LogLevel,
    /// `/debug/requests`: active and recent requests, for trusted callers.
    Requests,
}

/// One endpoint as a tower service for `http::Request`, to be served at any path: with axum by `route`, `route_service` or
/// `nest_service`. The rules of access hold there too.
///
/// [`is_own_path`] knows the usual paths only: say others to
/// [`ServerLayer::with_unobserved`](crate::http::ServerLayer::with_unobserved) beside it.
pub fn service(telemetry: &Telemetry, endpoint: Endpoint) -> MethodRouter {
    endpoints::one(endpoint, Window::new(telemetry.inner()))
}

/// Every path of the operator's but `/`, which on another server is the program's own.
const PATHS: [&str; 12] = [
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
    "/debug/resilience",
];

/// Whether a request is for one of the operator's endpoints, for
/// [`ServerLayer::with_unobserved`](crate::http::ServerLayer::with_unobserved). True for every method; `/` is not one.
#[must_use]
pub fn is_own_path(_: &http::Method, uri: &http::Uri) -> bool {
    let below = ["/debug/requests/", "/console/"];
    PATHS.contains(&uri.path()) || below.iter().any(|path| uri.path().starts_with(path))
}

/// Starts the server of `TRACEWELL_ADMIN_ADDR`, if there is one, and the one of the Prometheus exporter, if it is chosen
/// and has another address. On the admin's own, `/metrics` keeps the admin's rules of access.
///
/// # Errors
/// The sentence that says why an address cannot be served.
pub(crate) fn start(telemetry: &Telemetry) -> Result<(), String> {
    let inner = telemetry.inner();
    let mut servers = Servers::default();
    let admin = inner.config.admin.addr;
    if let Some(address) = admin {
        let server = AdminServer::start(address, router(telemetry));
        let server = server.map_err(|error| format!("TRACEWELL_ADMIN_ADDR {address}: {error}"))?;
        if inner.console.get().is_some() {
            tell_of_console(&inner.health, &server);
        }
        servers.admin = Some(server);
    }
    let metrics = &inner.config.metrics;
    if metrics.exporters.contains(&Exporter::Prometheus) && !inner.config.disabled {
        let (host, port) = &metrics.prometheus;
        let unusable = |error| {
            format!("OTEL_EXPORTER_PROMETHEUS_HOST {host}, OTEL_EXPORTER_PROMETHEUS_PORT {port}: {error}")
        };
        let addresses: Vec<SocketAddr> =
            (host.as_str(), *port).to_socket_addrs().map_err(unusable)?.collect();
        let shared = admin.is_some_and(|admin| addresses.iter().any(|address| is_covered(*address, admin)));
        if let Some(address) = addresses.first().copied().filter(|_| !shared) {
            let scraped = endpoints::scraped(Window::new(inner));
            servers.scraped = Some(AdminServer::start(address, scraped).map_err(unusable)?);
        }
    }
    *inner.admin.lock().unwrap_or_else(PoisonError::into_inner) = servers;
    Ok(())
}

/// Says once where the console is: when the start is over, so that a program's own lines come first, and to a program that
/// never says that it is ready, after [`UNTOLD`].
fn tell_of_console(health: &Health, server: &AdminServer) {
    let at = reachable(server.address());
    let told = AtomicBool::new(false);
    let tell = Arc::new(move || {
        if !told.swap(true, Ordering::Relaxed) {
            diagnostics::say(diagnostics::Severity::Info, format_args!("the console is on http://{at}/"));
        }
    });
    let late = Arc::clone(&tell);
    health.on_start(move |_| tell());
    server.after(UNTOLD, move || late());
}

/// Where a browser on this machine finds what listens on every address.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Whether who listens on `other` listens on `address` too.
fn is_covered(address: SocketAddr, other: SocketAddr) -> bool {
    address == other || (other.ip().is_unspecified() && other.port() == address.port() && address.port() != 0)
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
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.servers(|servers| servers.admin.as_ref().map(AdminServer::address))
    }

    /// Where the Prometheus exporter's own port is served, if `OTEL_METRICS_EXPORTER` has it and it is not the admin's.
    #[must_use]
    pub fn prometheus_address(&self) -> Option<SocketAddr> {
        self.servers(|servers| servers.scraped.as_ref().map(AdminServer::address))
    }

    fn servers<T>(&self, read: impl FnOnce(&Servers) -> T) -> T {
        read(&self.inner().admin.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
