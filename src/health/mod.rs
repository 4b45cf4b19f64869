//! May traffic come: the service's state from start to drain, a heartbeat of its runtime, and checks of what it needs.
//!
//! ```
//! use tracewell::health::{Check, Verdict};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # async fn ping() -> Result<(), std::io::Error> { Ok(()) }
//! # let telemetry = tracewell::Telemetry::builder().with_env([("OTEL_SDK_DISABLED", "true")]).build()?;
//! telemetry.health().register("database", Check::new(ping));
//! let report = telemetry.health().report().await;
//! assert_eq!(report.results[0].status, tracewell::health::Status::Pass);
//! # Ok(())
//! # }
//! ```
//!
//! Each check runs once per cache period, however many ask; a run that is under way is shared.

mod check;
mod instruments;
mod ready_made;
mod runner;
pub mod startup;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::runtime::Handle;

use self::{
    check::LONGEST,
    instruments::Instruments,
    runner::{Asked, Entry},
};
pub use self::{
    check::{Check, READY, STARTUP, Status, Verdict},
    runner::CheckResult,
};
use crate::config::AdminConfig;

/// Where a service is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a service has no other states")]
pub enum Phase {
    /// Not yet ready.
    Starting,
    /// Serving.
    Ready,
    /// On its way out: no new traffic should come.
    Draining,
}

/// The service's own word about its state; a cheap handle.
#[derive(Debug, Clone)]
pub struct Health(Arc<State>);

struct State {
    phase: AtomicU8,
    created: Instant,
    /// Milliseconds after `created`, plus one; 0 = no heartbeat yet.
    heartbeat: AtomicU64,
    /// By how much the last heartbeat was late, in nanoseconds.
    lag: AtomicU64,
    stall: Option<Duration>,
    /// The service said that it has started.
    told: AtomicBool,
    /// It has, and no phase can take that back.
    started: AtomicBool,
    /// The service's runtime, once it is known.
    runtime: RwLock<Option<Handle>>,
    /// Gets the phases once the start is over.
    on_start: OnceLock<OnStart>,
    told_of_start: AtomicBool,
    checks: RwLock<Vec<Arc<Entry>>>,
    disabled: Vec<String>,
    instruments: Arc<Instruments>,
    sections: Mutex<Vec<(String, Section)>>,
    codes: RwLock<StatusCodes>,
}

type OnStart = Box<dyn Fn(&[startup::StartupPhase]) + Send + Sync>;
type Section = Arc<dyn Fn() -> Value + Send + Sync>;

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("checks", &self.entries()).finish_non_exhaustive()
    }
}

/// What the probes answer; liveness keeps 200 and 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatusCodes {
    /// All critical checks pass.
    pub pass: http::StatusCode,
    /// Some check warns, or one that is not critical fails.
    pub warn: http::StatusCode,
    /// A critical check fails, or no traffic may come.
    pub fail: http::StatusCode,
}

impl Default for StatusCodes {
    fn default() -> Self {
        let ok = http::StatusCode::OK;
        Self { pass: ok, warn: ok, fail: http::StatusCode::SERVICE_UNAVAILABLE }
    }
}

impl StatusCodes {
    /// The code of a status.
    #[must_use]
    pub const fn of(&self, status: Status) -> http::StatusCode {
        match status {
            Status::Pass => self.pass,
            Status::Warn => self.warn,
            Status::Fail => self.fail,
        }
    }
}

/// What all checks, or those of a group, said.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// The worst status; a failure of a check that is not critical is a warning here.
    pub status: Status,
    /// One per check, in the order of their registration.
    pub results: Vec<CheckResult>,
}

const IS_STARTING: u8 = 0;
const IS_READY: u8 = 1;
const IS_DRAINING: u8 = 2;
/// How often a runtime shows that it lives.
const BEAT: Duration = Duration::from_secs(1);

impl Health {
    pub(crate) fn new(config: &AdminConfig) -> Self {
        let health = Self(Arc::new(State {
            phase: AtomicU8::new(IS_STARTING),
            created: Instant::now(),
            heartbeat: AtomicU64::new(0),
            lag: AtomicU64::new(0),
            stall: config.liveness_stall,
            told: AtomicBool::new(false),
            started: AtomicBool::new(false),
            runtime: RwLock::default(),
            on_start: OnceLock::new(),
            told_of_start: AtomicBool::new(false),
            checks: RwLock::default(),
            disabled: config.checks_disabled.clone(),
            instruments: Arc::default(),
            sections: Mutex::default(),
            codes: RwLock::default(),
        }));
        health.adopt_runtime();
        health
    }

