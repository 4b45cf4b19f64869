//! The process and its tokio runtime as metrics, read afresh at each collection.
//!
//! Names are those of the semantic conventions (1.44, `process.*`, release candidate). There are none for tokio:
//! `tokio.runtime.*` are this crate's, and so is `process.memory.allocator`. On `/metrics` the names that Prometheus'
//! clients share (`process_*`) are there too.

mod allocator;
mod polls;
pub(crate) mod process;
mod process_metrics;
#[cfg(feature = "admin")]
mod prometheus;
mod registration;
mod tokio;

use std::panic::{AssertUnwindSafe, catch_unwind};

use opentelemetry::metrics::AsyncInstrument;

pub(crate) use self::allocator::Allocator;
pub use self::polls::{PollTimes, TimedPolls};
#[cfg(feature = "admin")]
pub(crate) use self::prometheus::prometheus;
pub(crate) use self::registration::observe;

/// A collection whose instruments cannot take each other down.
fn contained<T>(observe: impl Fn(&dyn AsyncInstrument<T>)) -> impl Fn(&dyn AsyncInstrument<T>) {
    move |observer| {
        // a value that cannot be read is a value less
        let _ = catch_unwind(AssertUnwindSafe(|| observe(observer)));
    }
}

fn whole(observer: &dyn AsyncInstrument<i64>, value: Option<u64>) {
    if let Some(value) = value.and_then(|value| i64::try_from(value).ok()) {
        observer.observe(value, &[]);
    }
}
