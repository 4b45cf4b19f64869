//! So many a second: a token bucket in one atomic number (the generic cell rate algorithm).

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

const SECOND: f64 = 1e9;

/// Lets so many pass in a second, in bursts of a second's at most; below one a second, one at a time. The clock
/// is that of the runtime where it is asked, so that a test's paused one counts.
#[derive(Debug)]
pub(crate) struct RateLimit {
    started: Instant,
    /// Nanoseconds in which a token comes.
    interval: u64,
    /// Nanoseconds in which a bucket fills.
    burst: u64,
    /// When the bucket is full again, in nanoseconds since the start.
    full: AtomicU64,
}

impl RateLimit {
    /// With a full bucket.
    pub(crate) fn new(per_second: f64) -> Self {
        // a float's conversion keeps to the bounds; a rate that cannot be meant was refused
        let interval = ((SECOND / per_second).round() as u64).max(1);
        let tokens = per_second.floor().max(1.0) as u64;
        let burst = interval.saturating_mul(tokens);
        Self { started: Instant::now(), interval, burst, full: AtomicU64::new(0) }
    }

    /// Whether one more may pass now.
    pub(crate) fn allows(&self) -> bool {
        self.allows_at(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The same at so many nanoseconds after the start.
    fn allows_at(&self, now: u64) -> bool {
        let taken = |full: u64| {
            let next = full.max(now).saturating_add(self.interval);
            (next <= now.saturating_add(self.burst)).then_some(next)
        };
        self.full.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// How many of `asked` pass at each of these milliseconds.
    fn passed(limit: &RateLimit, asked: usize, at: &[u64]) -> Vec<usize> {
        let of = |ms: &u64| (0..asked).filter(|_| limit.allows_at(ms * MS)).count();
        at.iter().map(of).collect()
    }

    #[test]
    fn a_second_lets_its_number_pass_whenever_they_come() {
        let limit = RateLimit::new(5.0);
        assert_eq!(passed(&limit, 9, &[0, 0, 199, 200, 399, 400]), [5, 0, 0, 1, 0, 1]);
        // however long nothing came, there is one second's worth
        assert_eq!(passed(&limit, 9, &[100_000, 100_500]), [5, 2]);
        // a clock that is read out of order takes nothing back
        assert_eq!(passed(&limit, 9, &[100_200]), [0]);
    }

    #[test]
    fn below_one_a_second_they_come_one_by_one() {
        let limit = RateLimit::new(0.5);
        assert_eq!(passed(&limit, 3, &[0, 1999, 2000, 60_000]), [1, 0, 1, 1]);
        let limit = RateLimit::new(2.5);
        assert_eq!(passed(&limit, 9, &[0, 400, 10_000]), [2, 1, 2]);
    }

    #[test]
    fn threads_share_the_bucket() {
        let limit = RateLimit::new(100.0);
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..100).filter(|_| limit.allows_at(0)).count())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 100);
    }
}
