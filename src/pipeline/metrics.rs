//! Metrics: readers and views make the meter provider; points leave with their exemplars.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use bytes::Bytes;
use opentelemetry::{
    InstrumentationScope,
    metrics::{Meter, MeterProvider},
};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest, metrics::v1::metric::Data,
};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    metrics::{
        InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality as SdkTemporality,
        data::ResourceMetrics, reader::MetricReader,
    },
};
use prost::Message as _;

use super::{
    Additions,
    account::{Account, Loss},
    batches,
    exemplars::{ExemplarStore, Take},
    exporter::Export,
    signal_status::AccountSource,
    transport::Transport,
    views::Views,
};
use crate::{
    config::{MetricsConfig, Signal, Temporality},
    diagnostics,
    redaction::Redactor,
};

/// The meter provider whatever it is made of.
#[derive(Clone)]
pub(crate) struct SharedMeterProvider(pub(super) Arc<dyn MeterProvider + Send + Sync>);

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

/// A reader shared by whoever collects.
#[derive(Debug, Clone)]
struct SharedReader(Arc<ManualReader>);

impl MetricReader for SharedReader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    // ManualReader's own waits for a collection under way, which a callback that hangs never ends, and the provider
    // calls it when it is dropped. There is nothing to shut down: the provider's end is the end of its pipeline.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self, kind: InstrumentKind) -> SdkTemporality {
        self.0.temporality(kind)
    }
}

/// Collects points with their exemplars, for an export or for a page.
#[derive(Debug, Clone)]
pub(crate) struct MetricSource {
    reader: SharedReader,
    exemplars: Option<Arc<ExemplarStore>>,
    redactor: Redactor,
}

impl MetricSource {
    /// Runs the callbacks of observable instruments and converts everything. Blocks as long as the callbacks do.
    ///
    /// # Errors
    /// The SDK's, when the provider was shut down.
    pub(crate) fn collect(&self, take: Take) -> Result<ExportMetricsServiceRequest, OTelSdkError> {
        let mut metrics = ResourceMetrics::default();
        self.reader.collect(&mut metrics)?;
        let mut request = ExportMetricsServiceRequest::from(&metrics);
        if let (Some(exemplars), Some(converted)) = (&self.exemplars, request.resource_metrics.first_mut()) {
            // the conversion keeps the order of the scopes
            for (scope, converted) in metrics.scope_metrics().zip(&mut converted.scope_metrics) {
                exemplars.attach(scope.scope(), &mut converted.metrics, take);
            }
        }
        self.redactor.metrics(&mut request);
        Ok(request)
    }
}

/// The meter provider with its two ways out.
#[derive(Debug)]
pub(super) struct Meters {
    pub(super) provider: SdkMeterProvider,
    /// What is pushed, in the temporality the operator prefers.
    pub(super) push: MetricSource,
    /// What a scraper reads: always cumulative.
    pub(super) pull: MetricSource,
    /// What further readers push, in their order.
    pub(super) more: Vec<MetricSource>,
}

pub(super) fn provider(
    config: &MetricsConfig,
    resource: &Resource,
    views: &Arc<Views>,
    exemplars: Option<&Arc<ExemplarStore>>,
    additions: &mut Additions,
) -> Meters {
    let redactor = &additions.redactor;
    let reader =
        |temporality| SharedReader(Arc::new(ManualReader::builder().with_temporality(temporality).build()));
    let pull = reader(SdkTemporality::Cumulative);
    // one reader serves both where it can: a second one would aggregate every measurement twice
    let (push, mut readers) = match config.temporality {
        Temporality::Cumulative => (pull.clone(), vec![pull.clone()]),
        other => {
            let push = reader(of(other));
            (push.clone(), vec![pull.clone(), push])
        }
    };
    let more: Vec<SharedReader> = config.more.iter().map(|output| reader(of(output.temporality))).collect();
    readers.extend(more.iter().cloned());
    let mut builder = SdkMeterProvider::builder().with_resource(resource.clone());
    for reader in readers {
        builder = builder.with_reader(reader);
    }
    builder = std::mem::take(&mut additions.readers).into_iter().fold(builder, |builder, add| add(builder));
    let views = Arc::clone(views);
    let provider = builder.with_view(move |instrument| views.sdk_stream(instrument)).build();
    let source = |reader| MetricSource { reader, exemplars: exemplars.cloned(), redactor: redactor.clone() };
    let more = more.into_iter().map(source).collect();
    Meters { provider, push: source(push), pull: source(pull), more }
}

fn of(temporality: Temporality) -> SdkTemporality {
    match temporality {
        Temporality::Cumulative => SdkTemporality::Cumulative,
        Temporality::Delta => SdkTemporality::Delta,
        Temporality::LowMemory => SdkTemporality::LowMemory,
    }
}

/// The account of points: they are emitted when they are collected.
#[derive(Debug, Default)]
pub(super) struct PointAccount(Mutex<Account>);

