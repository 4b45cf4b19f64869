//! What became of a signal's items, and why some never left: numbers that add up in every snapshot.

/// Why an item never left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// The queue was full: it came when there was no room, or made room for another.
    QueueFull,
    /// It was emitted after the shutdown, or was left unsent when the shutdown gave up.
    Shutdown,
    /// The collector could not be reached, or asked for patience, for longer than we retry.
    RetriesExhausted,
    /// It was sent, and no answer came that could be read, at the latest by the shutdown's deadline: it may have arrived.
    Unanswered,
    /// The collector answered that it will never take it, partial success included.
    Rejected,
    /// It exceeds what one request may hold.
    TooLarge,
}

impl Loss {
    /// All reasons, in the order of [`Account::losses`].
    pub const ALL: [Self; 6] = [
        Self::QueueFull,
        Self::Shutdown,
        Self::RetriesExhausted,
        Self::Unanswered,
        Self::Rejected,
        Self::TooLarge,
    ];

    /// The reason in the words of metrics and pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Shutdown => "shutdown",
            Self::RetriesExhausted => "retries_exhausted",
            Self::Unanswered => "unanswered",
            Self::Rejected => "rejected",
            Self::TooLarge => "too_large",
        }
    }

    /// Dropped before any attempt to send it, rather than failed in one.
    const fn is_drop(self) -> bool {
        matches!(self, Self::QueueFull | Self::Shutdown)
    }
}

/// What became of a signal's items: sampled spans, log records or metric data points.
///
/// `emitted = exported + dropped + failed + queued` holds in every snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Account {
    /// Given to the pipeline.
    pub emitted: u64,
    /// Accepted by the collector.
    pub exported: u64,
    /// Never sent: the queue was full, or the pipeline was shut down.
    pub dropped: u64,
    /// Sent or tried, and not known to be accepted: `exported` ≤ what arrived ≤ `exported + failed`.
    pub failed: u64,
    /// Waiting, a batch in flight included.
    pub queued: u64,
    losses: [u64; Loss::ALL.len()],
}

impl Account {
    /// Items lost for this reason.
    #[must_use]
    pub fn lost(&self, reason: Loss) -> u64 {
        Loss::ALL.iter().position(|each| *each == reason).map_or(0, |at| self.losses[at])
    }

    /// Every reason with its count, zeros left out.
    pub fn losses(&self) -> impl Iterator<Item = (Loss, u64)> + '_ {
        Loss::ALL.into_iter().zip(self.losses).filter(|(_, count)| *count > 0)
    }

    /// The accounts of several ways out together: an item counts for each.
    pub(super) fn add(&mut self, other: &Self) {
        self.emitted += other.emitted;
        self.exported += other.exported;
        self.dropped += other.dropped;
        self.failed += other.failed;
        self.queued += other.queued;
        for (own, other) in self.losses.iter_mut().zip(other.losses) {
            *own += other;
        }
    }

    pub(super) fn emit(&mut self, items: u64) {
        self.emitted += items;
        self.queued += items;
    }

    pub(super) fn export(&mut self, items: u64) {
        self.queued -= items.min(self.queued);
        self.exported += items;
    }

    pub(super) fn lose(&mut self, reason: Loss, items: u64) {
        self.queued -= items.min(self.queued);
        if reason.is_drop() {
            self.dropped += items;
        } else {
            self.failed += items;
        }
        if let Some(at) = Loss::ALL.iter().position(|each| *each == reason) {
            self.losses[at] += items;
        }
    }
}
