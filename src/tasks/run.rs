//! The future of a run: lends its guard to every poll.

use std::{
    fmt,
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    task::{Context as Poller, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{Running, result::End};
use crate::quietly::{contained, resume_in_drop};

pin_project! {
    /// A task's work. Its result passes through, a panic too.
    ///
    /// Cancel safety: dropped before it is ready, the work is dropped inside of the task's span and the task ends as
    /// cancelled.
    #[must_use = "futures do nothing unless polled"]
    pub struct Run<F: Future> {
        #[pin]
        // `None` once dropped, so that it is dropped inside of the task's span
        work: Option<F>,
        running: Option<Running>,
        judge: fn(&F::Output) -> End<'_>,
    }

    impl<F: Future> PinnedDrop for Run<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let Some(running) = this.running.take() else { return };
            match contained(|| running.enter(), || this.work.set(None)) {
                // should the thread be panicking, it is not this work that did: its own panics end in `poll`
                Ok(()) => running.end(&End::Cancelled),
                Err(panic) => {
                    running.end(&End::Panicked);
                    resume_in_drop(panic);
                }
            }
        }
    }
}

impl<F: Future> Run<F> {
    pub(super) fn new(running: Running, work: F, judge: fn(&F::Output) -> End<'_>) -> Self {
        Self { work: Some(work), running: Some(running), judge }
    }
}

impl<F: Future> Future for Run<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // polled after it was ready, or after a panic: as `async` blocks do, but without another panic
        let Some(running) = this.running.as_ref() else { return Poll::Pending };
        let Some(work) = this.work.as_mut().as_pin_mut() else { return Poll::Pending };
        let result = match contained(|| running.enter(), || work.poll(poller)) {
            Ok(poll) => ready!(poll),
            Err(panic) => {
                if let Some(running) = this.running.take() {
                    running.end(&End::Panicked);
                }
                resume_unwind(panic)
            }
        };
        if let Some(running) = this.running.take() {
            {
                let _entered = running.enter();
                this.work.set(None);
            }
            running.end(&(this.judge)(&result));
        }
        Poll::Ready(result)
    }
}

impl<F: Future> fmt::Debug for Run<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("running", &self.running).finish_non_exhaustive()
    }
}
