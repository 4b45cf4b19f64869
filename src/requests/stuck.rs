//! The watch over entries that are older than they should be: flagged, logged and counted, once each.

use std::{
    borrow::Cow, collections::HashMap, fmt::Write as _, future::Future, sync::OnceLock, time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter},
};
use tokio::time::Instant;

use super::{
    ActiveEntry, Current, Kind, Registry,
    entry::{Entry, IN_STREAM, STUCK},
    events::in_trace,
    sync::{Arc, Ordering},
};

/// Counts requests that became stuck: {request}, by `tracewell.name`.
const REQUESTS_STUCK: &str = "tracewell.requests.stuck";
/// Counts tasks that became stuck: {task}, by `tracewell.name`.
const TASKS_STUCK: &str = "tracewell.tasks.stuck";
const NAME: &str = "tracewell.name";

/// From which age on an entry counts as stuck.
///
/// By default 60 s for requests and 10 min for tasks. A route (`/users/{id}`) or a task's name may have its own.
#[derive(Debug, Clone)]
pub struct Thresholds {
    requests: Option<Duration>,
    tasks: Option<Duration>,
    named: HashMap<Cow<'static, str>, Option<Duration>>,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            requests: Some(Duration::from_secs(60)),
            tasks: Some(Duration::from_secs(600)),
            named: HashMap::new(),
        }
    }
}

impl Thresholds {
    /// One threshold for all requests and tasks.
    #[must_use]
    pub fn new(age: Duration) -> Self {
        Self { requests: Some(age), tasks: Some(age), named: HashMap::new() }
    }

    /// The threshold of requests; `None` = never stuck.
    #[must_use]
    pub fn with_requests(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.requests = age.into();
        self
    }

    /// The threshold of tasks; `None` = never stuck.
    #[must_use]
    pub fn with_tasks(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.tasks = age.into();
        self
    }

    /// The threshold of one route (`/users/{id}`) or of the tasks with this name; `None` = never stuck.
    #[must_use]
    pub fn with_name(
        mut self,
        route_or_task: impl Into<Cow<'static, str>>,
        age: impl Into<Option<Duration>>,
    ) -> Self {
        self.named.insert(route_or_task.into(), age.into());
        self
    }

    /// The lowest one: nobody younger need be looked at.
    fn lowest(&self) -> Option<Duration> {
        let named = self.named.values().copied();
        [self.requests, self.tasks].into_iter().chain(named).flatten().min()
    }

    fn of(&self, entry: &Current) -> Option<Duration> {
        let of_name = |name: &str| self.named.get(name).copied();
        match entry.kind() {
            Kind::Request => entry.route().and_then(|route| of_name(&route)).unwrap_or(self.requests),
            Kind::Task => of_name(&entry.name()).unwrap_or(self.tasks),
        }
    }

    /// The time between two rounds: entries are flagged at most a quarter of the lowest threshold too late.
    fn pause(&self) -> Option<Duration> {
        self.lowest().map(|age| (age / 4).clamp(Duration::from_millis(10), Duration::from_secs(5)))
    }
}

/// Watches over the global registry; see [`Registry::watch`]. It never ends; dropped, nothing is flagged any more. Cancel
/// safe.
pub fn watch(thresholds: Thresholds) -> impl Future<Output = ()> + Send + 'static {
    Registry::global().watch(thresholds)
}

