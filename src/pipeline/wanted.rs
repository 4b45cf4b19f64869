//! From queues and configuration to the exporter's thread with a connection for each signal.

use std::{sync::Arc, time::Instant};

use opentelemetry_sdk::{Resource, trace::SpanData};

use super::{
    exemplars::Take,
    exporter::{ExporterThread, Tasks},
    logs::{LogExport, ScopedRecord},
    metrics::{MetricExport, MetricSource, PointAccount},
    more::More,
    otlp::Lane,
    queue::Queue,
    scrub::Scrub,
    signal::SignalStatus,
    traces::SpanExport,
    transport::Transport,
};
use crate::{
    config::{Batch, Config, Exporter, Otlp, Signal},
    redaction::Redactor,
};

/// What the exporter's thread is to send.
pub(super) struct Wanted {
    pub(super) config: Config,
    pub(super) resource: Resource,
    pub(super) spans: Option<Arc<Queue<SpanData>>>,
    pub(super) logs: Option<Arc<Queue<ScopedRecord>>>,
    pub(super) metrics: Option<(MetricSource, Arc<PointAccount>)>,
    pub(super) statuses: [Arc<SignalStatus>; 3],
    pub(super) redactor: Redactor,
    pub(super) more: More,
}

impl Wanted {
    /// # Errors
    /// One sentence per connection that cannot be prepared.
    pub(super) fn start(self) -> Result<Option<ExporterThread>, Vec<String>> {
        if self.spans.is_none() && self.logs.is_none() && self.metrics.is_none() && self.more.is_empty() {
            return Ok(None);
        }
        match ExporterThread::start(move |tasks| self.spawn(tasks)) {
            Ok(Ok(exporter)) => Ok(Some(exporter)),
            Ok(Err(problems)) => Err(problems),
            Err(error) => Err(vec![format!("the exporter's thread could not be started: {error}")]),
        }
    }

    /// Runs on the exporter's thread: connections belong to its runtime.
    fn spawn(self, tasks: &mut Tasks) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        self.more.spawn(tasks, &self.config, &self.resource, &self.redactor, &mut problems);
        let [trace_status, metric_status, log_status] = self.statuses;
        if let Some(queue) = self.spans {
            let config = &self.config.traces;
            let otlp = limited(&config.otlp, &config.batch);
            let lane = connect(Signal::Traces, &config.exporters, &otlp, trace_status, &mut problems)
                .map(|transport| lane(Signal::Traces, queue, transport, &config.batch));
            let scrub = Scrub::of_spans(config.limits, &self.redactor);
            if let Some(lane) = lane {
                tasks.spawn(Signal::Traces, SpanExport::new(lane, &self.resource, scrub));
            }
        }
        if let Some((source, account)) = self.metrics {
            let config = &self.config.metrics;
            let transport =
                connect(Signal::Metrics, &config.exporters, &config.otlp, metric_status, &mut problems);
            if let Some(transport) = transport {
                let (interval, timeout) = (config.interval, config.timeout);
                let started = Instant::now();
                let export = MetricExport {
                    source,
                    take: Take::Fresh,
                    transport,
                    account,
                    interval,
                    timeout,
                    started,
                    collecting: None,
                };
                tasks.spawn(Signal::Metrics, export);
            }
        }
        if let Some(queue) = self.logs {
            let config = &self.config.logs;
            let otlp = limited(&config.otlp, &config.batch);
            let lane = connect(Signal::Logs, &config.exporters, &otlp, log_status, &mut problems)
                .map(|transport| lane(Signal::Logs, queue, transport, &config.batch));
            if let Some(lane) = lane {
                tasks.spawn(Signal::Logs, LogExport::new(lane, &self.resource));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// The processor's limit of an export bounds an attempt as the exporter's own does.
pub(super) fn limited(otlp: &Otlp, batch: &Batch) -> Otlp {
    let timeout = otlp.timeout.into_iter().chain(batch.export_timeout).min();
    Otlp { timeout, ..otlp.clone() }
}

pub(super) fn connect(
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

pub(super) fn lane<T>(
    signal: Signal,
    queue: Arc<Queue<T>>,
    transport: Arc<Transport>,
    batch: &Batch,
) -> Lane<T> {
    Lane { signal, queue, transport, schedule_delay: batch.schedule_delay }
}
