//! The circuit breaker: after too many failures nobody calls for a while.
//!
//! ```text
//!            too many failures               open for long enough
//!  closed ─────────────────────────► open ─────────────────────────► half-open
//!    ▲                                ▲                                 │   │
//!    │                                └───────── a bad probe ───────────┘   │
//!    └────────────────────────── good probes in a row ──────────────────────┘
//! ```

mod builder;
mod permit;
mod state;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::Instant;

use self::permit::Admission;
pub use self::{
    builder::BreakerBuilder,
    permit::Permit,
    state::{BreakerOpen, BreakerSnapshot, State},
};
use super::{
    observe,
    window::{Moment, Window},
};

/// A circuit breaker in front of one target. Clones share it.
///
/// It opens when more than half of the calls of the last 10 s failed and there were 10 at least, is half-open 60 s later,
/// closes after 3 good probes in a row and opens again after a bad one. A call that is dropped counts as neither.
///
/// Why our own: a policy around any future needs a permit that is given back when the call is dropped, and a window in
/// time that allocates nothing. `failsafe` 1.3 weighs calls by a moving average, in which they fade instead of leaving,
/// and does not open before it has run for a window's length; the ring of `recloser` 1.4 holds a number of calls whatever
/// their age; `tower-resilience-circuitbreaker` 0.14 has a true window and gives permits back, but keeps a record of each
/// call in the window, and is tower middleware alone.
///
/// The window is divided into 20 slices: a call leaves it after 95 to 100 % of its length.
#[derive(Clone)]
pub struct Breaker(Arc<Shared>);

struct Shared {
    settings: BreakerBuilder,
    inner: Mutex<Inner>,
    /// The generation while it is closed, else [`NOT_CLOSED`]: what a call of a target that is well reads instead of
    /// taking the lock.
    closed: AtomicU64,
}

const NOT_CLOSED: u64 = u64::MAX;

struct Inner {
    state: State,
    window: Window,
    /// When it opened; `None` while open means: by hand, until a reset.
    opened: Option<Instant>,
    probes_running: u32,
    probes_good: u32,
    /// Calls that did not pass.
    rejected: u64,
    /// Counts changes of state: what a call admitted before the last one found out is no news.
    generation: u64,
}

static ALL: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

impl Breaker {
    /// A breaker for calls of `target`, a name of low cardinality: it is an attribute of metrics.
    pub fn builder(target: impl Into<Arc<str>>) -> BreakerBuilder {
        BreakerBuilder::new(target.into())
    }

    /// A breaker with the defaults.
    #[must_use]
    pub fn new(target: impl Into<Arc<str>>) -> Self {
        Self::builder(target).build()
    }

