//! The layer and what can be chosen about it.

use std::{
    fmt,
    net::SocketAddr,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use opentelemetry::{metrics::MeterProvider, propagation::TextMapPropagator};
use tower_layer::Layer;

use super::{extras::Extras, service::ServerService};
use crate::{
    config::{AccessLog, Config, IpRange, ProxyHeaders},
    http::{
        metrics::Instruments,
        semconv::{Methods, forwarded::TrustedProxies},
    },
    redaction::Redactor,
    requests::Registry,
    sampling::{Known, SamplerInUse},
    trace_parent,
};

/// The client's address, for servers that are not axum's: put it into a request's extensions.
///
/// It is `client.address` (unless a trusted proxy says another), `network.peer.address` and `network.peer.port` of the span, and
/// what decides whether a proxy is trusted. With axum, `ConnectInfo<SocketAddr>` is found as well.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Observes every request of a tower HTTP service; see the [module](crate::http) for what is recorded when.
///
/// With axum it belongs on the router (`Router::layer`), where the matched route is known; for other routers, see
/// [`RouteTemplate`](crate::http::RouteTemplate) and [`requests::set_route`](crate::requests::set_route). Requests of one program share
/// the [global registry](Registry::global) and the global meter provider unless others are given.
///
/// ```
/// use tower_layer::Layer as _;
/// # let inner_service = ();
/// let observed = tracewell::http::ServerLayer::new().layer(inner_service);
/// # let _ = observed;
/// ```
#[derive(Clone)]
pub struct ServerLayer {
    /// One for all services of a layer: some routers layer anew for each request.
    shared: Arc<Shared>,
}

type Unobserved = Arc<dyn Fn(&http::Method, &http::Uri) -> bool + Send + Sync>;
type Propagator = Arc<dyn TextMapPropagator + Send + Sync>;

/// What a layer was told.
#[derive(Clone, Default)]
pub(super) struct Options {
    registry: Option<Registry>,
    meters: Option<Arc<dyn MeterProvider + Send + Sync>>,
    propagator: Option<Propagator>,
    settings: Option<Arc<Settings>>,
    proxies: Option<Vec<IpRange>>,
    proxy_headers: Option<ProxyHeaders>,
    public_endpoint: Option<bool>,
    trace_id_header: bool,
    pub(super) unobserved: Option<Unobserved>,
    pub(super) request_headers: Vec<String>,
    pub(super) response_headers: Vec<String>,
    pub(super) metric_attributes: Vec<String>,
    pub(super) cancellable: bool,
}

impl Options {
    /// The settings, with what this layer was told.
    fn chosen(&self, settings: Arc<Settings>) -> Arc<Settings> {
        let Self { proxies, proxy_headers, public_endpoint, trace_id_header, .. } = self;
        if proxies.is_none() && proxy_headers.is_none() && public_endpoint.is_none() && !trace_id_header {
            return settings;
        }
        let mut settings = Settings::clone(&settings);
        settings.public_endpoint = self.public_endpoint.unwrap_or(settings.public_endpoint);
        settings.trace_id_header = self.trace_id_header;
        settings.proxies.change(self.proxies.as_deref(), self.proxy_headers);
        Arc::new(settings)
    }
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
        Self::of(Options::default())
    }

    fn of(options: Options) -> Self {
        Self { shared: Arc::new(Shared { options, resolved: OnceLock::new() }) }
    }

    fn change(self, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = self.shared.options.clone();
        change(&mut options);
        Self::of(options)
    }

    /// Enters requests into this registry instead of the global one.
    #[must_use]
    pub fn with_registry(self, registry: Registry) -> Self {
        self.change(|options| options.registry = Some(registry))
    }

    /// Makes the instruments with this provider instead of the global one.
    #[must_use]
    pub fn with_meter_provider(self, provider: impl MeterProvider + Send + Sync + 'static) -> Self {
        self.change(|options| options.meters = Some(Arc::new(provider)))
    }

    /// Finds the caller's trace with this propagator instead of the global one (`OTEL_PROPAGATORS`: W3C Trace Context and Baggage
    /// by default). Should it panic, the request is served unobserved.
    #[must_use]
    pub fn with_propagator(self, propagator: impl TextMapPropagator + Send + Sync + 'static) -> Self {
        self.change(|options| options.propagator = Some(Arc::new(propagator)))
    }

    /// Requests for which `unobserved` answers true pass without a span, a metric or an entry.
    ///
    /// It is called once per request, before anything else; it should not block. Its panics go on to the caller: they are no
    /// request's.
    #[must_use]
    pub fn with_unobserved(
        self,
        unobserved: impl Fn(&http::Method, &http::Uri) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.change(|options| options.unobserved = Some(Arc::new(unobserved)))
    }

    /// The proxies whose `Forwarded` (RFC 7239) or `X-Forwarded-*` headers count, instead of those of
    /// `TRACEWELL_TRUSTED_PROXIES`. Without any, nobody's do: a client can write them as well.
    ///
    /// A proxy that writes one kind of these headers passes the other kind on as the client wrote it: where a request has
    /// both, only what both say counts, unless [`with_proxy_headers`](Self::with_proxy_headers) says which one to read.
    ///
    /// The client is the last address in the list that is not such a proxy; scheme and host are what the outermost of them
    /// was asked for. `network.peer.address` stays the connection's.
    #[must_use]
    pub fn with_trusted_proxies(self, proxies: impl IntoIterator<Item = IpRange>) -> Self {
        self.change(|options| options.proxies = Some(proxies.into_iter().collect()))
    }

    /// Which headers of trusted proxies count, instead of `TRACEWELL_PROXY_HEADERS`'s choice.
    #[must_use]
    pub fn with_proxy_headers(self, headers: ProxyHeaders) -> Self {
        self.change(|options| options.proxy_headers = Some(headers))
    }

    /// Whether strangers call, whatever `TRACEWELL_PUBLIC_ENDPOINT` says: each request then is the root of a trace of its own,
    /// which links to the caller's span, is sampled by our choice alone, and has none of the caller's baggage (W3C Trace Context,
    /// section 3.4: "restart trace").
    #[must_use]
    pub fn with_public_endpoint(self, public: bool) -> Self {
        self.change(|options| options.public_endpoint = Some(public))
    }

    /// Adds `x-trace-id`, for people who read no `traceparent`, to the headers that say what a request's work went through;
    /// see [`set_response_headers`](crate::resilience::set_response_headers).
    #[must_use]
    pub fn with_trace_id_header(self) -> Self {
        self.change(|options| options.trace_id_header = true)
    }

    /// Makes these headers of requests attributes of the span (`http.request.header.<name>`), beside those of
    /// `OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_REQUEST_HEADERS`. Secrets in them are hidden; of each header 32 values are
    /// kept, of each value 1024 bytes.
    #[must_use]
    pub fn with_captured_request_headers(self, names: impl IntoIterator<Item = http::HeaderName>) -> Self {
        self.change(|options| options.request_headers.extend(names.into_iter().map(|name| name.to_string())))
    }

    /// The same for headers of responses (`http.response.header.<name>`), beside those of
    /// `OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_RESPONSE_HEADERS`.
    #[must_use]
    pub fn with_captured_response_headers(self, names: impl IntoIterator<Item = http::HeaderName>) -> Self {
        self.change(|options| options.response_headers.extend(names.into_iter().map(|name| name.to_string())))
    }

    /// Attributes set by [`requests::set_attribute`](crate::requests::set_attribute) that the request's metrics have too,
    /// beside those of `TRACEWELL_METRIC_ATTRIBUTES`. Each value is a series of its own: tenants or plans, never users.
    #[must_use]
    pub fn with_metric_attributes<K: Into<String>>(self, keys: impl IntoIterator<Item = K>) -> Self {
        self.change(|options| options.metric_attributes.extend(keys.into_iter().map(Into::into)))
    }

    /// Lets requests be cancelled from outside, by [`Registry::cancel`]; so does `TRACEWELL_ADMIN_CANCEL`.
    ///
    /// A cancelled request's future, or body, is dropped at its next poll. The client sees an empty 503 (RFC 9110) before the
    /// headers, and a broken connection (HTTP/1) or a reset stream (HTTP/2) after. A tunnel cannot be cancelled.
    /// It costs every request three allocations; without it, nothing.
    #[must_use]
    pub fn with_cancellation(self) -> Self {
        self.change(|options| options.cancellable = true)
    }

    pub(crate) fn with_settings(self, settings: Settings) -> Self {
        self.change(|options| options.settings = Some(Arc::new(settings)))
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = ServerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerService::new(inner, Arc::clone(&self.shared))
    }
}

