//! The server's layer and service.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use http::{HeaderName, Request, Response};
use opentelemetry::{metrics::MeterProvider, propagation::TextMapPropagator};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    instruments::Instruments,
    messages::Messages,
    metadata::{Metadata, Wanted},
    method::Called,
    request_body::{Received, RequestBody},
    semconv::{self, Status},
    served::Served,
};
use crate::{
    config::{IpRange, ProxyHeaders},
    http::{self as web, ResponseBody, ResponseFuture, ServerShared},
    requests::{Current, Registry},
};

/// Observes every call of gRPC that comes in; see the [module](crate::rpc) for what is recorded when.
///
/// It goes around `tonic`'s services (`Server::builder().layer(…)`), or around the router that they are in. What is no call
/// passes; so do the questions of `grpc.health.v1.Health`, as those of probes over HTTP do, unless
/// [`with_unobserved`](Self::with_unobserved) says otherwise.
///
/// ```
/// use tower_layer::Layer as _;
/// # let services = ();
/// let observed = tracewell::rpc::ServerLayer::new().layer(services);
/// # let _ = observed;
/// ```
#[derive(Clone)]
pub struct ServerLayer {
    http: web::ServerLayer,
    metadata: Wanted,
    health: bool,
}

impl fmt::Debug for ServerLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerLayer").finish_non_exhaustive()
    }
}

impl Default for ServerLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl ServerLayer {
    /// A layer that records into the globals that `init` installed.
    #[must_use]
    pub fn new() -> Self {
        Self::over(web::ServerLayer::new())
    }

    pub(crate) fn over(http: web::ServerLayer) -> Self {
        Self { http, metadata: Wanted::default(), health: false }
    }

    fn change(mut self, change: impl FnOnce(web::ServerLayer) -> web::ServerLayer) -> Self {
        self.http = change(self.http);
        self
    }

    /// Enters calls into this registry instead of the global one.
    #[must_use]
    pub fn with_registry(self, registry: Registry) -> Self {
        self.change(|http| http.with_registry(registry))
    }

    /// Makes the instrument with this provider instead of the global one.
    #[must_use]
    pub fn with_meter_provider(self, provider: impl MeterProvider + Send + Sync + 'static) -> Self {
        self.change(|http| http.with_meter_provider(provider))
    }

    /// Finds the caller's trace in the metadata with this propagator instead of the global one. Should it panic, the call is
    /// served unobserved.
    #[must_use]
    pub fn with_propagator(self, propagator: impl TextMapPropagator + Send + Sync + 'static) -> Self {
        self.change(|http| http.with_propagator(propagator))
    }

    /// Calls for which `unobserved` answers true (by their path, `/package.Service/Method`) pass without a span, a metric or
    /// an entry; without this, those of `grpc.health.v1.Health` do. It should not block; its panics go on to the caller.
    #[must_use]
    pub fn with_unobserved(mut self, unobserved: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.health = true;
        self.change(|http| http.with_unobserved(move |_, uri| unobserved(uri.path())))
    }

    /// Whether strangers call; as [`http::ServerLayer::with_public_endpoint`](crate::http::ServerLayer::with_public_endpoint).
    #[must_use]
    pub fn with_public_endpoint(self, public: bool) -> Self {
        self.change(|http| http.with_public_endpoint(public))
    }

    /// The proxies whose headers say who the client is; as
    /// [`http::ServerLayer::with_trusted_proxies`](crate::http::ServerLayer::with_trusted_proxies).
    #[must_use]
    pub fn with_trusted_proxies(self, proxies: impl IntoIterator<Item = IpRange>) -> Self {
        self.change(|http| http.with_trusted_proxies(proxies))
    }

    /// Which headers of trusted proxies count, instead of `TRACEWELL_PROXY_HEADERS`'s choice.
    #[must_use]
    pub fn with_proxy_headers(self, headers: ProxyHeaders) -> Self {
        self.change(|http| http.with_proxy_headers(headers))
    }

    /// Makes this metadata of requests attributes of the span (`rpc.request.metadata.<name>`, rpc/rpc-spans.md). Secrets in it are
    /// hidden; of each name 32 values are kept, of each value 1024 bytes.
    #[must_use]
    pub fn with_captured_request_metadata(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.metadata.add_requests(names);
        self
    }

