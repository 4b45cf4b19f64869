//! How telemetry leaves: configuration and resource become providers, layers, queues and an exporter thread.
//!
//! ```text
//! span ends ──► traces: queue ─┐
//! event ──► logs: queue ───────┼─► exporter thread ─► encode ─► transport ─► collector
//!       └──► stdout            │
//! measurement ─► SDK ──────────┘   points + exemplars
//!            └─► exemplars
//! ```

mod alone;
mod baggage;
mod encode;
mod exemplars;
mod exporter;
#[cfg(all(any(fuzzing, test), feature = "otlp-http", feature = "otlp-grpc"))]
pub(crate) mod fuzzing;
mod logs;
mod metrics;
mod more;
#[cfg(feature = "admin")]
pub(crate) mod openmetrics;
mod otlp;
mod own_spans;
mod propagation;
mod queue;
mod random_flag;
mod returned_errors;
mod sampler;
mod scrub;
mod self_metrics;
mod signal;
mod spans;
mod subscriber;
mod traces;
mod transport;
mod views;
mod wanted;
mod watch;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use opentelemetry::{
    InstrumentationScope,
    metrics::{Meter, MeterProvider},
    trace::TracerProvider as _,
};
use opentelemetry_sdk::{
    Resource,
    logs::{LogProcessor, SdkLoggerProvider},
    metrics::SdkMeterProvider,
    trace::{SdkTracerProvider, SpanData, SpanProcessor, TracerProviderBuilder},
};
use tracing::{Dispatch, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, layer::SubscriberExt as _, registry::LookupSpan};

#[cfg(any(feature = "admin", feature = "testing"))]
pub(crate) use self::exemplars::Take;
#[cfg(feature = "admin")]
pub(crate) use self::scrub::Scrub as SpanScrub;
pub(crate) use self::subscriber::{CHANGES, LogSwitch};
use self::{
    baggage::CopiedBaggage,
    exemplars::{ExemplarMeterProvider, ExemplarStore},
    exporter::ExporterThread,
    logs::{LogLayer, Parts, Rules, ScopedRecord},
    metrics::PointAccount,
    more::More,
    own_spans::OwnSpans,
    propagation::Propagation,
    queue::Queue,
    random_flag::FlaggedProvider,
    sampler::SamplerSwitch,
    scrub::Scrub,
    signal::SignalStatus,
    traces::SeededTracer,
    wanted::Wanted,
};
pub use self::{
    logs::LogLines,
    queue::{Account, Loss},
    signal::{SignalReport, SignalState},
    views::View,
};
pub(crate) use self::{metrics::MetricSource, views::Views, watch::Watch};
use crate::{
    components::AddReader,
    config::{Batch, Config, ExemplarFilter, Exporter, LogsConfig, Otlp, Signal},
    redaction::Redactor,
};

/// The product token comes before the exporter's own (OTLP specification, "User Agent").
#[cfg(any(feature = "otlp-http", feature = "otlp-grpc"))]
const USER_AGENT: &str = concat!("tracewell/", env!("CARGO_PKG_VERSION"), " OTel-OTLP-Exporter-Rust/0.33.1");

/// Gives the tracer provider an id generator.
pub(crate) type SetIds = Box<dyn FnOnce(TracerProviderBuilder) -> TracerProviderBuilder>;

/// What a program adds to the pipeline in code.
#[derive(Default)]
pub(crate) struct Additions {
    pub(crate) span_processors: Vec<Box<dyn SpanProcessor>>,
    /// Who makes the ids of spans; random ones otherwise, and always in a service.
    pub(crate) ids: Option<SetIds>,
    pub(crate) log_processors: Vec<Box<dyn LogProcessor>>,
    pub(crate) views: Vec<View>,
    /// What must not be seen.
    pub(crate) redactor: Redactor,
    /// Metric readers.
    pub(crate) readers: Vec<AddReader>,
    /// No line on stdout and stderr, whatever the configuration says.
    pub(crate) silent: bool,
    /// Who sees every span and log record that is emitted, whether or not it is exported.
    pub(crate) watch: Option<Arc<dyn Watch>>,
}

