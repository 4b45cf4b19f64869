//! The one way an entry ends: its guard's drop, which never panics and never waits for anything but its shard.

use std::{fmt, sync::Arc as StdArc};

use super::{Current, EndDetails, Outcome, shard::Place};

/// Keeps an entry in the table; gone with it, however that happens.
///
/// Move it along with the work: call, future, response body. It may be dropped on any thread, also during a panic.
/// Dropped without [`end`](Self::end), the entry counts as [`Panicked`](Outcome::Panicked) when the thread is panicking
/// and as [`Cancelled`](Outcome::Cancelled) otherwise.
#[must_use = "the entry ends when its guard is dropped"]
pub struct Guard {
    entry: Current,
    place: Place,
    ended: bool,
}

impl Guard {
    pub(super) fn new(entry: Current, place: Place) -> Self {
        Self { entry, place, ended: false }
    }

    /// The handle on the entry.
    #[must_use]
    pub fn handle(&self) -> &Current {
        &self.entry
    }

    /// Sets the matched route; see [`Current::set_route`].
    pub fn set_route(&self, route: StdArc<str>) {
        self.entry.set_route(route);
    }

    /// Says what the entry is doing now; see [`Current::set_stage`].
    pub fn set_stage(&self, stage: impl Into<std::borrow::Cow<'static, str>>) {
        self.entry.set_stage(stage);
    }

    /// Ends the entry with this outcome.
    pub fn end(mut self, outcome: Outcome, details: EndDetails) {
        self.remove(outcome, details);
    }

    fn remove(&mut self, outcome: Outcome, details: EndDetails) {
        if !self.ended {
            self.ended = true;
            self.entry.end_holding(outcome);
            self.entry.0.shard.remove(&self.entry.0, self.place, outcome, details);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let outcome = if std::thread::panicking() { Outcome::Panicked } else { Outcome::Cancelled };
        self.remove(outcome, EndDetails::new(self.entry.age()));
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&self.entry).finish()
    }
}
