//! The `tracing` subscriber of a test, carried into tasks. A service has one for all its threads and carries none.

use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::{Dispatch, subscriber::NoSubscriber};

static CARRIED: AtomicUsize = AtomicUsize::new(0);

/// While any of these lives, spawned work takes its thread's subscriber along.
///
/// Setting one for every poll costs, and makes every event of the process slower: `tracing` looks into thread-locals once
/// there is a subscriber of one thread.
#[derive(Debug)]
pub(crate) struct CarriedSubscribers(());

impl CarriedSubscribers {
    pub(crate) fn begin() -> Self {
        CARRIED.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for CarriedSubscribers {
    fn drop(&mut self) {
        CARRIED.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The subscriber to carry, if any.
pub(super) fn current() -> Option<Dispatch> {
    if CARRIED.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let current = tracing::dispatcher::get_default(Clone::clone);
    (!current.is::<NoSubscriber>()).then_some(current)
}
