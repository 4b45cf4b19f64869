//! An attempt that may not take longer than it is given.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use crate::http::giving_up_on;

/// There was no answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {:.3} s", .after.as_secs_f64())]
#[non_exhaustive]
pub struct TimedOut {
    /// How long it was waited for.
    pub after: Duration,
}

pin_project! {
    /// The future until its time is over; then it is dropped, and the call in it ends as `timeout` instead of cancelled.
    pub(super) struct Within<F> {
        #[pin]
        inner: Option<F>,
        #[pin]
        sleep: Option<Sleep>,
        // the timer is made when there is something to wait for: a call that answers at once needs none
        until: Option<Instant>,
        waited: bool,
        begun: Instant,
    }
}

impl<F> Within<F> {
    pub(super) fn new(inner: F, begun: Instant, until: Option<Instant>) -> Self {
        Self { inner: Some(inner), sleep: None, until, waited: false, begun }
    }
}

impl<F: Future> Future for Within<F> {
    /// With whether it ever had to wait.
    type Output = Result<(F::Output, bool), TimedOut>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Pending };
        if let Poll::Ready(output) = inner.poll(cx) {
            return Poll::Ready(Ok((output, *this.waited)));
        }
        *this.waited = true;
        if let Some(until) = this.until.take() {
            this.sleep.set(Some(tokio::time::sleep_until(until)));
        }
        let over = this.sleep.as_mut().as_pin_mut().is_some_and(|sleep| sleep.poll(cx).is_ready());
        if !over {
            return Poll::Pending;
        }
        giving_up_on("timeout", || this.inner.set(None));
        Poll::Ready(Err(TimedOut { after: this.begun.elapsed() }))
    }
}
