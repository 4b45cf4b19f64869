//! Waiting until something was captured: woken by it, never polling, by the wall's clock.

use std::{sync::mpsc, thread, time::Duration};

use super::{Capture, Captured};

impl Capture {
    /// Blocks until what was captured fulfils a condition; false when it did not in time. The condition is looked at
    /// once at first and after each change, under the capture's lock: it must neither call the capture nor log.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let capture = tracewell::testing::Capture::new();
    /// let dispatch = capture.dispatch();
    /// let thread = std::thread::spawn(move || {
    ///     tracing::dispatcher::with_default(&dispatch, || tracing::info!("done"));
    /// });
    /// assert!(capture.wait_for(Duration::from_secs(5), |captured| captured.log("done").is_some()));
    /// assert!(!capture.wait_for(Duration::ZERO, |captured| captured.log("never").is_some()));
    /// # thread.join().unwrap();
    /// ```
    #[must_use = "false means that it did not happen"]
    pub fn wait_for(&self, timeout: Duration, condition: impl FnMut(&Captured) -> bool) -> bool {
        self.inner.sink.wait_for(timeout, condition)
    }

    /// [`wait_for`](Self::wait_for) without blocking, on any runtime: the time is the wall's, also under a paused clock.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let capture = tracewell::testing::Capture::new();
    /// let task = tokio::spawn(capture.run(async { tracing::info!("done") }));
    /// let done = capture.wait_for_async(Duration::from_secs(5), |captured| captured.log("done").is_some());
    /// assert!(done.await);
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping it loses nothing.
    #[must_use = "false means that it did not happen"]
    pub async fn wait_for_async(
        &self,
        timeout: Duration,
        mut condition: impl FnMut(&Captured) -> bool,
    ) -> bool {
        let mut changed = self.inner.sink.subscribe();
        if self.read(&mut condition) {
            return true;
        }
        let (_timer, mut late) = timer(timeout);
        loop {
            tokio::select! {
                biased;
                // the sender is in the sink, which outlives this call
                _ = changed.changed() => if self.read(&mut condition) {
                    return true;
                },
                _ = &mut late => return self.read(&mut condition),
            }
        }
    }
}

/// A timer of no runtime's; its thread ends early when the first part is dropped.
fn timer(timeout: Duration) -> (mpsc::Sender<()>, tokio::sync::oneshot::Receiver<()>) {
    let (cancel, cancelled) = mpsc::channel::<()>();
    let (expire, expired) = tokio::sync::oneshot::channel();
    // without a thread the sender is dropped, and the time is over at once
    let _ = thread::Builder::new().name("capture-timer".to_owned()).spawn(move || {
        let _ = cancelled.recv_timeout(timeout);
        let _ = expire.send(());
    });
    (cancel, expired)
}
