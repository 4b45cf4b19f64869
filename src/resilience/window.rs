//! Counts of the last seconds: a true time window, in memory of a fixed size.

use std::{ops::Range, time::Duration};

use tokio::time::Instant;

/// Slices of a window: a count leaves it after 95 to 100 % of its length, never later.
const SLICES: usize = 20;

/// Two kinds of counts over a sliding time window. Recording allocates nothing.
#[derive(Debug)]
pub(super) struct Window {
    slice: Duration,
    begun: Instant,
    /// The slice of the latest count and where it lies, so that the next one seldom divides.
    latest: (u64, Range<Instant>),
    slices: [Slice; SLICES],
    /// The slice of the latest bad one.
    latest_bad: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slice {
    number: u64,
    counts: Counts,
}

/// What a window holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) good: u32,
    pub(super) bad: u32,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        let slice = (length / u32::try_from(SLICES).unwrap_or(1)).max(Duration::from_nanos(1));
        let begun = Instant::now();
        Self { slice, begun, latest: (0, begun..begun), slices: [Slice::default(); SLICES], latest_bad: None }
    }

    /// Whether there is a bad one: cheaper than [`counts`](Self::counts), and what is asked of those that are well.
    pub(super) fn has_bad(&self, now: Instant) -> bool {
        self.latest_bad.is_some_and(|latest| self.number(now).saturating_sub(latest) < SLICES as u64)
    }

    pub(super) fn length(&self) -> Duration {
        self.slice.saturating_mul(SLICES as u32)
    }

    pub(super) fn add(&mut self, now: Instant, good: u32, bad: u32) {
        let number = self.place(now);
        let slice = &mut self.slices[usize::try_from(number).unwrap_or(0) % SLICES];
        if slice.number > number {
            // its time is over: newer ones have the place
            return;
        }
        if slice.number != number {
            *slice = Slice { number, counts: Counts::default() };
        }
        if bad > 0 {
            self.latest_bad = Some(number);
        }
        slice.counts.good = slice.counts.good.saturating_add(good);
        slice.counts.bad = slice.counts.bad.saturating_add(bad);
    }

    pub(super) fn counts(&self, now: Instant) -> Counts {
        let number = self.number(now);
        let current = |slice: &&Slice| slice.number <= number && number - slice.number < SLICES as u64;
        self.slices.iter().filter(current).fold(Counts::default(), |sum, slice| Counts {
            good: sum.good.saturating_add(slice.counts.good),
            bad: sum.bad.saturating_add(slice.counts.bad),
        })
    }

    pub(super) fn clear(&mut self) {
        self.slices = [Slice::default(); SLICES];
        self.latest_bad = None;
    }

    /// The number of a moment's slice, remembered for the next count.
    fn place(&mut self, now: Instant) -> u64 {
        if self.latest.1.contains(&now) {
            return self.latest.0;
        }
        let number = self.number(now);
        let from = self.begun.checked_add(Duration::from_nanos(number.saturating_mul(nanos(self.slice))));
        if let Some((from, until)) = from.and_then(|from| Some((from, from.checked_add(self.slice)?))) {
            self.latest = (number, from..until);
        }
        number
    }

    fn number(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.begun)) / nanos(self.slice).max(1)
    }
}

/// 64 bits of nanoseconds are 584 years, and divide in a fraction of what 128 bits take.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