    /// Who is called.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.0.settings.target
    }

    /// The state now. An open breaker is half-open once its time has passed, also before a probe has asked.
    #[must_use]
    pub fn state(&self) -> State {
        let inner = self.lock();
        if self.is_due(&inner) { State::HalfOpen } else { inner.state }
    }

    /// Asks to make a call.
    ///
    /// # Errors
    ///
    /// It is open, or half-open with all its probes under way.
    pub fn acquire(&self) -> Result<Permit, BreakerOpen> {
        self.admit().map(|generation| Permit(Admission::new(self.clone(), generation)))
    }

    /// The same for those who hold the breaker longer than the permit.
    pub(in crate::resilience) fn acquire_ref(&self) -> Result<Admission<&Self>, BreakerOpen> {
        self.admit().map(|generation| Admission::new(self, generation))
    }

    fn of(settings: BreakerBuilder) -> Self {
        let inner = Inner {
            state: State::Closed,
            window: Window::new(settings.window),
            opened: None,
            probes_running: 0,
            probes_good: 0,
            rejected: 0,
            generation: 0,
        };
        let shared = Arc::new(Shared { settings, inner: Mutex::new(inner), closed: AtomicU64::new(0) });
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|breaker| breaker.strong_count() > 0);
        all.push(Arc::downgrade(&shared));
        Self(shared)
    }

    fn admit(&self) -> Result<u64, BreakerOpen> {
        observe::instruments();
        match self.0.closed.load(Ordering::Acquire) {
            NOT_CLOSED => self.admit_unless_open(),
            generation => Ok(generation),
        }
    }

    fn admit_unless_open(&self) -> Result<u64, BreakerOpen> {
        let mut changed = None;
        let admitted = {
            let mut inner = self.lock();
            if self.is_due(&inner) {
                changed = Some(self.0.become_(&mut inner, State::HalfOpen, None));
            }
            let probe = inner.state == State::HalfOpen;
            let admitted = match inner.state {
                State::Closed => true,
                State::Open => false,
                State::HalfOpen => inner.probes_running < self.0.settings.probes,
            };
            inner.probes_running += u32::from(probe && admitted);
            inner.rejected = inner.rejected.saturating_add(u64::from(!admitted));
            admitted.then_some(inner.generation)
        };
        self.tell(changed);
        admitted.ok_or_else(|| BreakerOpen { target: Arc::clone(&self.0.settings.target) })
    }

    /// Opens it until [`reset`](Self::reset).
    pub fn force_open(&self) {
        let changed = self.0.become_(&mut self.lock(), State::Open, None);
        self.tell(Some(changed));
    }

    /// Closes it and forgets what was counted.
    pub fn reset(&self) {
        let changed = self.0.become_(&mut self.lock(), State::Closed, None);
        self.tell(Some(changed));
    }

    /// What it holds now, all of one moment.
    #[must_use]
    pub fn snapshot(&self) -> BreakerSnapshot {
        let now = Moment::now();
        let settings = &self.0.settings;
        let inner = self.lock();
        let counts = inner.window.counts(now);
        BreakerSnapshot {
            target: Arc::clone(&settings.target),
            state: if self.is_due(&inner) { State::HalfOpen } else { inner.state },
            by_hand: inner.state == State::Open && inner.opened.is_none(),
            open_since: inner.opened.map(|opened| now.instant.saturating_duration_since(opened)),
            good: counts.good,
            bad: counts.bad,
            rejected: inner.rejected,
            probes_running: inner.probes_running,
            probes_good: inner.probes_good,
            window: inner.window.length(),
            failure_share: settings.share,
            min_calls: settings.min_calls,
            open_for: settings.open_for,
            probes: settings.probes,
        }
    }

    fn decide(&self, generation: u64, good: Option<bool>, now: Moment) {
        let settings = &self.0.settings;
        let changed = {
            let mut inner = self.lock();
            if inner.generation != generation {
                return;
            }
            match (inner.state, good) {
                (State::Closed, Some(good)) => {
                    inner.window.add(now, u32::from(good), u32::from(!good));
                    // a good call opens it as well, if it is the one that makes the calls enough
                    inner
                        .is_too_bad(settings, now)
                        .then(|| self.0.become_(&mut inner, State::Open, Some(now.instant)))
                }
                (State::HalfOpen, Some(false)) => {
                    Some(self.0.become_(&mut inner, State::Open, Some(now.instant)))
                }
                (State::HalfOpen, good) => {
                    inner.probes_running = inner.probes_running.saturating_sub(1);
                    inner.probes_good += u32::from(good.is_some());
                    (inner.probes_good >= settings.probes)
                        .then(|| self.0.become_(&mut inner, State::Closed, None))
                }
                (State::Closed | State::Open, _) => None,
            }
        };
        self.tell(changed);
    }

    fn is_due(&self, inner: &Inner) -> bool {
        let passed = |opened: Instant| opened.elapsed() >= self.0.settings.open_for;
        inner.state == State::Open && inner.opened.is_some_and(passed)
    }

    #[inline]
    fn tell(&self, changed: Option<(State, State)>) {
        if let Some((old, new)) = changed {
            self.tell_change(old, new);
        }
    }

    fn tell_change(&self, old: State, new: State) {
        if old == new {
            return;
        }
        observe::breaker_changed(self.target(), old, new);
        for listener in &self.0.settings.listeners {
            let _ = catch_unwind(AssertUnwindSafe(|| listener(self.target(), old, new)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_too_bad(&self, settings: &BreakerBuilder, now: Moment) -> bool {
        if !self.window.has_bad(now) {
            return false;
        }
        let counts = self.window.counts(now);
        let total = counts.good.saturating_add(counts.bad);
        total >= settings.min_calls && f64::from(counts.bad) > f64::from(total) * settings.share
    }
}

impl Shared {
    fn become_(&self, inner: &mut Inner, state: State, opened: Option<Instant>) -> (State, State) {
        let old = std::mem::replace(&mut inner.state, state);
        // never the mark, after 584 years of a change each nanosecond either
        inner.generation = inner.generation.wrapping_add(1) % NOT_CLOSED;
        inner.opened = opened;
        (inner.probes_running, inner.probes_good) = (0, 0);
        inner.window.clear();
        let closed = if state == State::Closed { inner.generation } else { NOT_CLOSED };
        self.closed.store(closed, Ordering::Release);
        (old, state)
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("target", &self.target()).finish_non_exhaustive()
    }
}

/// All breakers that are in use.
#[must_use]
pub fn breakers() -> Vec<Breaker> {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().filter_map(Weak::upgrade).map(Breaker).collect()
}
