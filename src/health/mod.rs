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

mod answer;
mod built_in;
mod check;
mod heartbeat;
#[cfg(feature = "otlp-http")]
mod http_target;
mod instruments;
mod runner;
pub mod startup;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::runtime::Handle;

pub(crate) use self::answer::Renderer;
pub use self::{
    answer::{Answering, Probe, StatusCodes},
    check::{Check, READY, STARTUP, Status, Verdict},
    runner::CheckResult,
};
use self::{
    check::LONGEST,
    instruments::Instruments,
    runner::{Asked, Entry},
};
use crate::{config::AdminConfig, sections::Sections};

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
    /// Get the phases once the start is over.
    on_start: Mutex<Vec<OnStart>>,
    told_of_start: AtomicBool,
    checks: RwLock<Vec<Arc<Entry>>>,
    disabled: Vec<String>,
    instruments: Arc<Instruments>,
    sections: Sections,
    codes: RwLock<StatusCodes>,
    renderer: RwLock<Option<Renderer>>,
    /// How often a runtime became the one that beats.
    runtimes: AtomicU64,
    /// The one that beats has ended.
    gone: AtomicBool,
}

type OnStart = Box<dyn Fn(&[startup::StartupPhase]) + Send + Sync>;

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("checks", &self.entries()).finish_non_exhaustive()
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

impl Report {
    fn of(results: Vec<CheckResult>) -> Self {
        let worst = results.iter().map(|result| match result.status {
            Status::Fail if !result.critical => Status::Warn,
            status => status,
        });
        Self { status: worst.max().unwrap_or(Status::Pass), results }
    }
}

const IS_STARTING: u8 = 0;
const IS_READY: u8 = 1;
const IS_DRAINING: u8 = 2;
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
            on_start: Mutex::default(),
            told_of_start: AtomicBool::new(false),
            checks: RwLock::default(),
            disabled: config.checks_disabled.clone(),
            instruments: Arc::default(),
            sections: Sections::default(),
            codes: RwLock::default(),
            renderer: RwLock::default(),
            runtimes: AtomicU64::new(0),
            gone: AtomicBool::new(false),
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

    /// Asks the checks of one group, as [`report`](Self::report) does; cancel safe as that.
    ///
    /// # Panics
    /// Outside of a tokio runtime with timers.
    pub async fn report_of(&self, group: &str) -> Report {
        self.ask(Some(group), &[]).await
    }

    /// What the checks of one group last said, without asking; `None` when one of them has said nothing yet.
    #[cfg(feature = "admin")]
    pub(crate) fn remembered(&self, group: Option<&str>, exclude: &[String]) -> Option<Report> {
        let wanted = self.wanted(group, exclude);
        wanted.iter().map(|entry| entry.last()).collect::<Option<Vec<_>>>().map(Report::of)
    }

    fn wanted(&self, group: Option<&str>, exclude: &[String]) -> Vec<Arc<Entry>> {
        let mut entries = self.0.entries();
        entries.retain(|entry| {
            group.is_none_or(|group| entry.check.is_in(group))
                && !self.0.disabled.contains(&entry.name)
                && !exclude.contains(&entry.name)
        });
        entries
    }

    /// Whether a check has this name and may run.
    #[cfg(feature = "grpc")]
    pub(crate) fn has_check(&self, name: &str) -> bool {
        self.wanted(None, &[]).iter().any(|entry| entry.name == name)
    }

    /// Asks the checks of these names, as [`report`](Self::report) does.
    #[cfg(feature = "grpc")]
    pub(crate) async fn ask_by_name(&self, names: &[String]) -> Report {
        let mut wanted = self.wanted(None, &[]);
        wanted.retain(|entry| names.contains(&entry.name));
        self.ask_all(wanted).await
    }

    pub(crate) async fn ask(&self, group: Option<&str>, exclude: &[String]) -> Report {
        self.ask_all(self.wanted(group, exclude)).await
    }

    async fn ask_all(&self, wanted: Vec<Arc<Entry>>) -> Report {
        let deadline = tokio::time::Instant::now() + LONGEST;
        let service = self.runtime();
        // all are begun before one is waited for
        let asked: Vec<_> =
            wanted.iter().map(|entry| (entry, entry.ask(service.as_ref(), &self.0.instruments))).collect();
        let mut results = Vec::with_capacity(asked.len());
        for (entry, asked) in asked {
            results.push(match asked {
                Asked::Known(result) => *result,
                Asked::Running(begun, done) => entry.wait(begun, done, deadline, &self.0.instruments).await,
            });
        }
        Report::of(results)
    }

    /// The names in `TRACEWELL_CHECKS_DISABLED`.
    #[must_use]
    pub fn disabled(&self) -> &[String] {
        &self.0.disabled
    }

    /// Adds a section of the program's own to `/healthcheck`. It is called for each answer, on a thread that may block,
    /// for one second at most; a panic and a timeout are shown as `{"error": "…"}` in its place. Of two with one name the
    /// later counts.
    pub fn add_section(&self, name: impl Into<String>, section: impl Fn() -> Value + Send + Sync + 'static) {
        self.0.sections.add(name.into(), move || Ok(section()));
    }

    /// Lets `render` replace the answers of the probes and of `/healthcheck`: code, headers and body. It gets the answer
    /// that would be given, in the form that was asked for. Liveness keeps its code.
    ///
    /// It is called for each answer, on the thread that answers: it must not block. If it panics, the answer stays.
    ///
    /// ```
    /// use http::{HeaderValue, header::CONTENT_TYPE};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let telemetry = tracewell::Telemetry::builder().with_env([("OTEL_SDK_DISABLED", "true")]).build()?;
    /// telemetry.health().set_renderer(|answering, mut answer| {
    ///     *answer.body_mut() = format!("{}\n", answering.status.as_str());
    ///     answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    ///     answer
    /// });
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_renderer(
        &self,
        render: impl Fn(&Answering<'_>, http::Response<String>) -> http::Response<String> + Send + Sync + 'static,
    ) {
        self.render_with(Renderer::new(render));
    }

    pub(crate) fn render_with(&self, renderer: Renderer) {
        *self.0.renderer.write().unwrap_or_else(PoisonError::into_inner) = Some(renderer);
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
    pub(crate) fn sections(&self) -> &Sections {
        &self.0.sections
    }

    #[cfg(feature = "admin")]
    pub(crate) fn renderer(&self) -> Option<Renderer> {
        self.0.renderer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The runtime this is called in is the service's, unless one is known.
    pub(crate) fn adopt_runtime(&self) {
        if let Ok(handle) = Handle::try_current() {
            self.0.runtime.write().unwrap_or_else(PoisonError::into_inner).get_or_insert(handle);
        }
    }

    /// Called once, with every phase, when the start is over.
    pub(crate) fn on_start(&self, call: impl Fn(&[startup::StartupPhase]) + Send + Sync + 'static) {
        self.0.on_start.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(call));
    }

    fn tell_of_start(&self) {
        if self.is_started() && !self.0.told_of_start.swap(true, Ordering::AcqRel) {
            let calls = std::mem::take(&mut *self.0.on_start.lock().unwrap_or_else(PoisonError::into_inner));
            let phases = startup::phases();
            calls.iter().for_each(|call| call(&phases));
        }
    }

    pub(crate) fn instrument(&self, meter: &opentelemetry::metrics::Meter) {
        self.0.instruments.make(meter, Arc::downgrade(&self.0));
    }

    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.0.runtime.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl State {
    fn entries(&self) -> Vec<Arc<Entry>> {
        self.checks.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
