//! Runs checks: one run at a time each, answers held for a while, changes of state logged once.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use opentelemetry::Context;
use serde_json::{Map, Value};
use tokio::{runtime::Handle, sync::watch, time::Instant};

use super::{
    check::{Check, Status, Verdict},
    instruments::Instruments,
};

/// What one check last said.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckResult {
    /// The name it was registered with.
    pub name: String,
    /// Its status, with its thresholds applied.
    pub status: Status,
    /// Whether its failure is the whole's.
    pub critical: bool,
    /// The message.
    pub message: String,
    /// Facts beside it.
    pub data: Map<String, Value>,
    /// How long the run took.
    pub duration: Duration,
    /// How long ago the run ended.
    pub age: Duration,
    /// Whether it is the answer of an earlier run.
    pub cached: bool,
}

/// A registered check.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) check: Check,
    /// Where it was registered.
    handle: Option<Handle>,
    slot: Mutex<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    last: Option<Last>,
    /// Begin and end of the run that is under way.
    running: Option<(Instant, watch::Receiver<bool>)>,
    /// The run under way counts as failed already.
    overdue: bool,
    /// Fail or not, with the thresholds applied; what was last logged.
    settled: Option<Status>,
    /// Runs in a row that contradict `settled`.
    against: u32,
}

#[derive(Debug, Clone)]
struct Last {
    verdict: Verdict,
    duration: Duration,
    at: Instant,
    hold: Option<Duration>,
}

/// A change of state, to be logged.
#[derive(Debug)]
struct Change {
    before: Option<Status>,
    now: Status,
    message: String,
}

/// What asking a check came to.
pub(super) enum Asked {
    Known(Box<CheckResult>),
    Running(Instant, watch::Receiver<bool>),
}

impl Entry {
    pub(super) fn new(name: String, check: Check) -> Self {
        Self { name, check, handle: Handle::try_current().ok(), slot: Mutex::default() }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The held answer, or the run under way, which is begun when there is none.
    pub(super) fn ask(self: &Arc<Self>, service: Option<&Handle>, instruments: &Arc<Instruments>) -> Asked {
        let mut slot = self.slot();
        if let Some(last) =
            slot.last.as_ref().filter(|last| last.hold.is_some_and(|hold| last.at.elapsed() < hold))
        {
            return Asked::Known(Box::new(self.result(last, true)));
        }
        if let Some((begun, done)) = &slot.running {
            return Asked::Running(*begun, done.clone());
        }
        let Some(handle) = self.handle.as_ref().or(service) else {
            let verdict =
                Verdict::fail("no runtime to run on: register it inside of tokio, or use Telemetry::serve");
            let last = Last { verdict, duration: Duration::ZERO, at: Instant::now(), hold: None };
            return Asked::Known(Box::new(self.result(&last, false)));
        };
        let (end, done) = watch::channel(false);
        let begun = Instant::now();
        slot.running = Some((begun, done.clone()));
        slot.overdue = false;
        drop(slot);
        let run =
            Run { entry: Arc::clone(self), instruments: Arc::clone(instruments), begun, end, verdict: None };
        let limit = self.check.timeout;
        handle.spawn(async move {
            let verdict = tokio::time::timeout(limit, quietly(run.entry.check.call())).await;
            let verdict = match verdict {
                // a failure says more than that it came late
                Ok(verdict) if verdict.status == Status::Fail => verdict,
                // a check that blocks its thread ends late and is not interrupted
                Ok(_) if run.begun.elapsed() > limit + limit / 2 => late(limit),
                Ok(verdict) => verdict,
                Err(_) => late(limit),
            };
            run.end_with(verdict);
        });
        Asked::Running(begun, done)
    }

    /// Waits for a run, at most until its own limit or `deadline`.
    pub(super) async fn wait(
        self: &Arc<Self>,
        begun: Instant,
        mut done: watch::Receiver<bool>,
        deadline: Instant,
        instruments: &Instruments,
    ) -> CheckResult {
        // the run's own timer comes first, unless its runtime is stuck
        let limit = (begun + self.check.timeout * 2).min(deadline);
        let ended = tokio::time::timeout_at(limit, async { done.wait_for(|done| *done).await.is_ok() });
        let ended = ended.await.unwrap_or(false);
        let mut slot = self.slot();
        if !ended && slot.running.is_some() && !slot.overdue {
            slot.overdue = true;
            let change = self.record(&mut slot, late(self.check.timeout), begun, instruments);
            // this thread's events may be nobody's: the service logs it once it can
            if let (Some(change), Some(handle)) = (change, &self.handle) {
                let entry = Arc::clone(self);
                handle.spawn(async move { entry.log(&change) });
            }
        }
        match &slot.last {
            Some(last) => self.result(last, false),
            None => {
                let last = Last {
                    verdict: late(self.check.timeout),
                    duration: begun.elapsed(),
                    at: Instant::now(),
                    hold: None,
                };
                self.result(&last, false)
            }
        }
    }

    /// The last answer, without asking.
    pub(super) fn last(&self) -> Option<CheckResult> {
        self.slot().last.as_ref().map(|last| self.result(last, true))
    }

    fn result(&self, last: &Last, cached: bool) -> CheckResult {
        CheckResult {
            name: self.name.clone(),
            status: last.verdict.status,
            critical: self.check.critical,
            message: last.verdict.message.clone(),
            data: last.verdict.data.clone(),
            duration: last.duration,
            age: last.at.elapsed(),
            cached,
        }
    }

    fn record(
        &self,
        slot: &mut Slot,
        mut verdict: Verdict,
        begun: Instant,
        instruments: &Instruments,
    ) -> Option<Change> {
        let failed = verdict.status == Status::Fail;
        let hold = if failed { self.check.failure_cache } else { self.check.success_cache };
        let duration = begun.elapsed();
        instruments.ran(&self.name, verdict.status, duration);
        let change = if self.settles(slot, failed) {
            slot.against = 0;
            let before = slot.settled.replace(verdict.status);
            let news = before != Some(verdict.status) && (before.is_some() || verdict.status != Status::Pass);
            news.then(|| Change { before, now: verdict.status, message: verdict.message.clone() })
        } else {
            let (needed, what, shown) = if failed {
                (self.check.failures, "failure", Status::Warn)
            } else {
                (self.check.successes, "success", Status::Fail)
            };
            verdict.message = format!("{} ({what} {} of {needed})", verdict.message, slot.against);
            verdict.status = shown;
            None
        };
        slot.last = Some(Last { verdict, duration, at: Instant::now(), hold });
        change
    }

    /// Counts a run; whether its outcome is the check's state, with the thresholds applied.
    fn settles(&self, slot: &mut Slot, failed: bool) -> bool {
        match slot.settled {
            Some(settled) if (settled == Status::Fail) != failed => {
                slot.against += 1;
                slot.against >= if failed { self.check.failures } else { self.check.successes }
            }
            _ => true,
        }
    }

    fn log(&self, change: &Change) {
        let Change { before, now, message } = change;
        let before = before.map_or("unknown", Status::as_str);
        let (name, status) = (self.name.as_str(), now.as_str());
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(
                    target: "tracewell::health",
                    tracing::Level::$level,
                    check.name = name,
                    check.status = status,
                    check.previous_status = before,
                    check.message = message,
                    "check {name}: {status} (was {before}): {message}"
                )
            };
        }
        if *now == Status::Pass { event!(INFO) } else { event!(WARN) }
    }
}

