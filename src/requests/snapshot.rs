//! What the registry shows: plain values, made from references after the locks are gone.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    sync::Arc as StdArc,
    time::{Duration, SystemTime},
};

use opentelemetry::{SpanId, TraceFlags, TraceId};
use tokio::time::Instant;

use super::{
    EntryId, Kind, Outcome,
    details::{Annotation, Stage},
    entry::{Entry, STUCK},
    shard::{Ended, RECENT, Tally},
    sync::Arc,
};
use crate::timestamp::rfc3339_micros;

/// How many entries of one kind started, and how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// All that ever started.
    pub started: u64,
    /// Ended as [`Outcome::Completed`].
    pub completed: u64,
    /// Ended as [`Outcome::Failed`].
    pub failed: u64,
    /// Ended as [`Outcome::Cancelled`].
    pub cancelled: u64,
    /// Ended as [`Outcome::Panicked`].
    pub panicked: u64,
    /// Ended as [`Outcome::Aborted`].
    pub aborted: u64,
}

impl Totals {
    /// How many have ended.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.completed + self.failed + self.cancelled + self.panicked + self.aborted
    }

    /// How many are active: what was started and has not ended.
    #[must_use]
    pub const fn active(&self) -> u64 {
        self.started.saturating_sub(self.ended())
    }

    /// How many ended this way.
    #[must_use]
    pub const fn of(&self, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Completed => self.completed,
            Outcome::Failed => self.failed,
            Outcome::Cancelled => self.cancelled,
            Outcome::Panicked => self.panicked,
            Outcome::Aborted => self.aborted,
        }
    }

    pub(super) fn count(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Completed => &mut self.completed,
            Outcome::Failed => &mut self.failed,
            Outcome::Cancelled => &mut self.cancelled,
            Outcome::Panicked => &mut self.panicked,
            Outcome::Aborted => &mut self.aborted,
        } += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.completed += other.completed;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.panicked += other.panicked;
        self.aborted += other.aborted;
    }
}

/// The registry at one moment.
///
/// `totals.started` is `totals.ended()` plus the requests in `active` plus `unlisted`; the same for tasks.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// What is active, oldest first.
    pub active: Vec<ActiveEntry>,
    /// Requests only.
    pub totals: Totals,
    /// Tasks only.
    pub task_totals: Totals,
    /// What ended last, at most 64 entries, latest first.
    pub recent: Vec<RecentEntry>,
    /// Active requests that are missing in `active` because the table is full.
    pub unlisted: u64,
    /// The same for tasks.
    pub unlisted_tasks: u64,
    /// Requests and tasks the table ever had no room for.
    pub overflowed: u64,
}

/// One entry, as it was when the snapshot was taken.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ActiveEntry {
    /// The entry's id.
    pub id: EntryId,
    /// Request or task.
    pub kind: Kind,
    /// The name to show: the given one, else method and route.
    pub name: Cow<'static, str>,
    /// The HTTP method.
    pub method: Option<Cow<'static, str>>,
    /// The matched route.
    pub route: Option<StdArc<str>>,
    /// The path as the client sent it, without the query.
    pub path: String,
    /// The trace; `None` = no valid one.
    pub trace_id: Option<TraceId>,
    /// The entry's own span; `None` = no valid one.
    pub span_id: Option<SpanId>,
    /// Whether the trace is sampled.
    pub sampled: bool,
    pub(super) trace_flags: TraceFlags,
    /// When it started, by the wall clock.
    pub started_at: SystemTime,
    /// How old it is; in [`RecentEntry`], how old it became.
    pub age: Duration,
    /// The stage set last.
    pub stage: Option<Cow<'static, str>>,
    /// The stages so far, oldest first; when there were more than 16, the first 4 and the last 12.
    pub stages: Vec<Stage>,
    /// Stages left out between these.
    pub stages_dropped: u32,
    /// Facts, in the order in which their keys came.
    pub annotations: Vec<Annotation>,
    /// Annotations left out because there were 32 already.
    pub annotations_dropped: u32,
    /// The entry this one was started from.
    pub parent_id: Option<EntryId>,
    /// Whether a [watch](super::Registry::watch) found it older than its threshold; never once it has ended.
    pub stuck: bool,
    /// Spawned tasks that are running.
    pub tasks_running: u32,
}

