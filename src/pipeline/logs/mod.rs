//! Log records: one `tracing` event becomes one OTLP record and one line on each sink, with the same ids.
//!
//! ```text
//! event ─► rules: which ways? ─► record ─► throttle: said before? ─► outlets ─┬─► queue ─► OTLP
//!                 └─► below the filter: held with its request,                ├─► stdout, stderr
//!                     given out if that fails ───────────────────────────────►└─► files
//! ```

mod ecs;
mod entry_line;
mod fields;
mod file;
#[cfg(any(fuzzing, test))]
pub(super) mod fuzzing;
mod json;
mod kept_records;
mod layer;
mod logfmt;
mod messages;
mod outlets;
mod pretty;
mod rules;
mod span_fields;
mod throttle;

use std::{
    io::IsTerminal as _,
    sync::Arc,
    time::{Duration, Instant},
};

use opentelemetry::{
    InstrumentationScope,
    logs::{LoggerProvider as _, Severity},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::{LogProcessor, SdkLogRecord, SdkLoggerProvider},
};

pub(crate) use self::layer::is_transport;
use self::{
    file::RotatingFile,
    kept_records::Bounds,
    outlets::{LineSink, Outlets},
    span_fields::SpanFields,
    throttle::Throttle,
};
pub(super) use self::{layer::LogLayer, rules::Rules};
use super::{
    baggage::CopiedBaggage,
    batches::{Batched, Lane},
    encode::About,
    queue::{Item, Queue},
    scrub::{Blank, Scrub},
    watch::{Watch, Watched},
};
use crate::{
    config::{LogFormat, LogsConfig},
    line_writer::LineWriter,
};

/// A record with the scope it was made in.
pub(crate) type ScopedRecord = (SdkLogRecord, Arc<InstrumentationScope>);

impl Item for ScopedRecord {
    fn is_kept_first(&self) -> bool {
        self.0.severity_number().is_some_and(|severity| severity >= Severity::Error)
    }
}

/// Where the layer's records go.
#[derive(Debug, Clone)]
pub(crate) enum Records {
    /// Nowhere: lines only.
    None,
    /// Straight into the queue, without a copy for processors that do not exist.
    Queue(Arc<Queue<ScopedRecord>>),
    /// To whoever watches, and into the queue if there is one.
    Watched(Arc<dyn Watch>, Option<Arc<Queue<ScopedRecord>>>),
    /// Through the provider, whose processors are not all ours.
    Provider,
}

/// What became of the log lines of one sink. Every line that it was given is one of the three.
///
/// Lines of stdout and stderr are those of the whole process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLines {
    /// `stdout`, `stderr`, or the path of the file.
    pub sink: String,
    /// Lines that are written.
    pub written: u64,
    /// Lines that are lost: the reader or the disk did not keep up.
    pub dropped: u64,
    /// Lines that wait.
    pub queued: u64,
}

/// What the layers of a pipeline have in common. Cloning is cheap.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    outlets: Arc<Outlets>,
    scrub: Scrub,
    baggage: CopiedBaggage,
    span_fields: SpanFields,
    code: bool,
    /// Of what is kept back for requests and tasks that fail.
    bounds: Arc<Bounds>,
    throttle: Option<Arc<Throttle>>,
}

impl Parts {
    /// Opens the ways out; without stdout and stderr if `silent`.
    pub(super) fn new(
        config: &LogsConfig,
        provider: &SdkLoggerProvider,
        records: Records,
        (scrub, baggage): (Scrub, CopiedBaggage),
        resource: &Resource,
        silent: bool,
    ) -> Self {
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let outlets = Arc::new(Outlets {
            logger: provider.logger_with_scope(scope.clone()),
            scope: Arc::new(scope),
            records,
            sinks: sinks(config, silent).into(),
            service: ecs::Service::of(resource),
        });
        Self {
            throttle: Throttle::new(config, &outlets),
            bounds: Bounds::new(&config.on_failure),
            span_fields: SpanFields::new(&config.span_fields),
            code: config.code,
            scrub,
            baggage,
            outlets,
        }
    }

