//! How long polls take, measured where a program wants it: stable tokio does not tell.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use opentelemetry::metrics::{Histogram, Meter};
use pin_project_lite::pin_project;

/// Seconds; a poll should stay below 100 µs.
const BOUNDS: [f64; 11] = [1e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 0.1, 1.0];

/// Measures how long the polls of futures take, as the histogram `tokio.runtime.poll.duration` in seconds: a long one is
/// work that blocks a worker. A cheap handle; made by [`Telemetry::poll_times`](crate::Telemetry::poll_times).
#[derive(Debug, Clone)]
pub struct PollTimes(Histogram<f64>);

impl PollTimes {
    pub(crate) fn new(meter: &Meter) -> Self {
        let times = meter
            .f64_histogram("tokio.runtime.poll.duration")
            .with_unit("s")
            .with_description("Duration of the polls of the futures that are measured.")
            .with_boundaries(BOUNDS.to_vec());
        Self(times.build())
    }

    /// The future, measured: two readings of the clock and one measurement per poll. Cancel safe if `future` is.
    pub fn time<F: Future>(&self, future: F) -> TimedPolls<F> {
        TimedPolls { future, times: self.0.clone() }
    }
}

pin_project! {
    /// A future whose polls are measured; made by [`PollTimes::time`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct TimedPolls<F> {
        #[pin]
        future: F,
        times: Histogram<f64>,
    }
}

impl<F: Future> Future for TimedPolls<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let begun = Instant::now();
        let polled = this.future.poll(task);
        this.times.record(begun.elapsed().as_secs_f64(), &[]);
        polled
    }
}