impl PointAccount {
    fn update(&self, change: impl FnOnce(&mut Account)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl AccountSource for PointAccount {
    fn account(&self) -> Account {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Collects and sends metrics.
#[derive(Debug)]
pub(super) struct MetricExport {
    pub(super) source: MetricSource,
    /// Which exemplars go along.
    pub(super) take: Take,
    pub(super) transport: Arc<Transport>,
    pub(super) account: Arc<PointAccount>,
    pub(super) interval: Duration,
    /// The limit of a collection and its export together.
    pub(super) timeout: Option<Duration>,
    pub(super) started: Instant,
    /// A collection under way. Callbacks are the user's, and one that hangs holds up this one and no more.
    pub(super) collecting: Option<Collecting>,
}

type Collecting = tokio::task::JoinHandle<Result<ExportMetricsServiceRequest, OTelSdkError>>;

impl MetricExport {
    /// Cancel safe: a collection that was begun is the next call's.
    async fn collect(&mut self) -> Option<ExportMetricsServiceRequest> {
        let (source, take) = (&self.source, self.take);
        let collecting = self.collecting.get_or_insert_with(|| {
            let source = source.clone();
            tokio::task::spawn_blocking(move || {
                let _quiet = diagnostics::listen();
                let _suppressed = opentelemetry::Context::enter_telemetry_suppressed_scope();
                source.collect(take)
            })
        });
        let collected = collecting.await;
        self.collecting = None;
        match collected {
            Ok(Ok(request)) => Some(request),
            Ok(Err(error)) => {
                diagnostics::warn("collect", format_args!("metrics: not collected: {error}"));
                None
            }
            Err(error) => {
                diagnostics::warn("collect", format_args!("metrics: the collection ended: {error}"));
                None
            }
        }
    }

    async fn send(&self, request: ExportMetricsServiceRequest, until: Option<Instant>) {
        let points = count(&request);
        if points == 0 {
            return;
        }
        let in_flight = PointsInFlight::new(self, points);
        let body = Bytes::from(request.encode_to_vec());
        drop(request);
        match self.transport.send(body, until).await {
            Ok(accepted) => {
                batches::remark(Signal::Metrics, &accepted);
                in_flight.settle(|account| {
                    let rejected = accepted.rejected.min(points);
                    account.export(points - rejected);
                    account.lose(Loss::Rejected, rejected);
                });
            }
            Err(error) => {
                in_flight.settle(|account| account.lose(batches::loss(&error), points));
                self.transport.lost();
            }
        }
    }
}

impl Export for MetricExport {
    async fn due(&mut self) {
        // not `sleep_until`: an interval may be longer than an `Instant` can hold
        tokio::time::sleep(self.interval.saturating_sub(self.started.elapsed())).await;
    }

    async fn once(&mut self) {
        // the interval is between starts (specification, metrics/sdk.md "Periodic exporting MetricReader")
        self.started = Instant::now();
        // points that are kept waiting are outdated by the next collection: they are given up in time for it
        let limit = self
            .timeout
            .map_or(self.interval, |timeout| timeout.min(self.interval))
            .max(Duration::from_secs(1));
        let until = self.started.checked_add(limit);
        match tokio::time::timeout(limit, self.collect()).await {
            Ok(None) => {}
            Ok(Some(request)) => self.send(request, until).await,
            Err(_) => diagnostics::warn(
                "collect",
                format_args!("metrics: a callback has not returned for {limit:?}; no metrics until it does"),
            ),
        }
    }

    async fn drain(&mut self) {
        self.started = Instant::now();
        if let Some(request) = self.collect().await {
            self.send(request, None).await;
        }
    }

    fn close(&mut self) {}

    fn transport(&self) -> Arc<Transport> {
        Arc::clone(&self.transport)
    }
}

/// Points that are being sent; dropped unsettled, they went unanswered.
struct PointsInFlight<'a> {
    export: &'a MetricExport,
    points: u64,
    settled: bool,
}

impl<'a> PointsInFlight<'a> {
    fn new(export: &'a MetricExport, points: u64) -> Self {
        export.account.update(|account| account.emit(points));
        Self { export, points, settled: false }
    }

    fn settle(mut self, change: impl FnOnce(&mut Account)) {
        self.settled = true;
        self.export.account.update(change);
    }
}

impl Drop for PointsInFlight<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.export.account.update(|account| account.lose(Loss::Unanswered, self.points));
            self.export.transport.lost();
        }
    }
}

fn count(request: &ExportMetricsServiceRequest) -> u64 {
    let metrics = request
        .resource_metrics
        .iter()
        .flat_map(|resource| &resource.scope_metrics)
        .flat_map(|scope| &scope.metrics);
    metrics
        .map(|metric| match &metric.data {
            Some(Data::Gauge(data)) => data.data_points.len(),
            Some(Data::Sum(data)) => data.data_points.len(),
            Some(Data::Histogram(data)) => data.data_points.len(),
            Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
            Some(Data::Summary(data)) => data.data_points.len(),
            None => 0,
        } as u64)
        .sum()
}
