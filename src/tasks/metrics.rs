//! The instruments of tasks.

use std::time::Duration;

use opentelemetry::{
    InstrumentationScope,
    metrics::{Counter, Histogram, MeterProvider, UpDownCounter},
};

use super::{semconv, state::State};

#[derive(Debug)]
pub(super) struct Instruments {
    tasks: Counter<u64>,
    duration: Histogram<f64>,
    active: UpDownCounter<i64>,
    overruns: Counter<u64>,
}

impl Instruments {
    pub(super) fn new(provider: &(impl MeterProvider + ?Sized)) -> Self {
        let scope = InstrumentationScope::builder("tracewell.tasks")
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url("https://opentelemetry.io/schemas/1.44.0")
            .build();
        let meter = provider.meter_with_scope(scope);
        Self {
            tasks: meter
                .u64_counter(semconv::TASKS)
                .with_unit("{task}")
                .with_description("Tasks that reached a state, each task once.")
                .build(),
            duration: meter
                .f64_histogram(semconv::DURATION)
                .with_unit("s")
                .with_description("Duration of runs of tasks.")
                .with_boundaries(semconv::SECONDS.to_vec())
                .build(),
            active: meter
                .i64_up_down_counter(semconv::ACTIVE)
                .with_unit("{task}")
                .with_description("Number of tasks that are running.")
                .build(),
            overruns: meter
                .u64_counter(semconv::OVERRUNS)
                .with_unit("{run}")
                .with_description("Runs of periodic tasks left out because the one before was still running.")
                .build(),
        }
    }

    pub(super) fn count(&self, task: &str, state: State) {
        self.tasks.add(1, &semconv::counted(task, state));
    }

    pub(super) fn add_active(&self, task: &str, change: i64) {
        self.active.add(change, &[semconv::named(task)]);
    }

    /// Records a run in the current context, whose trace becomes the exemplar.
    pub(super) fn record(&self, task: &str, state: State, error: Option<&'static str>, duration: Duration) {
        self.duration.record(duration.as_secs_f64(), &semconv::measured(task, state, error));
    }

    pub(super) fn count_overruns(&self, task: &str, runs: u64) {
        self.overruns.add(runs, &[semconv::named(task)]);
    }
}
