//! What a breaker lets pass, and what it shows of itself.

use std::{fmt, sync::Arc, time::Duration};

/// What a breaker lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Every call.
    Closed,
    /// None.
    Open,
    /// A few, to see whether the target is well again.
    HalfOpen,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The name in metrics, logs and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A call was not made, because the breaker is open.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the breaker of {target} is open")]
#[non_exhaustive]
pub struct BreakerOpen {
    /// Who would have been called.
    pub target: Arc<str>,
}

/// What a breaker holds at a moment, and how it behaves.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BreakerSnapshot {
    /// Who is called.
    pub target: Arc<str>,
    /// The state.
    pub state: State,
    /// Whether it is open until a reset.
    pub by_hand: bool,
    /// How long ago it opened, unless it is closed or was opened by hand.
    pub open_since: Option<Duration>,
    /// Good calls of the window.
    pub good: u32,
    /// Bad calls of the window.
    pub bad: u32,
    /// Calls that did not pass, so far.
    pub rejected: u64,
    /// Probes under way.
    pub probes_running: u32,
    /// Probes that were good since it is half-open.
    pub probes_good: u32,
    /// How far back it looks.
    pub window: Duration,
    /// The share of failures above which it opens.
    pub failure_share: f64,
    /// The calls in the window below which it does not open.
    pub min_calls: u32,
    /// How long it stays open.
    pub open_for: Duration,
    /// Probes that pass at a time, and that must be good for it to close.
    pub probes: u32,
}
