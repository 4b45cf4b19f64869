//! The retry budget: what is tried again stays a share of what is tried.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::window::{Moment, Window};

const LENGTH: Duration = Duration::from_secs(10);

/// How many retries there may be within 10 s: a share of the calls, and at least a floor. Clones share it.
#[derive(Clone)]
pub struct Budget(Arc<Shared>);

struct Shared {
    share: f64,
    floor: u32,
    window: Mutex<Window>,
}

impl Budget {
    /// At most `share` (0.2 = one retry for five calls) of the calls of the last 10 s, but never less than `floor`
    /// retries, so that a service that is hardly used may retry at all.
    #[must_use]
    pub fn new(share: f64, floor: u32) -> Self {
        let share = if share.is_finite() { share.max(0.0) } else { 0.0 };
        Self(Arc::new(Shared { share, floor, window: Mutex::new(Window::new(LENGTH)) }))
    }

    pub(super) fn called(&self, now: Moment) {
        self.0.window.lock().unwrap_or_else(PoisonError::into_inner).add(now, 1, 0);
    }

    /// Takes one retry from the budget, if there is one left.
    pub(super) fn take(&self) -> bool {
        let now = Moment::now();
        let mut window = self.0.window.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = window.counts(now);
        let allowed = (f64::from(counts.good) * self.0.share).max(f64::from(self.0.floor));
        let left = f64::from(counts.bad) < allowed;
        if left {
            window.add(now, 0, 1);
        }
        left
    }
}

impl Default for Budget {
    /// 20 % of the calls, and at least 10 retries in 10 s.
    fn default() -> Self {
        Self::new(0.2, 10)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("share", &self.0.share).field("floor", &self.0.floor).finish()
    }
}
