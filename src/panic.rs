//! A panic as a log event in its own span, sent off before a process that it ends is gone.
//!
//! The event is made on a thread of its own: whatever a layer of the program's does with it, panic again or wait for a lock
//! that the panicking thread holds, costs [`LOGGED`] at most and neither aborts nor hangs the process. (A panic inside of
//! a panic hook aborts, and no code in the hook could catch it.)
//!
//! A panic that somebody catches, as tokio does in a spawned task and the server layer in a handler, waits for nothing else.
//! One that ends the process, in the main thread or with `panic = "abort"`, is followed by a flush of [`FLUSHED`] at most,
//! and of no more than `TRACEWELL_SHUTDOWN_MS`; several panics at once share one flush.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    cell::Cell,
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind},
    sync::{Arc, Mutex, Once, PoisonError, Weak, mpsc},
    thread,
    time::{Duration, Instant},
};

use opentelemetry::Context;
use tracing::Dispatch;

use crate::{requests, telemetry::Inner};

/// The longest a panicking thread waits for its event.
const LOGGED: Duration = Duration::from_secs(1);
/// The longest a panic that ends the process waits for what was emitted to be sent.
const FLUSHED: Duration = Duration::from_secs(2);
/// A flush serves the panics of this time: a main thread that catches panics is not stopped by each.
const SHARED: Duration = Duration::from_secs(60);
/// So many panics a minute have a backtrace without `RUST_BACKTRACE`: finding the names for one takes milliseconds.
const BACKTRACES: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Logs every panic once, then calls the hook that was set before.
pub(crate) fn install_hook(telemetry: &Arc<Inner>) {
    static INSTALLED: Once = Once::new();
    let telemetry = Arc::downgrade(telemetry);
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // a panic while this one is being logged goes to the other hook only
            if !INSIDE.replace(true) {
                Occurrence::of(panic).log();
                if ends_process() {
                    flush(&telemetry);
                }
                INSIDE.set(false);
            }
            before(panic);
        }));
    });
}

/// Whether nobody catches the panic of this thread, as far as can be told.
fn ends_process() -> bool {
    // a task on the main thread of a current-thread runtime is caught there
    cfg!(panic = "abort") || (thread::current().name() == Some("main") && tokio::task::try_id().is_none())
}

/// Sends what waits, once for all panics of a minute. Whoever panics meanwhile waits for it: that panic may be the one that
/// ends the process.
fn flush(telemetry: &Weak<Inner>) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_some_and(|last| last.elapsed() < SHARED) {
        return;
    }
    if let Some(telemetry) = telemetry.upgrade() {
        let deadline = Instant::now() + FLUSHED.min(telemetry.config.shutdown.flush);
        // an exporter's own thread cannot wait for itself
        if !Context::is_current_telemetry_suppressed() {
            telemetry.pipeline.flush_blocking(deadline, false);
        }
        telemetry.pipeline.flush_lines_blocking(deadline, false);
    }
    *last = Some(Instant::now());
}

/// A panic, and where telemetry was when it happened.
struct Occurrence {
    message: String,
    file: String,
    line: u32,
    thread: Option<String>,
    backtrace: Option<Backtrace>,
    dispatch: Dispatch,
    span: Option<tracing::Id>,
    context: Context,
    request: Option<requests::Current>,
}

impl Occurrence {
    fn of(panic: &PanicHookInfo<'_>) -> Self {
        let message = panic
            .payload()
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.payload().downcast_ref::<String>().map(String::as_str))
            .unwrap_or("a value that is no text");
        let (file, line) = panic.location().map_or(("", 0), |place| (place.file(), place.line()));
        let dispatch = tracing::dispatcher::get_default(Dispatch::clone);
        Self {
            message: message.to_owned(),
            file: file.to_owned(),
            line,
            thread: thread::current().name().map(str::to_owned),
            backtrace: backtrace(),
            span: dispatch.current_span().id().cloned(),
            dispatch,
            context: Context::current(),
            request: requests::current(),
        }
    }

    /// Logs it on a thread of its own and waits for that.
    fn log(self) {
        let (done, logged) = mpsc::channel::<()>();
        let logging = thread::Builder::new().name("tracewell-panic".into()).spawn(move || {
            // a layer's panic while it takes this event is not logged in turn
            INSIDE.set(true);
            // the hook before ours has shown it
            let _ = catch_unwind(AssertUnwindSafe(|| self.emit()));
            drop(done);
        });
        if logging.is_ok() {
            // an error means that it has ended
            let _ = logged.recv_timeout(LOGGED);
        }
    }

    /// The event of the conventions (exceptions/exceptions-logs.md), with the ids of the panicking thread's span.
    fn emit(&self) {
        let _dispatch = tracing::dispatcher::set_default(&self.dispatch);
        let _span = self.span.as_ref().map(|span| EnteredSpan::new(&self.dispatch, span));
        let _context = self.context.clone().attach();
        let _request = self.request.as_ref().map(requests::enter);
        let Self { message, file, line, .. } = self;
        tracing::event!(
            name: "exception",
            target: "tracewell::panic",
            tracing::Level::ERROR,
            exception.type = "panic",
            exception.message = message,
            exception.stacktrace = self.backtrace.as_ref().map(Backtrace::to_string),
            code.file.path = file,
            code.line.number = line,
            thread.name = self.thread.as_deref(),
            "panicked at {file}:{line}: {message}"
        );
    }
}

/// A span that is entered here and on the thread that panics.
struct EnteredSpan<'a>(&'a Dispatch, &'a tracing::Id);

impl<'a> EnteredSpan<'a> {
    fn new(dispatch: &'a Dispatch, span: &'a tracing::Id) -> Self {
        dispatch.enter(span);
        Self(dispatch, span)
    }
}

impl Drop for EnteredSpan<'_> {
    fn drop(&mut self) {
        self.0.exit(self.1);
    }
}

/// Captured here; its names are looked up where it is logged.
fn backtrace() -> Option<Backtrace> {
    static FORCED: Mutex<(Option<Instant>, u32)> = Mutex::new((None, 0));
    let asked_for = Backtrace::capture();
    if asked_for.status() == BacktraceStatus::Captured {
        return Some(asked_for);
    }
    let mut forced = FORCED.lock().unwrap_or_else(PoisonError::into_inner);
    if forced.0.is_none_or(|began| began.elapsed() >= MINUTE) {
        *forced = (Some(Instant::now()), 0);
    }
    forced.1 += 1;
    let few = forced.1 <= BACKTRACES;
    drop(forced);
    few.then(Backtrace::force_capture).filter(|backtrace| backtrace.status() == BacktraceStatus::Captured)
}
