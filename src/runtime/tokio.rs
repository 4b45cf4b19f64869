//! The service's tokio runtime, from what stable tokio tells, and more where it is built with `--cfg tokio_unstable`.
//!
//! | metric | |
//! |---|---|
//! | `tokio.runtime.workers`, `.tasks.alive`, `.global_queue.depth` | how it is now |
//! | `tokio.runtime.busy_ratio` | share of the workers' time that was busy, since the value before, 0 to 1; a poll counts once it has ended |
//! | `tokio.runtime.worker.busy_time`, `.worker.parks` | totals |
//! | `tokio.runtime.event_loop.lag` | by how much the last heartbeat was late |
//! | `tokio.runtime.blocking_threads` | threads for what blocks; on stable tokio on Linux only, by the threads' usual name, those of other runtimes included |
//!
//! Unstable tokio adds `tokio.runtime.blocking_threads.idle`, `.blocking_queue.depth`, `.worker.polls`, `.worker.steals`,
//! `.worker.overflows`, `.budget_forced_yields`, and `tokio.runtime.polls`: how many polls took how long, by the upper bound
//! of their bucket in seconds, where the runtime was built with `enable_metrics_poll_time_histogram`. Stable tokio has
//! nothing that this could be counted from: there, [`PollTimes`](super::PollTimes) measures the futures it is given.

use opentelemetry::metrics::Meter;
#[cfg(target_has_atomic = "64")]
use opentelemetry::{KeyValue, metrics::AsyncInstrument};
use tokio::runtime::Handle;
#[cfg(target_has_atomic = "64")]
use tokio::runtime::RuntimeMetrics;

use super::{contained, whole};
use crate::health::Health;

/// Where instruments are made, and who knows which runtime is the service's.
struct Observed<'a> {
    meter: &'a Meter,
    health: &'a Health,
}

impl Observed<'_> {
    /// What there is now.
    fn level(
        &self,
        name: &'static str,
        unit: &'static str,
        about: &'static str,
        read: fn(&Handle) -> Option<u64>,
    ) {
        let of = self.health.clone();
        self.meter
            .i64_observable_up_down_counter(name)
            .with_unit(unit)
            .with_description(about)
            .with_callback(contained(move |observer| {
                whole(observer, of.runtime().and_then(|runtime| read(&runtime)));
            }))
            .build();
    }

    /// What there was so far.
    #[cfg(target_has_atomic = "64")]
    fn total(
        &self,
        name: &'static str,
        unit: &'static str,
        about: &'static str,
        read: impl Fn(&RuntimeMetrics, &dyn AsyncInstrument<u64>) + Send + Sync + 'static,
    ) {
        let of = self.health.clone();
        self.meter
            .u64_observable_counter(name)
            .with_unit(unit)
            .with_description(about)
            .with_callback(contained(move |observer| {
                if let Some(runtime) = of.runtime() {
                    read(&runtime.metrics(), observer);
                }
            }))
            .build();
    }
}

/// Makes the instruments of the runtime that `health` knows as the service's; they have no points before it does.
pub(crate) fn observe(meter: &Meter, health: &Health) {
    let observed = Observed { meter, health };
    observed.level("tokio.runtime.workers", "{thread}", "Worker threads of the runtime.", |runtime| {
        Some(runtime.metrics().num_workers() as u64)
    });
    let about = "Tasks that are spawned and have not ended.";
    observed.level("tokio.runtime.tasks.alive", "{task}", about, |runtime| {
        Some(runtime.metrics().num_alive_tasks() as u64)
    });
    let about = "Tasks that wait in the runtime's global queue.";
    observed.level("tokio.runtime.global_queue.depth", "{task}", about, |runtime| {
        Some(runtime.metrics().global_queue_depth() as u64)
    });
    let about = "Threads the runtime has for what blocks.";
    observed.level("tokio.runtime.blocking_threads", "{thread}", about, blocking_threads);
    let of = health.clone();
    meter
        .f64_observable_gauge("tokio.runtime.event_loop.lag")
        .with_unit("s")
        .with_description("By how much the last heartbeat, one a second, was late.")
        .with_callback(contained(move |observer| {
            if let Some(lag) = of.lag() {
                observer.observe(lag.as_secs_f64(), &[]);
            }
        }))
        .build();
    #[cfg(target_has_atomic = "64")]
    {
        busy(&observed);
        ratio(meter, health.clone());
    }
    #[cfg(tokio_unstable)]
    unstable::observe(&observed);
}

#[cfg(tokio_unstable)]
fn blocking_threads(runtime: &Handle) -> Option<u64> {
    Some(runtime.metrics().num_blocking_threads() as u64)
}

/// The threads with tokio's own name that are no workers. `None` where the runtime's have another one.
#[cfg(not(tokio_unstable))]
fn blocking_threads(runtime: &Handle) -> Option<u64> {
    use tokio::runtime::RuntimeFlavor;
    let workers = match runtime.runtime_flavor() {
        RuntimeFlavor::CurrentThread => 0,
        _ => runtime.metrics().num_workers() as u64,
    };
    let named = std::fs::read_dir("/proc/self/task").ok()?.filter_map(Result::ok).filter(|thread| {
        let name = std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        // the kernel keeps 15 characters
        THREAD_NAMES.contains(&name.trim_end())
    });
    (named.count() as u64).checked_sub(workers)
}

/// What tokio calls its threads, in its versions.
#[cfg(not(tokio_unstable))]
const THREAD_NAMES: [&str; 2] = ["tokio-rt-worker", "tokio-runtime-w"];

/// Busy time of all workers together, in seconds.
#[cfg(target_has_atomic = "64")]
fn busy_seconds(metrics: &RuntimeMetrics) -> f64 {
    (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker).as_secs_f64()).sum()
}

