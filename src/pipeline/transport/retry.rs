//! How long a refused request is repeated, and when waiting is pointless.
//!
//! A collector often starts together with its service, and is ready later. Until it has answered for the first time, for a
//! minute at most, it is asked every second at least, that time does not count towards giving a batch up, and a shutdown
//! tries a few times more.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// The first pause; each further one is longer by half, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Short enough that a collector that is back gets what waited soon.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// A batch is given up after this time, as the Collector's own exporters do (`max_elapsed_time`).
pub(super) const MAX_ELAPSED: Duration = Duration::from_secs(300);
/// Somebody who waits is told after so many failures in a row that waiting is pointless.
const QUICK_TRIES: u32 = 3;

/// How long a collector that has not answered yet is taken to be on its way.
const START: Duration = Duration::from_secs(60);
/// [`MAX_PAUSE`] meanwhile.
const MAX_PAUSE_AT_START: Duration = Duration::from_secs(1);
/// [`QUICK_TRIES`] meanwhile: between one and two seconds of a shutdown.
const QUICK_TRIES_AT_START: u32 = 8;

/// How patient a transport is: long while the service runs, until the deadline once it stops.
#[derive(Debug)]
pub(crate) struct Patience {
    hurry: Mutex<Hurry>,
    changed: Notify,
    futile: Notify,
    hopeless: AtomicBool,
    /// The end of the collector's start, if it does not answer before.
    starts_until: Instant,
    answered: AtomicBool,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            hurry: Mutex::default(),
            changed: Notify::new(),
            futile: Notify::new(),
            hopeless: AtomicBool::new(false),
            starts_until: Instant::now() + START,
            answered: AtomicBool::new(false),
        }
    }
}

/// Who waits for the transport.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hurry {
    /// The latest deadline of a flush; it changes nothing about what is given up.
    pub(crate) flush: Option<Instant>,
    /// The deadline of the shutdown: nothing is tried past it.
    pub(crate) end: Option<Instant>,
}

impl Patience {
    /// From now on these wait. Pauses under way are cut short accordingly.
    pub(crate) fn set(&self, hurry: Hurry) {
        *self.hurry.lock().unwrap_or_else(PoisonError::into_inner) = hurry;
        self.changed.notify_waiters();
    }

    /// Resolves when a flush had better not be waited for any longer. Cancel safe.
    pub(crate) async fn futile(&self) {
        self.futile.notified().await;
    }

    /// Whether the shutdown has met a collector that does not take anything.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.hopeless.load(Ordering::Relaxed)
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.hurry().end.is_some()
    }

    /// The collector has taken something: it is no longer about to start.
    pub(super) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    fn is_starting(&self) -> bool {
        !self.answered.load(Ordering::Relaxed) && Instant::now() < self.starts_until
    }

    fn hurry(&self) -> Hurry {
        *self.hurry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Attempts at one request, which is outdated at `until`.
    pub(super) fn attempts(&self, until: Option<Instant>) -> Attempts<'_> {
        Attempts { patience: self, started: Instant::now(), until, pause: FIRST_PAUSE, hurried: 0 }
    }
}

/// One request's attempts.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    patience: &'a Patience,
    started: Instant,
    until: Option<Instant>,
    pause: Duration,
    /// Failures while somebody waited.
    hurried: u32,
}

impl Attempts<'_> {
    /// The time that counts towards giving up.
    fn elapsed(&self) -> Duration {
        match self.patience.answered.load(Ordering::Relaxed) {
            true => self.started.elapsed(),
            false => self.started.max(self.patience.starts_until).elapsed(),
        }
    }

    /// Waits for the next attempt after a failure, as long as the collector `asked` for or as we see fit; false when
    /// there is to be none.
    pub(super) async fn again(&mut self, asked: Option<Duration>) -> bool {
        let failed = Instant::now();
        let own = jittered(self.pause);
        let (longest, tries) = match self.patience.is_starting() {
            true => (MAX_PAUSE_AT_START, QUICK_TRIES_AT_START),
            false => (MAX_PAUSE, QUICK_TRIES),
        };
        self.pause = self.pause.mul_f64(1.5).min(longest);
        let mut counted = false;
        loop {
            // registered before the look at who waits, so that no change is missed
            let changed = self.patience.changed.notified();
            let hurry = self.patience.hurry();
            let hurried = hurry != Hurry::default();
            if hurried && !counted {
                counted = true;
                self.hurried += 1;
            }
            let pause = asked.unwrap_or(if hurried { own.min(FIRST_PAUSE) } else { own });
            let left = pause.saturating_sub(failed.elapsed());
            let fits = |limit: Instant| limit.saturating_duration_since(Instant::now()) > left;
            if let Some(end) = hurry.end {
                // a collector that refused several times in a row, or asks for more time than there is
                if self.hurried >= tries || !fits(end) {
                    self.patience.hopeless.store(true, Ordering::Relaxed);
                    return false;
                }
            } else if hurry.flush.is_some_and(|flush| self.hurried >= QUICK_TRIES || !fits(flush)) {
                self.patience.futile.notify_one();
            }
            // compared as durations: a collector may ask for more than an `Instant` can hold
            let outdated = self.until.is_some_and(|until| !fits(until));
            if outdated || self.elapsed().saturating_add(left) >= MAX_ELAPSED {
                return false;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => return true,
                () = changed => {}
            }
        }
    }
}

