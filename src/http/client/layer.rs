//! The layer and what can be chosen about it.

use std::{
    error::Error,
    fmt,
    sync::{Arc, OnceLock},
};

use http::Uri;
use opentelemetry::{metrics::MeterProvider, propagation::TextMapPropagator};
use tower_layer::Layer;

use super::{instruments::Instruments, service::ClientService};
use crate::http::Settings;

/// What every error of an inner service can become.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The low-cardinality form of a request's path, such as `/payments/{id}`: put it into the request's extensions.
///
/// It is part of the span's name, and `url.template` of span and metric (http/http-spans.md "Name"). Never the path itself: each
/// value is a time series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UrlTemplate(pub &'static str);

/// How often a request was sent before: put it into the request's extensions. `resilience`'s layer does.
///
/// It is `http.request.resend_count` of the span, if it is not 0 (http/http-spans.md "HTTP request retries and redirects").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResendCount(pub u32);

/// Observes every call of a tower HTTP client: any `Service<http::Request<B>, Response = http::Response<R>>`.
///
/// It belongs directly around the client, inside of what tries again, so that each attempt has a span of its own.
///
/// | what happens | span | `http.client.request.duration` |
/// |---|---|---|
/// | answer below 400, body read to its end | status unset | with the status code |
/// | 4xx, 5xx | Error, `error.type` = the code | with `error.type` |
/// | an error, of the call or of its body | Error, `error.type` = `dns`, `connect`, `tls`, `timeout`, `reset`, or the type's name | with `error.type` |
/// | a panic of the client, or around the call | Error, `error.type` = `panic` | with `error.type`; the panic goes on |
/// | the future is dropped | status unset, `tracewell.outcome`=`cancelled` | the same |
/// | the body is dropped before its end | by the status code, `tracewell.outcome`=`aborted` | the same |
///
/// By the conventions 1.44, http/http-spans.md "HTTP client" and http/http-metrics.md; durations are in seconds.
///
/// Both end at the last byte of the body, with one reading of the clock. Until then the [active
/// request](crate::requests) that made the call shows it as its stage, `calling payments.example`. The trace context and
/// the baggage travel in the request's headers.
///
/// Which methods are known is `OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS`'s choice, as for servers. With the feature `reqwest`,
/// `ClientLayer::middleware` observes the calls of `reqwest` in the same way.
///
/// ```
/// use tower_layer::Layer as _;
/// # let client = ();
/// let client = tracewell::http::ClientLayer::new()
///     // others need not know our trace ids, and shall not see our baggage
///     .with_propagation_to(|uri| uri.host().is_some_and(|host| host.ends_with(".internal")))
///     .layer(client);
/// # let _ = client;
/// ```
#[derive(Clone, Default)]
pub struct ClientLayer {
    options: Options,
}

type Trusted = Arc<dyn Fn(&Uri) -> bool + Send + Sync>;

/// What a layer was told.
#[derive(Clone, Default)]
struct Options {
    meters: Option<Arc<dyn MeterProvider + Send + Sync>>,
    propagator: Option<Arc<dyn TextMapPropagator + Send + Sync>>,
    trusted: Option<Trusted>,
    settings: Option<Arc<Settings>>,
}

impl ClientLayer {
    /// A layer that uses the globals that `init` installed, and propagates to every host.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the instrument with this provider instead of the global one.
    #[must_use]
    pub fn with_meter_provider(mut self, provider: impl MeterProvider + Send + Sync + 'static) -> Self {
        self.options.meters = Some(Arc::new(provider));
        self
    }

    /// Propagates with this instead of the global propagator (`OTEL_PROPAGATORS`: W3C Trace Context and Baggage by default).
    #[must_use]
    pub fn with_propagator(mut self, propagator: impl TextMapPropagator + Send + Sync + 'static) -> Self {
        self.options.propagator = Some(Arc::new(propagator));
        self
    }

    /// Sends trace context and baggage only to where `trusted` answers true; it should not block. Its panics go on to the caller.
    #[must_use]
    pub fn with_propagation_to(mut self, trusted: impl Fn(&Uri) -> bool + Send + Sync + 'static) -> Self {
        self.options.trusted = Some(Arc::new(trusted));
        self
    }

    pub(crate) fn with_settings(mut self, settings: Settings) -> Self {
        self.options.settings = Some(Arc::new(settings));
        self
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::new(Shared { options: self.options.clone(), resolved: OnceLock::new() })
    }
}

impl fmt::Debug for ClientLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientLayer").finish_non_exhaustive()
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = ClientService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ClientService::new(inner, self.shared())
    }
}

/// What all clones of a service share; what comes from globals is resolved by the first call, after `init`.
pub(crate) struct Shared {
    options: Options,
    resolved: OnceLock<Resolved>,
}

/// Where calls are recorded, and what the operator chose for HTTP.
pub(crate) struct Resolved {
    pub(super) instruments: Instruments,
    pub(super) settings: Arc<Settings>,
}

impl Shared {
    /// Makes instruments with the layer's meter provider, or the global one.
    pub(crate) fn with_meters<T>(&self, make: impl FnOnce(&dyn MeterProvider) -> T) -> T {
        match &self.options.meters {
            Some(meters) => make(&**meters),
            None => make(&*opentelemetry::global::meter_provider()),
        }
    }

    pub(crate) fn redactor(&self) -> crate::redaction::Redactor {
        self.resolved().settings.redactor().clone()
    }

    pub(super) fn resolved(&self) -> &Resolved {
        self.resolved.get_or_init(|| Resolved {
            instruments: self.with_meters(|meters| Instruments::new(meters)),
            settings: self.options.settings.clone().unwrap_or_else(Settings::global),
        })
    }

    pub(super) fn trusts(&self, uri: &Uri) -> bool {
        self.options.trusted.as_ref().is_none_or(|trusted| trusted(uri))
    }

    /// Calls `with` with the propagator.
    pub(super) fn propagator(&self, mut with: impl FnMut(&dyn TextMapPropagator)) {
        match &self.options.propagator {
            Some(propagator) => with(&**propagator),
            None => opentelemetry::global::get_text_map_propagator(with),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
