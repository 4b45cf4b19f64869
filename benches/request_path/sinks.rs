//! Where telemetry ends here: exporters that count and drop, and the check that everything arrived.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    logs::{BatchLogProcessor, LogBatch, LogExporter, SdkLoggerProvider},
    metrics::{
        PeriodicReader, SdkMeterProvider, Temporality,
        data::{AggregatedMetrics, MetricData, ResourceMetrics},
        exporter::PushMetricExporter,
    },
    trace::{BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter},
};
use tracewell::testing::{Collector, Signal};

use crate::{
    Failure,
    stacks::{self, Flags, Stack},
};

/// Long enough for nothing to be exported meanwhile.
const LATER: Duration = Duration::from_secs(3600);
const ROOM: usize = 4096;

/// What was exported.
pub(crate) struct Watched {
    collector: Collector,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    spans: AtomicU64,
    logs: AtomicU64,
    durations: AtomicU64,
}

impl Watched {
    fn new() -> Self {
        Self { collector: Collector::start(), counts: Arc::default() }
    }

    pub(crate) fn endpoint(&self) -> String {
        self.collector.endpoint()
    }
}

/// The SDK's providers with its own batch processors.
pub(crate) struct Providers {
    pub(crate) tracers: SdkTracerProvider,
    pub(crate) meters: SdkMeterProvider,
    pub(crate) loggers: SdkLoggerProvider,
}

impl Providers {
    pub(crate) fn start(sampler: Sampler, watched: Option<&Watched>) -> Self {
        let counting = Counting(watched.map(|watched| Arc::clone(&watched.counts)).unwrap_or_default());
        let spans = opentelemetry_sdk::trace::BatchConfigBuilder::default()
            .with_max_queue_size(ROOM)
            .with_max_export_batch_size(ROOM)
            .with_scheduled_delay(LATER);
        let logs = opentelemetry_sdk::logs::BatchConfigBuilder::default()
            .with_max_queue_size(ROOM)
            .with_max_export_batch_size(ROOM)
            .with_scheduled_delay(LATER);
        let spans = BatchSpanProcessor::builder(counting.clone()).with_batch_config(spans.build()).build();
        let logs = BatchLogProcessor::builder(counting.clone()).with_batch_config(logs.build()).build();
        let metrics = PeriodicReader::builder(counting).with_interval(LATER).build();
        Self {
            tracers: SdkTracerProvider::builder().with_sampler(sampler).with_span_processor(spans).build(),
            meters: SdkMeterProvider::builder().with_reader(metrics).build(),
            loggers: SdkLoggerProvider::builder().with_log_processor(logs).build(),
        }
    }

    fn flush(&self) -> OTelSdkResult {
        self.tracers.force_flush()?;
        self.loggers.force_flush()?;
        self.meters.force_flush()
    }
}

#[derive(Debug, Clone)]
struct Counting(Arc<Counts>);

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

/// How many durations the last export counts.
fn durations(collector: &Collector) -> u64 {
    let metrics = collector.metrics();
    let last = metrics.iter().rfind(|metric| metric.name() == "http.server.request.duration");
    match last.and_then(|metric| metric.metric.data.as_ref()) {
        Some(Data::Histogram(histogram)) => histogram.data_points.iter().map(|point| point.count).sum(),
        _ => 0,
    }
}

/// Serves `requests` and compares what was exported with what should have been.
pub(crate) fn check(stack: Stack, flags: Flags, requests: u64) -> Result<(), Failure> {
    let watched = Watched::new();
    let running = stacks::start(stack, flags, Some(&watched))?;
    running.drive(requests)?;
    let (spans, logs, durations) = if let Some(telemetry) = &running.telemetry {
        running.runtime().block_on(telemetry.shutdown())?;
        let exemplars = watched.collector.exemplars("http.server.request.duration").len();
        if (exemplars > 0) == (flags.unsampled || flags.no_exemplars) {
            return Err(format!("{exemplars} exemplars").into());
        }
        let collector = &watched.collector;
        let durations = durations(collector);
        (collector.accepted_items(Signal::Traces), collector.accepted_items(Signal::Logs), durations)
    } else if let Some(providers) = &running.providers {
        providers.flush()?;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &watched.counts;
        (read(&counts.spans), read(&counts.logs), read(&counts.durations))
    } else {
        return Ok(());
    };
    let expected =
        (if flags.unsampled { 0 } else { requests }, if flags.no_log { 0 } else { requests }, requests);
    if (spans, logs, durations) != expected {
        return Err(format!("spans, logs, durations {:?}, not {expected:?}", (spans, logs, durations)).into());
    }
    Ok(())
}
