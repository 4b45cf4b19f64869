//! The client's layer and service.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderName, Request, Response, Uri};
use opentelemetry::{
    Context as OtelContext, KeyValue, metrics::MeterProvider, propagation::TextMapPropagator,
};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    instruments::Instruments,
    made::Made,
    messages::Messages,
    metadata::{Metadata, Wanted},
    method::Called,
    semconv::{self, Status},
};
use crate::http::{self as web, BoxError, Call, CallBody, CallFuture, ClientShared, Target};

/// Observes every call of a gRPC client; see the [module](crate::rpc) for what is recorded when.
///
/// It goes directly around the channel, inside of what tries again, so that each attempt has a span of its own. Trace
/// context and baggage travel in the metadata. While it waits, the [active request](crate::requests) that made the call
/// shows it as its stage, `calling stock:50051`.
///
/// A channel of `tonic` adds the address to the requests itself, inside of this layer:
/// [`with_target`](Self::with_target) says it for `server.address` and `server.port`.
///
/// ```
/// use tower_layer::Layer as _;
/// # let channel = ();
/// let target = http::Uri::from_static("http://stock:50051");
/// let channel = tracewell::rpc::ClientLayer::new().with_target(&target).layer(channel);
/// # let _ = channel;
/// ```
#[derive(Clone)]
pub struct ClientLayer {
    http: web::ClientLayer,
    target: Option<Uri>,
    metadata: Wanted,
}

impl fmt::Debug for ClientLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientLayer").finish_non_exhaustive()
    }
}

impl Default for ClientLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientLayer {
    /// A layer that uses the globals that `init` installed, and propagates to every server.
    #[must_use]
    pub fn new() -> Self {
        Self::over(web::ClientLayer::new())
    }

    pub(crate) fn over(http: web::ClientLayer) -> Self {
        Self { http, target: None, metadata: Wanted::default() }
    }

    /// Who is called, where the requests do not say so: a URI as the channel's endpoint has it.
    #[must_use]
    pub fn with_target(mut self, target: &Uri) -> Self {
        self.target = Some(target.clone());
        self
    }

    /// Makes the instrument with this provider instead of the global one.
    #[must_use]
    pub fn with_meter_provider(mut self, provider: impl MeterProvider + Send + Sync + 'static) -> Self {
        self.http = self.http.with_meter_provider(provider);
        self
    }

    /// Propagates with this instead of the global propagator.
    #[must_use]
    pub fn with_propagator(mut self, propagator: impl TextMapPropagator + Send + Sync + 'static) -> Self {
        self.http = self.http.with_propagator(propagator);
        self
    }

    /// Sends trace context and baggage only to where `trusted` answers true: of the target, or of the request's URI, which
    /// names no host unless the client was given one. It should not block.
    #[must_use]
    pub fn with_propagation_to(mut self, trusted: impl Fn(&Uri) -> bool + Send + Sync + 'static) -> Self {
        self.http = self.http.with_propagation_to(trusted);
        self
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
}

impl<S> Layer<S> for ClientLayer {
    type Service = ClientService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let shared = Shared { layer: self.clone(), http: self.http.shared(), calling: OnceLock::new() };
        ClientService { inner, shared: Arc::new(shared) }
    }
}

/// What all clones of a service share.
struct Shared {
    layer: ClientLayer,
    http: Arc<ClientShared>,
    calling: OnceLock<Arc<Calling>>,
}

/// What calls need; from globals, by the first of them.
#[derive(Debug)]
pub(super) struct Calling {
    pub(super) instruments: Instruments,
    pub(super) metadata: Metadata,
}

impl Shared {
    fn calling(&self) -> &Arc<Calling> {
        self.calling.get_or_init(|| {
            Arc::new(Calling {
                instruments: self.http.with_meters(|meters| Instruments::client(meters)),
                metadata: Metadata::new(&self.layer.metadata, self.http.redactor()),
            })
        })
    }

    /// A call that begins, and what its span says from its start on.
    fn made(&self, uri: &Uri, headers: &HeaderMap) -> (Made, Vec<KeyValue>) {
        let calling = self.calling();
        let called = Called::of(uri.path());
        let target = Target::of(self.asked(uri));
        let mut attributes = semconv::client_start(headers, &target);
        attributes.extend(called.attributes(uri.path(), true));
        attributes.extend(calling.metadata.of_request(headers));
        let made = Made {
            calling: Arc::clone(calling),
            called,
            target,
            timeout: semconv::timeout(headers),
            received: Messages::default(),
            status: Status::default(),
            reset: None,
        };
        (made, attributes)
    }

    /// Who is called: as the request says, else as the layer was told.
    fn asked<'a>(&'a self, uri: &'a Uri) -> &'a Uri {
        match &self.layer.target {
            Some(target) if uri.authority().is_none() => target,
            _ => uri,
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// A client whose calls are observed; made by [`ClientLayer`].
///
/// Its errors are those of the inner service, boxed: `downcast` finds them, and so does `tonic`. Panics pass through, once they
/// are recorded. The answer's future may be dropped at any time: the call ends as cancelled.
#[derive(Debug, Clone)]
pub struct ClientService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for ClientService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    ResBody: http_body::Body,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<CallBody<ResBody>>;
    type Error = BoxError;
    type Future = CallFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let Self { inner, shared } = self;
        if OtelContext::is_current_telemetry_suppressed() || !semconv::is_call(request.headers()) {
            return CallFuture::unobserved(inner.call(request));
        }
        let (made, attributes) = shared.made(request.uri(), request.headers());
        let asked = shared.asked(request.uri());
        let (call, sent) = Call::begin_rpc(&shared.http, made, request.method(), (asked, attributes));
        sent.write(&shared.http, request.headers_mut());
        let inner = {
            let _entered = call.enter();
            inner.call(request)
        };
        CallFuture::observed(inner, call)
    }
}
