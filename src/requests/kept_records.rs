//! What is kept back with an entry until its end says whether anybody wants it: log records below the filter.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{
    Current, Outcome, Registry,
    entry::{Entry, FAILING, HOLDING},
};

/// What an entry keeps back. Dropped, it is forgotten.
pub(crate) trait Held: Any + Send {
    /// The entry fails: gives out what was kept back. Runs under no lock.
    fn give_out(self: Box<Self>, entry: &Current);

    /// For whoever has put it there.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// Where an entry keeps it.
#[derive(Default)]
pub(super) enum Holder {
    #[default]
    Empty,
    Holding(Box<dyn Held>),
    /// The entry has failed or ended: nothing is kept back any more.
    Over,
}

/// What becomes of something that is to be kept back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holding {
    /// It can be.
    Possible,
    /// The entry fails: it is wanted now.
    Failing,
    /// The entry has ended, and nobody wants it.
    Ended,
}

impl Current {
    /// What would become of it now.
    pub(crate) fn holding(&self) -> Holding {
        if !self.is_active() {
            return Holding::Ended;
        }
        if self.0.has_flag(FAILING) { Holding::Failing } else { Holding::Possible }
    }

    /// Runs `add` on what is kept back, made by `make` before the first; nothing when the entry fails or has ended meanwhile.
    /// Both run under the entry's lock: no code of users, no formatting.
    pub(crate) fn hold<T: Held, R>(
        &self,
        make: impl FnOnce() -> T,
        add: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        self.0.with_state(|state| {
            let holder = &mut state.details.get_or_insert_with(Box::default).holder;
            if matches!(holder, Holder::Empty) {
                *holder = Holder::Holding(Box::new(make()));
                self.0.set_flag(HOLDING, true);
            }
            match holder {
                Holder::Holding(held) => held.as_any_mut().downcast_mut().map(add),
                Holder::Empty | Holder::Over => None,
            }
        })
    }

    /// Says that the entry fails, before its end: the log events that are kept back for this case
    /// (`TRACEWELL_LOG_ON_FAILURE`) are logged now, with their own times, and further ones at once.
    ///
    /// A log record of the level ERROR, a status of 500 or above, a panic and every end but a good one do it by themselves.
    pub fn fail_log(&self) {
        if self.is_active() && self.0.set_flag(FAILING, true) {
            self.give_out();
        }
    }

    #[cold]
    fn give_out(&self) {
        if let Some(held) = self.take_held() {
            // a panic in a processor of the user's is not worth another end of the request
            let _ = catch_unwind(AssertUnwindSafe(|| held.give_out(self)));
        }
    }

    fn take_held(&self) -> Option<Box<dyn Held>> {
        self.0.with_state(|state| {
            let details = state.details.as_mut()?;
            match std::mem::replace(&mut details.holder, Holder::Over) {
                Holder::Holding(held) => Some(held),
                Holder::Empty | Holder::Over => None,
            }
        })
    }

    /// The end decides. Called once, before the entry leaves the table.
    #[inline]
    pub(super) fn end_holding(&self, outcome: Outcome) {
        if self.0.has_flag(HOLDING) {
            match outcome {
                Outcome::Completed => drop(self.take_held()),
                _ => self.give_out(),
            }
        }
    }
}

impl Registry {
    /// The service goes down: whatever is still running has failed.
    pub(crate) fn fail_logs(&self) {
        let mut holding = Vec::new();
        for shard in self.shards() {
            shard.pick(|entry: &Entry| entry.has_flag(HOLDING), &mut holding);
        }
        for entry in holding {
            Current(entry).fail_log();
        }
    }
}
