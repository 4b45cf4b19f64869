//! Start-up: from what a program and its operator want to running telemetry. The only file that sets globals.

use std::{
    collections::BTreeMap,
    panic::Location,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tracing::Dispatch;
use tracing_subscriber::{Layer as _, Registry as TracingRegistry, layer::SubscriberExt as _};

use crate::{
    builder::{Builder, TracingLayer},
    config::{self, Config, Explanation, Mistake, Sampler, Source},
    diagnostics::{self, Severity},
    environment::Environment,
    error::InitError,
    http,
    pipeline::Pipeline,
    requests::Registry,
    resource,
    telemetry::Telemetry,
    telemetry::reload::{self, Reload},
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

impl Builder {
    /// Sets telemetry up without touching a global: its layers and providers are for a subscriber and for instruments
    /// that the program makes itself.
    ///
    /// # Errors
    /// [`InitError::Mistakes`] and [`InitError::Unusable`].
    pub fn build(self) -> Result<Telemetry, InitError> {
        let (telemetry, mistakes, _) = self.start()?;
        show(&mistakes);
        say_sampler(&telemetry.inner().config);
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
        let panic_hook = self.panic_hook.unwrap_or(true);
        let early = http::instruments_made();
        let (telemetry, mistakes, layers) = self.start()?;
        if let Err(refused) = set_globals(&telemetry, layers) {
            telemetry.abandon();
            return Err(refused);
        }
        config::installed(Arc::clone(&telemetry.inner().explanation));
        *installed = Some(here);
        drop(installed);
        if panic_hook {
            crate::panic::install_hook(telemetry.inner());
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
        say_sampler(&telemetry.inner().config);
        Ok(telemetry)
    }

    fn start(self) -> Result<(Telemetry, Vec<Mistake>, Vec<TracingLayer>), InitError> {
        let source = self.environment.unwrap_or_else(Source::process);
        let stamp = config::stamp(&source);
        let (mut config, mut mistakes) = Config::resolve(&source);
        let mut additions = self.additions;
        mistakes.extend(self.components.create(&config.components, &mut additions));
        if config.strict && mistakes.iter().any(|mistake| !mistake.warning) {
            return Err(InitError::Mistakes(mistakes));
        }
        let resolved = config.clone();
        let views = additions.views.iter().filter_map(|view| view.validate().err());
        let mut problems: Vec<String> = views.chain(self.components.problems).collect();
        problems.extend(self.changes.iter().filter_map(|change| change(&mut config).err()));
        if !problems.is_empty() {
            return Err(InitError::Unusable(problems));
        }
        diagnostics::set_level(config.log_level);
        if let Some(name) = &self.identity.service_name {
            config.resource.service_name = Some(name.clone());
        }
        let in_code = additions.redactor.clone();
        additions.redactor = reload::redactor(&in_code, &config.redaction);
        let explanation = Explanation::new(&source, &resolved, &config, &mistakes, &additions.redactor);
        let resource = resource::resource(&config.resource, &self.identity, &source, &additions.redactor);
        #[cfg(feature = "admin")]
        let console = watched(&config, &mut additions)?;
        let pipeline = Pipeline::start(&config, &resource, additions).map_err(InitError::Unusable)?;
        let registry = self.registry.unwrap_or_else(|| Registry::global().clone());
        let environment = Environment::new(source.clone(), self.build_info);
        let reload = Reload::new(source, self.changes, in_code, &config, explanation);
        if config.requests.log_lines > 0 {
            registry.keep_log_lines(config.requests.log_lines);
        }
        let telemetry = Telemetry::new(config, reload, resource, pipeline, registry, environment, self.stuck);
        for (name, check) in self.checks {
            telemetry.health().register(name, check);
        }
        if let Some(allocator) = self.allocator {
            telemetry.observe_allocator(allocator);
        }
        if let Some(renderer) = self.health_renderer {
            telemetry.health().render_with(renderer);
        }
        #[cfg(feature = "admin")]
        let served = serve_operator(&telemetry, console);
        #[cfg(not(feature = "admin"))]
        let served = Ok(());
        if let Err(problem) = served.and_then(|()| reload::watch(&telemetry, stamp)) {
            telemetry.abandon();
            return Err(InitError::Unusable(vec![problem]));
        }
        Ok((telemetry, mistakes, self.layers))
    }
}

/// Starts the console's reading and the admin server, as far as they are wanted.
#[cfg(feature = "admin")]
fn serve_operator(telemetry: &Telemetry, console: Option<crate::console::Console>) -> Result<(), String> {
    if let Some(console) = console {
        let inner = telemetry.inner();
        let (metrics, interval) = (inner.pipeline.scrape.clone(), inner.config.metrics.interval);
        console.read_metrics(metrics, interval)?;
        let _ = inner.console.set(console); // it is empty until now
    }
    crate::admin::start(telemetry)
}

/// The console's store, if it is wanted; it sees what is emitted.
#[cfg(feature = "admin")]
fn watched(
    config: &Config,
    additions: &mut crate::pipeline::Additions,
) -> Result<Option<crate::console::Console>, InitError> {
    let console = crate::console::Console::start(config, &additions.redactor);
    let console = console.map_err(|problem| InitError::Unusable(vec![problem]))?;
    additions.watch = console.as_ref().map(crate::console::Console::watch);
    Ok(console)
}

/// Where telemetry was installed in this process.
static INSTALLED: Mutex<Option<&'static Location<'static>>> = Mutex::new(None);

/// The subscriber first: it is the only one that can refuse.
fn set_globals(telemetry: &Telemetry, added: Vec<TracingLayer>) -> Result<(), InitError> {
    let inner = telemetry.inner();
    let alone = added.is_empty() && inner.pipeline.has_own_spans();
    let subscriber = if added.is_empty() {
        inner.pipeline.subscriber()
    } else {
        // one on the other, not as a `Vec`, which would not tell them about their subscriber
        let layers = added
            .into_iter()
            .fold(telemetry.layers::<TracingRegistry>(), |layers, added| layers.and_then(added).boxed());
        Dispatch::new(TracingRegistry::default().with(layers))
    };
    tracing::dispatcher::set_global_default(subscriber).map_err(|_| InitError::SubscriberAlreadySet)?;
    // for call sites passed before this; see `diagnostics::Listener`
    tracing::callsite::rebuild_interest_cache();
    http::configure(telemetry.http_settings().alone(alone));
    crate::tasks::configure(&inner.config.requests);
    opentelemetry::global::set_text_map_propagator(Pipeline::propagator(&inner.config));
    if !inner.config.disabled {
        opentelemetry::global::set_meter_provider(inner.pipeline.meter_provider.clone());
        opentelemetry::global::set_tracer_provider(inner.pipeline.flagged_tracer_provider());
    }
    if tracing_log::LogTracer::builder().with_max_level(log::LevelFilter::Trace).init().is_err() {
        diagnostics::say(
            Severity::Warn,
            format_args!("another logger of the `log` crate is set: records made with it stay outside"),
        );
    } else {
        // events are filtered by the subscriber; this only spares records that nobody could want
        log::set_max_level(log_level());
        LOG_TRACER.store(true, Ordering::Release);
    }
    Ok(())
}

/// The `log` crate's records come to us.
static LOG_TRACER: AtomicBool = AtomicBool::new(false);

/// After a change of the filter: the `log` crate has a limit of its own.
pub(crate) fn follow_level() {
    if LOG_TRACER.load(Ordering::Acquire) {
        log::set_max_level(log_level());
    }
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

/// What is not there in the end was not kept at the beginning: where somebody has chosen what is kept, one line says what
/// came of it.
fn say_sampler(config: &Config) {
    let sampler = config.traces.effective_sampler();
    if !config.disabled && sampler != Sampler::parent_based(Sampler::AlwaysOn) {
        diagnostics::say(Severity::Info, format_args!("sampler in use: {sampler}"));
    }
}

/// One line per variable, grouped so that a variable is named once.
fn show(mistakes: &[Mistake]) {
    let by_name: BTreeMap<_, _> = mistakes.iter().map(|mistake| (mistake.to_string(), ())).collect();
    for mistake in by_name.keys() {
        diagnostics::say(Severity::Warn, format_args!("configuration: {mistake}"));
    }
}
