//! A request's route, as its router names it.

use std::{
    collections::HashMap,
    hash::BuildHasherDefault,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use rustc_hash::FxHasher;

use super::semconv::{self, METHODS_MAX};

/// Routes remembered; a program has its routes in its source, so that this is far away unless they are made up.
const MAX_ROUTES: usize = 16_384;

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

/// The template of the route that matched, if a router said so.
#[cfg(feature = "axum")]
pub(super) fn template(extensions: &http::Extensions) -> Option<&str> {
    extensions.get::<axum::extract::MatchedPath>().map(axum::extract::MatchedPath::as_str)
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

/// Without a router that says so there is no route; the raw path is never one.
#[cfg(not(feature = "axum"))]
pub(super) fn template(_: &http::Extensions) -> Option<&str> {
    None
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
