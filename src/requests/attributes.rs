//! Enrichment: what a program says about a request once, for its span, its logs and its metrics.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering as StdOrdering},
};

use opentelemetry::{Key, KeyValue, Value};

use super::{
    Current,
    current::peek,
    details::Details,
    entry::{ENRICHED, INTERRUPTED},
};

/// Why an entry ended early, on its span: `operator` or `shutdown`. Not of the conventions: they have no name for it.
pub(super) const REASON: &str = "tracewell.cancel.reason";
/// How it ended.
pub(super) const OUTCOME: &str = "tracewell.outcome";
/// Who cancelled it.
const BY: &str = "tracewell.cancel.by";

/// Whether any entry was ever given an attribute: until then a log record costs one load more.
static USED: AtomicBool = AtomicBool::new(false);

/// [`Current::set_attribute`] of the entry the running code belongs to; nothing outside of one.
pub fn set_attribute(key: impl Into<Key>, value: impl Into<Value>) {
    if let Some(current) = peek() {
        current.set_attribute(key, value);
    }
}

/// Says which route the running code's request takes (`/users/{id}`, never the path itself); nothing outside of a request.
///
/// For services whose router no [`ServerLayer`](crate::http::ServerLayer) knows: the route is shown with the request at once, and
/// becomes `http.route` and part of the span's name at the headers or, if the request never gets that far, at its end
/// (semantic conventions 1.44, http/http-spans.md "Name"). The route that axum's router, or a
/// [`RouteTemplate`](crate::http::RouteTemplate), said before the request was served stays on span and metrics. What a sampler
/// sees was there earlier.
///
/// ```
/// use http::{Request, Response};
/// use tower::{Layer as _, ServiceExt as _, service_fn};
/// use tracewell::requests;
///
/// async fn answer(request: Request<String>) -> Result<Response<String>, std::convert::Infallible> {
///     let Some(name) = request.uri().path().strip_prefix("/hello/") else {
///         return Ok(Response::builder().status(404).body(String::new()).unwrap_or_default());
///     };
///     requests::set_route("/hello/{name}");
///     Ok(Response::new(format!("hello {name}")))
/// }
///
/// # let capture = tracewell::testing::Capture::new();
/// # let layer = capture.server_layer();
/// let service = layer.layer(service_fn(answer)); // `ServerLayer::new()`, on hyper
/// # let ask = |path: &str| service.clone().oneshot(Request::get(path).body(String::new()).unwrap());
/// # let runtime = capture.runtime();
/// # runtime.block_on(async { drop((ask("/hello/you").await, ask("/elsewhere").await)) });
/// # capture.assert_span("GET /hello/{name}").has("http.route", "/hello/{name}");
/// # capture.assert_span("GET").lacks("http.route");
/// ```
pub fn set_route(route: impl Into<Arc<str>>) {
    if let Some(current) = peek() {
        current.set_route(route.into());
    }
}

impl Current {
    /// Adds an attribute to the entry's span, to every log record of the entry from now on, and, where its key is among
    /// `TRACEWELL_METRIC_ATTRIBUTES`, to the entry's metrics; the same key again replaces the value.
    ///
    /// The span gets it at its end: of a stream that is at the headers. 32 attributes are kept, further ones are counted
    /// among the annotations left out. Secrets are hidden as everywhere; it is shown on `/debug/requests` too.
    pub fn set_attribute(&self, key: impl Into<Key>, value: impl Into<Value>) {
        if !self.is_active() {
            return;
        }
        let attribute = KeyValue::new(key, value);
        let (shown_key, shown) = (attribute.key.to_string(), attribute.value.to_string());
        self.0.with_state(|state| {
            state.details.get_or_insert_with(Box::default).set_attribute(attribute);
        });
        self.0.set_flag(ENRICHED, true);
        USED.store(true, StdOrdering::Relaxed);
        self.annotate(shown_key, shown);
    }

    /// The attributes given so far.
    #[must_use]
    pub fn attributes(&self) -> Vec<KeyValue> {
        if !self.0.has_flag(ENRICHED) {
            return Vec::new();
        }
        let attributes =
            self.0.with_state(|state| state.details.as_ref().map(|details| details.attributes.clone()));
        attributes.unwrap_or_default()
    }

    /// Whether the entry's end has more to say than others have.
    pub(crate) fn has_more_to_say(&self) -> bool {
        self.0.has_flag(ENRICHED | INTERRUPTED) || self.is_cancel_asked()
    }

    /// Why it ended early, if it did: for its span.
    pub(crate) fn end_reason(&self) -> Vec<KeyValue> {
        if self.is_cancel_asked() {
            let by = self.0.with_state(|state| state.details.as_ref()?.cancelled_by.clone());
            let by = by.map(|by| KeyValue::new(BY, by.into_string()));
            return [Some(KeyValue::new(REASON, "operator")), by].into_iter().flatten().collect();
        }
        match self.0.has_flag(INTERRUPTED) {
            true => vec![KeyValue::new(REASON, "shutdown")],
            false => Vec::new(),
        }
    }
}

/// The attributes that a log record of the running code has besides its own.
pub(crate) fn log_attributes() -> Vec<KeyValue> {
    if !USED.load(StdOrdering::Relaxed) {
        return Vec::new();
    }
    peek().map_or_else(Vec::new, |current| current.attributes())
}

impl Details {
    fn set_attribute(&mut self, new: KeyValue) {
        if let Some(old) = self.attributes.iter_mut().find(|old| old.key == new.key) {
            *old = new;
        } else if self.attributes.len() < Self::MAX_ANNOTATIONS {
            self.attributes.push(new);
        } else {
            self.annotations_dropped = self.annotations_dropped.saturating_add(1);
        }
    }
}
