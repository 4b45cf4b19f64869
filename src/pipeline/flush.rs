//! What waits is sent: once, or for the last time. Everything within one deadline, and nobody blocked who did not ask for it.

use std::time::Instant;

use super::Pipeline;

impl Pipeline {
    /// Sends everything that waits, until `deadline`; with `last` the pipeline ends. Cancel safe.
    pub(crate) async fn flush(&self, deadline: Instant, last: bool) {
        if last {
            self.logs.tell_counts();
        }
        if let Some(exporter) = &self.exporter {
            exporter.flush(deadline, last).await;
        }
        let Some(ended) = last.then(|| self.end_added(deadline)).flatten() else { return };
        let (done, told) = tokio::sync::oneshot::channel();
        let waiting = std::thread::Builder::new().name("tracewell-end".into()).spawn(move || {
            let _ = ended.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            // whoever waited may have gone
            let _ = done.send(());
        });
        if waiting.is_ok() {
            let _ = told.await;
        }
    }

    /// The same for a plain thread, which it blocks.
    pub(crate) fn flush_blocking(&self, deadline: Instant, last: bool) {
        if last {
            self.logs.tell_counts();
        }
        if let Some(exporter) = &self.exporter {
            exporter.flush_blocking(deadline, last);
        }
        if let Some(ended) = last.then(|| self.end_added(deadline)).flatten() {
            let _ = ended.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        }
    }

    /// Ends the processors of the user's, on a thread of its own: they may block. `None` without any: a provider that
    /// is shut down hands later spans to nobody, where our queues would count them as dropped.
    fn end_added(&self, deadline: Instant) -> Option<std::sync::mpsc::Receiver<()>> {
        if !self.added {
            return None;
        }
        let (tracers, loggers) = (self.tracer_provider.clone(), self.logger_provider.clone());
        let meters = self.added_readers.clone();
        let (done, ended) = std::sync::mpsc::channel();
        let left = deadline.saturating_duration_since(Instant::now());
        let ending = std::thread::Builder::new().name("tracewell-end-added".into()).spawn(move || {
            let _suppressed = opentelemetry::Context::enter_telemetry_suppressed_scope();
            // their errors are theirs to report
            let _ = tracers.shutdown_with_timeout(left);
            let _ = loggers.shutdown_with_timeout(left);
            let _ = meters.map(|meters| meters.shutdown_with_timeout(left));
            // whoever waits drops the last of them
            drop((tracers, loggers));
            drop(done);
        });
        ending.is_ok().then_some(ended)
    }

    /// Waits until the lines given so far are on stdout, on stderr and in files, blocking its thread until `deadline` at most.
    /// What a file refuses at the `last` flush is lost.
    pub(crate) fn flush_lines_blocking(&self, deadline: Instant, last: bool) {
        self.logs.flush_lines(deadline, last);
        crate::diagnostics::flush(deadline);
    }

    /// The last flush of lines without blocking anybody.
    pub(crate) async fn flush_lines(&self, deadline: Instant) {
        if self.logs.is_idle() && crate::diagnostics::is_idle() {
            return;
        }
        let logs = self.logs.clone();
        let (done, flushed) = tokio::sync::oneshot::channel();
        let waiting = std::thread::Builder::new().name("tracewell-lines".into()).spawn(move || {
            logs.flush_lines(deadline, true);
            crate::diagnostics::flush(deadline);
            // whoever waited may have gone
            let _ = done.send(());
        });
        if waiting.is_ok() {
            let _ = flushed.await;
        }
    }
}