impl Registry {
    /// Looks for stuck entries as long as it is polled: a future for `tokio::spawn` that never ends.
    ///
    /// Each entry older than its threshold is, once: flagged ([`ActiveEntry::stuck`]) until it ends, logged at WARN
    /// (target `tracewell::requests`, in the entry's trace, with name, stage, age and stages so far) and counted
    /// (`tracewell.requests.stuck`, {request}, or `tracewell.tasks.stuck`, {task}; by `tracewell.name`, in the entry's
    /// trace). Streams are never stuck, and entries that are counted but not listed are not seen.
    ///
    /// A round holds one shard's lock at a time while it compares ages, and none while it logs. Cancel safe.
    /// Needs a tokio runtime with its timer enabled.
    pub fn watch(&self, thresholds: Thresholds) -> impl Future<Output = ()> + Send + 'static + use<> {
        let registry = self.clone();
        async move {
            let Some(pause) = thresholds.pause() else { return std::future::pending().await };
            loop {
                tokio::time::sleep(pause).await;
                for (done, entry) in registry.find_stuck(&thresholds).iter().enumerate() {
                    flag(entry);
                    // when everything hangs at once, others may go on between the lines
                    if done % 64 == 63 {
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
    }

    /// One round of the [`watch`](Self::watch), for those without a runtime: how many entries became stuck.
    #[expect(clippy::must_use_candidate, reason = "a round is run for what it says and counts")]
    pub fn flag_stuck(&self, thresholds: &Thresholds) -> usize {
        self.find_stuck(thresholds).iter().filter(|entry| flag(entry)).count()
    }

    /// What is stuck and was not.
    fn find_stuck(&self, thresholds: &Thresholds) -> Vec<Current> {
        let now = Instant::now();
        let Some(latest) = thresholds.lowest().and_then(|age| now.checked_sub(age)) else {
            return Vec::new();
        };
        let suspicious = |entry: &Entry| {
            entry.started <= latest
                && entry.phase.load(Ordering::Relaxed) != IN_STREAM
                && !entry.has_flag(STUCK)
        };
        let mut found: Vec<Arc<Entry>> = Vec::new();
        for shard in self.shards() {
            shard.pick(suspicious, &mut found);
        }
        let is_stuck = |entry: &Current| {
            thresholds.of(entry).is_some_and(|age| now.saturating_duration_since(entry.0.started) >= age)
        };
        found.into_iter().map(Current).filter(is_stuck).collect()
    }
}

struct Instruments {
    requests: Counter<u64>,
    tasks: Counter<u64>,
}

/// Made by the first entry that is stuck, which is after `init`.
fn instruments() -> &'static Instruments {
    static INSTRUMENTS: OnceLock<Instruments> = OnceLock::new();
    INSTRUMENTS.get_or_init(|| Instruments::new(&opentelemetry::global::meter("tracewell.requests")))
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        let counter = |name, unit, description| {
            meter.u64_counter(name).with_unit(unit).with_description(description).build()
        };
        Self {
            requests: counter(
                REQUESTS_STUCK,
                "{request}",
                "Requests that became older than their threshold.",
            ),
            tasks: counter(TASKS_STUCK, "{task}", "Tasks that became older than their threshold."),
        }
    }
}

/// Flags, logs and counts a stuck entry, in its own trace; whether nobody did before.
fn flag(entry: &Current) -> bool {
    // it may have ended meanwhile, and two watches may meet here
    if !entry.is_active() || !entry.0.set_flag(STUCK, true) {
        return false;
    }
    in_trace(entry.ids(), || say(entry));
    true
}

/// Logs and counts it.
fn say(entry: &Current) {
    let seen = ActiveEntry::of(entry);
    let counted = [KeyValue::new(NAME, seen.name.clone())];
    match seen.kind {
        Kind::Request => instruments().requests.add(1, &counted),
        Kind::Task => instruments().tasks.add(1, &counted),
    }
    let mut stages = String::new();
    for stage in &seen.stages {
        let comma = if stages.is_empty() { "" } else { ", " };
        // writing to a String cannot fail
        let _ = write!(stages, "{comma}{} at {} ms", stage.name, stage.at.as_millis());
    }
    tracing::event!(
        target: "tracewell::requests",
        tracing::Level::WARN,
        tracewell.id = %seen.id,
        tracewell.kind = seen.kind.as_str(),
        tracewell.name = &*seen.name,
        tracewell.route = seen.route.as_deref(),
        tracewell.stage = seen.stage.as_deref(),
        tracewell.stages = stages.as_str(),
        tracewell.age_ms = u64::try_from(seen.age.as_millis()).unwrap_or(u64::MAX),
        "stuck: {seen}"
    );
}
