//! The bulkhead: one target's slowness may take so many of the service's calls, and no more.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::Instant,
};

use super::observe;

/// A call was not made, because all places were taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the bulkhead of {bulkhead} is full: {limit} calls are under way")]
#[non_exhaustive]
pub struct BulkheadFull {
    /// Whose places.
    pub bulkhead: Arc<str>,
    /// How many there are.
    pub limit: usize,
}

/// A limit of the calls that are under way at a time, with a bounded wait. Clones share it.
///
/// A call that finds no place waits for one, in the order of arrival, for [`with_max_wait`](BulkheadBuilder::with_max_wait) at most
/// (not at all unless said otherwise); when [`with_max_waiting`](BulkheadBuilder::with_max_waiting) wait already it is refused at
/// once. What is refused is counted in `bulkhead.rejections`; it is not tried again, since what is full would only be
/// fuller.
#[derive(Clone)]
pub struct Bulkhead(Arc<Shared>);

/// How a bulkhead shall behave; see [`Bulkhead::builder`].
#[derive(Debug)]
#[must_use = "a bulkhead is made by build()"]
pub struct BulkheadBuilder {
    name: Arc<str>,
    limit: usize,
    max_wait: Duration,
    max_waiting: usize,
}

struct Shared {
    settings: BulkheadBuilder,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    rejected: AtomicU64,
}

/// A place in a bulkhead, until it is dropped.
#[derive(Debug)]
#[must_use = "dropped, the place is free again"]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

/// What a bulkhead holds at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BulkheadSnapshot {
    /// Its name.
    pub name: Arc<str>,
    /// Calls that may be under way at a time.
    pub limit: usize,
    /// Calls under way.
    pub in_use: usize,
    /// Calls that wait for a place.
    pub waiting: usize,
    /// Calls refused so far.
    pub rejected: u64,
}

static ALL: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

impl BulkheadBuilder {
    /// How long a call waits for a place at most (not at all).
    pub fn with_max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// How many calls wait at most (as many as there are places).
    pub fn with_max_waiting(mut self, calls: usize) -> Self {
        self.max_waiting = calls;
        self
    }

    /// The bulkhead, empty.
    #[must_use]
    pub fn build(self) -> Bulkhead {
        let shared = Arc::new(Shared {
            places: Arc::new(Semaphore::new(self.limit)),
            settings: self,
            waiting: AtomicUsize::new(0),
            rejected: AtomicU64::new(0),
        });
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|bulkhead| bulkhead.strong_count() > 0);
        all.push(Arc::downgrade(&shared));
        Bulkhead(shared)
    }
}

impl Bulkhead {
    /// At most `limit` calls at a time (at least one); `name`, of low cardinality, is an attribute of a metric.
    pub fn builder(name: impl Into<Arc<str>>, limit: usize) -> BulkheadBuilder {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        BulkheadBuilder { name: name.into(), limit, max_wait: Duration::ZERO, max_waiting: limit }
    }

    /// The same, without a wait.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, limit: usize) -> Self {
        Self::builder(name, limit).build()
    }

    /// A place for one call, now or within the bounded wait. A free place costs no allocation. Cancel safe: dropped, it has
    /// left the queue.
    ///
    /// # Errors
    ///
    /// There is no place in time, or so many wait already.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its timer enabled, when it has to wait.
    pub async fn acquire(&self) -> Result<Place, BulkheadFull> {
        self.acquire_until(None).await
    }

    /// A free place, for those who hold the bulkhead longer than the place.
    pub(super) fn try_acquire_ref(&self) -> Option<SemaphorePermit<'_>> {
        self.0.places.try_acquire().ok()
    }

    pub(super) async fn acquire_until(&self, deadline: Option<Instant>) -> Result<Place, BulkheadFull> {
        let Shared { places, settings, waiting, .. } = &*self.0;
        if let Ok(permit) = Arc::clone(places).try_acquire_owned() {
            return Ok(Place { _permit: permit });
        }
        if settings.max_wait.is_zero() {
            return Err(self.full());
        }
        let wait = Waiting::enter(waiting);
        if wait.before >= settings.max_waiting {
            return Err(self.full());
        }
        let own = Instant::now().checked_add(settings.max_wait);
        let place = Arc::clone(places).acquire_owned();
        let permit = match [own, deadline].into_iter().flatten().min() {
            Some(until) => tokio::time::timeout_at(until, place).await.ok(),
            None => Some(place.await),
        };
        // it is never closed
        permit.and_then(Result::ok).map(|permit| Place { _permit: permit }).ok_or_else(|| self.full())
    }

    /// What it holds now.
    #[must_use]
    pub fn snapshot(&self) -> BulkheadSnapshot {
        let shared = &*self.0;
        BulkheadSnapshot {
            name: Arc::clone(&shared.settings.name),
            limit: shared.settings.limit,
            in_use: shared.settings.limit.saturating_sub(shared.places.available_permits()),
            waiting: shared.waiting.load(Ordering::Relaxed),
            rejected: shared.rejected.load(Ordering::Relaxed),
        }
    }

    fn full(&self) -> BulkheadFull {
        self.0.rejected.fetch_add(1, Ordering::Relaxed);
        let BulkheadBuilder { name, limit, .. } = &self.0.settings;
        observe::rejected(name);
        BulkheadFull { bulkhead: Arc::clone(name), limit: *limit }
    }
}

/// Counts one who waits, until it is dropped.
struct Waiting<'a> {
    waiting: &'a AtomicUsize,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicUsize) -> Self {
        Self { waiting, before: waiting.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Bulkhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bulkhead").field(&self.snapshot()).finish()
    }
}

/// All bulkheads that are in use.
#[must_use]
pub fn bulkheads() -> Vec<Bulkhead> {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().filter_map(Weak::upgrade).map(Bulkhead).collect()
}
