//! Checks as metrics: the state of each, and how long its runs take.

use std::{
    sync::{OnceLock, Weak},
    time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};

use super::{State, Status};

#[derive(Debug, Default)]
pub(super) struct Instruments(OnceLock<Histogram<f64>>);

impl Instruments {
    /// Makes the instruments. The first call counts.
    pub(super) fn make(&self, meter: &Meter, state: Weak<State>) {
        let durations = meter
            .f64_histogram("tracewell.check.duration")
            .with_unit("s")
            .with_description("Duration of the runs of health checks.")
            .build();
        if self.0.set(durations).is_err() {
            return;
        }
        meter
            .u64_observable_gauge("tracewell.check.status")
            .with_description("1 for the status a health check has, 0 for the others.")
            .with_callback(move |observer| {
                let Some(state) = state.upgrade() else { return };
                for result in state.entries().iter().filter_map(|entry| entry.last()) {
                    for status in [Status::Pass, Status::Warn, Status::Fail] {
                        let attributes = [
                            KeyValue::new("check.name", result.name.clone()),
                            KeyValue::new("check.status", status.as_str()),
                        ];
                        observer.observe(u64::from(result.status == status), &attributes);
                    }
                }
            })
            .build();
    }

    pub(super) fn ran(&self, name: &str, status: Status, duration: Duration) {
        if let Some(durations) = self.0.get() {
            let attributes = [
                KeyValue::new("check.name", name.to_owned()),
                KeyValue::new("check.status", status.as_str()),
            ];
            durations.record(duration.as_secs_f64(), &attributes);
        }
    }
}