/// Half to all of the pause: many services whose collector comes back must not arrive together.
fn jittered(pause: Duration) -> Duration {
    use std::hash::{BuildHasher as _, RandomState};
    let random = RandomState::new().hash_one(0u8) as u32;
    pause / 2 + (pause / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For a collector that has been there.
    fn patience() -> Patience {
        let patience = Patience::default();
        patience.answered();
        patience
    }

    async fn pauses(patience: &Patience) -> Vec<Duration> {
        let mut attempts = patience.attempts(None);
        let mut pauses = Vec::new();
        for _ in 0..40 {
            let before = tokio::time::Instant::now();
            assert!(attempts.again(None).await);
            pauses.push(before.elapsed());
        }
        pauses
    }

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_starts_with_the_service_is_asked_every_second_and_nothing_is_given_up_meanwhile()
     {
        let starting = Patience::default();
        let longest = pauses(&starting).await.into_iter().max();
        assert!(longest.is_some_and(|pause| pause <= MAX_PAUSE_AT_START + Duration::from_millis(2)));
        let before = |seconds| Instant::now() - Duration::from_secs(seconds);
        for (answered, starts_until, counts) in [
            (false, Instant::now() + START, false),
            (false, before(3), true),
            (true, Instant::now() + START, true),
        ] {
            let answered = AtomicBool::new(answered);
            let patience = Patience { starts_until, answered, ..Patience::default() };
            let mut attempts = Attempts { started: before(2), ..patience.attempts(None) };
            let goes_on = attempts.again(Some(MAX_ELAPSED - Duration::from_secs(1))).await;
            assert_eq!(goes_on, !counts, "{patience:?}");
        }
        let later = Some(Instant::now() + Duration::from_secs(60));
        starting.set(Hurry { flush: None, end: later });
        let mut attempts = starting.attempts(None);
        for _ in 1..QUICK_TRIES_AT_START {
            assert!(attempts.again(None).await);
        }
        assert!(!attempts.again(None).await && starting.is_hopeless());
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_a_limit_and_what_the_collector_asks_for_is_kept() {
        let patience = patience();
        let pauses = pauses(&patience).await;
        let mut attempts = patience.attempts(None);
        assert!(pauses[0] <= FIRST_PAUSE + Duration::from_millis(2), "{pauses:?}");
        assert!(pauses[39] <= MAX_PAUSE + Duration::from_millis(2) && pauses[39] >= MAX_PAUSE / 2);
        let before = tokio::time::Instant::now();
        assert!(attempts.again(Some(Duration::from_secs(7))).await);
        assert!(before.elapsed() >= Duration::from_secs(7) - Duration::from_millis(5));
        for absurd in [MAX_ELAPSED, Duration::MAX] {
            assert!(!attempts.again(Some(absurd)).await, "longer than a batch is kept");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_gives_up_after_quick_tries_and_a_flush_is_told_while_the_batch_is_kept() {
        let patience = patience();
        let later = Some(Instant::now() + Duration::from_secs(60));
        patience.set(Hurry { flush: later, end: None });
        let mut attempts = patience.attempts(None);
        for _ in 0..QUICK_TRIES {
            assert!(attempts.again(None).await);
        }
        patience.futile().await;
        assert!(!patience.is_hopeless());
        patience.set(Hurry { flush: None, end: later });
        assert!(!attempts.again(None).await && patience.is_hopeless());
        let mut fresh = patience.attempts(None);
        assert!(fresh.again(None).await && fresh.again(None).await && !fresh.again(None).await);
        assert!(!patience.attempts(None).again(Some(Duration::from_secs(61))).await, "more than there is");
    }
}