    /// The same for metadata of responses, in their headers or trailers (`rpc.response.metadata.<name>`).
    #[must_use]
    pub fn with_captured_response_metadata(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.metadata.add_responses(names);
        self
    }

    /// Attributes of calls that their duration has too; as
    /// [`http::ServerLayer::with_metric_attributes`](crate::http::ServerLayer::with_metric_attributes).
    #[must_use]
    pub fn with_metric_attributes<K: Into<String>>(self, keys: impl IntoIterator<Item = K>) -> Self {
        self.change(|http| http.with_metric_attributes(keys))
    }

    /// Lets calls be cancelled from outside, by [`Registry::cancel`]; so does `TRACEWELL_ADMIN_CANCEL`. The caller sees
    /// `UNAVAILABLE` before the headers, and a reset stream after.
    #[must_use]
    pub fn with_cancellation(self) -> Self {
        self.change(web::ServerLayer::with_cancellation)
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = ServerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let shared = Shared { layer: self.clone(), http: self.http.shared(), serving: OnceLock::new() };
        ServerService { inner, shared: Arc::new(shared) }
    }
}

/// What all clones of a service share.
struct Shared {
    layer: ServerLayer,
    http: Arc<ServerShared>,
    serving: OnceLock<Arc<Serving>>,
}

/// What calls need besides what requests need; from globals, by the first call.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(super) instruments: Instruments,
    pub(super) metadata: Metadata,
}

impl Serving {
    /// A call that begins.
    pub(crate) fn served(
        self: &Arc<Self>,
        called: Called,
        entry: Current,
        uri: &http::Uri,
        headers: &http::HeaderMap,
    ) -> Served {
        let timeout = semconv::timeout(headers);
        if let Some(timeout) = timeout {
            entry.annotate("deadline", format_args!("{timeout:?}"));
        }
        Served {
            serving: Arc::clone(self),
            called,
            path: web::clip(uri.path(), semconv::MAX_METHOD + 1).into(),
            entry,
            timeout,
            received: Received::default(),
            sent: Messages::default(),
            status: Status::default(),
            streams: false,
        }
    }

    pub(crate) fn called(uri: &http::Uri) -> Called {
        Called::of(uri.path())
    }

    /// What the span says from its start on.
    pub(crate) fn attributes(
        &self,
        called: &Called,
        (uri, headers): (&http::Uri, &http::HeaderMap),
        peer: Option<std::net::SocketAddr>,
    ) -> Vec<opentelemetry::KeyValue> {
        let mut attributes = semconv::server_start(uri, headers, peer);
        attributes.extend(called.attributes(uri.path(), false));
        attributes.extend(self.metadata.of_request(headers));
        attributes
    }
}

impl Shared {
    fn serving(&self) -> &Arc<Serving> {
        self.serving.get_or_init(|| {
            Arc::new(Serving {
                instruments: self.http.with_meters(|meters| Instruments::server(meters)),
                metadata: Metadata::new(&self.layer.metadata, self.http.redactor()),
            })
        })
    }

    fn observes<B>(&self, request: &Request<B>) -> bool {
        let is_health = || request.uri().path().starts_with("/grpc.health.v1.Health/");
        semconv::is_call(request.headers())
            && !self.http.lets_pass(request)
            && (self.layer.health || !is_health())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// A service whose calls are observed; made by [`ServerLayer`].
///
/// Errors and panics of the inner service pass through, once they are recorded. The answer's future may be dropped at any
/// time, on any thread: the call ends as cancelled.
#[derive(Debug, Clone)]
pub struct ServerService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for ServerService<S>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>>,
    S::Error: fmt::Display,
    ResBody: http_body::Body,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let Self { inner, shared } = self;
        if !shared.observes(&request) {
            return ResponseFuture::unobserved(inner.call(request.map(RequestBody::unobserved)));
        }
        let begin = || web::begin_call(shared.http.resolved(), shared.serving(), &request);
        let begun = catch_unwind(AssertUnwindSafe(begin));
        // a panic in a sampler or a layer of the user's is said by the panic hook; the call is served without
        let Ok(exchange) = begun else {
            return ResponseFuture::unobserved(inner.call(request.map(RequestBody::unobserved)));
        };
        let received = exchange.served().map(Served::received);
        let request = request.map(|body| match received {
            Some((received, entry)) => RequestBody::observed(body, received, entry),
            None => RequestBody::unobserved(body),
        });
        ResponseFuture::begun(exchange, true, || inner.call(request))
    }
}
