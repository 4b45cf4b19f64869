//! A tokio runtime all of whose threads record into one capture, with a clock that runs or with one that stands still.

use std::{cell::RefCell, fmt, future::Future, ops::Deref, time::Duration};

use tokio::runtime;
use tracing::dispatcher::{self, DefaultGuard};

use super::Capture;

thread_local! {
    static GUARD: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
}

/// A tokio runtime all of whose threads, workers and blocking ones, record into one [`Capture`]: nothing
/// spawned on it is lost.
///
/// It is a [`tokio::runtime::Runtime`] otherwise: like that one it must not be dropped inside of another runtime.
///
/// ```
/// let capture = tracewell::testing::Capture::new();
/// let runtime = capture.runtime();
/// runtime.block_on(async {
///     tokio::spawn(async { tracing::info!("in a task") }).await.unwrap();
///     tokio::task::spawn_blocking(|| tracing::info!("on a blocking thread")).await.unwrap();
/// });
/// assert_eq!(capture.tree(), "INFO in a task\nINFO on a blocking thread");
/// ```
pub struct CaptureRuntime {
    runtime: runtime::Runtime,
    capture: Capture,
}

impl CaptureRuntime {
    pub(super) fn new(capture: Capture) -> Self {
        Self::start(runtime::Builder::new_multi_thread().worker_threads(2), capture)
    }

    pub(super) fn paused(capture: Capture) -> Self {
        Self::start(runtime::Builder::new_current_thread().start_paused(true), capture)
    }

    fn start(builder: &mut runtime::Builder, capture: Capture) -> Self {
        let dispatch = capture.dispatch();
        let runtime = builder
            .thread_name("capture")
            .enable_all()
            .on_thread_start(move || {
                let guard = dispatcher::set_default(&dispatch);
                GUARD.with_borrow_mut(|kept| *kept = Some(guard));
            })
            .on_thread_stop(|| drop(GUARD.take()))
            .build()
            .expect("threads for the capture's runtime");
        Self { runtime, capture }
    }

    /// Runs a future on this thread, which records into the capture meanwhile.
    ///
    /// # Panics
    ///
    /// Inside of another runtime, as tokio's does.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let _guard = self.capture.set_default();
        self.runtime.block_on(future)
    }

    /// Moves the clock of a [paused](Capture::paused_runtime) runtime, from outside of it; timers that are due fire.
    ///
    /// # Panics
    ///
    /// When the clock is not paused, and inside of a runtime: `tokio::time::advance` is for there.
    pub fn advance(&self, by: Duration) {
        self.block_on(tokio::time::advance(by));
    }
}

impl Deref for CaptureRuntime {
    type Target = runtime::Runtime;

    fn deref(&self) -> &runtime::Runtime {
        &self.runtime
    }
}

impl fmt::Debug for CaptureRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaptureRuntime").finish_non_exhaustive()
    }
}
