//! Further ways out of a signal, as a configuration file can ask for: each with a queue, a connection and a state of its own,
//! all in the one account of the signal.

use std::{sync::Arc, time::Instant};

use opentelemetry_sdk::{Resource, trace::SpanData};

use super::{
    exemplars::Take,
    exporter::Tasks,
    logs::{LogExport, ScopedRecord},
    metrics::{MetricExport, MetricSource, PointAccount},
    new_queue,
    queue::Queue,
    scrub::Scrub,
    signal::{AccountSource, SignalStatus, Together},
    status,
    traces::SpanExport,
    wanted::{connect, lane, limited},
};
use crate::{
    config::{Config, MetricOutput, Output, Signal},
    redaction::Redactor,
};

/// The further ways out of every signal.
#[derive(Debug, Default)]
pub(super) struct More {
    spans: Vec<Way<SpanData>>,
    logs: Vec<Way<ScopedRecord>>,
    metrics: Vec<MetricWay>,
}

#[derive(Debug)]
struct Way<T> {
    queue: Arc<Queue<T>>,
    status: Arc<SignalStatus>,
    output: Output,
}

#[derive(Debug)]
struct MetricWay {
    source: MetricSource,
    account: Arc<PointAccount>,
    status: Arc<SignalStatus>,
    output: MetricOutput,
}

impl<T: std::fmt::Debug + Send + 'static> Way<T> {
    fn all(outputs: &[Output]) -> Vec<Self> {
        let way = |output: &Output| {
            let queue = new_queue(&output.batch);
            let status = status(&output.exporters, &output.otlp, Some(Arc::clone(&queue)), true);
            Self { queue, status, output: output.clone() }
        };
        outputs.iter().map(way).collect()
    }
}

fn together<S: AccountSource + 'static>(sources: impl Iterator<Item = Arc<S>>) -> Option<Arc<Together>> {
    let sources: Vec<Arc<dyn AccountSource>> =
        sources.map(|source| source as Arc<dyn AccountSource>).collect();
    (!sources.is_empty()).then(|| Arc::new(Together(sources)))
}

impl More {
    /// `sources` are the readers of the metrics' further ways out, in their order.
    pub(super) fn new(config: &Config, sources: Vec<MetricSource>) -> Self {
        if config.disabled {
            return Self::default();
        }
        let metrics = config.metrics.more.iter().zip(sources).map(|(output, source)| {
            let account = Arc::new(PointAccount::default());
            let status = status(&output.exporters, &output.otlp, Some(Arc::clone(&account)), true);
            MetricWay { source, account, status, output: output.clone() }
        });
        Self {
            spans: Way::all(&config.traces.more),
            logs: Way::all(&config.logs.more),
            metrics: metrics.collect(),
        }
    }

    pub(super) fn span_queues(&self) -> impl Iterator<Item = Arc<Queue<SpanData>>> + '_ {
        self.spans.iter().map(|way| Arc::clone(&way.queue))
    }

    pub(super) fn log_queues(&self) -> impl Iterator<Item = Arc<Queue<ScopedRecord>>> + '_ {
        self.logs.iter().map(|way| Arc::clone(&way.queue))
    }

    /// The state of each signal, with one account of all its ways out.
    pub(super) fn statuses(
        &self,
        config: &Config,
        spans: Option<&Arc<Queue<SpanData>>>,
        points: &Arc<PointAccount>,
        logs: Option<&Arc<Queue<ScopedRecord>>>,
    ) -> [Arc<SignalStatus>; 3] {
        let live = !config.disabled;
        let spans = spans.cloned().into_iter().chain(self.span_queues());
        let points = [points].into_iter().chain(self.metrics.iter().map(|way| &way.account));
        let logs = logs.cloned().into_iter().chain(self.log_queues());
        let (traces, metrics) = (&config.traces, &config.metrics);
        [
            status(&traces.exporters, &traces.otlp, together(spans), live),
            status(&metrics.exporters, &metrics.otlp, together(points.cloned()), live),
            status(&config.logs.exporters, &config.logs.otlp, together(logs), live),
        ]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty() && self.logs.is_empty() && self.metrics.is_empty()
    }

    /// Runs on the exporter's thread.
    pub(super) fn spawn(
        self,
        tasks: &mut Tasks,
        config: &Config,
        resource: &Resource,
        redactor: &Redactor,
        problems: &mut Vec<String>,
    ) {
        for Way { queue, status, output } in self.spans {
            let otlp = limited(&output.otlp, &output.batch);
            let Some(transport) = connect(Signal::Traces, &output.exporters, &otlp, status, problems) else {
                continue;
            };
            let lane = lane(Signal::Traces, queue, transport, &output.batch);
            let scrub = Scrub::of_spans(config.traces.limits, redactor);
            tasks.spawn(Signal::Traces, SpanExport::new(lane, resource, scrub));
        }
        for Way { queue, status, output } in self.logs {
            let otlp = limited(&output.otlp, &output.batch);
            let Some(transport) = connect(Signal::Logs, &output.exporters, &otlp, status, problems) else {
                continue;
            };
            let lane = lane(Signal::Logs, queue, transport, &output.batch);
            tasks.spawn(Signal::Logs, LogExport::new(lane, resource));
        }
        for MetricWay { source, account, status, output } in self.metrics {
            let connected = connect(Signal::Metrics, &output.exporters, &output.otlp, status, problems);
            let Some(transport) = connected else { continue };
            let export = MetricExport {
                source,
                // the first reader takes what is fresh
                take: Take::Latest,
                transport,
                account,
                interval: output.interval,
                timeout: output.timeout,
                started: Instant::now(),
                collecting: None,
            };
            tasks.spawn(Signal::Metrics, export);
        }
    }
}
