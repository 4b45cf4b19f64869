//! How telemetry leaves: configuration and resource become providers, layers, queues and an exporter thread.
//!
//! ```text
//! span ends ──► traces: queue ─┐
//! event ──► logs: queue ───────┼─► exporter thread ─► opentelemetry-otlp encodes ─► transport ─► collector
//!       └──► stdout            │
//! measurement ─► SDK ──────────┘   points + exemplars, encoded here
//!            └─► exemplars
//! ```

mod exemplars;
mod exporter;
mod logs;
mod metrics;
#[cfg(feature = "admin")]
pub(crate) mod openmetrics;
mod otlp;
mod propagation;
mod queue;
mod signal;
mod subscriber;
mod traces;
mod transport;
mod views;

use std::{
    io::IsTerminal as _,
    sync::Arc,
    time::{Duration, Instant},
};

use opentelemetry::{
    InstrumentationScope,
    metrics::{Meter, MeterProvider},
    propagation::TextMapCompositePropagator,
    trace::TracerProvider as _,
};
use opentelemetry_sdk::{
    Resource,
    logs::{LogProcessor, SdkLoggerProvider},
    metrics::SdkMeterProvider,
    trace::{SdkTracerProvider, SpanData, SpanProcessor},
};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, registry::LookupSpan};

pub(crate) use self::{
    exemplars::Take,
    logs::Lines,
    metrics::MetricSource,
    subscriber::{CHANGES, LogSwitch},
    views::Views,
};
use self::{
    exemplars::{ExemplarMeterProvider, ExemplarStore},
    exporter::ExporterThread,
    logs::{LogExport, LogLayer, ScopedRecord},
    metrics::{MetricExport, PointAccount},
    otlp::Lane,
    queue::Queue,
    signal::SignalStatus,
    traces::SpanExport,
    transport::Transport,
};
pub use self::{
    queue::{Account, Loss},
    signal::{SignalReport, SignalState},
    views::View,
};
use crate::{
    config::{
        Batch, Config, ExemplarFilter, Exporter, HistogramAggregation, LogFormat, Otlp, Protocol, Signal,
    },
    lines::LineWriter,
};

/// The product token comes before the exporter's own (OTLP specification, "User Agent").
const USER_AGENT: &str = concat!("tracewell/", env!("CARGO_PKG_VERSION"), " OTel-OTLP-Exporter-Rust/0.33.1");

/// What a program adds to the pipeline in code.
#[derive(Default)]
pub(crate) struct Additions {
    pub(crate) span_processors: Vec<Box<dyn SpanProcessor>>,
    pub(crate) log_processors: Vec<Box<dyn LogProcessor>>,
    pub(crate) views: Vec<View>,
    /// No line on stdout, whatever the configuration says.
    pub(crate) silent: bool,
}

/// The running pipeline.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) tracer_provider: SdkTracerProvider,
    pub(crate) meter_provider: SharedMeterProvider,
    pub(crate) logger_provider: SdkLoggerProvider,
    /// What `/metrics` shows.
    pub(crate) scrape: MetricSource,
    sdk_meters: SdkMeterProvider,
    log_queue: Option<Arc<Queue<ScopedRecord>>>,
    /// Log processors of the user's: records then take the SDK's way.
    log_processors: bool,
    lines: Option<Lines>,
    statuses: [Arc<SignalStatus>; 3],
    exporter: Option<ExporterThread>,
    disabled: bool,
    /// Which events are logged.
    pub(crate) log_switch: Arc<LogSwitch>,
}

