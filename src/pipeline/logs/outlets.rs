//! Where log records go: into the queue of what is sent, and as lines to each sink.

use std::{cell::RefCell, fmt, sync::Arc, time::Instant};

use opentelemetry::{InstrumentationScope, logs::Logger as _};
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger};

use super::{LogLines, Records, ScopedRecord, ecs, json, logfmt, pretty};
use crate::{
    config::LogFormat,
    line_writer::{LineCounts, LineWriter},
    requests::Current,
};

/// Longest line buffer a thread keeps between two events.
const KEEP: usize = 16 * 1024;

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A place where lines go.
#[derive(Debug, Clone)]
pub(in crate::pipeline) struct LineSink {
    /// `stdout`, `stderr` or the file's path.
    pub(in crate::pipeline) name: Arc<str>,
    pub(in crate::pipeline) writer: LineWriter,
    pub(in crate::pipeline) format: LogFormat,
    /// Escape sequences for colour; only on a terminal.
    pub(in crate::pipeline) colour: bool,
}

/// A choice of the ways out of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ways(u64);

impl Ways {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self(u64::MAX);
    /// What is sent.
    pub(super) const RECORDS: Self = Self(1);

    /// The sink at this place; those beyond the 63rd share a place.
    pub(super) const fn sink(index: usize) -> Self {
        Self(1 << if index < 63 { index + 1 } else { 63 })
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What both have.
    pub(super) const fn and_also(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// Every way out of a record.
pub(crate) struct Outlets {
    pub(super) logger: SdkLogger,
    pub(super) scope: Arc<InstrumentationScope>,
    pub(super) records: Records,
    pub(super) sinks: Box<[LineSink]>,
    /// Of the resource, for layouts that name it in each line.
    pub(super) service: ecs::Service,
}

impl fmt::Debug for Outlets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlets").field("sinks", &self.sinks).finish_non_exhaustive()
    }
}

impl Outlets {
    /// Whether nobody wants any record.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.records, Records::None) && self.sinks.is_empty()
    }

    /// The ways that lead nowhere.
    pub(super) fn closed(&self) -> Ways {
        let sinks = (0..self.sinks.len()).fold(Ways::RECORDS, |ways, index| ways.and(Ways::sink(index)));
        let nowhere = Ways::ALL.without(sinks);
        if matches!(self.records, Records::None) { nowhere.and(Ways::RECORDS) } else { nowhere }
    }

    pub(super) fn put(&self, record: SdkLogRecord, ways: Ways, request: Option<&Current>) {
        self.put_from(&mut Some((record, Arc::clone(&self.scope))), ways, request);
    }

    /// [`put`](Self::put) of a record that is moved once, from where it is.
    #[inline]
    pub(super) fn put_from(&self, item: &mut Option<ScopedRecord>, ways: Ways, request: Option<&Current>) {
        if !self.sinks.is_empty() {
            if let Some((record, _)) = item {
                self.print(record, ways, request);
            }
        }
        if ways.has(Ways::RECORDS) {
            match &self.records {
                Records::None => {}
                Records::Queue(queue) => queue.push_from(item),
                Records::Watched(watch, queue) => {
                    if let Some((record, scope)) = item {
                        watch.record(record, scope);
                    }
                    if let Some(queue) = queue {
                        queue.push_from(item);
                    }
                }
                Records::Provider => {
                    if let Some((record, _)) = item.take() {
                        self.logger.emit(record);
                    }
                }
            }
        }
    }

    fn print(&self, record: &SdkLogRecord, ways: Ways, request: Option<&Current>) {
        // a thread on its way out, and a value whose Debug logs, get a buffer of their own
        let print = |line: &mut String| {
            let mut made = None;
            for (index, sink) in self.sinks.iter().enumerate() {
                if !ways.has(Ways::sink(index)) {
                    continue;
                }
                if made != Some((sink.format, sink.colour)) {
                    line.clear();
                    self.write_line(record, request, sink, line);
                    made = Some((sink.format, sink.colour));
                }
                sink.writer.write(line.as_bytes());
            }
        };
        let shared = LINE.try_with(|line| match line.try_borrow_mut() {
            Ok(mut line) => {
                print(&mut line);
                line.shrink_to(KEEP);
                true
            }
            Err(_) => false,
        });
        if !shared.unwrap_or(false) {
            print(&mut String::new());
        }
    }

    fn write_line(
        &self,
        record: &SdkLogRecord,
        request: Option<&Current>,
        sink: &LineSink,
        line: &mut String,
    ) {
        match sink.format {
            LogFormat::Json => json::write_line(record, request, line),
            LogFormat::Pretty => pretty::write_line(record, request, sink.colour, line),
            LogFormat::Logfmt => logfmt::write_line(record, request, line),
            LogFormat::Ecs => ecs::write_line(record, request, &self.service, line),
        }
    }

    /// What became of the lines of each sink.
    pub(super) fn lines(&self) -> Vec<LogLines> {
        let lines = |sink: &LineSink| {
            let LineCounts { written, dropped, queued } = sink.writer.counts();
            LogLines { sink: sink.name.to_string(), written, dropped, queued }
        };
        self.sinks.iter().map(lines).collect()
    }

    /// Waits until the lines given so far are written, until `deadline` at most; what a file refuses at the `last` flush is
    /// lost.
    pub(in crate::pipeline) fn flush(&self, deadline: Instant, last: bool) {
        for sink in &self.sinks {
            sink.writer.flush(deadline, last);
        }
    }

    /// Whether a [`flush`](Self::flush) has nothing to wait for.
    pub(in crate::pipeline) fn is_idle(&self) -> bool {
        self.sinks.iter().all(|sink| sink.writer.is_idle())
    }
}