/// The running pipeline.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) tracer_provider: SdkTracerProvider,
    pub(crate) meter_provider: SharedMeterProvider,
    pub(crate) logger_provider: SdkLoggerProvider,
    /// What `/metrics` shows.
    #[cfg_attr(
        not(any(feature = "admin", feature = "testing")),
        expect(dead_code, reason = "read by the admin page and by captures only")
    )]
    pub(crate) scrape: MetricSource,
    /// Span processors of the user's.
    pub(crate) span_processors: bool,
    /// Processors or readers of the user's for whatever signal.
    added: bool,
    /// The provider of readers of the user's, which end with it.
    added_readers: Option<SdkMeterProvider>,
    /// The ways out of log records.
    logs: Parts,
    silent: bool,
    statuses: [Arc<SignalStatus>; 3],
    exporter: Option<ExporterThread>,
    disabled: bool,
    /// Which events are logged.
    pub(crate) log_switch: Arc<LogSwitch>,
    /// Which traces are kept.
    pub(crate) sampler: SamplerSwitch,
    /// Makes spans that are for the exporter alone.
    own_spans: Option<Arc<OwnSpans>>,
    /// Requests' own spans are kept from tracing-opentelemetry.
    lean: bool,
}

fn with_processors(
    builder: TracerProviderBuilder,
    added: Vec<Box<dyn SpanProcessor>>,
    ids: Option<SetIds>,
) -> TracerProviderBuilder {
    let builder = match ids {
        Some(ids) => ids(builder),
        None => builder,
    };
    added.into_iter().fold(builder, |builder, added| builder.with_span_processor(Added(added)))
}

fn tracers(
    config: &Config,
    resource: &Resource,
    additions: &mut Additions,
    baggage: &CopiedBaggage,
    queues: Vec<watch::Watched<SpanData>>,
) -> (SdkTracerProvider, SamplerSwitch, Option<Arc<OwnSpans>>) {
    let sampler = SamplerSwitch::new(&config.traces.effective_sampler());
    let processors = std::mem::take(&mut additions.span_processors);
    let ids = additions.ids.take();
    let own = match queues.as_slice() {
        [queue] if processors.is_empty() && ids.is_none() && baggage.is_none() => {
            let out = traces::QueueProcessor(queue.clone());
            Some(OwnSpans::new(sampler.clone(), config.traces.limits, scope(), out))
        }
        // whoever else looks at spans is given the SDK's
        _ => None,
    };
    let processed = |builder| with_processors(baggage.added_to(builder), processors, ids);
    (traces::provider(&config.traces, resource, sampler.clone(), queues, processed), sampler, own)
}

/// The way of records into what is sent.
fn records(
    processors: bool,
    watch: Option<Arc<dyn Watch>>,
    queue: Option<Arc<Queue<ScopedRecord>>>,
) -> logs::Records {
    match (watch, queue) {
        _ if processors => logs::Records::Provider,
        (Some(watch), queue) => logs::Records::Watched(watch, queue),
        (None, Some(queue)) => logs::Records::Queue(queue),
        (None, None) => logs::Records::None,
    }
}

