//! Further ways out of a signal, as a configuration file can ask for: each with a queue, a connection and a state of its own,
//! all in the one account of the signal.

use std::sync::Arc;

use opentelemetry_sdk::trace::SpanData;

use super::{
    exemplars::Take,
    export_plan::{MetricWay, Way},
    logs::ScopedRecord,
    metrics::{MetricSource, PointAccount},
    queue::Queue,
    signal_status::{AccountSource, SignalStatus, Together},
    start::{new_queue, status},
};
use crate::config::{Config, MetricOutput, Output};

/// The further ways out of every signal.
#[derive(Debug, Default)]
pub(super) struct FurtherOutputs {
    pub(super) spans: Vec<Way<SpanData>>,
    pub(super) logs: Vec<Way<ScopedRecord>>,
    pub(super) metrics: Vec<MetricWay>,
}

fn way<T: std::fmt::Debug + Send + 'static>(output: &Output) -> Way<T> {
    let Output { exporters, otlp, batch } = output.clone();
    let queue = new_queue(&batch);
    let status = status(&exporters, &otlp, Some(Arc::clone(&queue)), true);
    Way { queue, status, exporters, otlp, batch }
}

fn metric_way(output: &MetricOutput, source: MetricSource) -> MetricWay {
    let MetricOutput { exporters, interval, timeout, otlp, .. } = output.clone();
    let account = Arc::new(PointAccount::default());
    let status = status(&exporters, &otlp, Some(Arc::clone(&account)), true);
    // the first reader takes what is fresh
    MetricWay { source, take: Take::Latest, account, status, exporters, otlp, interval, timeout }
}

fn together<S: AccountSource + 'static>(sources: impl Iterator<Item = Arc<S>>) -> Option<Arc<Together>> {
    let sources: Vec<Arc<dyn AccountSource>> =
        sources.map(|source| source as Arc<dyn AccountSource>).collect();
    (!sources.is_empty()).then(|| Arc::new(Together(sources)))
}

impl FurtherOutputs {
    /// `sources` are the readers of the metrics' further ways out, in their order.
    pub(super) fn new(config: &Config, sources: Vec<MetricSource>) -> Self {
        if config.disabled {
            return Self::default();
        }
        let metrics = config.metrics.more.iter().zip(sources);
        Self {
            spans: config.traces.more.iter().map(way).collect(),
            logs: config.logs.more.iter().map(way).collect(),
            metrics: metrics.map(|(output, source)| metric_way(output, source)).collect(),
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
}
