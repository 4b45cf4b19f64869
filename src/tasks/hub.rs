//! Where tasks are recorded: a registry, instruments, the ids seen and the names known.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::{Key as AttributeKey, KeyValue, metrics::MeterProvider, trace::SpanKind};

use super::{
    Incoming, Outgoing, Periodic, PeriodicJob, Run, Running, TaskResult,
    metrics::{self, Instruments},
    periodic::Job,
    result::{end_of, end_of_cancellable},
    running::Start,
    seen::{Key, Seen},
    semconv,
    span::Origin,
    state::{State, States},
};
use crate::{
    config::RequestsConfig,
    messaging,
    requests::{Cancellable, Current, Registry},
};

/// Names that are kept apart in metrics and in [`Tasks::counts`]; further ones are `_OTHER`.
const MAX_NAMES: usize = 1000;
const OTHER: &str = "_OTHER";

/// What `install` was told; the first one counts.
static METRIC_KEYS: OnceLock<Vec<AttributeKey>> = OnceLock::new();

/// Which attributes of tasks their metrics have too.
pub(crate) fn configure(config: &RequestsConfig) {
    let _ = METRIC_KEYS.set(config.metric_attributes.iter().cloned().map(AttributeKey::new).collect());
}

/// Where tasks are recorded. Clones share everything; the functions of the [module](super) use [`Tasks::global`].
#[derive(Clone)]
pub struct Tasks {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    instruments: Instruments,
    messages: messaging::Instruments,
    seen: Seen,
    names: RwLock<HashMap<Box<str>, Arc<Named>>>,
    other: Arc<Named>,
    jobs: Mutex<Vec<Arc<Job>>>,
}

/// A name of tasks and how many of them reached each state.
#[derive(Debug)]
pub(super) struct Named {
    name: Box<str>,
    counts: [AtomicU64; State::ALL.len()],
}

