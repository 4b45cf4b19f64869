//! What a policy did so far, for whoever looks at it.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::observe;

/// Shared by the clones of a policy.
#[derive(Debug)]
pub(super) struct PolicyCounts {
    name: Arc<str>,
    in_use: AtomicBool,
    retries: AtomicU64,
    given_up: AtomicU64,
}

/// What a policy did so far.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicySnapshot {
    /// Its name.
    pub name: Arc<str>,
    /// Attempts after the first ones.
    pub retries: u64,
    /// Calls that stayed without a good result.
    pub given_up: u64,
}

static ALL: Mutex<Vec<Weak<PolicyCounts>>> = Mutex::new(Vec::new());

impl PolicyCounts {
    pub(super) fn new(name: Arc<str>) -> Arc<Self> {
        let zero = || AtomicU64::new(0);
        Arc::new(Self { name, in_use: AtomicBool::new(false), retries: zero(), given_up: zero() })
    }

    /// Makes it known, once: a policy that nobody calls is no news.
    #[inline]
    pub(super) fn called(self: &Arc<Self>) {
        if !self.in_use.load(Ordering::Relaxed) {
            self.make_known();
        }
    }

    #[cold]
    fn make_known(self: &Arc<Self>) {
        if !self.in_use.swap(true, Ordering::Relaxed) {
            observe::policy_in_use(&self.name);
            let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|counts| counts.strong_count() > 0);
            all.push(Arc::downgrade(self));
        }
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn gave_up(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }
}

/// All policies that are in use.
#[must_use]
pub fn policies() -> Vec<PolicySnapshot> {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let snapshot = |counts: Arc<PolicyCounts>| PolicySnapshot {
        name: Arc::clone(&counts.name),
        retries: counts.retries.load(Ordering::Relaxed),
        given_up: counts.given_up.load(Ordering::Relaxed),
    };
    all.iter().filter_map(Weak::upgrade).map(snapshot).collect()
}