    /// What must not be seen.
    pub(super) fn scrub(&self) -> &Scrub {
        &self.scrub
    }

    /// What became of the lines of each sink.
    pub(super) fn lines(&self) -> Vec<LogLines> {
        self.outlets.lines()
    }

    /// Tells the numbers of what was counted instead of logged: telemetry ends.
    pub(super) fn tell_counts(&self) {
        if let Some(throttle) = &self.throttle {
            throttle.tell(None);
        }
    }

    /// Waits until the lines given so far are written, until `deadline` at most; what a file refuses at the `last` flush is
    /// lost.
    pub(super) fn flush_lines(&self, deadline: Instant, last: bool) {
        self.outlets.flush(deadline, last);
    }

    /// Whether [`flush_lines`](Self::flush_lines) has nothing to wait for.
    pub(super) fn is_idle(&self) -> bool {
        self.outlets.is_idle()
    }
}

/// In the order of [`Rules::new`].
fn sinks(config: &LogsConfig, silent: bool) -> Vec<LineSink> {
    let stream = |name: &str, writer: LineWriter, terminal: bool| {
        let format = config.format.unwrap_or(if terminal { LogFormat::Pretty } else { LogFormat::Json });
        LineSink { name: name.into(), writer, format, colour: terminal }
    };
    let mut sinks = Vec::new();
    if !silent {
        sinks.push(stream("stdout", LineWriter::stdout(), std::io::stdout().is_terminal()));
        if config.stderr.is_some() {
            let terminal = std::io::stderr().is_terminal();
            sinks.push(stream("stderr", LineWriter::stderr().clone(), terminal));
        }
    }
    for file in &config.files {
        let writer = LineWriter::new("tracewell-log-file", RotatingFile::new(file));
        let name = file.path.display().to_string().into();
        sinks.push(LineSink { name, writer, format: file.format, colour: false });
    }
    sinks
}

/// The logger provider: for whoever uses OpenTelemetry's log API directly, and for processors of the user's.
pub(super) fn provider(
    resource: &Resource,
    queues: impl IntoIterator<Item = Watched<ScopedRecord>>,
    added: Vec<Box<dyn LogProcessor>>,
    scrub: &Scrub,
) -> SdkLoggerProvider {
    let mut builder = SdkLoggerProvider::builder().with_resource(resource.clone());
    for added in added {
        builder = builder.with_log_processor(Added(added));
    }
    for watched in queues {
        let scrub = scrub.clone();
        builder = builder.with_log_processor(QueueProcessor { watched, scrub, blank: Blank::default() });
    }
    builder.build()
}

/// A processor of the user's.
#[derive(Debug)]
struct Added(Box<dyn LogProcessor>);

impl LogProcessor for Added {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        crate::quietly::quietly(|| self.0.emit(record, scope));
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

#[derive(Debug)]
struct QueueProcessor {
    watched: Watched<ScopedRecord>,
    scrub: Scrub,
    blank: Blank,
}

impl LogProcessor for QueueProcessor {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        // the record belongs to the logger, and other processors may still want it
        let (record, scope) = (self.scrub.record(record, &self.blank), Arc::new(scope.clone()));
        if let Some(watch) = &self.watched.watch {
            watch.record(&record, &scope);
        }
        if let Some(queue) = &self.watched.queue {
            queue.push((record, scope));
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends log records.
#[derive(Debug)]
pub(super) struct LogExport {
    lane: Lane<ScopedRecord>,
    about: About,
}

impl LogExport {
    pub(super) fn new(lane: Lane<ScopedRecord>, resource: &Resource) -> Self {
        Self { lane, about: About::new(resource) }
    }
}

impl Batched for LogExport {
    type Item = ScopedRecord;

    fn lane(&self) -> &Lane<ScopedRecord> {
        &self.lane
    }

    fn encode(&self, batch: Vec<ScopedRecord>) -> Vec<u8> {
        self.about.logs(&batch)
    }
}