/// One entry that has ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecentEntry {
    /// The entry in its last state.
    pub entry: ActiveEntry,
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status code, if there was a response.
    pub status: Option<u16>,
    /// From start to end.
    pub duration: Duration,
    /// Spawned tasks that were still running when it ended; `entry.tasks_running` says how many are running now.
    pub tasks_at_end: u32,
}

impl Snapshot {
    pub(super) fn new(mut active: Vec<Arc<Entry>>, mut recent: Vec<Ended>, tallies: [Tally; 2]) -> Self {
        let now = Instant::now();
        active.sort_by_cached_key(|entry| (entry.started, entry.id));
        recent.sort_by_cached_key(|ended| std::cmp::Reverse((ended.at(), ended.entry.id)));
        recent.truncate(RECENT);
        let [requests, tasks] = tallies;
        Self {
            active: active.iter().map(|entry| ActiveEntry::new(entry, now)).collect(),
            totals: requests.totals,
            task_totals: tasks.totals,
            recent: recent.iter().map(RecentEntry::new).collect(),
            unlisted: requests.unlisted,
            unlisted_tasks: tasks.unlisted,
            overflowed: requests.overflowed + tasks.overflowed,
        }
    }
}

impl ActiveEntry {
    /// The entry as it is now.
    pub(super) fn of(entry: &super::Current) -> Self {
        Self::new(&entry.0, Instant::now())
    }

    pub(super) fn new(entry: &Entry, now: Instant) -> Self {
        let (route, (stages, stages_dropped, annotations, annotations_dropped)) = entry.with_state(|state| {
            let shown = state.details.as_ref().map(|details| details.shown());
            (state.route.clone(), shown.unwrap_or_default())
        });
        Self {
            id: entry.id,
            kind: entry.kind,
            name: entry.name(route.as_deref()),
            method: entry.method().cloned(),
            route,
            path: entry.path.as_deref().unwrap_or_default().to_owned(),
            trace_id: Some(entry.trace_id()).filter(|id| *id != TraceId::INVALID),
            span_id: Some(entry.span_id()).filter(|id| *id != SpanId::INVALID),
            sampled: entry.trace_flags.is_sampled(),
            trace_flags: entry.trace_flags,
            started_at: entry.started_at,
            age: now.saturating_duration_since(entry.started),
            stage: stages.last().map(|stage| stage.name.clone()).filter(|name| !name.is_empty()),
            stages,
            stages_dropped,
            annotations,
            annotations_dropped,
            parent_id: entry.parent_id(),
            stuck: entry.has_flag(STUCK) && !entry.has_ended(),
            tasks_running: entry.tasks(),
        }
    }

    /// Whether it is in the stage [`STREAMING`](super::STREAMING).
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.stage.as_deref() == Some(super::STREAMING)
    }
}

/// One line of text, without annotations.
impl fmt::Display for ActiveEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kind.as_str(), self.id, self.name)?;
        if !self.path.is_empty() {
            write!(f, " path={}", self.path.escape_debug())?;
        }
        if let Some(trace_id) = self.trace_id {
            write!(f, " trace_id={trace_id}")?;
        }
        let mut line = String::from(" started_at=");
        rfc3339_micros(self.started_at, &mut line);
        let _ = write!(line, " age_ms={}", self.age.as_millis());
        if let Some(stage) = &self.stage {
            let _ = write!(line, " stage={stage}");
        }
        f.write_str(&line)
    }
}

impl RecentEntry {
    pub(super) fn new(ended: &Ended) -> Self {
        let end = ended.at().unwrap_or_else(|| ended.entry.started);
        Self {
            entry: ActiveEntry::new(&ended.entry, end),
            outcome: ended.outcome,
            status: ended.details.status,
            duration: ended.details.duration,
            tasks_at_end: ended.tasks,
        }
    }
}
