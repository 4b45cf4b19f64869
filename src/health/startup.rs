//! The phases of a start, timed from the process's own start, also before telemetry is set up.
//!
//! ```
//! let migrations = tracewell::health::startup::phase("migrations");
//! // …
//! migrations.end();
//! ```
//!
//! `/startup` answers 503 while a phase runs, and lists them all: one that never ends is visible by its name.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use crate::runtime::process;

/// Phases kept; beyond them a phase has no effect.
const MAX: usize = 256;

static PHASES: Mutex<Vec<StartupPhase>> = Mutex::new(Vec::new());

/// A phase of this process's start.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StartupPhase {
    /// Its name.
    pub name: String,
    /// When it began, after the process's start.
    pub begun: Duration,
    /// When it ended, after the process's start; `None` while it runs.
    pub ended: Option<Duration>,
    /// Whether it ended by a panic.
    pub panicked: bool,
}

/// A phase that runs until this is dropped.
#[derive(Debug)]
#[must_use = "the phase ends when this is dropped"]
pub struct PhaseGuard(Option<usize>);

/// Begins a phase. May be called at any time, before telemetry is set up as well.
pub fn phase(name: impl Into<String>) -> PhaseGuard {
    let mut phases = lock();
    if phases.len() >= MAX {
        return PhaseGuard(None);
    }
    phases.push(StartupPhase { name: name.into(), begun: now(), ended: None, panicked: false });
    PhaseGuard(Some(phases.len() - 1))
}

/// Every phase so far, in the order of their begin.
#[must_use]
pub fn phases() -> Vec<StartupPhase> {
    lock().clone()
}

impl PhaseGuard {
    /// Ends the phase; the same as dropping it.
    pub fn end(self) {}
}

impl Drop for PhaseGuard {
    fn drop(&mut self) {
        let Some(index) = self.0 else { return };
        if let Some(phase) = lock().get_mut(index) {
            phase.ended = Some(now());
            phase.panicked = std::thread::panicking();
        }
    }
}

fn lock() -> MutexGuard<'static, Vec<StartupPhase>> {
    PHASES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> Duration {
    SystemTime::now().duration_since(process::started_at()).unwrap_or_default()
}
