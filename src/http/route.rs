//! A request's route, as its router or the program names it.

use std::{
    borrow::Cow,
    collections::HashMap,
    hash::BuildHasherDefault,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use rustc_hash::FxHasher;

use super::semconv::{self, METHODS_MAX};
use crate::requests::Guard;

/// The template of the route that a request takes, such as `/users/{id}` and never the path itself: for routers that choose
/// before the request reaches [`ServerLayer`](super::ServerLayer), put it into the request's extensions.
///
/// It is `http.route` of span and metrics (semantic conventions 1.44, http/http-spans.md "Name": part of the span's name), and
/// what rules of sampling find as the route. It counts before axum's `MatchedPath`, which needs nothing. Where the choice is made
/// behind the layer, by the service itself, [`requests::set_route`](crate::requests::set_route) says it. At most 1024 bytes of it
/// are kept.
///
/// ```
/// use http::{Request, Response};
/// use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};
/// use tracewell::http::RouteTemplate;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let capture = tracewell::testing::Capture::new();
/// # let layer = capture.server_layer();
/// // `ServerLayer::new()`, around whatever answers
/// let users = layer.layer(service_fn(|_: Request<String>| async { Ok::<_, std::io::Error>(Response::new(String::new())) }));
/// // and around that, whatever chooses
/// let mut service = users.map_request(|mut request: Request<String>| {
///     request.extensions_mut().insert(RouteTemplate::new("/users/{id}"));
///     request
/// });
/// # let request = Request::get("/users/7").body(String::new()).unwrap();
/// # capture.run(async { drop(service.ready().await.unwrap().call(request).await) }).await;
/// # capture.assert_span("GET /users/{id}").has("http.route", "/users/{id}");
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RouteTemplate(Cow<'static, str>);

impl RouteTemplate {
    /// This template.
    #[must_use]
    pub fn new(template: impl Into<Cow<'static, str>>) -> Self {
        Self(template.into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Routes remembered; a program has its routes in its source, so that this is far away unless they are made up.
const MAX_ROUTES: usize = 16_384;
/// The longest template that the program may say, in bytes.
const MAX_TEMPLATE: usize = 1024;

/// A route that was seen before.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) template: &'static str,
    /// The same, for entries.
    pub(super) shared: Arc<str>,
    /// Distinguishes routes in a series' key; 0 is "no route".
    pub(super) id: u32,
    /// `GET /users/{id}`, by method.
    names: [OnceLock<&'static str>; METHODS_MAX],
}

impl Route {
    /// The span's name for a method.
    pub(super) fn span_name(&self, method: semconv::Method) -> &'static str {
        self.names[method.index()].get_or_init(|| leak(format!("{} {}", method.span_name(), self.template)))
    }
}

/// Text that lives as long as the process: bounded by [`MAX_ROUTES`], and shared by every span and point after.
fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// The remembered route of this template; `None` once too many are known.
pub(super) fn remembered(template: &str) -> Option<&'static Route> {
    type Routes = HashMap<&'static str, &'static Route, BuildHasherDefault<FxHasher>>;
    static ROUTES: OnceLock<RwLock<Routes>> = OnceLock::new();
    let routes = ROUTES.get_or_init(RwLock::default);
    if let Some(route) = routes.read().unwrap_or_else(PoisonError::into_inner).get(template) {
        return Some(route);
    }
    let mut routes = routes.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(route) = routes.get(template) {
        return Some(route);
    }
    if routes.len() >= MAX_ROUTES {
        return None;
    }
    let id = u32::try_from(routes.len() + 1).unwrap_or(u32::MAX);
    let names = std::array::from_fn(|_| OnceLock::new());
    let route: &'static Route = Box::leak(Box::new(Route {
        template: leak(template.to_owned()),
        shared: Arc::from(template),
        id,
        names,
    }));
    routes.insert(route.template, route);
    Some(route)
}

/// The template of the route that matched, if the program or a router said so; the raw path is never one.
pub(super) fn template(extensions: &http::Extensions) -> Option<&str> {
    match extensions.get::<RouteTemplate>() {
        Some(route) => Some(semconv::clip(route.as_str(), MAX_TEMPLATE)),
        None => matched(extensions),
    }
}

/// As axum's router says it.
#[cfg(feature = "axum")]
fn matched(extensions: &http::Extensions) -> Option<&str> {
    extensions.get::<axum::extract::MatchedPath>().map(axum::extract::MatchedPath::as_str)
}

/// Without axum no router does.
#[cfg(not(feature = "axum"))]
fn matched(_: &http::Extensions) -> Option<&str> {
    None
}

/// What the program said of the route while the request was served; asked for once.
pub(super) fn said_later(entry: &Guard) -> Option<Arc<str>> {
    let route = entry.handle().take_said_route()?;
    Some(if route.len() <= MAX_TEMPLATE { route } else { semconv::clip(&route, MAX_TEMPLATE).into() })
}

/// Whether calling a service of this type runs nothing of the user's: one of axum's routes only puts the request into its
/// future, and begins when that is polled. Known by the type's name, since a layer's service may borrow; not to know it
/// costs an entering of the span.
#[cfg(feature = "axum")]
pub(super) fn begins_when_polled<S>() -> bool {
    std::any::type_name::<S>() == std::any::type_name::<axum::routing::Route>()
}

/// Of no type is that known.
#[cfg(not(feature = "axum"))]
#[expect(clippy::extra_unused_type_parameters, reason = "as with axum")]
pub(super) fn begins_when_polled<S>() -> bool {
    false
}

/// The peer's address, if the server said so.
pub(super) fn peer(extensions: &http::Extensions) -> Option<std::net::SocketAddr> {
    if let Some(super::Peer(address)) = extensions.get() {
        return Some(*address);
    }
    #[cfg(feature = "axum")]
    if let Some(axum::extract::ConnectInfo(address)) = extensions.get() {
        return Some(*address);
    }
    None
}