/// For whoever has no rate of the busy time. Two readers share one value when the second comes within a second.
#[cfg(target_has_atomic = "64")]
fn ratio(meter: &Meter, of: Health) {
    use std::{
        sync::{Mutex, PoisonError},
        time::{Duration, Instant},
    };
    struct Last {
        at: Instant,
        busy: f64,
        ratio: Option<f64>,
    }
    let last: Mutex<Option<Last>> = Mutex::default();
    meter
        .f64_observable_gauge("tokio.runtime.busy_ratio")
        .with_unit("1")
        .with_description("Share of the workers' time that was busy since the value before.")
        .with_callback(contained(move |observer| {
            let Some(metrics) = of.runtime().map(|runtime| runtime.metrics()) else { return };
            let (busy, now) = (busy_seconds(&metrics), Instant::now());
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let begun = last.get_or_insert(Last { at: now, busy, ratio: None });
            let since = now.duration_since(begun.at);
            if since >= Duration::from_secs(1) {
                // another runtime may have become the service's
                let share =
                    (busy - begun.busy).max(0.0) / since.as_secs_f64() / metrics.num_workers().max(1) as f64;
                *begun = Last { at: now, busy, ratio: Some(share.min(1.0)) };
            }
            if let Some(ratio) = begun.ratio {
                observer.observe(ratio, &[]);
            }
        }))
        .build();
}

/// The rate of the busy time over the number of workers is the busy ratio, for every reader's own interval.
#[cfg(target_has_atomic = "64")]
fn busy(observed: &Observed<'_>) {
    let of = observed.health.clone();
    observed
        .meter
        .f64_observable_counter("tokio.runtime.worker.busy_time")
        .with_unit("s")
        .with_description("Time the workers of the runtime were busy.")
        .with_callback(contained(move |observer| {
            let Some(metrics) = of.runtime().map(|runtime| runtime.metrics()) else { return };
            for worker in 0..metrics.num_workers() {
                let index = i64::try_from(worker).unwrap_or(i64::MAX);
                let busy = metrics.worker_total_busy_duration(worker).as_secs_f64();
                observer.observe(busy, &[KeyValue::new("tokio.worker.index", index)]);
            }
        }))
        .build();
    let about = "How often the workers of the runtime had nothing to do.";
    observed.total("tokio.runtime.worker.parks", "{park}", about, |metrics, observer| {
        observer.observe(workers(metrics, RuntimeMetrics::worker_park_count), &[]);
    });
}

/// The sum over all workers.
#[cfg(target_has_atomic = "64")]
fn workers(metrics: &RuntimeMetrics, read: fn(&RuntimeMetrics, usize) -> u64) -> u64 {
    (0..metrics.num_workers()).map(|worker| read(metrics, worker)).sum()
}

#[cfg(tokio_unstable)]
mod unstable {
    //! What tokio tells under `--cfg tokio_unstable` alone.

    use super::Observed;
    #[cfg(target_has_atomic = "64")]
    use super::{KeyValue, RuntimeMetrics, workers};

    pub(super) fn observe(observed: &Observed<'_>) {
        let about = "Threads for what blocks that have nothing to do.";
        observed.level("tokio.runtime.blocking_threads.idle", "{thread}", about, |runtime| {
            Some(runtime.metrics().num_idle_blocking_threads() as u64)
        });
        let about = "Blocking tasks that wait for a thread.";
        observed.level("tokio.runtime.blocking_queue.depth", "{task}", about, |runtime| {
            Some(runtime.metrics().blocking_queue_depth() as u64)
        });
        #[cfg(target_has_atomic = "64")]
        totals(observed);
    }

    #[cfg(target_has_atomic = "64")]
    fn totals(observed: &Observed<'_>) {
        let totals: [(&'static str, &'static str, &'static str, fn(&RuntimeMetrics) -> u64); 4] = [
            ("tokio.runtime.worker.polls", "{poll}", "Polls of tasks.", |metrics| {
                workers(metrics, RuntimeMetrics::worker_poll_count)
            }),
            ("tokio.runtime.worker.steals", "{task}", "Tasks that a worker took from another.", |metrics| {
                workers(metrics, RuntimeMetrics::worker_steal_count)
            }),
            (
                "tokio.runtime.worker.overflows",
                "{overflow}",
                "How often a worker's own queue was full.",
                |metrics| workers(metrics, RuntimeMetrics::worker_overflow_count),
            ),
            (
                "tokio.runtime.budget_forced_yields",
                "{yield}",
                "How often a task had to yield for others.",
                RuntimeMetrics::budget_forced_yield_count,
            ),
        ];
        for (name, unit, about, read) in totals {
            observed.total(name, unit, about, move |metrics, observer| observer.observe(read(metrics), &[]));
        }
        let about = "Polls of tasks, by the upper bound in seconds of the time they took.";
        // a histogram that is counted elsewhere cannot be handed to an instrument: a counter per bucket can
        observed.total("tokio.runtime.polls", "{poll}", about, |metrics, observer| {
            if !metrics.poll_time_histogram_enabled() {
                return;
            }
            let last = metrics.poll_time_histogram_num_buckets().saturating_sub(1);
            for bucket in 0..=last {
                let bound = match bucket == last {
                    true => f64::INFINITY,
                    false => metrics.poll_time_histogram_bucket_range(bucket).end.as_secs_f64(),
                };
                let count = (0..metrics.num_workers())
                    .map(|worker| metrics.poll_time_histogram_bucket_count(worker, bucket))
                    .sum();
                observer.observe(count, &[KeyValue::new("tokio.poll.duration.bound", bound)]);
            }
        });
    }
}
