//! From queues and configuration to the exporter's thread: each way out of a signal gets its connection there.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use opentelemetry_sdk::{Resource, trace::SpanData};

use super::{
    batches::Lane,
    exemplars::Take,
    exporter::{Export, ExporterThread, Tasks},
    logs::{LogExport, ScopedRecord},
    metrics::{MetricExport, MetricSource, PointAccount},
    queue::Queue,
    scrub::Scrub,
    signal_status::SignalStatus,
    traces::SpanExport,
    transport::Transport,
};
use crate::{
    config::{Batch, Exporter, Otlp, Signal, SpanLimits},
    redaction::Redactor,
};

/// What the exporter's thread is to send: every way out of every signal.
pub(super) struct ExportPlan {
    pub(super) spans: Vec<Way<SpanData>>,
    pub(super) logs: Vec<Way<ScopedRecord>>,
    pub(super) metrics: Vec<MetricWay>,
    pub(super) resource: Resource,
    pub(super) span_limits: SpanLimits,
    pub(super) redactor: Redactor,
}

/// A way out of spans or log records: a queue, and where its items go.
#[derive(Debug)]
pub(super) struct Way<T> {
    pub(super) queue: Arc<Queue<T>>,
    pub(super) status: Arc<SignalStatus>,
    pub(super) exporters: Vec<Exporter>,
    pub(super) otlp: Otlp,
    pub(super) batch: Batch,
}

/// A way out of metrics: a reader, and where its points go.
#[derive(Debug)]
pub(super) struct MetricWay {
    pub(super) source: MetricSource,
    pub(super) take: Take,
    pub(super) account: Arc<PointAccount>,
    pub(super) status: Arc<SignalStatus>,
    pub(super) exporters: Vec<Exporter>,
    pub(super) otlp: Otlp,
    pub(super) interval: Duration,
    pub(super) timeout: Option<Duration>,
}

impl ExportPlan {
    /// # Errors
    /// One sentence per connection that cannot be prepared.
    pub(super) fn start(self) -> Result<Option<ExporterThread>, Vec<String>> {
        if self.spans.is_empty() && self.logs.is_empty() && self.metrics.is_empty() {
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
        let Self { spans, logs, metrics, resource, span_limits, redactor } = self;
        for way in spans {
            let scrub = Scrub::of_spans(span_limits, &redactor);
            let export = way.connect(Signal::Traces).map(|lane| SpanExport::new(lane, &resource, scrub));
            spawn(tasks, Signal::Traces, export, &mut problems);
        }
        for way in logs {
            let export = way.connect(Signal::Logs).map(|lane| LogExport::new(lane, &resource));
            spawn(tasks, Signal::Logs, export, &mut problems);
        }
        for way in metrics {
            spawn(tasks, Signal::Metrics, way.connect(), &mut problems);
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

fn spawn(tasks: &mut Tasks, signal: Signal, export: Result<impl Export, String>, problems: &mut Vec<String>) {
    match export {
        Ok(export) => tasks.spawn(signal, export),
        Err(problem) => problems.push(problem),
    }
}

impl<T> Way<T> {
    /// What its items go through.
    fn connect(self, signal: Signal) -> Result<Lane<T>, String> {
        let Self { queue, status, exporters, otlp, batch } = self;
        // the processor's limit of an export bounds an attempt as the exporter's own does
        let timeout = otlp.timeout.into_iter().chain(batch.export_timeout).min();
        let otlp = Otlp { timeout, ..otlp };
        let transport = connect(signal, &exporters, &otlp, status)?;
        Ok(Lane { signal, queue, transport, schedule_delay: batch.schedule_delay })
    }
}

impl MetricWay {
    fn connect(self) -> Result<MetricExport, String> {
        Ok(MetricExport {
            transport: connect(Signal::Metrics, &self.exporters, &self.otlp, self.status)?,
            source: self.source,
            take: self.take,
            account: self.account,
            interval: self.interval,
            timeout: self.timeout,
            started: Instant::now(),
            collecting: None,
        })
    }
}

fn connect(
    signal: Signal,
    exporters: &[Exporter],
    otlp: &Otlp,
    status: Arc<SignalStatus>,
) -> Result<Arc<Transport>, String> {
    Transport::new(signal, exporters, otlp, status).map_err(|problem| format!("{signal}: {problem}"))
}