impl Pipeline {
    /// Builds providers and starts the exporter's thread; touches no global.
    ///
    /// # Errors
    /// One sentence per thing that cannot be had, each naming what it is about.
    pub(crate) fn start(
        config: &Config,
        resource: &Resource,
        additions: Additions,
    ) -> Result<Self, Vec<String>> {
        let live = !config.disabled;
        let sent = |exporters: &[Exporter]| {
            live && exporters.iter().any(|exporter| matches!(exporter, Exporter::Otlp | Exporter::Console))
        };
        let span_queue = sent(&config.traces.exporters).then(|| new_queue::<SpanData>(&config.traces.batch));
        let log_queue = sent(&config.logs.exporters).then(|| new_queue::<ScopedRecord>(&config.logs.batch));
        let points = Arc::new(PointAccount::default());

        let views =
            Views::new(additions.views, config.metrics.histogram == HistogramAggregation::Base2Exponential);
        let filter = config.metrics.exemplar_filter;
        let exemplars = (live && filter != ExemplarFilter::AlwaysOff).then(|| ExemplarStore::new(filter));
        let meters = metrics::provider(&config.metrics, resource, &views, exemplars.clone());
        let meter_provider = shared_meters(&meters.provider, exemplars, &views, live);

        let log_processors = !additions.log_processors.is_empty();
        let tracer_provider = traces::provider(&config.traces, resource, span_queue.clone(), |builder| {
            additions
                .span_processors
                .into_iter()
                .fold(builder, |builder, added| builder.with_span_processor(Added(added)))
        });
        let logger_provider = logs::provider(resource, log_queue.clone(), additions.log_processors);

        let statuses = [
            status(&config.traces.exporters, &config.traces.otlp, span_queue.clone(), live),
            status(&config.metrics.exporters, &config.metrics.otlp, Some(Arc::clone(&points)), live),
            status(&config.logs.exporters, &config.logs.otlp, log_queue.clone(), live),
        ];
        let wanted = Wanted {
            config: config.clone(),
            resource: resource.clone(),
            spans: span_queue,
            logs: log_queue.clone(),
            metrics: sent(&config.metrics.exporters).then_some((meters.push, points)),
            statuses: statuses.clone(),
        };
        let exporter = wanted.start()?;
        let lines = (!additions.silent).then(|| lines(config.logs.format));
        Ok(Self {
            tracer_provider,
            meter_provider,
            logger_provider,
            scrape: meters.pull,
            sdk_meters: meters.provider,
            log_queue,
            log_processors,
            lines,
            statuses,
            exporter,
            disabled: config.disabled,
            log_switch: LogSwitch::new(&config.logs.filter),
        })
    }

    /// The propagator of the configuration; it works even when the SDK is disabled.
    pub(crate) fn propagator(config: &Config) -> TextMapCompositePropagator {
        propagation::propagator(&config.propagators)
    }

    /// Layers for a subscriber: spans to OpenTelemetry, events to log records and stdout.
    pub(crate) fn layers<S>(&self) -> Vec<Box<dyn Layer<S> + Send + Sync>>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let tracer = (!self.disabled).then(|| self.tracer_provider.tracer_with_scope(scope));
        let records = if self.log_processors {
            logs::Records::Provider
        } else {
            self.log_queue.clone().map_or(logs::Records::None, logs::Records::Queue)
        };
        let layer = LogLayer::new(&self.logger_provider, records, self.lines.clone());
        subscriber::layers(tracer, Some(layer), &self.log_switch, LevelFilter::INFO)
    }

    /// One consistent snapshot per signal, in the order traces, metrics, logs.
    pub(crate) fn reports(&self) -> [SignalReport; 3] {
        let [traces, metrics, logs] = &self.statuses;
        [traces.report(Signal::Traces), metrics.report(Signal::Metrics), logs.report(Signal::Logs)]
    }

    /// Sends everything that waits, until `deadline`; with `last` the pipeline ends. Cancel safe.
    pub(crate) async fn flush(&self, deadline: Instant, last: bool) {
        if let Some(exporter) = &self.exporter {
            exporter.flush(deadline, last).await;
        }
        self.ended(last);
    }

    /// The same for a plain thread, which it blocks.
    pub(crate) fn flush_blocking(&self, deadline: Instant, last: bool) {
        if let Some(exporter) = &self.exporter {
            exporter.flush_blocking(deadline, last);
        }
        self.ended(last);
        self.flush_lines(deadline.saturating_duration_since(Instant::now()));
    }

    /// Waits until the lines given so far are on stdout and stderr.
    pub(crate) fn flush_lines(&self, limit: Duration) {
        if let Some(lines) = &self.lines {
            lines.writer.flush(limit);
        }
        crate::diagnostics::flush(limit);
    }

    fn ended(&self, last: bool) {
        if last {
            // the queues are empty and closed: these only tell the processors of the user's
            let _ = self.tracer_provider.shutdown();
            let _ = self.logger_provider.shutdown();
            let _ = self.sdk_meters.shutdown();
        }
    }
}

