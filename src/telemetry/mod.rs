//! The handle on running telemetry: what it is made of and how it is doing. Its end is in `shutdown/end.rs`.

mod log_filter;
pub(crate) mod reload;

use std::{fmt, sync::Arc, time::Duration};

use opentelemetry::{
    Key, Value,
    logs::{LogRecord, Logger, LoggerProvider},
    metrics::MeterProvider,
    trace::{Span, Tracer, TracerProvider},
};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::Subscriber;
use tracing_subscriber::{Layer, registry::LookupSpan};

use self::{log_filter::LogLevel, reload::Reload};
pub use self::{
    log_filter::{LogFilter, LogFilterError},
    reload::{ReloadError, Reloaded},
};
use crate::{
    config::{Config, Explanation},
    environment::Environment,
    health::{Check, Health, Verdict, startup::StartupPhase},
    http::{ClientLayer, ServerLayer, Settings},
    pipeline::{LogLines, Pipeline, SignalReport, SignalState},
    requests::{DrainReport, Registry, Thresholds},
    shutdown::end::End,
};

/// Running telemetry. Keep it until the end of `main`: dropped, it flushes within the shutdown deadline, blocking its
/// thread for as long.
///
/// [`shutdown`](Self::shutdown) does the same without blocking and says what was lost. `std::process::exit` does neither: it
/// runs no `drop`.
#[must_use = "telemetry ends when this is dropped, as `let _ =` does; keep it in a variable until the end of main"]
pub struct Telemetry {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) explanation: Arc<Explanation>,
    pub(crate) reload: Reload,
    pub(crate) resource: Resource,
    pub(crate) pipeline: Pipeline,
    pub(crate) registry: Registry,
    pub(crate) health: Health,
    pub(crate) environment: Environment,
    pub(crate) log_level: Arc<LogLevel>,
    stuck: Thresholds,
    #[cfg(feature = "admin")]
    pub(crate) admin: std::sync::Mutex<crate::admin::Servers>,
    /// Empty when the store is off.
    #[cfg(feature = "admin")]
    pub(crate) console: std::sync::OnceLock<crate::console::Console>,
    pub(crate) end: End,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("signals", &self.status()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("pipeline", &self.pipeline).finish_non_exhaustive()
    }
}

