//! The permission to make one call: given back when the call is dropped.

use std::borrow::Borrow;

use super::Breaker;
use crate::resilience::window::Moment;

/// The permission to make one call. Dropped without a word, the call counts as neither good nor bad.
#[derive(Debug)]
#[must_use = "dropped, the call counts as neither"]
pub struct Permit(pub(super) Admission<Breaker>);

impl Permit {
    /// The target is well.
    pub fn succeeded(self) {
        self.0.result(true, Moment::now());
    }

    /// The target is not.
    pub fn failed(self) {
        self.0.result(false, Moment::now());
    }
}

/// A permit that owns the breaker, or does not.
#[derive(Debug)]
pub(in crate::resilience) struct Admission<B: Borrow<Breaker>> {
    breaker: B,
    generation: u64,
    decided: bool,
}

impl<B: Borrow<Breaker>> Admission<B> {
    pub(super) const fn new(breaker: B, generation: u64) -> Self {
        Self { breaker, generation, decided: false }
    }

    pub(in crate::resilience) fn result(mut self, good: bool, now: Moment) {
        self.decided = true;
        self.breaker.borrow().decide(self.generation, Some(good), now);
    }
}

impl<B: Borrow<Breaker>> Drop for Admission<B> {
    fn drop(&mut self) {
        if !self.decided {
            self.breaker.borrow().decide(self.generation, None, Moment::now());
        }
    }
}
