//! A limit for what costs something: above it, costly paths answer 429 and probes what their checks last said.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// A second's worth of answers, after a burst of as many.
const RATE: f64 = 100.0;

/// A bucket of answers.
#[derive(Debug)]
pub(super) struct Limit(Mutex<(f64, Instant)>);

impl Default for Limit {
    fn default() -> Self {
        Self(Mutex::new((RATE, Instant::now())))
    }
}

impl Limit {
    /// Whether one more is allowed now.
    pub(super) fn allows(&self) -> bool {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let filled = bucket.0 + now.duration_since(bucket.1).as_secs_f64() * RATE;
        *bucket = (filled.min(RATE), now);
        let allowed = bucket.0 >= 1.0;
        if allowed {
            bucket.0 -= 1.0;
        }
        allowed
    }
}