fn new_queue<T>(batch: &Batch) -> Arc<Queue<T>> {
    Arc::new(Queue::new(batch.max_queue_size, batch.max_export_batch_size))
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

fn lines(format: Option<LogFormat>) -> Lines {
    let terminal = std::io::stdout().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Pretty } else { LogFormat::Json });
    Lines { writer: LineWriter::stdout(), format, colour: terminal }
}

/// What the exporter's thread is to send.
struct Wanted {
    config: Config,
    resource: Resource,
    spans: Option<Arc<Queue<SpanData>>>,
    logs: Option<Arc<Queue<ScopedRecord>>>,
    metrics: Option<(MetricSource, Arc<PointAccount>)>,
    statuses: [Arc<SignalStatus>; 3],
}

impl Wanted {
    fn start(self) -> Result<Option<ExporterThread>, Vec<String>> {
        if self.spans.is_none() && self.logs.is_none() && self.metrics.is_none() {
            return Ok(None);
        }
        match ExporterThread::start(move |tasks| self.spawn(tasks)) {
            Ok(Ok(exporter)) => Ok(Some(exporter)),
            Ok(Err(problems)) => Err(problems),
            Err(error) => Err(vec![format!("the exporter's thread could not be started: {error}")]),
        }
    }

    /// Runs on the exporter's thread: connections belong to its runtime.
    fn spawn(self, tasks: &mut exporter::Tasks) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        let [trace_status, metric_status, log_status] = self.statuses;
        if let Some(queue) = self.spans {
            let config = &self.config.traces;
            let json = config.otlp.protocol == Protocol::HttpJson;
            let lane = connect(Signal::Traces, &config.exporters, &config.otlp, trace_status, &mut problems)
                .map(|transport| lane(Signal::Traces, queue, transport, &config.batch));
            match lane.map(|lane| SpanExport::new(lane, &self.resource, json)) {
                Some(Ok(export)) => tasks.spawn(Signal::Traces, export),
                Some(Err(problem)) => problems.push(problem),
                None => {}
            }
        }
        if let Some((source, account)) = self.metrics {
            let config = &self.config.metrics;
            let json = config.otlp.protocol == Protocol::HttpJson;
            let transport =
                connect(Signal::Metrics, &config.exporters, &config.otlp, metric_status, &mut problems);
            if let Some(transport) = transport {
                let (interval, timeout) = (config.interval, config.timeout);
                let started = Instant::now();
                let export = MetricExport { source, transport, account, interval, timeout, json, started };
                tasks.spawn(Signal::Metrics, export);
            }
        }
        if let Some(queue) = self.logs {
            let config = &self.config.logs;
            let json = config.otlp.protocol == Protocol::HttpJson;
            let lane = connect(Signal::Logs, &config.exporters, &config.otlp, log_status, &mut problems)
                .map(|transport| lane(Signal::Logs, queue, transport, &config.batch));
            match lane.map(|lane| LogExport::new(lane, &self.resource, json)) {
                Some(Ok(export)) => tasks.spawn(Signal::Logs, export),
                Some(Err(problem)) => problems.push(problem),
                None => {}
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

fn connect(
    signal: Signal,
    exporters: &[Exporter],
    otlp: &Otlp,
    status: Arc<SignalStatus>,
    problems: &mut Vec<String>,
) -> Option<Arc<Transport>> {
    match Transport::new(signal, exporters, otlp, status) {
        Ok(transport) => Some(transport),
        Err(problem) => {
            problems.push(format!("{signal}: {problem}"));
            None
        }
    }
}

fn lane<T>(signal: Signal, queue: Arc<Queue<T>>, transport: Arc<Transport>, batch: &Batch) -> Lane<T> {
    Lane { signal, queue, transport, schedule_delay: batch.schedule_delay }
}

/// A processor of the user's behind ours.
#[derive(Debug)]
struct Added(Box<dyn SpanProcessor>);

impl SpanProcessor for Added {
    fn on_start(&self, span: &mut opentelemetry_sdk::trace::Span, context: &opentelemetry::Context) {
        self.0.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.0.on_end(span);
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
    SharedMeterProvider(match exemplars {
        _ if !live => Arc::new(opentelemetry::metrics::NoopMeterProvider::new()),
        Some(store) => Arc::new(ExemplarMeterProvider::new(sdk, store, Arc::clone(views))),
        // without exemplars nothing stands between an instrument and the SDK
        None => sdk,
    })
}
