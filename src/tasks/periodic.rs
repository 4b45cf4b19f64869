//! Tasks that run again and again, one run at a time.

use std::{
    borrow::Cow,
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context as Poller, Poll},
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, sleep_until};

use super::{TaskResult, Tasks, hub::Named};

/// The shortest interval, and the longest: an `Instant` cannot hold every time to come.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
/// The longest text of an error that is kept, in characters.
const MAX_ERROR: usize = 256;

/// A periodic task: a future that never ends. Made by [`periodic`](super::periodic()).
#[must_use = "futures do nothing unless polled"]
pub struct Periodic {
    job: Arc<Job>,
    tasks: Tasks,
    run: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// A periodic task as it is now.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PeriodicJob {
    /// The task's name.
    pub name: String,
    /// The time between the beginnings of two runs.
    pub interval: Duration,
    /// When the last run began, by the wall clock.
    pub last_run: Option<SystemTime>,
    /// When the next run begins, by the wall clock, if the one before is over by then.
    pub next_run: SystemTime,
    /// How long the last run took that is over.
    pub last_duration: Option<Duration>,
    /// Why the last run that is over did not go well, in at most 256 characters; `None` when it did.
    pub last_error: Option<String>,
    /// Whether a run is under way.
    pub running: bool,
    /// Whether the run under way is late for the next one, or the last run was.
    pub overrun: bool,
    /// Runs that began.
    pub runs: u64,
    /// Runs that failed or panicked.
    pub failures: u64,
    /// Runs left out because the one before was still running when they were due.
    pub overruns: u64,
}

/// A periodic task, as its future and those who look at it share it.
pub(super) struct Job {
    named: Arc<Named>,
    name: Cow<'static, str>,
    interval: Duration,
    state: Mutex<JobState>,
}

#[derive(Debug)]
struct JobState {
    due: Instant,
    begun: Option<Instant>,
    last_run: Option<SystemTime>,
    next_run: SystemTime,
    last_duration: Option<Duration>,
    last_error: Option<String>,
    overrun: bool,
    runs: u64,
    failures: u64,
    overruns: u64,
}

impl Periodic {
    pub(super) fn new<W, F>(tasks: &Tasks, name: Cow<'static, str>, interval: Duration, work: W) -> Self
    where
        W: FnMut() -> F + Send + 'static,
        F: Future + Send + 'static,
        F::Output: TaskResult + Send,
    {
        let state = JobState {
            due: Instant::now(),
            begun: None,
            last_run: None,
            next_run: SystemTime::now(),
            last_duration: None,
            last_error: None,
            overrun: false,
            runs: 0,
            failures: 0,
            overruns: 0,
        };
        let job = Arc::new(Job {
            named: tasks.named(&name),
            name,
            interval: interval.clamp(SHORTEST, LONGEST),
            state: Mutex::new(state),
        });
        tasks.add_job(&job);
        let run = Box::pin(repeat(tasks.clone(), Arc::clone(&job), work));
        Self { job, tasks: tasks.clone(), run }
    }

    /// The task as it is now.
    #[must_use]
    pub fn job(&self) -> PeriodicJob {
        self.job.look()
    }
}

impl Future for Periodic {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<()> {
        self.run.as_mut().poll(poller)
    }
}

impl Drop for Periodic {
    fn drop(&mut self) {
        self.tasks.remove_job(&self.job);
    }
}

impl fmt::Debug for Periodic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Periodic").field(&self.job()).finish()
    }
}

async fn repeat<W, F>(tasks: Tasks, job: Arc<Job>, mut work: W)
where
    W: FnMut() -> F,
    F: Future,
    F::Output: TaskResult,
{
    loop {
        let due = job.lock().due;
        sleep_until(due).await;
        job.begin();
        let run = tasks.run(job.name.clone(), async { work().await });
        let mut run = pin!(run);
        // a panic is recorded as that run's end: the next run begins all the same
        let ended = poll_fn(|poller| match catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(poller))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => Poll::Ready(result.failure().map(|failure| failure.to_string())),
            Err(_) => Poll::Ready(Some("panicked".to_owned())),
        });
        let error = ended.await;
        let left_out = job.end(error);
        if left_out > 0 {
            tasks.instruments().count_overruns(job.named.name(), left_out);
        }
    }
}

impl Job {
    fn lock(&self) -> std::sync::MutexGuard<'_, JobState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        state.begun = Some(now);
        state.last_run = Some(SystemTime::now());
        state.runs += 1;
        let due = state.due + self.interval;
        state.plan(due, now);
    }

    /// Ends the run; how many runs are left out because they were due meanwhile.
    fn end(&self, error: Option<String>) -> u64 {
        let now = Instant::now();
        let mut state = self.lock();
        let late = now.saturating_duration_since(state.due);
        // a run that is due right now begins right now
        let left_out = if late.is_zero() { 0 } else { late.as_nanos().div_ceil(self.interval.as_nanos()) };
        let left_out = u32::try_from(left_out).unwrap_or(u32::MAX);
        let due = state.due + self.interval.saturating_mul(left_out);
        state.plan(due, now);
        state.last_duration = state.begun.take().map(|begun| now.duration_since(begun));
        state.overrun = left_out > 0;
        state.overruns += u64::from(left_out);
        state.failures += u64::from(error.is_some());
        state.last_error = error.map(|error| error.chars().take(MAX_ERROR).collect());
        u64::from(left_out)
    }

    pub(super) fn look(&self) -> PeriodicJob {
        let now = Instant::now();
        let state = self.lock();
        PeriodicJob {
            name: self.name.clone().into_owned(),
            interval: self.interval,
            last_run: state.last_run,
            next_run: state.next_run,
            last_duration: state.last_duration,
            last_error: state.last_error.clone(),
            running: state.begun.is_some(),
            overrun: state.overrun || (state.begun.is_some() && now > state.due),
            runs: state.runs,
            failures: state.failures,
            overruns: state.overruns,
        }
    }
}

impl JobState {
    fn plan(&mut self, due: Instant, now: Instant) {
        self.due = due;
        self.next_run = SystemTime::now() + due.saturating_duration_since(now);
    }
}
