//! Counts of the last seconds: a true time window, in memory of a fixed size.

use std::{sync::OnceLock, time::Duration};

use tokio::time::Instant;

/// Slices of a window: a count leaves it after 95 to 100 % of its length, never later.
const SLICES: usize = 20;

/// A reading of the clock, made comparable once for all windows that a call is counted in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) instant: Instant,
    /// Since some moment before all others.
    nanos: u64,
}

impl Moment {
    #[inline]
    pub(super) fn now() -> Self {
        // of the real clock: a paused one may have been advanced
        static FIRST: OnceLock<std::time::Instant> = OnceLock::new();
        let first = *FIRST.get_or_init(std::time::Instant::now);
        let instant = Instant::now();
        Self { instant, nanos: nanos(instant.saturating_duration_since(first.into())) }
    }
}

/// Two kinds of counts over a sliding time window. Recording allocates nothing.
#[derive(Debug)]
pub(super) struct Window {
    /// The length of one, in nanoseconds.
    slice: u64,
    begun: u64,
    /// The slice of the latest count and its first nanosecond, so that the next count seldom divides.
    latest: (u64, u64),
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
        let slice = (nanos(length) / SLICES as u64).max(1);
        let slices = [Slice::default(); SLICES];
        Self { slice, begun: Moment::now().nanos, latest: (0, 0), slices, latest_bad: None }
    }

    /// Whether there is a bad one: cheaper than [`counts`](Self::counts), and what is asked of those that are well.
    pub(super) fn has_bad(&self, now: Moment) -> bool {
        self.latest_bad.is_some_and(|latest| self.number(now).saturating_sub(latest) < SLICES as u64)
    }

    pub(super) fn length(&self) -> Duration {
        Duration::from_nanos(self.slice.saturating_mul(SLICES as u64))
    }

    pub(super) fn add(&mut self, now: Moment, good: u32, bad: u32) {
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

    pub(super) fn counts(&self, now: Moment) -> Counts {
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
    fn place(&mut self, now: Moment) -> u64 {
        let since = self.since(now);
        let (number, from) = self.latest;
        if since.wrapping_sub(from) < self.slice {
            return number;
        }
        let number = since / self.slice;
        self.latest = (number, number * self.slice);
        number
    }

    fn number(&self, now: Moment) -> u64 {
        self.since(now) / self.slice
    }

    fn since(&self, now: Moment) -> u64 {
        now.nanos.saturating_sub(self.begun)
    }
}

/// 64 bits of nanoseconds are 584 years, and divide in a fraction of what 128 bits take.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
