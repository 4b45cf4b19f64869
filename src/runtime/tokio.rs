//! The service's tokio runtime, from what stable tokio tells.

use opentelemetry::metrics::Meter;

use super::{contained, whole};
use crate::health::Health;

/// Makes the instruments of the runtime that `health` knows as the service's; they have no points before it does.
pub(crate) fn observe(meter: &Meter, health: &Health) {
    let of = health.clone();
    meter
        .i64_observable_up_down_counter("tokio.runtime.workers")
        .with_unit("{thread}")
        .with_description("Worker threads of the runtime.")
        .with_callback(contained(move |observer| {
            whole(observer, of.runtime().map(|runtime| runtime.metrics().num_workers() as u64));
        }))
        .build();
    let of = health.clone();
    meter
        .i64_observable_up_down_counter("tokio.runtime.tasks.alive")
        .with_unit("{task}")
        .with_description("Tasks that are spawned and have not ended.")
        .with_callback(contained(move |observer| {
            whole(observer, of.runtime().map(|runtime| runtime.metrics().num_alive_tasks() as u64));
        }))
        .build();
    let of = health.clone();
    meter
        .i64_observable_up_down_counter("tokio.runtime.global_queue.depth")
        .with_unit("{task}")
        .with_description("Tasks that wait in the runtime's global queue.")
        .with_callback(contained(move |observer| {
            whole(observer, of.runtime().map(|runtime| runtime.metrics().global_queue_depth() as u64));
        }))
        .build();
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
    busy(meter, health.clone());
}

/// The busy ratio is the rate of the busy time over the number of workers: a total is right for every reader's interval.
#[cfg(target_has_atomic = "64")]
fn busy(meter: &Meter, of: Health) {
    use opentelemetry::KeyValue;
    let parks = of.clone();
    meter
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
    meter
        .u64_observable_counter("tokio.runtime.worker.parks")
        .with_unit("{park}")
        .with_description("How often the workers of the runtime had nothing to do.")
        .with_callback(contained(move |observer| {
            let Some(metrics) = parks.runtime().map(|runtime| runtime.metrics()) else { return };
            let total = (0..metrics.num_workers()).map(|worker| metrics.worker_park_count(worker)).sum();
            observer.observe(total, &[]);
        }))
        .build();
}
