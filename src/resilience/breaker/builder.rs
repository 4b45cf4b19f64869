//! How a breaker shall behave, and its defaults.

use std::{fmt, sync::Arc, time::Duration};

use super::{Breaker, State};

pub(super) type Listener = Box<dyn Fn(&str, State, State) + Send + Sync>;

/// How a breaker shall behave; see [`Breaker::builder`].
#[must_use = "a breaker is made by build()"]
pub struct BreakerBuilder {
    pub(super) target: Arc<str>,
    pub(super) window: Duration,
    pub(super) share: f64,
    pub(super) min_calls: u32,
    pub(super) open_for: Duration,
    pub(super) probes: u32,
    pub(super) listeners: Vec<Listener>,
}

impl BreakerBuilder {
    pub(super) fn new(target: Arc<str>) -> Self {
        Self {
            target,
            window: Duration::from_secs(10),
            share: 0.5,
            min_calls: 10,
            open_for: Duration::from_secs(60),
            probes: 3,
            listeners: Vec::new(),
        }
    }

    /// How far back it looks (10 s).
    pub fn with_window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Opens above this share of failures (0.5).
    pub fn with_failure_share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// Opens only when there were so many calls in the window (10).
    pub fn with_min_calls(mut self, calls: u32) -> Self {
        self.min_calls = calls;
        self
    }

    /// How long it stays open before it lets probes pass (60 s).
    pub fn with_open_for(mut self, open_for: Duration) -> Self {
        self.open_for = open_for;
        self
    }

    /// How many probes pass at a time while half-open, and must be good for it to close (3).
    pub fn with_probes(mut self, probes: u32) -> Self {
        self.probes = probes.max(1);
        self
    }

    /// Calls `listener` with the target, the old and the new state after each change; outside of any lock. A panic of a
    /// listener stops there.
    pub fn on_change(mut self, listener: impl Fn(&str, State, State) + Send + Sync + 'static) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// The breaker, closed.
    #[must_use]
    pub fn build(self) -> Breaker {
        Breaker::of(self)
    }
}

impl fmt::Debug for BreakerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerBuilder").field("target", &self.target).finish_non_exhaustive()
    }
}