impl Pipeline {
    /// Builds providers and starts the exporter's thread; touches no global.
    ///
    /// # Errors
    /// One sentence per thing that cannot be had, each naming what it is about.
    pub(crate) fn start(
        config: &Config,
        resource: &Resource,
        mut additions: Additions,
    ) -> Result<Self, Vec<String>> {
        let live = !config.disabled;
        let watch = additions.watch.take().filter(|_| live);
        let rules = Rules::new(&config.logs, additions.silent).map_err(|problem| vec![problem])?;
        let sent = |exporters| live && is_sent(exporters);
        let span_queue = sent(&config.traces.exporters).then(|| new_queue::<SpanData>(&config.traces.batch));
        let log_queue = sent(&config.logs.exporters).then(|| new_queue::<ScopedRecord>(&config.logs.batch));
        let points = Arc::new(PointAccount::default());

        let views = Views::new(std::mem::take(&mut additions.views), &config.metrics);
        let exemplars = exemplar_store(config);
        let added_readers = !additions.readers.is_empty();
        let exemplars_of = exemplars.as_ref();
        let meters = metrics::provider(&config.metrics, resource, &views, exemplars_of, &mut additions);
        let meter_provider = shared_meters(&meters.provider, exemplars, &views, live);

        let log_scrub = Scrub::of_logs(config.logs.limits, &additions.redactor);
        let log_processors = !additions.log_processors.is_empty();
        let span_processors = !additions.span_processors.is_empty();
        let added = log_processors || added_readers || span_processors;
        let baggage = CopiedBaggage::new(&config.http.baggage_attributes);
        let more = More::new(config, meters.more);
        let queues = span_queue.clone().into_iter().chain(more.span_queues());
        let queues = watch::beside(queues, watch.clone());
        let (tracer_provider, sampler, own_spans) =
            tracers(config, resource, &mut additions, &baggage, queues);
        let queues = log_queue.clone().into_iter().chain(more.log_queues());
        // a record for several queues takes the SDK's way
        let log_processors = log_processors || more.log_queues().next().is_some();
        let queues = watch::beside(queues, watch.clone());
        let logger_provider = logs::provider(resource, queues, additions.log_processors, &log_scrub);

        let statuses = more.statuses(config, span_queue.as_ref(), &points, log_queue.as_ref());
        self_metrics::observe(&meter_provider.meter_with_scope(scope()), config, &statuses);
        let wanted = Wanted {
            config: config.clone(),
            resource: resource.clone(),
            spans: span_queue,
            logs: log_queue.clone(),
            metrics: sent(&config.metrics.exporters).then_some((meters.push, points)),
            statuses: statuses.clone(),
            redactor: additions.redactor,
            more,
        };
        let exporter = wanted.start()?;
        let records = records(log_processors, watch, log_queue);
        let (from, silent) = ((log_scrub, baggage), additions.silent);
        let logs = Parts::new(&config.logs, &logger_provider, records, from, resource, silent);
        Ok(Self {
            tracer_provider,
            meter_provider,
            logger_provider,
            scrape: meters.pull,
            span_processors,
            added,
            added_readers: added_readers.then(|| meters.provider.clone()),
            logs,
            silent,
            statuses,
            exporter,
            disabled: config.disabled,
            log_switch: LogSwitch::new(&config.logs.filter, rules),
            sampler,
            own_spans,
            lean: config.requests.lean_spans,
        })
    }

    /// What must not be seen.
    pub(crate) fn redactor(&self) -> &Redactor {
        &self.logs.scrub().redactor
    }

    /// The tracer provider for whoever uses OpenTelemetry's API: its spans say that ids made here are random.
    pub(crate) fn flagged_tracer_provider(&self) -> FlaggedProvider {
        FlaggedProvider(self.tracer_provider.clone())
    }

    /// Whether spans are seen by more than the exporter: by processors of the program's own, as they start.
    pub(crate) fn sees_dropped_spans(&self) -> bool {
        self.span_processors
    }

    /// Whether spans are for the exporter alone: nobody looks at one as it starts.
    pub(crate) fn has_own_spans(&self) -> bool {
        self.own_spans.is_some()
    }

    /// The propagator of the configuration; it works even when the SDK is disabled.
    pub(crate) fn propagator(config: &Config) -> Propagation {
        propagation::propagator(&config.propagators)
    }

