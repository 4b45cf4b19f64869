//! Waiting until the requests are gone: woken by the last one, never polling.

use std::{pin::pin, time::Duration};

use tokio::{sync::Notify, time::Instant};

use super::{
    ActiveEntry, Kind, Registry,
    entry::INTERRUPTED,
    sync::{AtomicUsize, Ordering},
};

/// Wakes those who wait for a registry to be idle.
pub(super) struct IdleSignal {
    waiters: AtomicUsize,
    notify: Notify,
}

impl IdleSignal {
    pub(super) fn new() -> Self {
        Self { waiters: AtomicUsize::new(0), notify: Notify::new() }
    }

    /// Called after a shard became idle, outside of its lock.
    ///
    /// A waiter counts itself before it looks at the shards. If it looked at this one before the change, the lock it took
    /// orders its count before this load; if after, it saw the change.
    pub(super) fn ring(&self) {
        if self.waiters.load(Ordering::Relaxed) > 0 {
            self.notify.notify_waiters();
        }
    }
}

struct Waiter<'a>(&'a IdleSignal);

impl<'a> Waiter<'a> {
    fn new(signal: &'a IdleSignal) -> Self {
        signal.waiters.fetch_add(1, Ordering::Relaxed);
        Self(signal)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Registry {
    /// Waits for a moment at which no request is active. Tasks do not count.
    ///
    /// Cancel safety: may be dropped at any time and called again. Needs no runtime.
    pub async fn idle(&self) {
        self.wait(true).await;
    }

    /// Like [`idle`](Self::idle), but requests in the stage [`STREAMING`](super::STREAMING) do not count either. Cancel
    /// safe too.
    pub async fn idle_except_streams(&self) {
        self.wait(false).await;
    }

    async fn wait(&self, streams_count: bool) {
        let signal = self.idle_signal();
        let _waiter = Waiter::new(signal);
        loop {
            let mut changed = pin!(signal.notify.notified());
            // from here on no ring is missed
            changed.as_mut().enable();
            if self.is_idle(streams_count) {
                return;
            }
            changed.await;
        }
    }

    /// Waits until only streams are left, at most for `deadline`, and says what is left then.
    ///
    /// It ends nothing: closing what is left is the server's part. What is left,
    /// streams included, is marked: dropped from now on, it counts as cancelled or aborted as ever, and its span says
    /// `tracewell.cancel.reason` = `shutdown`.
    /// Cancel safety: may be dropped at any time and called again.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its timer enabled, unless nothing is to be waited for.
    pub async fn drain(&self, deadline: Duration) -> DrainReport {
        let begin = Instant::now();
        if !self.is_idle(false) {
            // an elapsed deadline shows in the report
            let _ = tokio::time::timeout(deadline, self.idle_except_streams()).await;
        }
        let waited = begin.elapsed();
        self.interrupt();
        let snapshot = self.snapshot();
        let requests = snapshot.active.into_iter().filter(|entry| entry.kind == Kind::Request);
        let (streams, left) = requests.partition(ActiveEntry::is_stream);
        DrainReport { left, streams, unlisted: snapshot.unlisted, waited }
    }
}

impl Registry {
    /// Marks the requests that are active now.
    fn interrupt(&self) {
        let mut left = Vec::new();
        for shard in self.shards() {
            shard.pick(|entry| entry.kind == Kind::Request, &mut left);
        }
        for entry in left {
            entry.set_flag(INTERRUPTED, true);
        }
    }
}

/// Waits until only streams are left in the global registry; see [`Registry::drain`], also for its cancel safety.
///
/// # Panics
///
/// Outside of a tokio runtime with its timer enabled, unless nothing is to be waited for.
pub async fn drain(deadline: Duration) -> DrainReport {
    Registry::global().drain(deadline).await
}

/// Who was left when a drain was over.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DrainReport {
    /// Requests that did not end in time, oldest first. Each has a one-line `Display`.
    pub left: Vec<ActiveEntry>,
    /// Requests in the stage [`STREAMING`](super::STREAMING), which the drain does not wait for.
    pub streams: Vec<ActiveEntry>,
    /// Requests, streams or not, that are missing in both lists because the table was full.
    pub unlisted: u64,
    /// How long the drain took.
    pub waited: Duration,
}

impl DrainReport {
    /// Whether nothing but listed streams was left.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.left.is_empty() && self.unlisted == 0
    }
}
