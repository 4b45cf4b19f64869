//! Cancellation from outside: an operator asks, the owner of the work lets go of it.

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::Arc as StdArc,
    task::{Context as Poller, Poll},
};

use pin_project_lite::pin_project;
use tokio::sync::Notify;

use super::{
    Current, EntryId, Registry, Scope,
    details::Details,
    entry::{CANCEL_ASKED, CANCELLABLE},
};

impl Registry {
    /// Asks the owner of an active entry to drop its work. Whether there is such an entry and its owner listens: not by
    /// default, see [`NewEntry::with_cancellation`](super::NewEntry::with_cancellation).
    ///
    /// The entry ends as [`Cancelled`](super::Outcome::Cancelled) when its owner lets go, at its next poll, with the
    /// annotation `cancelled_by` = `operator`, and with `tracewell.cancel.reason` = `operator` on its span; a response
    /// under way ends as [`Aborted`](super::Outcome::Aborted). One log record at WARN says so. Asking again changes nothing. Entries that are counted but not listed
    /// cannot be found. Looks at every entry: for operators, not for programs.
    #[must_use = "false says that nothing is cancelled"]
    pub fn cancel(&self, id: EntryId) -> bool {
        self.cancel_by(id, "operator")
    }

    /// [`cancel`](Self::cancel) with the name of who asks, in the place of `operator` (256 bytes are kept).
    #[must_use = "false says that nothing is cancelled"]
    pub fn cancel_by(&self, id: EntryId, who: &str) -> bool {
        self.active(id).is_some_and(|entry| entry.ask_to_cancel(who))
    }

    /// The handle on an active entry that is listed. Looks at every entry.
    pub(crate) fn active(&self, id: EntryId) -> Option<Current> {
        let mut found = Vec::new();
        for shard in self.shards() {
            shard.pick(|entry| entry.id == id, &mut found);
            if let Some(entry) = found.pop() {
                return Some(Current(entry));
            }
        }
        None
    }

    /// [`cancel`](Self::cancel) by the id's shown form.
    #[must_use = "false says that nothing is cancelled"]
    pub fn cancel_by_text(&self, id: &str) -> bool {
        EntryId::parse(id).is_some_and(|id| self.cancel(id))
    }
}

impl Current {
    /// Whether an operator may cancel the entry.
    #[must_use]
    pub fn is_cancellable(&self) -> bool {
        self.0.has_flag(CANCELLABLE)
    }

    /// Whether an operator asked for the entry's end.
    #[must_use]
    pub fn is_cancel_asked(&self) -> bool {
        self.0.has_flag(CANCEL_ASKED)
    }

    /// Resolves when an operator cancels the entry; never if that is not allowed.
    ///
    /// Cancel safety: may be dropped at any time and called again. Needs no runtime.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + Sync + 'static + use<> {
        let entry = self.clone();
        async move {
            let Some(signal) = entry.cancel_signal() else { return std::future::pending().await };
            let mut asked = pin!(signal.notified());
            // from here on no wake-up is missed
            asked.as_mut().enable();
            if !entry.is_cancel_asked() {
                asked.await;
            }
        }
    }

    fn cancel_signal(&self) -> Option<StdArc<Notify>> {
        if !self.is_cancellable() {
            return None;
        }
        let signal = self.0.with_state(|state| {
            let details = state.details.get_or_insert_with(Box::default);
            StdArc::clone(details.cancel.get_or_insert_with(StdArc::default))
        });
        Some(signal)
    }

    /// Its owner does not listen any more.
    pub(crate) fn forbid_cancellation(&self) {
        self.0.set_flag(CANCELLABLE, false);
    }

    fn ask_to_cancel(&self, who: &str) -> bool {
        if !self.is_cancellable() || !self.is_active() {
            return false;
        }
        if self.is_cancel_asked() {
            return true;
        }
        let who = super::bounded_text::format_bounded(who, Details::MAX_VALUE);
        // before the flag: who sees that finds these
        self.annotate("cancelled_by", &who);
        self.say_cancelled(&who);
        self.0.with_state(|state| {
            state.details.get_or_insert_with(Box::default).cancelled_by.get_or_insert(who);
        });
        if self.0.set_flag(CANCEL_ASKED, true) {
            let signal = self.0.with_state(|state| state.details.as_ref()?.cancel.clone());
            if let Some(signal) = signal {
                signal.notify_waiters();
            }
        }
        true
    }
}

/// An operator cancelled the work; it has been dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cancelled by an operator")
    }
}

impl std::error::Error for Cancelled {}

pin_project! {
    /// A future that an operator can end: it drops the work at once and is [`Cancelled`] then.
    ///
    /// Of an entry that does not allow it, the work is polled and nothing else. Cancel safety: that of the work.
    #[must_use = "futures do nothing unless polled"]
    #[project = CancellableProj]
    pub struct Cancellable<F> {
        #[pin]
        work: Option<F>,
        entry: Current,
        asked: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
    }

    impl<F> PinnedDrop for Cancellable<F> {
        fn drop(this: Pin<&mut Self>) {
            this.project().let_go();
        }
    }
}

impl<F> Cancellable<F> {
    /// `work`, until the entry is cancelled.
    pub fn new(entry: &Current, work: F) -> Self {
        let asked = entry.is_cancellable().then(|| Box::pin(entry.cancelled()) as _);
        Self { work: Some(work), entry: entry.clone(), asked }
    }
}

impl<F> CancellableProj<'_, F> {
    /// Drops the work with its entry as the current one.
    fn let_go(&mut self) {
        if self.work.is_some() {
            let mut scope = Scope::new(Some(self.entry.clone()));
            let _entered = scope.enter();
            self.work.set(None);
        }
    }
}

impl<F: Future> Future for Cancellable<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(asked) = this.asked {
            if asked.as_mut().poll(poller).is_ready() {
                this.let_go();
                *this.asked = None;
                return Poll::Ready(Err(Cancelled));
            }
        }
        match this.work.as_mut().as_pin_mut() {
            Some(work) => work.poll(poller).map(Ok),
            // polled after it was cancelled
            None => Poll::Pending,
        }
    }
}

impl<F> fmt::Debug for Cancellable<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellable").field("entry", &self.entry).finish_non_exhaustive()
    }
}
