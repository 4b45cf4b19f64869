//! The SDK's own pipelines, with exporters that count and drop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::{
    global,
    propagation::{TextMapCompositePropagator, TextMapPropagator},
    trace::TracerProvider as _,
};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    logs::{BatchLogProcessor, LogBatch, LogExporter, SdkLoggerProvider},
    metrics::{
        PeriodicReader, SdkMeterProvider, Temporality,
        data::{AggregatedMetrics, MetricData, ResourceMetrics},
        exporter::PushMetricExporter,
    },
    propagation::{BaggagePropagator, TraceContextPropagator},
    trace::{BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter},
};
use tracing_subscriber::{EnvFilter, Layer as _, Registry, layer::SubscriberExt as _};

use crate::{
    Failure,
    service::{Flags, Recorded},
};

/// Long enough for nothing to be exported meanwhile.
pub(crate) const LATER: Duration = Duration::from_secs(3600);
const ROOM: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Counts {
    spans: AtomicU64,
    logs: AtomicU64,
    durations: AtomicU64,
}

/// The SDK's providers with its own batch processors.
pub(crate) struct Providers {
    pub(crate) tracers: SdkTracerProvider,
    pub(crate) meters: SdkMeterProvider,
    pub(crate) loggers: SdkLoggerProvider,
    counts: Arc<Counts>,
}

impl Providers {
    /// Installs providers and propagators, and a subscriber with the bridges' defaults; spans of `tracing` only if wanted.
    pub(crate) fn install(flags: Flags, directives: &str, spans: bool) -> Result<Self, Failure> {
        let counts = Arc::new(Counts::default());
        let sampler = if flags.unsampled {
            Sampler::AlwaysOff
        } else {
            Sampler::ParentBased(Box::new(Sampler::AlwaysOn))
        };
        let batch = opentelemetry_sdk::trace::BatchConfigBuilder::default()
            .with_max_queue_size(ROOM)
            .with_max_export_batch_size(ROOM)
            .with_scheduled_delay(LATER);
        let exporter = Counting(Arc::clone(&counts));
        let batched = BatchSpanProcessor::builder(exporter.clone()).with_batch_config(batch.build()).build();
        let batch = opentelemetry_sdk::logs::BatchConfigBuilder::default()
            .with_max_queue_size(ROOM)
            .with_max_export_batch_size(ROOM)
            .with_scheduled_delay(LATER);
        let logs = BatchLogProcessor::builder(exporter.clone()).with_batch_config(batch.build()).build();
        let metrics = PeriodicReader::builder(exporter).with_interval(LATER).build();
        let providers = Self {
            tracers: SdkTracerProvider::builder().with_sampler(sampler).with_span_processor(batched).build(),
            meters: SdkMeterProvider::builder().with_reader(metrics).build(),
            loggers: SdkLoggerProvider::builder().with_log_processor(logs).build(),
            counts,
        };
        let propagators: Vec<Box<dyn TextMapPropagator + Send + Sync>> =
            vec![Box::new(TraceContextPropagator::new()), Box::new(BaggagePropagator::new())];
        global::set_text_map_propagator(TextMapCompositePropagator::new(propagators));
        global::set_tracer_provider(providers.tracers.clone());
        global::set_meter_provider(providers.meters.clone());
        let bridge = spans
            .then(|| tracing_opentelemetry::layer().with_tracer(providers.tracers.tracer("service")).boxed());
        let subscriber = Registry::default()
            .with(bridge)
            .with(EnvFilter::try_new(directives)?)
            .with(OpenTelemetryTracingBridge::new(&providers.loggers));
        tracing::subscriber::set_global_default(subscriber)?;
        Ok(providers)
    }

    /// Exports everything, and says what it was.
    pub(crate) fn recorded(self) -> Result<Option<Recorded>, Failure> {
        self.tracers.force_flush()?;
        self.loggers.force_flush()?;
        self.meters.force_flush()?;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Ok(Some(Recorded {
            spans: read(&self.counts.spans),
            logs: read(&self.counts.logs),
            durations: read(&self.counts.durations),
            exemplars: false,
        }))
    }

    /// An exporter of spans that counts with the others.
    pub(crate) fn span_exporter(&self) -> Counting {
        Counting(Arc::clone(&self.counts))
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Counting(Arc<Counts>);

impl SpanExporter for Counting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.spans.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

impl LogExporter for Counting {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        self.0.logs.fetch_add(batch.iter().count() as u64, Ordering::Relaxed);
        Ok(())
    }
}

impl PushMetricExporter for Counting {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let durations = metrics
            .scope_metrics()
            .flat_map(|scope| scope.metrics())
            .filter(|metric| metric.name() == "http.server.request.duration")
            .map(|metric| match metric.data() {
                AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                    histogram.data_points().map(|point| point.count()).sum()
                }
                _ => 0,
            })
            .sum();
        self.0.durations.store(durations, Ordering::Relaxed);
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}
