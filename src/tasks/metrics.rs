//! The instruments of tasks.

use std::time::{Duration, SystemTime};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter, MeterProvider, UpDownCounter},
};

use super::{PeriodicJob, semconv, state::State};
use crate::instruments;

#[derive(Debug)]
pub(super) struct Instruments {
    tasks: Counter<u64>,
    duration: Histogram<f64>,
    active: UpDownCounter<i64>,
    overruns: Counter<u64>,
}

fn meter(provider: &(impl MeterProvider + ?Sized)) -> Meter {
    instruments::meter(provider, "tracewell.tasks")
}

/// Gauges of the periodic tasks there are, by name.
pub(super) fn observe_jobs(
    provider: &(impl MeterProvider + ?Sized),
    jobs: impl Fn() -> Vec<PeriodicJob> + Clone + Send + Sync + 'static,
) {
    let meter = meter(provider);
    let unix =
        |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs_f64());
    let observe = |name, unit, description, read: fn(&PeriodicJob) -> Gauge| {
        let jobs = jobs.clone();
        let gauge = meter.f64_observable_gauge(name).with_unit(unit).with_description(description);
        let observed = gauge.with_callback(move |observer| {
            for job in jobs() {
                let value = match read(&job) {
                    Gauge::Time(time) => time.and_then(unix),
                    Gauge::State(state) => Some(f64::from(u8::from(state))),
                };
                if let Some(value) = value {
                    observer.observe(value, &[semconv::named(&job.name)]);
                }
            }
        });
        // the provider keeps the callback
        let _ = observed.build();
    };
    observe(semconv::LAST_RUN, "s", "When the last run of a periodic task began, in Unix time.", |job| {
        Gauge::Time(job.last_run)
    });
    observe(semconv::NEXT_RUN, "s", "When the next run of a periodic task is due, in Unix time.", |job| {
        Gauge::Time(Some(job.next_run))
    });
    observe(
        semconv::LATE,
        "1",
        "1 while a periodic task is late for its next run, or its last run was.",
        |job| Gauge::State(job.overrun),
    );
    observe(semconv::FAILING, "1", "1 when the last run of a periodic task did not go well.", |job| {
        Gauge::State(job.last_error.is_some())
    });
}

/// What a gauge of a periodic task shows.
enum Gauge {
    Time(Option<SystemTime>),
    State(bool),
}

impl Instruments {
    pub(super) fn new(provider: &(impl MeterProvider + ?Sized)) -> Self {
        let meter = meter(provider);
        Self {
            tasks: meter
                .u64_counter(semconv::TASKS)
                .with_unit("{task}")
                .with_description("Tasks that reached a state, each task once.")
                .build(),
            duration: instruments::seconds(
                &meter,
                semconv::DURATION,
                "Duration of runs of tasks.",
                &semconv::SECONDS,
            ),
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
    pub(super) fn record(
        &self,
        task: &str,
        state: State,
        error: Option<&'static str>,
        duration: Duration,
        own: Vec<KeyValue>,
    ) {
        let mut attributes = semconv::measured(task, state, error);
        attributes.extend(own);
        self.duration.record(duration.as_secs_f64(), &attributes);
    }

    pub(super) fn count_overruns(&self, task: &str, runs: u64) {
        self.overruns.add(runs, &[semconv::named(task)]);
    }
}
