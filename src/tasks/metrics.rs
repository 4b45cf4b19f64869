//! The instruments of tasks.

use std::time::{Duration, SystemTime};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    metrics::{Counter, Histogram, Meter, MeterProvider, UpDownCounter},
};

use super::{PeriodicJob, semconv, state::State};

#[derive(Debug)]
pub(super) struct Instruments {
    tasks: Counter<u64>,
    duration: Histogram<f64>,
    active: UpDownCounter<i64>,
    overruns: Counter<u64>,
}

fn meter(provider: &(impl MeterProvider + ?Sized)) -> Meter {
    let scope = InstrumentationScope::builder("tracewell.tasks")
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url("https://opentelemetry.io/schemas/1.44.0")
        .build();
    provider.meter_with_scope(scope)
}

/// Gauges of the periodic tasks there are, by name.
pub(super) fn observe_jobs(
    provider: &(impl MeterProvider + ?Sized),
    jobs: impl Fn() -> Vec<PeriodicJob> + Clone + Send + Sync + 'static,
) {
    let meter = meter(provider);
    let times: [(_, _, fn(&PeriodicJob) -> Option<SystemTime>); 2] = [
        (semconv::LAST_RUN, "When the last run of a periodic task began, in Unix time.", |job| job.last_run),
        (semconv::NEXT_RUN, "When the next run of a periodic task is due, in Unix time.", |job| {
            Some(job.next_run)
        }),
    ];
    for (name, description, time) in times {
        let jobs = jobs.clone();
        let gauge = meter.f64_observable_gauge(name).with_unit("s").with_description(description);
        let observed = gauge.with_callback(move |observer| {
            for job in jobs() {
                let since = time(&job).and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
                if let Some(since) = since {
                    observer.observe(since.as_secs_f64(), &[semconv::named(&job.name)]);
                }
            }
        });
        // the provider keeps the callback
        let _ = observed.build();
    }
    let states: [(_, _, fn(&PeriodicJob) -> bool); 2] = [
        (semconv::LATE, "1 while a periodic task is late for its next run, or its last run was.", |job| {
            job.overrun
        }),
        (semconv::FAILING, "1 when the last run of a periodic task did not go well.", |job| {
            job.last_error.is_some()
        }),
    ];
    for (name, description, state) in states {
        let jobs = jobs.clone();
        let gauge = meter.i64_observable_gauge(name).with_unit("1").with_description(description);
        let observed = gauge.with_callback(move |observer| {
            for job in jobs() {
                observer.observe(i64::from(state(&job)), &[semconv::named(&job.name)]);
            }
        });
        let _ = observed.build();
    }
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
