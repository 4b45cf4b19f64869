//! The instruments of database clients.

use std::time::Duration;

use opentelemetry::{
    KeyValue, StringValue,
    metrics::{Counter, Histogram, Meter, MeterProvider, UpDownCounter},
};

use super::semconv;
use crate::instruments;

/// The instruments of one meter provider.
#[derive(Debug)]
pub(super) struct Instruments {
    duration: Histogram<f64>,
}

fn meter(provider: &(impl MeterProvider + ?Sized)) -> Meter {
    instruments::meter(provider, "tracewell.db")
}

fn seconds(meter: &Meter, name: &'static str, description: &'static str) -> Histogram<f64> {
    instruments::seconds(meter, name, description, &semconv::SECONDS)
}

impl Instruments {
    pub(super) fn new(provider: &(impl MeterProvider + ?Sized)) -> Self {
        Self {
            duration: seconds(&meter(provider), semconv::DURATION, "Duration of database client operations."),
        }
    }

    /// Records an operation in the current context, whose trace becomes the exemplar.
    pub(super) fn record(&self, duration: Duration, attributes: &[KeyValue]) {
        self.duration.record(duration.as_secs_f64(), attributes);
    }
}

/// How many connections a pool has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the conventions know no other states")]
pub struct Connections {
    /// Those that nobody uses.
    pub idle: u64,
    /// Those that are in use.
    pub used: u64,
}

/// The instruments of one pool of connections; clones are the same pool.
///
/// | metric | |
/// |---|---|
/// | `db.client.connection.count` ({connection}) by `db.client.connection.state` | idle and used ones, asked at each collection |
/// | `db.client.connection.max` ({connection}) | as told |
/// | `db.client.connection.pending_requests` ({request}) | calls of [`wait`](Self::wait) under way |
/// | `db.client.connection.wait_time` (s) | how long those took that got a connection |
/// | `db.client.connection.timeouts` ({timeout}) | [`timed_out`](Self::timed_out) |
/// | `db.client.connection.use_time` (s) | [`used_for`](Self::used_for) |
///
/// All have `db.client.connection.pool.name` (database metrics, "Connection pools").
#[derive(Debug, Clone)]
pub struct PoolMetrics {
    name: StringValue,
    pending: UpDownCounter<i64>,
    wait_time: Histogram<f64>,
    use_time: Histogram<f64>,
    timeouts: Counter<u64>,
}

/// Somebody waits for a connection, until this is dropped.
#[derive(Debug)]
struct Pending<'a>(&'a PoolMetrics);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.pending.add(-1, &[semconv::pool(&self.0.name)]);
    }
}

impl PoolMetrics {
    /// Instruments of this provider. `now` is asked at each collection and should not block; once it says `None`, the
    /// pool is no more. `max` is the most connections there may be.
    pub fn new(
        provider: &(impl MeterProvider + ?Sized),
        name: impl Into<StringValue>,
        max: impl Fn() -> Option<u64> + Send + Sync + 'static,
        now: impl Fn() -> Option<Connections> + Send + Sync + 'static,
    ) -> Self {
        let (meter, name) = (meter(provider), name.into());
        let of = name.clone();
        let count = meter
            .i64_observable_up_down_counter(semconv::CONNECTIONS)
            .with_unit("{connection}")
            .with_description("The number of connections that are currently in the state described.")
            .with_callback(move |observer| {
                let Some(Connections { idle, used }) = now() else { return };
                for (state, number) in [("idle", idle), ("used", used)] {
                    observer.observe(whole(number), &semconv::connections(&of, state));
                }
            });
        let of = name.clone();
        let most = meter
            .i64_observable_up_down_counter(semconv::MAX_CONNECTIONS)
            .with_unit("{connection}")
            .with_description("The maximum number of open connections allowed.")
            .with_callback(move |observer| {
                if let Some(max) = max() {
                    observer.observe(whole(max), &[semconv::pool(&of)]);
                }
            });
        // the provider keeps the callbacks
        let _ = (count.build(), most.build());
        Self {
            name,
            pending: meter
                .i64_up_down_counter(semconv::PENDING)
                .with_unit("{request}")
                .with_description("The number of current pending requests for an open connection.")
                .build(),
            wait_time: seconds(
                &meter,
                semconv::WAIT_TIME,
                "The time it took to obtain an open connection from the pool.",
            ),
            use_time: seconds(
                &meter,
                semconv::USE_TIME,
                "The time between borrowing a connection and returning it to the pool.",
            ),
            timeouts: meter
                .u64_counter(semconv::TIMEOUTS)
                .with_unit("{timeout}")
                .with_description("The number of connection timeouts that have occurred.")
                .build(),
        }
    }

    /// Waits for a connection: pending until `acquire` is ready or dropped, and its time (s) when it succeeds.
    ///
    /// Cancel safety: that of `acquire`; dropped, nobody is pending any more, and no time is recorded.
    ///
    /// # Errors
    /// Those of `acquire`.
    pub async fn wait<T, E>(&self, acquire: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let started = std::time::Instant::now();
        self.pending.add(1, &[semconv::pool(&self.name)]);
        let _pending = Pending(self);
        let connection = acquire.await?;
        self.wait_time.record(started.elapsed().as_secs_f64(), &[semconv::pool(&self.name)]);
        Ok(connection)
    }

    /// A connection went back after it was in use for so long (recorded in seconds).
    pub fn used_for(&self, time: Duration) {
        self.use_time.record(time.as_secs_f64(), &[semconv::pool(&self.name)]);
    }

    /// Nobody gave a connection in time: one timeout more. The caller says so, since only it knows why `acquire` failed.
    pub fn timed_out(&self) {
        self.timeouts.add(1, &[semconv::pool(&self.name)]);
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
