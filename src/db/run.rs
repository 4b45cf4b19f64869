//! The future of an operation: lends its span to every poll.

use std::{
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{Failure, Running};
use crate::quietly::contained;

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
        let result = match contained(|| running.enter(), || this.work.poll(poller)) {
            Ok(Poll::Ready(result)) => result,
            Ok(Poll::Pending) => {
                *this.running = Some(running);
                return Poll::Pending;
            }
            Err(panic) => {
                running.fail(Failure::kind("panic"));
                resume_unwind(panic)
            }
        };
        match this.judge.take().and_then(|judge| judge(&mut running, &result)) {
            Some(failure) => running.fail(failure),
            None => running.succeed(),
        }
        Poll::Ready(result)
    }
}
