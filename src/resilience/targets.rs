//! Breakers by target: one bad host does not close the way to the good ones.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Breaker, BreakerBuilder, State};

/// One [`Breaker`] for each target, made when the target is first called. Clones share them.
///
/// At most 100 are kept unless [`bounded`](Self::bounded) says otherwise: beyond that the one that was
/// used longest ago makes room, a closed one first. Each target is a series of `breakers.state`.
///
/// ```
/// use tracewell::resilience::{Breaker, Breakers};
///
/// let breakers = Breakers::new(|target| Breaker::builder(target).with_min_calls(20));
/// breakers.of("stock.internal:8080").force_open();
/// assert!(breakers.of("prices.internal:8080").acquire().is_ok());
/// assert!(breakers.of("stock.internal:8080").acquire().is_err());
/// ```
#[derive(Clone)]
pub struct Breakers(Arc<Shared>);

struct Shared {
    make: Box<dyn Fn(&str) -> BreakerBuilder + Send + Sync>,
    max: usize,
    /// Ticks with each use; what it last was for a target says who was used longest ago.
    clock: AtomicU64,
    targets: RwLock<HashMap<Box<str>, Kept>>,
}

struct Kept {
    breaker: Breaker,
    used: AtomicU64,
}

impl Breakers {
    /// Breakers that behave as `make` says; it should use the target as the breaker's name.
    #[must_use]
    pub fn new(make: impl Fn(&str) -> BreakerBuilder + Send + Sync + 'static) -> Self {
        Self::bounded(100, make)
    }

    /// The same with so many at most (at least one).
    #[must_use]
    pub fn bounded(max: usize, make: impl Fn(&str) -> BreakerBuilder + Send + Sync + 'static) -> Self {
        let (make, max) = (Box::new(make), max.max(1));
        Self(Arc::new(Shared { make, max, clock: AtomicU64::new(0), targets: RwLock::default() }))
    }

    /// The breaker of this target. One that is known costs no allocation.
    #[must_use]
    pub fn of(&self, target: &str) -> Breaker {
        let shared = &*self.0;
        let now = shared.clock.fetch_add(1, Ordering::Relaxed);
        if let Some(kept) = shared.targets.read().unwrap_or_else(PoisonError::into_inner).get(target) {
            kept.used.store(now, Ordering::Relaxed);
            return kept.breaker.clone();
        }
        // made outside of the lock: `make` is the user's
        let made = (shared.make)(target).build();
        let mut targets = shared.targets.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = targets.get(target) {
            return kept.breaker.clone();
        }
        if targets.len() >= shared.max {
            let oldest = targets.iter().min_by_key(|(_, kept)| {
                (kept.breaker.state() != State::Closed, kept.used.load(Ordering::Relaxed))
            });
            if let Some(oldest) = oldest.map(|(target, _)| target.clone()) {
                targets.remove(&oldest);
            }
        }
        targets.insert(target.into(), Kept { breaker: made.clone(), used: AtomicU64::new(now) });
        made
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.targets.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing was called yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Breakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breakers")
            .field("targets", &self.len())
            .field("max", &self.0.max)
            .finish_non_exhaustive()
    }
}
