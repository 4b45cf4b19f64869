//! How telemetry leaves: configuration and resource become providers, layers, queues and an exporter thread.
//!
//! ```text
//! span ends ──► traces: queue ─┐
//! event ──► logs: queue ───────┼─► exporter thread ─► encode ─► transport ─► collector
//!       └──► stdout            │
//! measurement ─► SDK ──────────┘   points + exemplars
//!            └─► exemplars
//! ```

mod account;
mod baggage;
mod batches;
mod encode;
mod exemplars;
mod export_plan;
mod exporter;
mod flush;
mod further_outputs;
#[cfg(all(any(fuzzing, test), feature = "otlp-http", feature = "otlp-grpc"))]
pub(crate) mod fuzzing;
mod logs;
mod metrics;
#[cfg(feature = "admin")]
pub(crate) mod openmetrics;
mod own_spans;
mod own_subscriber;
mod propagation;
mod queue;
mod random_flag;
mod returned_errors;
mod sampler;
mod scrub;
mod self_metrics;
mod signal_status;
mod spans;
mod start;
mod subscriber;
mod traces;
mod transport;
mod user_processors;
mod views;
mod watch;

use std::sync::Arc;

use opentelemetry::{InstrumentationScope, trace::TracerProvider as _};
use opentelemetry_sdk::{
    logs::{LogProcessor, SdkLoggerProvider},
    metrics::SdkMeterProvider,
    trace::{SdkTracerProvider, SpanProcessor, TracerProviderBuilder},
};
use tracing::{Dispatch, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, layer::SubscriberExt as _, registry::LookupSpan};

#[cfg(any(feature = "admin", feature = "testing"))]
pub(crate) use self::exemplars::Take;
#[cfg(feature = "admin")]
pub(crate) use self::scrub::Scrub as SpanScrub;
pub use self::{
    account::{Account, Loss},
    logs::LogLines,
    signal_status::{SignalReport, SignalState},
    views::View,
};
use self::{
    exporter::ExporterThread,
    logs::{LogLayer, Parts, Rules},
    metrics::SharedMeterProvider,
    own_spans::OwnSpans,
    propagation::Propagation,
    random_flag::FlaggedProvider,
    sampler::SamplerSwitch,
    signal_status::SignalStatus,
    traces::SeededTracer,
};
pub(crate) use self::{
    metrics::MetricSource,
    subscriber::{CHANGES, LogSwitch},
    watch::Watch,
};
use crate::{
    config::{Config, LogsConfig, Signal},
    redaction::Redactor,
};

/// The product token comes before the exporter's own (OTLP specification, "User Agent").
#[cfg(any(feature = "otlp-http", feature = "otlp-grpc"))]
const USER_AGENT: &str = concat!("tracewell/", env!("CARGO_PKG_VERSION"), " OTel-OTLP-Exporter-Rust/0.33.1");

/// Gives the tracer provider an id generator.
pub(crate) type SetIds = Box<dyn FnOnce(TracerProviderBuilder) -> TracerProviderBuilder>;

/// Adds a reader to a meter provider that is being built.
pub(crate) type AddReader = Box<
    dyn FnOnce(
        opentelemetry_sdk::metrics::MeterProviderBuilder,
    ) -> opentelemetry_sdk::metrics::MeterProviderBuilder,
>;

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

impl Pipeline {
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
                Dispatch::new(own_subscriber::subscriber(tracer, logs, filter, spans, sampler, self.lean))
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

    /// The pipeline has ended because its handle was dropped: who goes on emitting is told.
    pub(crate) fn note_drop(&self) {
        self.statuses.iter().for_each(|status| status.note_drop());
    }
}

/// The scope of what this crate makes itself.
fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME")).with_version(env!("CARGO_PKG_VERSION")).build()
}
