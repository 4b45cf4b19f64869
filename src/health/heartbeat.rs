//! A heartbeat of the service's runtime: what liveness goes by.

use std::{
    sync::{Arc, PoisonError, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use super::{Health, Phase, State};

/// How often a runtime shows that it lives.
const BEAT: Duration = Duration::from_secs(1);

impl Health {
    /// How long ago the service's runtime last showed that it lives; `None` before it did so for the first time.
    #[must_use]
    pub fn heartbeat_age(&self) -> Option<Duration> {
        let beat = self.0.heartbeat.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.0.created.elapsed().saturating_sub(Duration::from_millis(beat)))
    }

    /// Whether the runtime is silent for longer than `TRACEWELL_LIVENESS_STALL_MS`; `false` before the first beat.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        match (self.heartbeat_age(), self.0.stall) {
            (Some(age), Some(stall)) => age > stall,
            _ => false,
        }
    }

    /// Whether the runtime that [`beat`](Self::beat) was run on has ended, although the service does not drain.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.gone.load(Ordering::Acquire) && self.phase() != Phase::Draining
    }

    /// Beats once a second on the runtime it is run on until it is dropped. Cancel safe.
    ///
    /// # Panics
    /// Outside of a tokio runtime with timers.
    pub async fn beat(self) {
        // what it beats on is the service's runtime, whatever was taken for it before
        let runtime = Handle::try_current().ok();
        if let Some(runtime) = &runtime {
            let number = self.0.runtimes.fetch_add(1, Ordering::AcqRel) + 1;
            self.0.gone.store(false, Ordering::Release);
            // nobody can abort it: it is dropped by the end of its runtime
            let last = Last(Arc::downgrade(&self.0), number);
            runtime.spawn(async move {
                let _last = last;
                std::future::pending::<()>().await;
            });
        }
        *self.0.runtime.write().unwrap_or_else(PoisonError::into_inner) = runtime;
        loop {
            self.tell_of_start();
            let now = u64::try_from(self.0.created.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
            self.0.heartbeat.store(now + 1, Ordering::Release);
            let begun = Instant::now();
            tokio::time::sleep(BEAT).await;
            let lag = begun.elapsed().saturating_sub(BEAT).as_nanos();
            self.0.lag.store(u64::try_from(lag).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// By how much the last heartbeat was late; `None` before there was a second one.
    pub(crate) fn lag(&self) -> Option<Duration> {
        (self.0.heartbeat.load(Ordering::Acquire) > 0)
            .then(|| Duration::from_nanos(self.0.lag.load(Ordering::Relaxed)))
    }
}

/// Says that its runtime has ended, when it is dropped with it.
struct Last(Weak<State>, u64);

impl Drop for Last {
    fn drop(&mut self) {
        // another runtime may beat meanwhile
        if let Some(state) = self.0.upgrade().filter(|state| state.runtimes.load(Ordering::Acquire) == self.1)
        {
            state.gone.store(true, Ordering::Release);
        }
    }
}