/// A run under way. Its end is recorded however it ends, also when its runtime goes.
struct Run {
    entry: Arc<Entry>,
    instruments: Arc<Instruments>,
    begun: Instant,
    end: watch::Sender<bool>,
    verdict: Option<Verdict>,
}

impl Run {
    fn end_with(mut self, verdict: Verdict) {
        self.verdict.replace(verdict);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let verdict = self.verdict.take().unwrap_or_else(|| Verdict::fail("its runtime has ended"));
        let change = {
            let mut slot = self.entry.slot();
            slot.running = None;
            if slot.overdue && verdict.status == Status::Fail {
                // it is recorded as failed, and one run is one failure
                None
            } else {
                self.entry.record(&mut slot, verdict, self.begun, &self.instruments)
            }
        };
        if let Some(change) = change {
            self.entry.log(&change);
        }
        self.end.send_replace(true);
    }
}

fn late(limit: Duration) -> Verdict {
    Verdict::fail(format!("no answer within {} ms", limit.as_millis()))
}

/// Polls without telemetry, and takes a panic for a failure.
async fn quietly(mut check: std::pin::Pin<Box<dyn Future<Output = Verdict> + Send>>) -> Verdict {
    std::future::poll_fn(move |task| {
        let _suppressed = Context::enter_telemetry_suppressed_scope();
        // `none` is known to no call site: unlike a subscriber of ours it slows nobody down
        let _quiet = tracing::dispatcher::set_default(&tracing::Dispatch::none());
        match catch_unwind(AssertUnwindSafe(|| check.as_mut().poll(task))) {
            Ok(poll) => poll,
            Err(panic) => Poll::Ready(Verdict::fail(format!("panicked: {}", said(&*panic)))),
        }
    })
    .await
}

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a value that is no text")
}
