//! When to try again, and after how long.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

use super::Budget;

/// A pause that the other side asks for and that is longer than this, and than the retries' own longest delay, is not
/// waited for: the call would hang for as long as somebody else likes.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// How often and how soon to try again: 3 retries, from 0.5 s on, doubling, with full jitter, within a [`Budget`].
///
/// The growth is `backon`'s; the jitter is ours, since `backon` adds it to the delay: full jitter picks between nothing
/// and the delay, so that clients that failed together do not come back together.
#[derive(Debug, Clone)]
pub struct Retry {
    max_retries: u32,
    first: Duration,
    longest: Duration,
    jitter: bool,
    pub(super) budget: Option<Budget>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_retries: 3,
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            jitter: true,
            budget: Some(Budget::default()),
        }
    }
}

impl Retry {
    /// As [`Default`] says.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// At most this many retries: one more attempt than that.
    #[must_use]
    pub fn with_max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    /// The upper bound of the first delay, and of all of them. A pause that the other side asks for (`Retry-After`) may be
    /// longer, up to 60 s; where it asks for more than both, the call is not tried again.
    #[must_use]
    pub fn with_delays(mut self, first: Duration, longest: Duration) -> Self {
        (self.first, self.longest) = (first, longest.max(first));
        self
    }

    /// Whether delays are picked at random below their bound; without it they are the bound.
    #[must_use]
    pub fn with_jitter(mut self, jitter: bool) -> Self {
        self.jitter = jitter;
        self
    }

    /// Shares this budget, or has none.
    #[must_use]
    pub fn with_budget(mut self, budget: Option<Budget>) -> Self {
        self.budget = budget;
        self
    }

    /// The longest pause that the other side may ask for.
    pub(super) fn longest_asked(&self) -> Duration {
        self.longest.max(LONGEST_ASKED)
    }

    pub(super) fn max_retries(&self) -> u32 {
        self.max_retries
    }

    /// The delays of one call; made when its first attempt has failed.
    pub(super) fn delays(&self) -> Delays {
        let builder = ExponentialBuilder::new()
            .with_min_delay(self.first)
            .with_max_delay(self.longest)
            .with_factor(2.0)
            .without_max_times();
        Delays { bounds: builder.build(), jitter: self.jitter }
    }
}

pub(super) struct Delays {
    bounds: ExponentialBackoff,
    jitter: bool,
}

impl Delays {
    /// The next delay; never shorter than what the other side asked for.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let bound = self.bounds.next().unwrap_or_default();
        let delay = if self.jitter { bound.mul_f64(random()) } else { bound };
        delay.max(asked.unwrap_or_default())
    }
}

/// From 0 to 1. Each `RandomState` has other keys: random enough to spread retries, and without a dependency.
fn random() -> f64 {
    let bits = RandomState::new().hash_one(0_u8) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_jitter_stays_below() {
        let retry = Retry::new().with_delays(Duration::from_millis(500), Duration::from_secs(3));
        let bounds = [500, 1000, 2000, 3000, 3000].map(Duration::from_millis);
        let mut exact = retry.clone().with_jitter(false).delays();
        assert_eq!(bounds.map(|_| exact.next(None)), bounds);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..50 {
            let mut delays = retry.delays();
            for bound in bounds {
                let delay = delays.next(None);
                assert!(delay <= bound);
                seen.insert(delay);
            }
        }
        assert!(seen.len() > 100, "spread out");
        assert_eq!(retry.delays().next(Some(Duration::from_secs(7))), Duration::from_secs(7));
    }
}
