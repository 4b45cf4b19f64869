//! What can happen to a task.

use std::fmt;

/// A state that a task reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Its message was handed to the broker.
    Sent,
    /// Its message arrived.
    Received,
    /// Its work began.
    Started,
    /// Its work began again, after it had ended without success.
    Retried,
    /// Its work ended well.
    Succeeded,
    /// Its work ended with an error.
    Failed,
    /// Its work was dropped before its end.
    Cancelled,
    /// Its work panicked.
    Panicked,
}

impl State {
    /// Every state, in the order of a task's life.
    pub const ALL: [Self; 8] = [
        Self::Sent,
        Self::Received,
        Self::Started,
        Self::Retried,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Panicked,
    ];

    /// The lower-case name used in JSON, attributes and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Started => "started",
            Self::Retried => "retried",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Panicked => "panicked",
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of states.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct States(u8);

impl States {
    pub(super) const fn has(self, state: State) -> bool {
        self.0 & (1 << state.index()) != 0
    }

    pub(super) const fn with(self, state: State) -> Self {
        Self(self.0 | (1 << state.index()))
    }

    /// Whether the task ended, and never well: to start it is to try it again.
    pub(super) const fn wants_retry(self) -> bool {
        !self.has(State::Succeeded)
            && (self.has(State::Failed) || self.has(State::Cancelled) || self.has(State::Panicked))
    }
}
