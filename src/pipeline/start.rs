//! From configuration and resource to the running pipeline: which part is made of what, in the order of the data.

use std::sync::Arc;

use opentelemetry::metrics::{MeterProvider, NoopMeterProvider};
use opentelemetry_sdk::{
    Resource,
    metrics::SdkMeterProvider,
    trace::{SdkTracerProvider, SpanData},
};

use super::{
    Additions, Pipeline, Watch,
    baggage::CopiedBaggage,
    exemplars::{ExemplarMeterProvider, ExemplarStore, Take},
    export_plan::{ExportPlan, MetricWay, Way},
    further_outputs::FurtherOutputs,
    logs::{self, Parts, Rules, ScopedRecord},
    metrics::{self, MetricSource, PointAccount, SharedMeterProvider},
    own_spans::OwnSpans,
    queue::Queue,
    sampler::SamplerSwitch,
    scope,
    scrub::Scrub,
    self_metrics,
    signal_status::{AccountSource, SignalStatus},
    subscriber::LogSwitch,
    traces,
    user_processors::with_processors,
    views::Views,
    watch,
};
use crate::{
    config::{Batch, Config, ExemplarFilter, Exporter, LogsConfig, MetricsConfig, Otlp, TracesConfig},
    redaction::Redactor,
};

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
        let more = FurtherOutputs::new(config, meters.more);
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
        let points = sent(&config.metrics.exporters).then_some((meters.push, points));
        let waiting = Waiting { spans: span_queue, points, logs: log_queue.clone() };
        let exporter = plan(config, resource, &statuses, waiting, more, additions.redactor).start()?;
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
}

/// What the first way out of each signal takes its items from, where there is one.
struct Waiting {
    spans: Option<Arc<Queue<SpanData>>>,
    points: Option<(MetricSource, Arc<PointAccount>)>,
    logs: Option<Arc<Queue<ScopedRecord>>>,
}

/// The further ways out, then the first one of each signal.
fn plan(
    config: &Config,
    resource: &Resource,
    statuses: &[Arc<SignalStatus>; 3],
    waiting: Waiting,
    further: FurtherOutputs,
    redactor: Redactor,
) -> ExportPlan {
    let FurtherOutputs { mut spans, mut logs, mut metrics } = further;
    let [trace_status, metric_status, log_status] = statuses.clone();
    spans.extend(waiting.spans.map(|queue| {
        let TracesConfig { exporters, otlp, batch, .. } = config.traces.clone();
        Way { queue, status: trace_status, exporters, otlp, batch }
    }));
    logs.extend(waiting.logs.map(|queue| {
        let LogsConfig { exporters, otlp, batch, .. } = config.logs.clone();
        Way { queue, status: log_status, exporters, otlp, batch }
    }));
    metrics.extend(waiting.points.map(|(source, account)| {
        let MetricsConfig { exporters, otlp, interval, timeout, .. } = config.metrics.clone();
        MetricWay {
            source,
            take: Take::Fresh,
            account,
            status: metric_status,
            exporters,
            otlp,
            interval,
            timeout,
        }
    }));
    let (resource, span_limits) = (resource.clone(), config.traces.limits);
    ExportPlan { spans, logs, metrics, resource, span_limits, redactor }
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

/// Whether something has to leave.
fn is_sent(exporters: &[Exporter]) -> bool {
    exporters.iter().any(|exporter| matches!(exporter, Exporter::Otlp | Exporter::Console))
}

fn exemplar_store(config: &Config) -> Option<Arc<ExemplarStore>> {
    let filter = config.metrics.exemplar_filter;
    (!config.disabled && filter != ExemplarFilter::AlwaysOff).then(|| ExemplarStore::new(filter))
}

pub(super) fn new_queue<T>(batch: &Batch) -> Arc<Queue<T>> {
    Arc::new(Queue::new(batch.max_queue_size, batch.max_export_batch_size, batch.drop))
}

pub(super) fn status<S: AccountSource + 'static>(
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

fn shared_meters(
    sdk: &SdkMeterProvider,
    exemplars: Option<Arc<ExemplarStore>>,
    views: &Arc<Views>,
    live: bool,
) -> SharedMeterProvider {
    let sdk: Arc<dyn MeterProvider + Send + Sync> = Arc::new(sdk.clone());
    if !live {
        return SharedMeterProvider(Arc::new(NoopMeterProvider::new()));
    }
    SharedMeterProvider(Arc::new(ExemplarMeterProvider::new(sdk, exemplars, Arc::clone(views))))
}
