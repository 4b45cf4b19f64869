//! The layer and what can be chosen about it.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use opentelemetry::{
    Context as OtelContext, metrics::MeterProvider, propagation::TextMapPropagator,
    trace::TraceContextExt as _,
};
use tower_layer::Layer;

use super::service::ServerService;
use crate::{
    config::{AccessLog, Config, Sampler},
    http::{metrics::Instruments, semconv::Methods},
    requests::Registry,
};

/// The client's address, for servers that are not axum's: put it into a request's extensions.
///
/// With axum, `ConnectInfo<SocketAddr>` is found as well.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Observes every request of a tower HTTP service; see the [module](crate::http) for what is recorded when.
///
/// With axum it belongs on the router (`Router::layer`), where the matched route is known. Requests of one program share
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
    pub(super) unobserved: Option<Unobserved>,
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

    /// Finds the caller's trace with this propagator instead of the global one.
    #[must_use]
    pub fn with_propagator(self, propagator: impl TextMapPropagator + Send + Sync + 'static) -> Self {
        self.change(|options| options.propagator = Some(Arc::new(propagator)))
    }

    /// Requests for which `unobserved` answers true pass without a span, a metric or an entry.
    ///
    /// It is called once per request, before anything else; it should not block.
    #[must_use]
    pub fn with_unobserved(
        self,
        unobserved: impl Fn(&http::Method, &http::Uri) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.change(|options| options.unobserved = Some(Arc::new(unobserved)))
    }

    pub(crate) fn with_settings(self, settings: Settings) -> Self {
        self.change(|options| options.settings = Some(Arc::new(settings)))
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = ServerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerService::new(inner, Arc::clone(&self.shared))
    }
}

/// What all clones of a service share; what comes from globals is resolved by the first request, after `init`.
pub(super) struct Shared {
    pub(super) options: Options,
    resolved: OnceLock<Arc<Resolved>>,
}

/// Where requests are recorded.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) instruments: Instruments,
    pub(super) registry: Registry,
    pub(super) settings: Arc<Settings>,
    propagator: Option<Propagator>,
}

impl Resolved {
    /// Asks the layer's propagator, or the global one.
    pub(super) fn propagated<T>(&self, mut ask: impl FnMut(&dyn TextMapPropagator) -> T) -> T {
        match &self.propagator {
            Some(propagator) => ask(&**propagator),
            None => opentelemetry::global::get_text_map_propagator(ask),
        }
    }
}

impl Shared {
    pub(super) fn resolved(&self) -> &Arc<Resolved> {
        self.resolved.get_or_init(|| {
            let options = &self.options;
            let instruments = match &options.meters {
                Some(meters) => Instruments::new(&**meters),
                None => Instruments::new(&*opentelemetry::global::meter_provider()),
            };
            let registry = options.registry.clone().unwrap_or_else(|| Registry::global().clone());
            let settings = options.settings.clone().unwrap_or_else(Settings::global);
            let propagator = options.propagator.clone();
            Arc::new(Resolved { instruments, registry, settings, propagator })
        })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// What the operator chose for HTTP.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(super) methods: Methods,
    pub(super) access_log: Option<AccessLog>,
    /// How spans are sampled, unless attributes are to be made whether they are or not.
    sampler: Option<Sampler>,
}

static SETTINGS: OnceLock<Arc<Settings>> = OnceLock::new();

/// Sets what layers use that were not given anything else. The first call counts: there is one `install`.
pub(crate) fn configure(settings: Settings) {
    let _ = SETTINGS.set(Arc::new(settings));
}

impl Settings {
    /// With span processors of the user's, who may look at attributes as spans start, these are there.
    pub(crate) fn new(config: &Config, span_processors: bool) -> Self {
        let methods = Methods::new(config.http.known_methods.iter().map(String::as_str));
        let access_log = Some(config.logs.access_log).filter(|log| *log != AccessLog::Off);
        let sampler = (!span_processors).then(|| config.traces.sampler.clone());
        Self { methods, access_log, sampler }
    }

    /// Whether a span started in the current context will be recorded, more likely than not. A guess, for what would be
    /// made in vain: the tracer decides.
    pub(super) fn expects_recording(&self) -> bool {
        let mut sampler = match &self.sampler {
            None | Some(Sampler::AlwaysOn) => return true,
            Some(sampler) => sampler,
        };
        if let Sampler::ParentBased(root) = sampler {
            let parent = OtelContext::map_current(|current| {
                let span = current.span();
                let parent = span.span_context();
                parent.is_valid().then(|| parent.is_sampled())
            });
            match parent {
                Some(sampled) => return sampled,
                None => sampler = root,
            }
        }
        match sampler {
            Sampler::AlwaysOn | Sampler::ParentBased(_) => true,
            Sampler::AlwaysOff => false,
            Sampler::TraceIdRatio(ratio) => *ratio >= 0.5,
        }
    }

    fn global() -> Arc<Self> {
        SETTINGS.get().cloned().unwrap_or_default()
    }
}
