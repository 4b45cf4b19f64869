//! A check: what is asked, how long its answer holds, and what it means for the whole.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use serde_json::{Map, Value};

/// How a check, or all of them together, came out; the worse is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::exhaustive_enums, reason = "the three of application/health+json")]
pub enum Status {
    /// All is well.
    Pass,
    /// It works, and somebody should look at it.
    Warn,
    /// It does not work.
    Fail,
}

impl Status {
    /// `pass`, `warn` or `fail`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Verdict {
    pub(super) status: Status,
    pub(super) message: String,
    pub(super) data: Map<String, Value>,
}

impl Verdict {
    /// All is well.
    pub fn pass(message: impl Into<String>) -> Self {
        Self::new(Status::Pass, message.into())
    }

    /// It works, and somebody should look at it.
    pub fn warn(message: impl Into<String>) -> Self {
        Self::new(Status::Warn, message.into())
    }

    /// It does not work.
    pub fn fail(message: impl Into<String>) -> Self {
        Self::new(Status::Fail, message.into())
    }

    /// One more fact, shown to trusted callers beside the message.
    pub fn with_data(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.data.insert(key.into(), value.into());
        self
    }

    fn new(status: Status, message: String) -> Self {
        Self { status, message, data: Map::new() }
    }
}

impl From<()> for Verdict {
    fn from((): ()) -> Self {
        Self::pass("ok")
    }
}

/// An error is a failure with the error's text as its message.
impl<T: Into<Self>, E: fmt::Display> From<Result<T, E>> for Verdict {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(found) => found.into(),
            Err(error) => Self::fail(error.to_string()),
        }
    }
}

/// The group `/ready` asks; a check that names no group is in it.
pub const READY: &str = "ready";
/// The group `/startup` asks.
pub const STARTUP: &str = "startup";

/// The longest any check may take.
pub(super) const LONGEST: Duration = Duration::from_secs(1);

type Verdicts = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// An async function that says whether something works, and how its answers are used.
///
/// It runs on the service's runtime, with its own telemetry suppressed: the spans, events and OpenTelemetry spans it
/// makes are dropped (those of tasks it spawns are not). A panic, an error and a timeout are its failure.
///
/// ```
/// use tracewell::health::{Check, Verdict};
///
/// async fn pool_size() -> Result<u32, std::io::Error> { Ok(3) }
///
/// let check = Check::new(|| async {
///     let size = pool_size().await?;
///     Ok::<_, std::io::Error>(Verdict::pass("connected").with_data("pool.size", size))
/// });
/// # drop(check);
/// ```
#[derive(Clone)]
#[must_use = "a check runs once it is registered"]
pub struct Check {
    run: Arc<dyn Fn() -> Verdicts + Send + Sync>,
    pub(super) timeout: Duration,
    pub(super) success_cache: Option<Duration>,
    pub(super) failure_cache: Option<Duration>,
    pub(super) failures: u32,
    pub(super) successes: u32,
    pub(super) critical: bool,
    groups: Vec<String>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("timeout", &self.timeout)
            .field("critical", &self.critical)
            .finish_non_exhaustive()
    }
}

impl Check {
    /// A check that calls `run` and awaits what it returns: a [`Verdict`], `()`, or a `Result` of one of these with any
    /// error that can be shown.
    pub fn new<F, R>(run: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output: Into<Verdict>> + Send + 'static,
    {
        let run = Arc::new(run);
        Self {
            run: Arc::new(move || {
                let run = Arc::clone(&run);
                // called inside the future: a panic of the function itself is the check's as well
                Box::pin(async move { run().await.into() })
            }),
            timeout: Duration::from_millis(300),
            success_cache: Some(Duration::from_secs(27)),
            failure_cache: Some(Duration::from_secs(9)),
            failures: 1,
            successes: 1,
            critical: true,
            groups: Vec::new(),
        }
    }

    /// How long one run may take; 300 ms unless said otherwise, one second at most.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(LONGEST);
        self
    }

    /// How long a pass or a warning is answered again without a run; 27 s unless said otherwise, `None` = not at all.
    pub fn with_success_cache(mut self, time: Option<Duration>) -> Self {
        self.success_cache = time;
        self
    }

    /// How long a failure is answered again without a run; 9 s unless said otherwise, `None` = not at all.
    pub fn with_failure_cache(mut self, time: Option<Duration>) -> Self {
        self.failure_cache = time;
        self
    }

    /// Runs in a row that must fail before a passing check counts as failed (until then it is a warning), and that must
    /// succeed before a failed one counts as passing again. 1 and 1 unless said otherwise; 0 means 1.
    pub fn with_thresholds(mut self, failures: u32, successes: u32) -> Self {
        (self.failures, self.successes) = (failures.max(1), successes.max(1));
        self
    }

    /// A failure is shown and is a warning for the whole: the service works without it.
    pub fn non_critical(mut self) -> Self {
        self.critical = false;
        self
    }

    /// Puts the check into a group instead of [`READY`]; may be called again for further ones.
    pub fn with_group(mut self, group: impl Into<String>) -> Self {
        self.groups.push(group.into());
        self
    }

    pub(super) fn is_in(&self, group: &str) -> bool {
        if self.groups.is_empty() { group == READY } else { self.groups.iter().any(|own| own == group) }
    }

    pub(super) fn call(&self) -> Verdicts {
        (self.run)()
    }
}