impl Telemetry {
    pub(crate) fn new(
        config: Config,
        reload: Reload,
        resource: Resource,
        pipeline: Pipeline,
        registry: Registry,
        environment: Environment,
        stuck: Option<Thresholds>,
    ) -> Self {
        let health = Health::new(&config.admin);
        crate::runtime::observe(&pipeline, &health);
        let tracers = pipeline.tracer_provider.clone();
        health.on_start(move |phases| startup_spans(&tracers, phases));
        let log_level = LogLevel::new(Arc::clone(&pipeline.log_switch), &config.logs.filter);
        let requests = &config.requests;
        let configured = Thresholds::default().with_requests(requests.stuck).with_tasks(requests.stuck_tasks);
        let stuck = stuck.unwrap_or(configured);
        let inner = Inner {
            config,
            explanation: reload.explanation(),
            reload,
            resource,
            pipeline,
            registry,
            health,
            environment,
            log_level,
            stuck,
            #[cfg(feature = "admin")]
            admin: std::sync::Mutex::default(),
            #[cfg(feature = "admin")]
            console: std::sync::OnceLock::new(),
            end: End::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// From which age on a request or task of this telemetry counts as stuck: what the builder was told, else
    /// `TRACEWELL_STUCK_MS` and `TRACEWELL_STUCK_TASKS_MS`. For [`Registry::watch`], which [`serve`](Self::serve) runs.
    #[must_use]
    pub fn stuck_thresholds(&self) -> &Thresholds {
        &self.inner.stuck
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// The configuration of the start; see [`reload`](Self::reload).
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The configuration of the start, each value with where it comes from; secrets are hidden. After a
    /// [`reload`](Self::reload), [`config::explain`](crate::config::explain) says what is in use.
    #[must_use]
    pub fn explain(&self) -> &Explanation {
        &self.inner.explanation
    }

    /// Who this service says it is, on every span, point and record (specification, resource/sdk.md); secrets are hidden.
    pub fn resource(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.inner.resource.iter()
    }

    /// What must not be seen; for whatever a program shows of itself.
    #[must_use]
    pub fn redactor(&self) -> &crate::redaction::Redactor {
        self.inner.pipeline.redactor()
    }

    /// How each signal's export is doing: traces, metrics and logs, each one consistent snapshot, read without waiting for an
    /// export.
    #[must_use]
    pub fn status(&self) -> [SignalReport; 3] {
        self.inner.pipeline.reports()
    }

    /// What became of the log lines of each sink: stdout, stderr and files, as far as there are lines for them.
    #[must_use]
    pub fn log_lines(&self) -> Vec<LogLines> {
        self.inner.pipeline.log_lines()
    }

    /// Whether the service is ready, and how to say so.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.inner.health
    }

    /// What `/environment` shows, and how to add to it.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.inner.environment
    }

    /// What `/environment` shows, read now: takes one second at most. Cancel safe.
    ///
    /// # Panics
    /// Outside of a tokio runtime with timers, when there are sections of the program's own.
    pub async fn show_environment(&self) -> serde_json::Value {
        self.inner.show_environment().await
    }

    /// Which events are logged now, until when, and the last 16 changes.
    #[must_use]
    pub fn log_filter(&self) -> LogFilter {
        self.inner.log_level.get()
    }

    /// Sets which events are logged, in the words of `RUST_LOG`, for good or for a while; in both cases in place of what
    /// was set before for a while. Spans do not depend on it. The change is one log record.
    ///
    /// # Errors
    /// [`LogFilterError`] for directives that cannot be read, and for a time of zero or above a day.
    pub fn set_log_filter(&self, directives: &str, time: Option<Duration>) -> Result<(), LogFilterError> {
        self.inner.log_level.set(directives, time)
    }

    /// A check that warns while a signal's export is down. In the group `exporters` and in no readiness: a service
    /// without its collector serves.
    pub fn exporter_check(&self) -> Check {
        let inner = Arc::downgrade(&self.inner);
        let check = Check::new(move || {
            let reports = inner.upgrade().map(|inner| inner.pipeline.reports());
            let down: Vec<String> = reports
                .into_iter()
                .flatten()
                .filter(|report| report.state == SignalState::Down)
                .map(|report| report.signal.to_string())
                .collect();
            std::future::ready(match down.is_empty() {
                true => Verdict::pass("no export is down"),
                false => Verdict::warn(format!("not exported: {}", down.join(", "))),
            })
        });
        check.non_critical().with_group("exporters")
    }

    /// The active requests that [`server_layer`](Self::server_layer) enters.
    #[must_use]
    pub fn requests(&self) -> &Registry {
        &self.inner.registry
    }

    /// Layers for a subscriber that the program already has: spans to OpenTelemetry, events to log records and stdout.
    ///
    /// They bring their own filters; add them once, right onto the registry.
    ///
    /// ```
    /// use tracing_subscriber::{layer::SubscriberExt as _, Registry};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let telemetry = tracewell::Telemetry::builder().with_env([("OTEL_SDK_DISABLED", "true")]).build()?;
    /// let subscriber = Registry::default().with(telemetry.layers());
    /// # drop(subscriber);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn layers<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        self.inner.pipeline.layers()
    }

