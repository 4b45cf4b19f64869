//! Start-up: from what a program and its operator want to running telemetry. The only file that sets globals.

use std::{
    collections::BTreeMap,
    panic::Location,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::{logs::LogProcessor, trace::SpanProcessor};
use tracing_subscriber::{Layer, Registry as TracingRegistry, layer::SubscriberExt as _};

use crate::{
    config::{
        AccessLog, Config, Endpoint, ExemplarFilter, LogFormat, Mistake, Otlp, Protocol, Sampler, Signal,
        Source,
    },
    diagnostics::{self, Severity},
    error::InitError,
    http,
    pipeline::{Additions, Pipeline, View},
    requests::Registry,
    resource::{self, Identity},
    telemetry::Telemetry,
};

/// Sets up traces, metrics and logs for this process as the environment says.
///
/// Works before, inside and without a tokio runtime. Without a collector the service runs all the same, and stderr says so
/// once per signal.
///
/// # Errors
/// [`InitError`]: a second call, another global subscriber, certificates that cannot be used, or, with
/// `TRACEWELL_STRICT`, any mistake in the configuration.
#[track_caller]
pub fn init() -> Result<Telemetry, InitError> {
    Telemetry::builder().install()
}

type TracingLayer = Box<dyn Layer<TracingRegistry> + Send + Sync>;
type Change = Box<dyn FnOnce(&mut Config) -> Result<(), String>>;

/// Telemetry to be set up. What is set here wins over the environment.
#[must_use = "nothing is set up before build() or install()"]
#[derive(Default)]
pub struct Builder {
    environment: Option<Source>,
    identity: Identity,
    changes: Vec<Change>,
    additions: Additions,
    layers: Vec<TracingLayer>,
    registry: Option<Registry>,
    panic_hook: Option<bool>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Telemetry that differs from what the environment says.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// The service's name, whatever the environment says.
    pub fn with_service_name(mut self, name: impl Into<String>) -> Self {
        self.identity.service_name = Some(name.into());
        self
    }

    /// The service's name unless the environment has one.
    pub fn default_service_name(mut self, name: impl Into<String>) -> Self {
        self.identity.default_service_name = Some(name.into());
        self
    }

    /// One more attribute of the resource, such as `service.version`.
    pub fn with_resource_attribute(
        mut self,
        key: impl Into<opentelemetry::Key>,
        value: impl Into<Value>,
    ) -> Self {
        self.identity.attributes.push(KeyValue::new(key, value));
        self
    }

    /// Reads these variables instead of the process's environment.
    pub fn with_env<N, V>(mut self, variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<std::ffi::OsString>,
    {
        self.environment = Some(Source::from_pairs(variables));
        self
    }

    /// Variables that count where the environment has none: defaults of the program's own, in the operator's words.
    pub fn with_env_defaults<N, V>(mut self, variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<std::ffi::OsString>,
    {
        let environment = self.environment.take().unwrap_or_else(Source::process);
        self.environment = Some(environment.with_defaults(variables));
        self
    }

    /// Which traces are recorded.
    pub fn with_sampler(self, sampler: Sampler) -> Self {
        self.change(|config| {
            config.traces.sampler = sampler;
            Ok(())
        })
    }

    /// The collector's base URL for all signals; for HTTP each signal's path is appended.
    pub fn with_endpoint(self, url: impl Into<String>) -> Self {
        let url = url.into();
        self.change(move |config| {
            for signal in [Signal::Traces, Signal::Metrics, Signal::Logs] {
                let otlp = otlp(config, signal);
                otlp.endpoint = Endpoint::of_base(&url, signal, otlp.protocol, false)?;
                otlp.headers.authorize(&otlp.endpoint);
            }
            Ok(())
        })
    }

    /// The URL of one signal, used as it is.
    pub fn with_signal_endpoint(self, signal: Signal, url: impl Into<String>) -> Self {
        let url = url.into();
        self.change(move |config| {
            let otlp = otlp(config, signal);
            otlp.endpoint = Endpoint::of_signal(&url, otlp.protocol, false)?;
            otlp.headers.authorize(&otlp.endpoint);
            Ok(())
        })
    }

    /// How all signals are sent. Give it before the endpoints, which depend on it.
    pub fn with_protocol(self, protocol: Protocol) -> Self {
        self.change(move |config| {
            for signal in [Signal::Traces, Signal::Metrics, Signal::Logs] {
                otlp(config, signal).protocol = protocol;
            }
            Ok(())
        })
    }

    /// Which measurements may become exemplars.
    pub fn with_exemplar_filter(self, filter: ExemplarFilter) -> Self {
        self.change(move |config| {
            config.metrics.exemplar_filter = filter;
            Ok(())
        })
    }

    /// How often metrics are exported; not zero.
    pub fn with_metric_interval(self, interval: Duration) -> Self {
        self.change(move |config| {
            if interval.is_zero() {
                return Err("metric interval 0; accepted is any time above it".to_owned());
            }
            config.metrics.interval = interval;
            Ok(())
        })
    }

    /// How lines on stdout look.
    pub fn with_log_format(self, format: LogFormat) -> Self {
        self.change(move |config| {
            config.logs.format = Some(format);
            Ok(())
        })
    }

    /// Which events are logged, in the words of `RUST_LOG`.
    pub fn with_log_filter(self, directives: impl Into<String>) -> Self {
        let directives = directives.into();
        self.change(move |config| match directives.parse::<tracing_subscriber::EnvFilter>() {
            Ok(_) => {
                config.logs.filter = directives;
                Ok(())
            }
            Err(error) => {
                Err(format!("log filter {directives:?}: {error}; accepted are RUST_LOG directives"))
            }
        })
    }

    /// Which requests have a completion record.
    pub fn with_access_log(self, requests: AccessLog) -> Self {
        self.change(move |config| {
            config.logs.access_log = requests;
            Ok(())
        })
    }

    /// Where the operator's endpoints are served.
    pub fn with_admin_address(self, address: std::net::SocketAddr) -> Self {
        self.change(move |config| {
            config.admin.addr = Some(address);
            Ok(())
        })
    }

    /// The one deadline of the flush of all signals at the end.
    pub fn with_shutdown_deadline(self, limit: Duration) -> Self {
        self.change(move |config| {
            config.shutdown.flush = limit;
            Ok(())
        })
    }

    /// How long running requests may take to finish at the end.
    pub fn with_drain_deadline(self, limit: Duration) -> Self {
        self.change(move |config| {
            config.shutdown.drain = limit;
            Ok(())
        })
    }

    /// A view: which metric an instrument's measurements become.
    pub fn with_view(mut self, view: View) -> Self {
        self.additions.views.push(view);
        self
    }

    /// A span processor beside the exporter's queue.
    pub fn with_span_processor(mut self, processor: impl SpanProcessor + 'static) -> Self {
        self.additions.span_processors.push(Box::new(processor));
        self
    }

    /// A log processor before the exporter's queue: it may change records. Records then take the SDK's longer way.
    pub fn with_log_processor(mut self, processor: impl LogProcessor + 'static) -> Self {
        self.additions.log_processors.push(Box::new(processor));
        self
    }

    /// Another `tracing` layer beside ours, for [`install`](Self::install).
    pub fn with_layer(mut self, layer: impl Layer<TracingRegistry> + Send + Sync + 'static) -> Self {
        self.layers.push(layer.boxed());
        self
    }

    /// Enters requests into this registry; the global one otherwise.
    pub fn with_registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Whether lines are written to stdout; `true` unless said otherwise.
    pub fn with_stdout(mut self, lines: bool) -> Self {
        self.additions.silent = !lines;
        self
    }

    /// Whether [`install`](Self::install) adds a panic hook that logs the panic in its span; the hook that is set stays
    /// in place behind it. `true` unless said otherwise.
    pub fn with_panic_hook(mut self, hook: bool) -> Self {
        self.panic_hook = Some(hook);
        self
    }

    fn change(mut self, change: impl FnOnce(&mut Config) -> Result<(), String> + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Sets telemetry up without touching a global: its layers and providers are for a subscriber and for instruments
    /// that the program makes itself.
    ///
    /// # Errors
    /// [`InitError::Mistakes`] and [`InitError::Unusable`].
    pub fn build(self) -> Result<Telemetry, InitError> {
        let (telemetry, mistakes, _) = self.start()?;
        show(&mistakes);
        Ok(telemetry)
    }

    /// Sets telemetry up for the whole process: global providers and propagators, the `tracing` subscriber, the `log`
    /// crate's records, and a panic hook.
    ///
    /// # Errors
    /// Every variant of [`InitError`]; nothing global has changed then.
    #[track_caller]
    pub fn install(self) -> Result<Telemetry, InitError> {
        let here = Location::caller();
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = *installed {
            return Err(InitError::AlreadyInstalled { at });
        }
        // not `has_been_set`: that is also true once any thread has had a subscriber for a while
        let set = |current: &tracing::Dispatch| !current.is::<tracing::subscriber::NoSubscriber>();
        if tracing::dispatcher::get_default(set) {
            return Err(InitError::SubscriberAlreadySet);
        }
        let panic_hook = self.panic_hook.unwrap_or(true);
        let early = http::instruments_made();
        let (telemetry, mistakes, layers) = self.start()?;
        set_globals(&telemetry, layers)?;
        *installed = Some(here);
        drop(installed);
        if panic_hook {
            crate::panic::install_hook();
        }
        if early {
            diagnostics::say(
                Severity::Warn,
                format_args!(
                    "a ServerLayer served a request before telemetry was installed: its metrics stay without effect; \
                     install first"
                ),
            );
        }
        show(&mistakes);
        Ok(telemetry)
    }

    fn start(self) -> Result<(Telemetry, Vec<Mistake>, Vec<TracingLayer>), InitError> {
        let source = self.environment.unwrap_or_else(Source::process);
        let (mut config, mistakes) = Config::resolve(&source);
        if config.strict && !mistakes.is_empty() {
            return Err(InitError::Mistakes(mistakes));
        }
        let views = self.additions.views.iter().filter_map(|view| view.validate().err());
        let mut problems: Vec<String> = views.collect();
        problems.extend(self.changes.into_iter().filter_map(|change| change(&mut config).err()));
        if !problems.is_empty() {
            return Err(InitError::Unusable(problems));
        }
        let resource = resource::resource(&config.resource, &self.identity);
        let pipeline = Pipeline::start(&config, &resource, self.additions).map_err(InitError::Unusable)?;
        let registry = self.registry.unwrap_or_else(|| Registry::global().clone());
        let telemetry = Telemetry::new(config, resource, pipeline, registry);
        #[cfg(feature = "admin")]
        crate::admin::start(&telemetry).map_err(|problem| InitError::Unusable(vec![problem]))?;
        Ok((telemetry, mistakes, self.layers))
    }
}

fn otlp(config: &mut Config, signal: Signal) -> &mut Otlp {
    match signal {
        Signal::Traces => &mut config.traces.otlp,
        Signal::Metrics => &mut config.metrics.otlp,
        Signal::Logs => &mut config.logs.otlp,
    }
}

/// Where telemetry was installed in this process.
static INSTALLED: Mutex<Option<&'static Location<'static>>> = Mutex::new(None);

/// The subscriber first: it is the only one that can refuse.
fn set_globals(telemetry: &Telemetry, added: Vec<TracingLayer>) -> Result<(), InitError> {
    let inner = telemetry.inner();
    let mut layers = telemetry.layers::<TracingRegistry>();
    layers.extend(added);
    let subscriber = TracingRegistry::default().with(layers);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| InitError::SubscriberAlreadySet)?;
    http::configure(http::Settings::new(&inner.config.http, inner.config.logs.access_log));
    opentelemetry::global::set_text_map_propagator(Pipeline::propagator(&inner.config));
    if !inner.config.disabled {
        opentelemetry::global::set_meter_provider(inner.pipeline.meter_provider.clone());
        opentelemetry::global::set_tracer_provider(inner.pipeline.tracer_provider.clone());
    }
    if tracing_log::LogTracer::builder().with_max_level(log::LevelFilter::Trace).init().is_err() {
        diagnostics::say(
            Severity::Warn,
            format_args!("another logger of the `log` crate is set: records made with it stay outside"),
        );
    } else {
        // events are filtered by the subscriber; this only spares records that nobody could want
        log::set_max_level(log_level());
    }
    Ok(())
}

fn log_level() -> log::LevelFilter {
    use tracing::level_filters::LevelFilter;
    match LevelFilter::current() {
        LevelFilter::OFF => log::LevelFilter::Off,
        LevelFilter::ERROR => log::LevelFilter::Error,
        LevelFilter::WARN => log::LevelFilter::Warn,
        LevelFilter::INFO => log::LevelFilter::Info,
        LevelFilter::DEBUG => log::LevelFilter::Debug,
        LevelFilter::TRACE => log::LevelFilter::Trace,
    }
}

/// One line per variable, grouped so that a variable is named once.
fn show(mistakes: &[Mistake]) {
    let by_name: BTreeMap<_, _> = mistakes.iter().map(|mistake| (mistake.to_string(), ())).collect();
    for mistake in by_name.keys() {
        diagnostics::say(Severity::Warn, format_args!("configuration: {mistake}"));
    }
}
