//! The future of an operation: lends its span to every poll.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{Failure, Running};

pin_project! {
    /// An operation's work. Its result passes through, a panic too.
    pub(super) struct Run<F, J> {
        // the work goes first, then the operation ends
        #[pin]
        work: F,
        running: Option<Running>,
        judge: Option<J>,
    }
}

impl<F, J> Run<F, J> {
    /// `judge` says whether the result is a failure.
    pub(super) fn new(running: Running, work: F, judge: J) -> Self {
        Self { work, running: Some(running), judge: Some(judge) }
    }
}

impl<F, J> Future for Run<F, J>
where
    F: Future,
    J: FnOnce(&mut Running, &F::Output) -> Option<Failure>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, poller: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(mut running) = this.running.take() else { return this.work.poll(poller) };
        // should the work panic, the guard is dropped by the unwinding, and ends as failed
        let polled = {
            let _entered = running.enter();
            this.work.poll(poller)
        };
        let Poll::Ready(result) = polled else {
            *this.running = Some(running);
            return Poll::Pending;
        };
        match this.judge.take().and_then(|judge| judge(&mut running, &result)) {
            Some(failure) => running.fail(failure),
            None => running.succeed(),
        }
        Poll::Ready(result)
    }
}