    /// Layers for a subscriber: spans to OpenTelemetry, events to log records and stdout.
    pub(crate) fn layers<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let (filter, sampler) = (&self.log_switch, self.sampler.in_use());
        subscriber::layers(self.tracer(), self.log_layer(), filter, LevelFilter::INFO, sampler, self.lean)
    }

    /// A subscriber with these layers and no others.
    pub(crate) fn subscriber(&self) -> Dispatch {
        let (filter, sampler) = (&self.log_switch, self.sampler.in_use());
        match self.tracer() {
            Some(tracer) => {
                let (logs, spans) = (self.log_layer(), LevelFilter::INFO);
                Dispatch::new(alone::subscriber(tracer, logs, filter, spans, sampler, self.lean))
            }
            None => Dispatch::new(tracing_subscriber::Registry::default().with(self.layers())),
        }
    }

    fn tracer(&self) -> Option<SeededTracer> {
        let sdk = || self.tracer_provider.tracer_with_scope(scope());
        (!self.disabled).then(|| SeededTracer::new(sdk(), self.own_spans.clone()))
    }

    fn log_layer(&self) -> LogLayer {
        LogLayer::new(self.logs.clone(), Arc::clone(&self.log_switch))
    }

    /// Replaces the filters beside `RUST_LOG`; sinks stay as they are.
    ///
    /// # Errors
    /// The sentence that says which filter cannot be read.
    pub(crate) fn set_log_rules(&self, config: &LogsConfig) -> Result<(), String> {
        self.log_switch.set_rules(Rules::new(config, self.silent)?);
        Ok(())
    }

    /// What became of the lines of each sink, by its name.
    pub(crate) fn log_lines(&self) -> Vec<LogLines> {
        self.logs.lines()
    }

    /// One consistent snapshot per signal, in the order traces, metrics, logs.
    pub(crate) fn reports(&self) -> [SignalReport; 3] {
        let [traces, metrics, logs] = &self.statuses;
        [traces.report(Signal::Traces), metrics.report(Signal::Metrics), logs.report(Signal::Logs)]
    }

    /// Sends everything that waits, until `deadline`; with `last` the pipeline ends. Cancel safe.
    pub(crate) async fn flush(&self, deadline: Instant, last: bool) {
        if last {
            self.logs.tell_counts();
        }
        if let Some(exporter) = &self.exporter {
            exporter.flush(deadline, last).await;
        }
        let Some(ended) = last.then(|| self.end_added(deadline)).flatten() else { return };
        let (done, told) = tokio::sync::oneshot::channel();
        let waiting = std::thread::Builder::new().name("tracewell-end".into()).spawn(move || {
            let _ = ended.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            // whoever waited may have gone
            let _ = done.send(());
        });
        if waiting.is_ok() {
            let _ = told.await;
        }
    }

    /// The same for a plain thread, which it blocks.
    pub(crate) fn flush_blocking(&self, deadline: Instant, last: bool) {
        if last {
            self.logs.tell_counts();
        }
        if let Some(exporter) = &self.exporter {
            exporter.flush_blocking(deadline, last);
        }
        if let Some(ended) = last.then(|| self.end_added(deadline)).flatten() {
            let _ = ended.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        }
    }

    /// Ends the processors of the user's, on a thread of its own: they may block. `None` without any: a provider that
    /// is shut down hands later spans to nobody, where our queues would count them as dropped.
    fn end_added(&self, deadline: Instant) -> Option<std::sync::mpsc::Receiver<()>> {
        if !self.added {
            return None;
        }
        let (tracers, loggers) = (self.tracer_provider.clone(), self.logger_provider.clone());
        let meters = self.added_readers.clone();
        let (done, ended) = std::sync::mpsc::channel();
        let left = deadline.saturating_duration_since(Instant::now());
        let ending = std::thread::Builder::new().name("tracewell-end-added".into()).spawn(move || {
            let _suppressed = opentelemetry::Context::enter_telemetry_suppressed_scope();
            // their errors are theirs to report
            let _ = tracers.shutdown_with_timeout(left);
            let _ = loggers.shutdown_with_timeout(left);
            let _ = meters.map(|meters| meters.shutdown_with_timeout(left));
            drop(done);
        });
        ending.is_ok().then_some(ended)
    }

    /// Waits until the lines given so far are on stdout, on stderr and in files, blocking its thread until `deadline` at most.
    /// What a file refuses at the `last` flush is lost.
    pub(crate) fn flush_lines_blocking(&self, deadline: Instant, last: bool) {
        self.logs.flush_lines(deadline, last);
        crate::diagnostics::flush(deadline);
    }

    /// The last flush of lines without blocking anybody.
    pub(crate) async fn flush_lines(&self, deadline: Instant) {
        if self.logs.is_idle() && crate::diagnostics::is_idle() {
            return;
        }
        let logs = self.logs.clone();
        let (done, flushed) = tokio::sync::oneshot::channel();
        let waiting = std::thread::Builder::new().name("tracewell-lines".into()).spawn(move || {
            logs.flush_lines(deadline, true);
            crate::diagnostics::flush(deadline);
            // whoever waited may have gone
            let _ = done.send(());
        });
        if waiting.is_ok() {
            let _ = flushed.await;
        }
    }
}

