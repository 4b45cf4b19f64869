//! May traffic come: the service's state from start to drain, and a heartbeat of its runtime.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Where a service is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a service has no other states")]
pub enum Phase {
    /// Not yet ready.
    Starting,
    /// Serving.
    Ready,
    /// On its way out: no new traffic should come.
    Draining,
}

/// The service's own word about its state; a cheap handle.
#[derive(Debug, Clone)]
pub struct Health(Arc<State>);

#[derive(Debug)]
struct State {
    phase: AtomicU8,
    created: Instant,
    /// Milliseconds after `created`, plus one; 0 = no heartbeat yet.
    heartbeat: AtomicU64,
    stall: Option<Duration>,
}

const STARTING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;
/// How often a runtime shows that it lives.
const BEAT: Duration = Duration::from_secs(1);

impl Health {
    pub(crate) fn new(stall: Option<Duration>) -> Self {
        let (phase, heartbeat) = (AtomicU8::new(STARTING), AtomicU64::new(0));
        Self(Arc::new(State { phase, created: Instant::now(), heartbeat, stall }))
    }

    /// The current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.0.phase.load(Ordering::Acquire) {
            STARTING => Phase::Starting,
            READY => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    /// The service can take traffic. Without effect once it drains.
    pub fn set_ready(&self) {
        let _ = self.0.phase.compare_exchange(STARTING, READY, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The service wants no more traffic; there is no way back.
    pub fn set_draining(&self) {
        self.0.phase.store(DRAINING, Ordering::Release);
    }

    /// How long ago the service's runtime last showed that it lives; `None` before it did so for the first time.
    #[must_use]
    pub fn heartbeat_age(&self) -> Option<Duration> {
        let beat = self.0.heartbeat.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.0.created.elapsed().saturating_sub(Duration::from_millis(beat)))
    }

    /// Whether the runtime is silent for longer than `TRACEWELL_LIVENESS_STALL_MS`.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        match (self.heartbeat_age(), self.0.stall) {
            (Some(age), Some(stall)) => age > stall,
            _ => false,
        }
    }

    /// Beats on the runtime it is run on until it is dropped. Cancel safe.
    pub async fn beat(self) {
        loop {
            let now = u64::try_from(self.0.created.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
            self.0.heartbeat.store(now + 1, Ordering::Release);
            tokio::time::sleep(BEAT).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_is_final() {
        let health = Health::new(None);
        assert_eq!(health.phase(), Phase::Starting);
        health.set_ready();
        assert_eq!(health.phase(), Phase::Ready);
        health.set_draining();
        health.set_ready();
        assert_eq!(health.phase(), Phase::Draining);
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_falls_silent_is_stalled_after_the_limit() {
        let health = Health::new(Some(Duration::ZERO));
        assert!(!health.is_stalled(), "without a heartbeat nothing is known");
        let _ = tokio::time::timeout(Duration::from_millis(1), health.clone().beat()).await;
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(5) {
            std::hint::spin_loop();
        }
        assert!(health.is_stalled());
        assert!(
            !Health(Arc::new(State { stall: None, ..State::beaten() })).is_stalled(),
            "no limit, no stall"
        );
    }

    impl State {
        fn beaten() -> Self {
            let (phase, heartbeat) = (AtomicU8::new(READY), AtomicU64::new(1));
            Self { phase, created: Instant::now(), heartbeat, stall: None }
        }
    }
}
