//! How a request or task ended.

use std::{fmt, time::Duration};

/// How an entry ended. Every entry ends exactly once, with one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The work was done and its result was delivered.
    Completed,
    /// The work was done and its result is an error of ours (a status of 500 or above, an error of the service).
    Failed,
    /// The work was dropped before it had a result: the client left, or a timeout outside fired.
    Cancelled,
    /// The work panicked.
    Panicked,
    /// There was a result, but its delivery stopped before the end.
    Aborted,
}

impl Outcome {
    /// Every outcome, in the order in which totals list them.
    pub const ALL: [Self; 5] =
        [Self::Completed, Self::Failed, Self::Cancelled, Self::Panicked, Self::Aborted];

    /// The lower-case name used in JSON, attributes and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Panicked => "panicked",
            Self::Aborted => "aborted",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known at the end besides the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndDetails {
    /// The HTTP status code, if there was a response.
    pub status: Option<u16>,
    /// From start to end, from the caller's own pair of clock readings: the value its histogram and span carry too.
    pub duration: Duration,
}

impl EndDetails {
    /// An end after `duration`, without a status.
    #[must_use]
    pub const fn new(duration: Duration) -> Self {
        Self { status: None, duration }
    }

    /// Adds the HTTP status code.
    #[must_use]
    pub const fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }
}