    /// The meter provider of this telemetry, whether or not it is the installed one: its counters and histograms have
    /// exemplars.
    ///
    /// ```
    /// use tracewell::otel::api::metrics::MeterProvider as _;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let telemetry = tracewell::Telemetry::builder().with_env([("OTEL_SDK_DISABLED", "true")]).build()?;
    /// let logins = telemetry.meter_provider().meter("shop").u64_counter("logins").build();
    /// logins.add(1, &[]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn meter_provider(&self) -> impl MeterProvider + Clone + fmt::Debug + Send + Sync + use<> {
        self.inner.pipeline.meter_provider.clone()
    }

    /// The tracer provider of this telemetry. After `install` the global one is made of it: its spans say too, from their
    /// start on, that their trace ids are random.
    #[must_use]
    pub fn tracer_provider(
        &self,
    ) -> impl TracerProvider<
        Tracer = impl Tracer<Span = impl Span + Send + Sync + use<>> + Send + Sync + use<>,
    > + Clone
    + fmt::Debug
    + Send
    + Sync
    + use<> {
        self.inner.pipeline.tracer_provider.clone()
    }

    /// The logger provider of this telemetry, for instrumentation that uses OpenTelemetry's log API directly.
    #[must_use]
    pub fn logger_provider(
        &self,
    ) -> impl LoggerProvider<Logger = impl Logger<LogRecord = impl LogRecord + use<>> + use<>>
    + Clone
    + fmt::Debug
    + Send
    + Sync
    + use<> {
        self.inner.pipeline.logger_provider.clone()
    }

    /// What `OTEL_PROPAGATORS` says (specification, context/api-propagators.md), for context that the program passes on
    /// itself. After `install` it is the global propagator. It works where the SDK is disabled, too.
    #[must_use]
    pub fn propagator(&self) -> opentelemetry::propagation::TextMapCompositePropagator {
        opentelemetry::propagation::TextMapCompositePropagator::new(vec![Box::new(Pipeline::propagator(
            &self.inner.config,
        ))])
    }

    /// A server layer that records into this telemetry, whether or not it is the installed one.
    #[must_use]
    pub fn server_layer(&self) -> ServerLayer {
        let config = &self.inner.config;
        ServerLayer::new()
            .with_registry(self.inner.registry.clone())
            .with_meter_provider(self.inner.pipeline.meter_provider.clone())
            .with_propagator(Pipeline::propagator(config))
            .with_settings(self.http_settings())
    }

    /// The way out for servers that [`serve`](Self::serve) does not run: unready at once, then the running requests get
    /// `limit`, long streams are not waited for. Who is left is in the report, is named in one log record each, in its own
    /// trace, and ends as cancelled or aborted with `tracewell.cancel.reason` = `shutdown` on its span once the server drops
    /// it. What it has not dropped by the time of [`shutdown`](Self::shutdown) has its span ended there, with
    /// `tracewell.outcome` = `interrupted`, so that no trace is lost.
    ///
    /// Cancel safe, and may be called again.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timer enabled, unless nothing is to be waited for.
    pub async fn drain(&self, limit: Duration) -> DrainReport {
        self.inner.health.set_draining();
        let report = self.inner.registry.drain(limit).await;
        report.say();
        report
    }

    pub(crate) fn http_settings(&self) -> Settings {
        let pipeline = &self.inner.pipeline;
        Settings::new(
            &self.inner.config,
            pipeline.redactor(),
            pipeline.sampler.in_use(),
            pipeline.sees_dropped_spans(),
        )
    }

    /// The same for calls of gRPC.
    #[must_use]
    pub fn rpc_server_layer(&self) -> crate::rpc::ServerLayer {
        crate::rpc::ServerLayer::over(self.server_layer())
    }

    /// [`client_layer`](Self::client_layer) for calls of gRPC.
    #[must_use]
    pub fn rpc_client_layer(&self) -> crate::rpc::ClientLayer {
        crate::rpc::ClientLayer::over(self.client_layer())
    }

    /// A client layer that records into this telemetry, whether or not it is the installed one.
    #[must_use]
    pub fn client_layer(&self) -> ClientLayer {
        let config = &self.inner.config;
        ClientLayer::new()
            .with_meter_provider(self.inner.pipeline.meter_provider.clone())
            .with_propagator(Pipeline::propagator(config))
            .with_settings(self.http_settings())
    }
}

/// The start as a trace: the process's start until now, and its phases, with their true times.
fn startup_spans(tracers: &SdkTracerProvider, phases: &[StartupPhase]) {
    use opentelemetry::{
        Context,
        trace::{Span as _, TraceContextExt as _, Tracer as _, TracerProvider as _},
    };
    if phases.is_empty() {
        return;
    }
    let tracer = tracers.tracer(env!("CARGO_PKG_NAME"));
    let process = crate::runtime::process::started_at();
    let start = tracer.span_builder("startup").with_start_time(process);
    let start = Context::new().with_span(tracer.build_with_context(start, &Context::new()));
    for phase in phases {
        let span = tracer.span_builder(phase.name.clone()).with_start_time(process + phase.begun);
        let mut span = tracer.build_with_context(span, &start);
        if phase.panicked {
            span.set_status(opentelemetry::trace::Status::error("panicked"));
        }
        span.end_with_timestamp(process + phase.ended.unwrap_or(phase.begun));
    }
    start.span().end();
}

impl Inner {
    /// What `/environment` shows.
    pub(crate) async fn show_environment(&self) -> serde_json::Value {
        let (config, explanation) = self.reload.current();
        self.environment.show(&config, &explanation, &self.resource).await
    }
}