/// The scope of what this crate makes itself.
fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME")).with_version(env!("CARGO_PKG_VERSION")).build()
}

/// Whether something has to leave.
fn is_sent(exporters: &[Exporter]) -> bool {
    exporters.iter().any(|exporter| matches!(exporter, Exporter::Otlp | Exporter::Console))
}

fn exemplar_store(config: &Config) -> Option<Arc<ExemplarStore>> {
    let filter = config.metrics.exemplar_filter;
    (!config.disabled && filter != ExemplarFilter::AlwaysOff).then(|| ExemplarStore::new(filter))
}

fn new_queue<T>(batch: &Batch) -> Arc<Queue<T>> {
    Arc::new(Queue::new(batch.max_queue_size, batch.max_export_batch_size, batch.drop))
}

fn status<S: signal::AccountSource + 'static>(
    exporters: &[Exporter],
    otlp: &Otlp,
    account: Option<Arc<S>>,
    live: bool,
) -> Arc<SignalStatus> {
    let endpoint =
        (live && exporters.contains(&Exporter::Otlp)).then(|| (otlp.endpoint.clone(), otlp.protocol));
    match account {
        Some(account) => SignalStatus::new(endpoint, account),
        None => SignalStatus::new(None, Arc::new(PointAccount::default())),
    }
}

/// Runs code of the user's: a panic in it is said by the panic hook, and what it was called for goes on.
fn contained(work: impl FnOnce()) {
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
}

/// A processor of the user's behind ours.
#[derive(Debug)]
struct Added(Box<dyn SpanProcessor>);

impl SpanProcessor for Added {
    fn on_start(&self, span: &mut opentelemetry_sdk::trace::Span, context: &opentelemetry::Context) {
        contained(|| self.0.on_start(span, context));
    }

    fn on_end(&self, span: SpanData) {
        contained(|| self.0.on_end(span));
    }

    fn force_flush(&self) -> opentelemetry_sdk::error::OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> opentelemetry_sdk::error::OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// The meter provider whatever it is made of.
#[derive(Clone)]
pub(crate) struct SharedMeterProvider(Arc<dyn MeterProvider + Send + Sync>);

impl std::fmt::Debug for SharedMeterProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedMeterProvider")
    }
}

impl MeterProvider for SharedMeterProvider {
    fn meter_with_scope(&self, scope: InstrumentationScope) -> Meter {
        self.0.meter_with_scope(scope)
    }
}

fn shared_meters(
    sdk: &SdkMeterProvider,
    exemplars: Option<Arc<ExemplarStore>>,
    views: &Arc<Views>,
    live: bool,
) -> SharedMeterProvider {
    let sdk: Arc<dyn MeterProvider + Send + Sync> = Arc::new(sdk.clone());
    if !live {
        return SharedMeterProvider(Arc::new(opentelemetry::metrics::NoopMeterProvider::new()));
    }
    SharedMeterProvider(Arc::new(ExemplarMeterProvider::new(sdk, exemplars, Arc::clone(views))))
}
