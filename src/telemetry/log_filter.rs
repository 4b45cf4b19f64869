//! Which events are logged, changed while the service runs: for good, or for a while.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime},
};

use tracing_subscriber::EnvFilter;

use crate::{
    config, diagnostics,
    pipeline::{CHANGES, LogSwitch},
};

/// The longest a filter may stay before it reverts.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Changes remembered.
const REMEMBERED: usize = 16;

/// The log filter in use; see [`Telemetry::log_filter`](crate::Telemetry::log_filter).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogFilter {
    /// In the words of `RUST_LOG`.
    pub directives: String,
    /// When it gives way to the one before.
    pub reverts_at: Option<SystemTime>,
    /// When it was changed to what, the latest last; the last 16.
    pub changes: Vec<(SystemTime, String)>,
}

/// A filter that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "log filter {directives:?}: {problem}; accepted are directives such as info,my_crate=debug, for at most 86400 seconds"
)]
pub struct LogFilterError {
    directives: String,
    problem: String,
}

/// Sets the filter, and back.
#[derive(Debug)]
pub(crate) struct LogLevel {
    switch: Arc<LogSwitch>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// What was last set for good.
    base: String,
    current: String,
    revert: Option<(Instant, SystemTime)>,
    /// A thread waits to revert.
    waiting: bool,
    ended: bool,
    changes: VecDeque<(SystemTime, String)>,
}

impl LogLevel {
    pub(crate) fn new(switch: Arc<LogSwitch>, filter: &str) -> Arc<Self> {
        let state = State {
            base: filter.to_owned(),
            current: filter.to_owned(),
            revert: None,
            waiting: false,
            ended: false,
            changes: VecDeque::new(),
        };
        Arc::new(Self { switch, state: Mutex::new(state), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> LogFilter {
        let state = self.lock();
        LogFilter {
            directives: state.current.clone(),
            reverts_at: state.revert.map(|(_, at)| at),
            changes: state.changes.iter().cloned().collect(),
        }
    }

    pub(crate) fn set(
        self: &Arc<Self>,
        directives: &str,
        time: Option<Duration>,
    ) -> Result<(), LogFilterError> {
        let wrong = |problem: String| LogFilterError { directives: directives.to_owned(), problem };
        // the words are checked strictly: a typing error must not silence the service
        directives.parse::<EnvFilter>().map_err(|error| wrong(error.to_string()))?;
        if directives.trim().is_empty() {
            return Err(wrong("it is empty".to_owned()));
        }
        if let Some(problem) = config::misspelt_level(directives) {
            return Err(wrong(problem));
        }
        if time.is_some_and(|time| time.is_zero() || time > LONGEST) {
            return Err(wrong(format!("for {} seconds", time.unwrap_or_default().as_secs_f64())));
        }
        let mut state = self.lock();
        if time.is_none() {
            directives.clone_into(&mut state.base);
        }
        state.revert = time.map(|time| (Instant::now() + time, SystemTime::now() + time));
        let announcement = self.apply(&mut state, directives, time);
        if state.revert.is_some() && !state.waiting {
            let this = Arc::clone(self);
            let thread = thread::Builder::new().name("tracewell-loglevel".into());
            match thread.spawn(move || this.revert_in_time()) {
                Ok(_) => state.waiting = true,
                Err(error) => {
                    let base = state.base.clone();
                    state.revert = None;
                    // nothing is said of either
                    let _ = self.apply(&mut state, &base, None);
                    return Err(wrong(format!("it would stay: no thread to revert it ({error})")));
                }
            }
        }
        drop(state);
        self.changed.notify_all();
        announcement.say();
        Ok(())
    }

    #[must_use]
    fn apply(&self, state: &mut State, directives: &str, time: Option<Duration>) -> Announcement {
        self.switch.set(directives);
        crate::init::follow_level();
        let before = std::mem::replace(&mut state.current, directives.to_owned());
        if state.changes.len() == REMEMBERED {
            state.changes.pop_front();
        }
        state.changes.push_back((SystemTime::now(), directives.to_owned()));
        Announcement { before, now: directives.to_owned(), time }
    }

    fn revert_in_time(&self) {
        let mut state = self.lock();
        while let Some((at, _)) = state.revert.filter(|_| !state.ended) {
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.revert = None;
                let base = state.base.clone();
                let announcement = self.apply(&mut state, &base, None);
                drop(state);
                announcement.say();
                state = self.lock();
            } else {
                state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        state.waiting = false;
    }

    /// Nothing is reverted any more.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }
}

/// One event per change, through the pipeline, whatever the filter. Said without the lock: layers are not all ours.
struct Announcement {
    before: String,
    now: String,
    time: Option<Duration>,
}

impl Announcement {
    fn say(self) {
        // on a thread whose own events are nobody's, another one speaks
        if tracing::dispatcher::get_default(|dispatch| dispatch.is::<diagnostics::Listener>()) {
            let thread = thread::Builder::new().name("tracewell-loglevel".into());
            let _ = thread.spawn(move || self.emit());
        } else {
            self.emit();
        }
    }

    fn emit(self) {
        let Self { before, now, time } = self;
        tracing::event!(
            target: CHANGES,
            tracing::Level::WARN,
            log.filter = now,
            log.previous_filter = before,
            log.filter_seconds = time.map(|time| time.as_secs()),
            "log filter changed from {before:?} to {now:?}"
        );
    }
}
