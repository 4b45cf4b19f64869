//! How long a refused request is repeated, and when waiting is pointless.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// The first pause; each further one is longer by half, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Short enough that a collector that is back gets what waited soon.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// A batch is given up after this time, as the Collector's own exporters do (`max_elapsed_time`).
const MAX_ELAPSED: Duration = Duration::from_secs(300);

/// How patient a transport is: long while the service runs, until the deadline once it stops.
#[derive(Debug)]
pub(crate) struct Patience {
    hurry: Mutex<Option<Instant>>,
    hurried: Notify,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { hurry: Mutex::new(None), hurried: Notify::new() }
    }

    /// From now on nothing is repeated past `deadline`, and pauses that wait are cut short.
    pub(crate) fn hurry(&self, deadline: Instant) {
        *self.hurry.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
        self.hurried.notify_waiters();
    }

    /// Back to long patience, after a flush.
    pub(crate) fn relax(&self) {
        *self.hurry.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn deadline(&self) -> Option<Instant> {
        *self.hurry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn attempts(&self) -> Attempts<'_> {
        Attempts { patience: self, started: Instant::now(), pause: FIRST_PAUSE, hurried: 0 }
    }

    /// Waits, unless somebody comes to be in a hurry.
    pub(super) async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.hurried.notified() => {}
        }
    }
}

/// One request's attempts.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    patience: &'a Patience,
    started: Instant,
    pause: Duration,
    hurried: u32,
}

impl Attempts<'_> {
    /// The pause before the next attempt, or `None` when there is to be none.
    pub(super) fn next_pause(&mut self, asked: Option<Duration>) -> Option<Duration> {
        let now = Instant::now();
        let limit = match self.patience.deadline() {
            // when the process wants to go, a collector that refused three times in a row will not be waited for
            Some(deadline) => {
                self.hurried += 1;
                if self.hurried > 3 {
                    return None;
                }
                self.pause = self.pause.min(FIRST_PAUSE);
                deadline
            }
            None => self.started + MAX_ELAPSED,
        };
        let pause = asked.unwrap_or_else(|| jittered(self.pause));
        self.pause = self.pause.mul_f64(1.5).min(MAX_PAUSE);
        (now + pause < limit).then_some(pause)
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

    #[test]
    fn pauses_grow_to_a_limit_and_end_when_patience_does() {
        let patience = Patience::new();
        let mut attempts = patience.attempts();
        let pauses: Vec<_> = (0..40).map_while(|_| attempts.next_pause(None)).collect();
        assert_eq!(pauses.len(), 40);
        assert!(pauses[0] <= FIRST_PAUSE && pauses[39] <= MAX_PAUSE && pauses[39] >= MAX_PAUSE / 2);
        assert_eq!(attempts.next_pause(Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(attempts.next_pause(Some(MAX_ELAPSED)), None, "longer than a batch is kept");
        patience.hurry(Instant::now() + Duration::from_secs(60));
        assert_eq!((0..10).map_while(|_| attempts.next_pause(None)).count(), 3);
    }
}