/// What all clones of a service share; what comes from globals is resolved by the first request, after `init`.
pub(crate) struct Shared {
    pub(super) options: Options,
    resolved: OnceLock<Arc<Resolved>>,
}

/// Where requests are recorded.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(super) instruments: Instruments,
    pub(super) registry: Registry,
    pub(super) settings: Arc<Settings>,
    pub(super) extras: Option<Box<Extras>>,
    propagator: Option<Propagator>,
}

impl Resolved {
    /// Whether this propagator finds what [`Sent`](crate::trace_parent::Sent) does, and nobody looks for it in a context.
    pub(super) fn finds_parents_only(&self, propagator: &dyn TextMapPropagator) -> bool {
        let known = || trace_parent::FIELDS.first().map(|field| field.as_ptr());
        self.settings.alone && propagator.fields().next().map(str::as_ptr) == known()
    }

    /// Asks the layer's propagator, or the global one.
    pub(super) fn propagated<T>(&self, mut ask: impl FnMut(&dyn TextMapPropagator) -> T) -> T {
        match &self.propagator {
            Some(propagator) => ask(&**propagator),
            None => opentelemetry::global::get_text_map_propagator(ask),
        }
    }
}

impl Shared {
    /// Whether a request is to pass unseen.
    pub(crate) fn lets_pass<B>(&self, request: &http::Request<B>) -> bool {
        let unobserved = self.options.unobserved.as_ref();
        unobserved.is_some_and(|unobserved| unobserved(request.method(), request.uri()))
    }