    /// The current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.0.phase.load(Ordering::Acquire) {
            IS_STARTING => Phase::Starting,
            IS_READY => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    /// The service can take traffic. Without effect once it drains.
    pub fn set_ready(&self) {
        self.set_started();
        let _ = self.0.phase.compare_exchange(IS_STARTING, IS_READY, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The service wants no more traffic; there is no way back.
    pub fn set_draining(&self) {
        self.0.phase.store(IS_DRAINING, Ordering::Release);
    }

    /// How long ago the service's runtime last showed that it lives; `None` before it did so for the first time.
    #[must_use]
    pub fn heartbeat_age(&self) -> Option<Duration> {
        let beat = self.0.heartbeat.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.0.created.elapsed().saturating_sub(Duration::from_millis(beat)))
    }

    /// Whether the runtime is silent for longer than `TRACEWELL_LIVENESS_STALL_MS`.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        match (self.heartbeat_age(), self.0.stall) {
            (Some(age), Some(stall)) => age > stall,
            _ => false,
        }
    }

    /// Beats on the runtime it is run on until it is dropped. Cancel safe.
    pub async fn beat(self) {
        // what it beats on is the service's runtime, whatever was taken for it before
        *self.0.runtime.write().unwrap_or_else(PoisonError::into_inner) = Handle::try_current().ok();
        loop {
            self.tell_of_start();
            let now = u64::try_from(self.0.created.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
            self.0.heartbeat.store(now + 1, Ordering::Release);
            let begun = Instant::now();
            tokio::time::sleep(BEAT).await;
            let lag = begun.elapsed().saturating_sub(BEAT).as_nanos();
            self.0.lag.store(u64::try_from(lag).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Says that the start is over, as [`set_ready`](Self::set_ready) does too.
    pub fn set_started(&self) {
        self.0.told.store(true, Ordering::Release);
        self.tell_of_start();
    }

    /// Whether the start is over: the service said so, and then no [`startup`] phase was running. It stays so.
    #[must_use]
    pub fn is_started(&self) -> bool {
        let started = || {
            self.0.told.load(Ordering::Acquire) && startup::phases().iter().all(|phase| phase.ended.is_some())
        };
        if self.0.started.load(Ordering::Acquire) {
            return true;
        }
        let started = started();
        self.0.started.fetch_or(started, Ordering::AcqRel);
        started
    }

    /// Adds a check. Of two with one name the later one counts.
    ///
    /// It runs on the tokio runtime this is called in; called outside of one, on the one the service is served on.
    pub fn register(&self, name: impl Into<String>, check: Check) {
        let entry = Arc::new(Entry::new(name.into(), check));
        let mut checks = self.0.checks.write().unwrap_or_else(PoisonError::into_inner);
        match checks.iter_mut().find(|other| other.name == entry.name) {
            Some(other) => *other = entry,
            None => checks.push(entry),
        }
    }

    /// Asks every check; those whose answer still holds do not run. At most one second. Cancel safe: runs go on.
    ///
    /// # Panics
    /// Outside of a tokio runtime with timers.
    pub async fn report(&self) -> Report {
        self.ask(None, &[]).await
    }

    /// Asks the checks of one group, as [`report`](Self::report) does.
    ///
    /// # Panics
    /// Outside of a tokio runtime with timers.
    pub async fn report_of(&self, group: &str) -> Report {
        self.ask(Some(group), &[]).await
    }

    pub(crate) async fn ask(&self, group: Option<&str>, exclude: &[String]) -> Report {
        let deadline = Instant::now() + LONGEST;
        let entries = self.0.entries();
        let wanted = entries.iter().filter(|entry| {
            group.is_none_or(|group| entry.check.is_in(group))
                && !self.0.disabled.contains(&entry.name)
                && !exclude.contains(&entry.name)
        });
        let service = self.runtime();
        // all are begun before one is waited for
        let asked: Vec<_> =
            wanted.map(|entry| (entry, entry.ask(service.as_ref(), &self.0.instruments))).collect();
        let mut results = Vec::with_capacity(asked.len());
        for (entry, asked) in asked {
            results.push(match asked {
                Asked::Known(result) => *result,
                Asked::Running(begun, done) => entry.wait(begun, done, deadline, &self.0.instruments).await,
            });
        }
        let worst = results.iter().map(|result| match result.status {
            Status::Fail if !result.critical => Status::Warn,
            status => status,
        });
        Report { status: worst.max().unwrap_or(Status::Pass), results }
    }

    /// The names in `TRACEWELL_CHECKS_DISABLED`.
    #[must_use]
    pub fn disabled(&self) -> &[String] {
        &self.0.disabled
    }

    /// Adds a section of the program's own to `/healthcheck`. It is called for each answer: it should not block.
    pub fn add_section(&self, name: impl Into<String>, section: impl Fn() -> Value + Send + Sync + 'static) {
        let mut sections = self.0.sections.lock().unwrap_or_else(PoisonError::into_inner);
        sections.push((name.into(), Arc::new(section)));
    }

    /// What `/ready`, `/startup` and `/healthcheck` answer.
    pub fn set_status_codes(&self, codes: StatusCodes) {
        *self.0.codes.write().unwrap_or_else(PoisonError::into_inner) = codes;
    }

    /// What `/ready`, `/startup` and `/healthcheck` answer.
    #[must_use]
    pub fn status_codes(&self) -> StatusCodes {
        *self.0.codes.read().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(feature = "admin")]
    pub(crate) fn sections(&self) -> Vec<(String, Section)> {
        self.0.sections.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The runtime this is called in is the service's, unless one is known.
    pub(crate) fn adopt_runtime(&self) {
        if let Ok(handle) = Handle::try_current() {
            self.0.runtime.write().unwrap_or_else(PoisonError::into_inner).get_or_insert(handle);
        }
    }

    /// Called once, with every phase, when the start is over.
    pub(crate) fn on_start(&self, call: impl Fn(&[startup::StartupPhase]) + Send + Sync + 'static) {
        let _ = self.0.on_start.set(Box::new(call));
    }

    fn tell_of_start(&self) {
        if self.is_started() && !self.0.told_of_start.swap(true, Ordering::AcqRel) {
            if let Some(call) = self.0.on_start.get() {
                call(&startup::phases());
            }
        }
    }

    pub(crate) fn instrument(&self, meter: &opentelemetry::metrics::Meter) {
        self.0.instruments.make(meter, Arc::downgrade(&self.0));
    }

    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.0.runtime.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// By how much the last heartbeat was late; `None` before there was a second one.
    pub(crate) fn lag(&self) -> Option<Duration> {
        (self.0.heartbeat.load(Ordering::Acquire) > 0)
            .then(|| Duration::from_nanos(self.0.lag.load(Ordering::Relaxed)))
    }
}

impl State {
    fn entries(&self) -> Vec<Arc<Entry>> {
        self.checks.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
