//! The end of telemetry: what waits is sent, within one deadline, and a report says what became of it.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use crate::{
    config::Signal,
    diagnostics,
    error::ShutdownError,
    pipeline::SignalReport,
    telemetry::{Inner, Telemetry},
};

/// What became of each signal when telemetry ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Traces, metrics and logs, in this order.
    pub signals: [SignalReport; 3],
    /// How long it took.
    pub elapsed: Duration,
    lost_before: [u64; 3],
}

impl ShutdownReport {
    /// Items of this signal that were lost between the start of the shutdown and its end.
    #[must_use]
    pub fn lost_in_shutdown(&self, signal: Signal) -> u64 {
        let position = self.signals.iter().position(|report| report.signal == signal);
        position.map_or(0, |at| lost(&self.signals[at]).saturating_sub(self.lost_before[at]))
    }

    /// Whether everything that waited was taken by the collector.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.signals.iter().all(|report| self.lost_in_shutdown(report.signal) == 0)
    }
}

fn lost(report: &SignalReport) -> u64 {
    report.account.dropped + report.account.failed
}

/// The end, once it has begun, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct End {
    begun: OnceLock<Begun>,
    report: OnceLock<ShutdownReport>,
}

impl End {
    fn has_begun(&self) -> bool {
        self.begun.get().is_some()
    }
}

/// How long the lines given last may take to their readers when the deadline has passed.
const LINES: Duration = Duration::from_millis(100);

/// How the end began.
#[derive(Debug, Clone, Copy)]
struct Begun {
    at: Instant,
    deadline: Instant,
    /// Items lost before, in the order of the reports.
    lost: [u64; 3],
}

/// A limit may be longer than an `Instant` can hold.
pub(super) fn deadline(from: Instant, limit: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    from + limit.min(YEAR)
}

impl Telemetry {
    /// Sends everything that waits, at most for `limit`. For programs whose end nobody waits for, such as functions that
    /// are frozen between two calls.
    ///
    /// It gives nothing up: what the collector has not taken by then goes on waiting. It returns early when the collector
    /// refuses. Cancel safe.
    pub async fn flush(&self, limit: Duration) {
        self.inner().pipeline.flush(deadline(Instant::now(), limit), false).await;
    }

    /// Sends everything that waits within `TRACEWELL_SHUTDOWN_MS`, then ends telemetry; what is emitted later is
    /// dropped and counted.
    ///
    /// One deadline for all signals, which are flushed at once. A collector that refuses several times in a row is not
    /// waited for. Works on any runtime or none, and blocks no worker. Cancel safe: dropped, it goes on in the background.
    /// A second call waits for the first one's end and returns the report again.
    ///
    /// # Errors
    /// [`ShutdownError`] when something was lost meanwhile, with the report that says what.
    pub async fn shutdown(&self) -> Result<ShutdownReport, ShutdownError> {
        self.shutdown_within(self.inner().config.shutdown.flush).await
    }

    /// [`shutdown`](Self::shutdown) with another limit; cancel safe as that.
    ///
    /// # Errors
    /// As [`shutdown`](Self::shutdown).
    pub async fn shutdown_within(&self, limit: Duration) -> Result<ShutdownReport, ShutdownError> {
        let begun = self.inner().begin_end(limit);
        self.inner().pipeline.flush(begun.deadline, true).await;
        self.inner().pipeline.flush_lines(begun.deadline.max(Instant::now() + LINES)).await;
        let report = self.inner().finish_end(&begun);
        if report.is_complete() { Ok(report) } else { Err(ShutdownError { report }) }
    }

    /// [`shutdown`](Self::shutdown) for a program without a runtime: blocks its thread until everything was sent, and for
    /// `TRACEWELL_SHUTDOWN_MS` at most. In async code it would block a worker for as long.
    ///
    /// # Errors
    /// As [`shutdown`](Self::shutdown).
    #[expect(clippy::result_large_err, reason = "made once in a process's life")]
    pub fn shutdown_blocking(&self) -> Result<ShutdownReport, ShutdownError> {
        let report = self.inner().end_blocking();
        if report.is_complete() { Ok(report) } else { Err(ShutdownError { report }) }
    }
}

impl Inner {
    /// The end begins once; its deadline stands, unless a later caller has less time.
    fn begin_end(&self, limit: Duration) -> Begun {
        self.health.set_draining();
        self.log_level.end();
        if !self.end.has_begun() {
            self.registry.end_spans();
            self.registry.fail_logs();
        }
        self.reload.end();
        let now = Instant::now();
        let begun = *self.end.begun.get_or_init(|| {
            let lost = self.pipeline.reports().each_ref().map(lost);
            Begun { at: now, deadline: deadline(now, limit), lost }
        });
        Begun { deadline: begun.deadline.min(deadline(now, limit)), ..begun }
    }

    fn finish_end(&self, begun: &Begun) -> ShutdownReport {
        let report = self.end.report.get_or_init(|| ShutdownReport {
            signals: self.pipeline.reports(),
            elapsed: begun.at.elapsed(),
            lost_before: begun.lost,
        });
        report.clone()
    }

    fn end_blocking(&self) -> ShutdownReport {
        let begun = self.begin_end(self.config.shutdown.flush);
        // after a shutdown whose future was dropped this waits for what is left of it
        self.pipeline.flush_blocking(begun.deadline, true);
        let report = self.finish_end(&begun);
        self.pipeline.flush_lines_blocking(begun.deadline.max(Instant::now() + LINES), true);
        report
    }
}

impl Telemetry {
    /// Ends what was never in use: without a word to a collector, and without an effect on requests of others.
    pub(crate) fn abandon(self) {
        let (at, lost) = (Instant::now(), [0; 3]);
        let _ = self.inner().end.begun.set(Begun { at, deadline: at, lost });
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        let first = !self.inner().end.has_begun();
        let report = self.inner().end_blocking();
        if first {
            self.inner().pipeline.note_drop();
        }
        if first && !report.is_complete() {
            diagnostics::warn("shutdown", format_args!("{}", ShutdownError { report }));
            self.inner().pipeline.flush_lines_blocking(Instant::now() + LINES, true);
        }
    }
}
