//! What this crate observes by itself, and what a program hands it to observe.

use opentelemetry::{
    InstrumentationScope,
    metrics::{Meter, MeterProvider as _},
};

use super::{
    PollTimes,
    allocator::{Allocator, observe_allocator},
    process_metrics::observe_process,
    tokio,
};
use crate::{Telemetry, health::Health, pipeline::Pipeline};

/// This crate's own meter.
fn own_meter(pipeline: &Pipeline) -> Meter {
    let scope =
        InstrumentationScope::builder(env!("CARGO_PKG_NAME")).with_version(env!("CARGO_PKG_VERSION")).build();
    pipeline.meter_provider.meter_with_scope(scope)
}

/// The process, its runtime and the health checks as metrics.
pub(crate) fn observe(pipeline: &Pipeline, health: &Health) {
    let meter = own_meter(pipeline);
    observe_process(&meter);
    tokio::observe(&meter, health);
    health.instrument(&meter);
}

impl Telemetry {
    pub(crate) fn observe_allocator(&self, allocator: Allocator) {
        observe_allocator(&own_meter(&self.inner().pipeline), allocator);
    }

    /// Measures how long the polls of futures take, which stable tokio does not tell.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let telemetry = tracewell::Telemetry::builder().with_env([("OTEL_SDK_DISABLED", "true")]).build()?;
    /// let polls = telemetry.poll_times();
    /// tokio::spawn(polls.time(async { /* what may block */ })).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn poll_times(&self) -> PollTimes {
        PollTimes::new(&own_meter(&self.inner().pipeline))
    }
}