    /// Makes instruments with the layer's meter provider, or the global one.
    pub(crate) fn with_meters<T>(&self, make: impl FnOnce(&dyn MeterProvider) -> T) -> T {
        match &self.options.meters {
            Some(meters) => make(&**meters),
            None => make(&*opentelemetry::global::meter_provider()),
        }
    }

    pub(crate) fn redactor(&self) -> Redactor {
        self.resolved().settings.redactor.clone()
    }

    pub(crate) fn resolved(&self) -> &Arc<Resolved> {
        self.resolved.get_or_init(|| {
            let options = &self.options;
            let instruments = self.with_meters(|meters| Instruments::new(meters));
            let registry = options.registry.clone().unwrap_or_else(|| Registry::global().clone());
            let settings = options.chosen(options.settings.clone().unwrap_or_else(Settings::global));
            let propagator = options.propagator.clone();
            let extras = Extras::new(&settings, options);
            Arc::new(Resolved { instruments, registry, settings, extras, propagator })
        })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// What the operator chose for HTTP.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(in crate::http) methods: Methods,
    pub(super) access_log: Option<AccessLog>,
    pub(super) proxies: TrustedProxies,
    pub(super) public_endpoint: bool,
    pub(super) trace_id_header: bool,
    pub(super) request_headers: Vec<String>,
    pub(super) response_headers: Vec<String>,
    pub(super) metric_attributes: Vec<String>,
    pub(super) cancellable: bool,
    pub(super) redactor: Redactor,
    sampler: Option<SamplerInUse>,
    /// Whether attributes are seen even of spans that the sampler drops, or it is not known.
    pub(super) attributes_count: bool,
    /// Nobody but this crate looks at a request's span as it starts: its parent need not be in a context.
    alone: bool,
}

static SETTINGS: OnceLock<Arc<Settings>> = OnceLock::new();

/// Sets what layers use that were not given anything else. The first call counts: there is one `install`.
pub(crate) fn configure(settings: Settings) {
    let _ = SETTINGS.set(Arc::new(settings));
}

impl Settings {
    /// Where attributes count they are always there: span processors of the user's may look at them as spans start.
    pub(crate) fn new(
        config: &Config,
        redactor: &Redactor,
        sampler: SamplerInUse,
        attributes_count: bool,
    ) -> Self {
        let Config { http, logs, requests, admin, .. } = config;
        Self {
            methods: Methods::new(http.known_methods.iter().map(String::as_str)),
            access_log: Some(logs.access_log).filter(|log| *log != AccessLog::Off),
            request_headers: http.request_headers.clone(),
            response_headers: http.response_headers.clone(),
            metric_attributes: requests.metric_attributes.clone(),
            cancellable: admin.cancel,
            redactor: redactor.clone(),
            proxies: TrustedProxies::new(&http.trusted_proxies, http.proxy_headers),
            public_endpoint: http.public_endpoint,
            trace_id_header: false,
            sampler: Some(sampler),
            attributes_count,
            alone: false,
        }
    }

    /// The same where this crate's layers and span processors are the only ones, or are not.
    pub(crate) fn alone(self, alone: bool) -> Self {
        Self { alone, ..self }
    }

    pub(super) fn sampler_in_use(&self) -> Option<&SamplerInUse> {
        self.sampler.as_ref()
    }

    /// The sampler in use, if one is known.
    pub(super) fn sampler(&self) -> Option<impl Deref<Target = Arc<Known>>> {
        self.sampler.as_ref().map(SamplerInUse::get)
    }

    pub(in crate::http) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    pub(in crate::http) fn global() -> Arc<Self> {
        SETTINGS.get().cloned().unwrap_or_default()
    }
}