impl Named {
    fn new(name: &str) -> Arc<Self> {
        Arc::new(Self { name: name.into(), counts: Default::default() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// How many tasks of one name reached each state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskCounts {
    /// The tasks' name.
    pub name: String,
    counts: [u64; State::ALL.len()],
}

impl TaskCounts {
    /// How many reached this state.
    #[must_use]
    pub const fn of(&self, state: State) -> u64 {
        self.counts[state.index()]
    }
}

impl Tasks {
    /// The tasks of the process: in the global registry, counted by instruments of the global meter provider, which are
    /// made at first use and therefore after `init`.
    pub fn global() -> &'static Self {
        static GLOBAL: OnceLock<Tasks> = OnceLock::new();
        GLOBAL
            .get_or_init(|| Self::new(Registry::global().clone(), &*opentelemetry::global::meter_provider()))
    }

    /// Tasks of their own, entered into this registry and counted by instruments of this provider, which keeps asking for their
    /// periodic ones as long as these tasks exist.
    #[must_use]
    pub fn new(registry: Registry, meters: &(impl MeterProvider + ?Sized)) -> Self {
        let inner = Inner {
            registry,
            instruments: Instruments::new(meters),
            messages: messaging::Instruments::new(meters),
            seen: Seen::new(),
            names: RwLock::default(),
            other: Named::new(OTHER),
            jobs: Mutex::default(),
        };
        let tasks = Self { inner: Arc::new(inner) };
        let observed = Arc::downgrade(&tasks.inner);
        metrics::observe_jobs(meters, move || {
            observed.upgrade().map_or_else(Vec::new, |inner| Self { inner }.jobs())
        });
        tasks
    }

    /// A task's own attributes that its metrics have too.
    pub(super) fn of_metrics(&self, entry: &Current) -> Vec<KeyValue> {
        let Some(keys) = METRIC_KEYS.get().filter(|keys| !keys.is_empty()) else { return Vec::new() };
        let mut attributes = entry.attributes();
        attributes.retain(|attribute| keys.contains(&attribute.key));
        attributes
    }

    /// Counts the task as sent; see [`sent`](super::sent()).
    pub fn sent(&self, name: &str, id: impl fmt::Display) {
        self.count_state(name, &id.to_string(), State::Sent);
    }

    pub(crate) fn count_state(&self, name: &str, id: &str, state: State) {
        self.count(&self.named(name), Some(self.key(name, id)), state);
    }

    /// A message about to be sent; see [`send`](super::send()).
    pub fn send(&self, name: impl Into<Cow<'static, str>>, id: impl fmt::Display) -> Outgoing {
        Outgoing::new(self, name.into(), id.to_string())
    }

    /// A message that arrived; see [`receive`](super::receive()).
    pub fn receive<S: std::hash::BuildHasher>(
        &self,
        name: impl Into<Cow<'static, str>>,
        id: impl fmt::Display,
        headers: &HashMap<String, String, S>,
    ) -> Incoming {
        Incoming::new(self, name.into(), id.to_string(), super::extract(headers))
    }

    /// Starts a task that no message caused; see [`start`](super::start()).
    pub fn start(&self, name: impl Into<Cow<'static, str>>) -> Running {
        self.begin(name.into(), false)
    }

    fn begin(&self, name: Cow<'static, str>, cancellable: bool) -> Running {
        let start = Start {
            key: None,
            id: None,
            span_name: name.clone().into_owned(),
            kind: SpanKind::Internal,
            attributes: semconv::plain(&name),
            message: None,
            origin: Origin::HERE,
            cancellable,
            again: false,
            name,
        };
        Running::start(self, start)
    }

    /// Runs a task that no message caused; see [`run`](super::run()).
    pub fn run<F>(&self, name: impl Into<Cow<'static, str>>, work: F) -> Run<F>
    where
        F: Future,
        F::Output: TaskResult,
    {
        Run::new(self.start(name), work, end_of)
    }

    /// [`run`](Self::run) for a task that an operator may cancel; see [`Registry::cancel`].
    pub fn run_cancellable<F>(&self, name: impl Into<Cow<'static, str>>, work: F) -> Run<Cancellable<F>>
    where
        F: Future,
        F::Output: TaskResult,
    {
        let running = self.begin(name.into(), true);
        let work = Cancellable::new(running.handle(), work);
        Run::new(running, work, end_of_cancellable)
    }

    /// Runs a task again and again; see [`periodic`](super::periodic()).
    pub fn periodic<W, F>(&self, name: impl Into<Cow<'static, str>>, interval: Duration, work: W) -> Periodic
    where
        W: FnMut() -> F + Send + 'static,
        F: Future + Send + 'static,
        F::Output: TaskResult + Send,
    {
        Periodic::new(self, name.into(), interval, work)
    }

    /// How many tasks reached which state, by name. What is sent in one process and received in another is counted
    /// where it happened.
    #[must_use]
    pub fn counts(&self) -> Vec<TaskCounts> {
        let names = self.inner.names.read().unwrap_or_else(PoisonError::into_inner);
        let all = names.values().chain(std::iter::once(&self.inner.other)).map(|named| TaskCounts {
            name: named.name.clone().into_string(),
            counts: named.counts.each_ref().map(|count| count.load(Ordering::Relaxed)),
        });
        let mut counts: Vec<_> = all.filter(|counts| counts.counts.iter().any(|count| *count > 0)).collect();
        drop(names);
        counts.sort_by(|a, b| a.name.cmp(&b.name));
        counts
    }

    /// The periodic tasks that exist, in the order in which they were made.
    #[must_use]
    pub fn jobs(&self) -> Vec<PeriodicJob> {
        let jobs = self.inner.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        jobs.iter().map(|job| job.look()).collect()
    }

    pub(super) fn add_job(&self, job: &Arc<Job>) {
        self.inner.jobs.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(job));
    }

    pub(super) fn remove_job(&self, job: &Arc<Job>) {
        let mut jobs = self.inner.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.retain(|other| !Arc::ptr_eq(other, job));
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    pub(super) fn instruments(&self) -> &Instruments {
        &self.inner.instruments
    }

    pub(crate) fn messages(&self) -> &messaging::Instruments {
        &self.inner.messages
    }

    pub(super) fn key(&self, name: &str, id: &str) -> Key {
        self.inner.seen.key(name, id)
    }

    pub(super) fn states(&self, key: Key) -> States {
        self.inner.seen.states(key)
    }

    /// Counts the task in this state, unless it was counted in it before; which states it had reached before.
    pub(super) fn count(&self, named: &Named, key: Option<Key>, state: State) -> States {
        let before = key.map(|key| self.inner.seen.note(key, state)).unwrap_or_default();
        if !before.has(state) {
            named.counts[state.index()].fetch_add(1, Ordering::Relaxed);
            self.inner.instruments.count(&named.name, state);
        }
        before
    }

    pub(super) fn named(&self, name: &str) -> Arc<Named> {
        if let Some(named) = self.inner.names.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(named);
        }
        let mut names = self.inner.names.write().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MAX_NAMES && !names.contains_key(name) {
            return Arc::clone(&self.inner.other);
        }
        Arc::clone(names.entry(name.into()).or_insert_with(|| Named::new(name)))
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("registry", &self.inner.registry).finish_non_exhaustive()
    }
}
