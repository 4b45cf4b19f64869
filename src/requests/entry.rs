//! One active entry, what it is made from, and the handle on it.

use std::{
    borrow::Cow,
    fmt,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use opentelemetry::{SpanId, TraceId};

use super::{
    EntryId,
    details::Details,
    shard::Shard,
    sync::{Arc, AtomicBool, AtomicU8, AtomicU32, Mutex, Ordering, lock},
    text::{cut, cut_box},
};

/// The stage that says: the response is under way as a stream (upgrade, server-sent events) and its end is the client's
/// choice. [`drain`](super::drain) and [`Registry::idle_except_streams`](super::Registry::idle_except_streams) do not
/// wait for entries in this stage.
pub const STREAMING: &str = "streaming";

/// The longest path that is kept, in bytes.
const MAX_PATH: usize = 2048;
/// The longest name or method that is kept, in bytes.
const MAX_NAME: usize = 256;

/// What an entry stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A request that came in.
    Request,
    /// Work that the service does by itself.
    Task,
}

impl Kind {
    /// The lower-case name used in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Task => "task",
        }
    }

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Request => 0,
            Self::Task => 1,
        }
    }
}

/// What is known of a request or task when it starts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewEntry {
    /// Request or task.
    pub kind: Kind,
    /// The name to show; empty = method and route. At most 256 bytes are kept.
    pub name: Cow<'static, str>,
    /// The HTTP method; empty = none. At most 256 bytes are kept.
    pub method: Cow<'static, str>,
    /// The matched route (`/users/{id}`), if it is known already.
    pub route: Option<Arc<str>>,
    /// The path as the client sent it, without the query. At most 2048 bytes are kept.
    pub path: Box<str>,
    /// The trace; invalid = none.
    pub trace_id: TraceId,
    /// The span of this entry; invalid = none.
    pub span_id: SpanId,
    /// Whether the trace is sampled.
    pub sampled: bool,
    /// The entry this one was started from.
    pub parent_id: Option<EntryId>,
    /// The start on both clocks; `None` = when the entry is inserted. Saves two clock readings where the caller has them.
    pub started: Option<(SystemTime, Instant)>,
}

impl NewEntry {
    /// A request with this method.
    #[must_use]
    pub fn request(method: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Request, Cow::Borrowed(""), method.into())
    }

    /// A task with this name.
    #[must_use]
    pub fn task(name: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Task, name.into(), Cow::Borrowed(""))
    }

    fn new(kind: Kind, name: Cow<'static, str>, method: Cow<'static, str>) -> Self {
        Self {
            kind,
            name,
            method,
            route: None,
            path: Box::default(),
            trace_id: TraceId::INVALID,
            span_id: SpanId::INVALID,
            sampled: false,
            parent_id: None,
            started: None,
        }
    }

    /// Sets the name to show.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the matched route.
    #[must_use]
    pub fn with_route(mut self, route: impl Into<Arc<str>>) -> Self {
        self.route = Some(route.into());
        self
    }

    /// Sets the path; without the query, which may hold secrets.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<Box<str>>) -> Self {
        self.path = path.into();
        self
    }

    /// Sets the ids of the entry's span.
    #[must_use]
    pub fn with_span(mut self, trace_id: TraceId, span_id: SpanId, sampled: bool) -> Self {
        (self.trace_id, self.span_id, self.sampled) = (trace_id, span_id, sampled);
        self
    }

    /// Sets the entry this one was started from.
    #[must_use]
    pub fn with_parent(mut self, parent: EntryId) -> Self {
        self.parent_id = Some(parent);
        self
    }

    /// Sets the start, as read by the caller from both clocks.
    #[must_use]
    pub fn with_start(mut self, wall: SystemTime, monotonic: Instant) -> Self {
        self.started = Some((wall, monotonic));
        self
    }
}

/// Where an entry is in its life. Changed under its shard's lock only.
pub(super) const ACTIVE: u8 = 0;
pub(super) const IN_STREAM: u8 = 1;
pub(super) const ENDED: u8 = 2;

/// One entry. Kept small (a test has the number): times are 8 bytes each, ids are bytes, so that nothing is padded.
pub(super) struct Entry {
    pub(super) id: EntryId,
    pub(super) shard: Arc<Shard>,
    /// Nanoseconds after the registry's own start.
    started: u64,
    /// Nanoseconds after 1970.
    started_wall: i64,
    pub(super) parent_id: Option<EntryId>,
    trace_id: [u8; 16],
    span_id: [u8; 8],
    method: Cow<'static, str>,
    name: Cow<'static, str>,
    pub(super) path: Box<str>,
    state: Mutex<Mutable>,
    tasks: AtomicU32,
    pub(super) kind: Kind,
    pub(super) sampled: bool,
    pub(super) phase: AtomicU8,
    pub(super) stuck: AtomicBool,
}

/// What changes during the entry's life. Most entries never need `details`.
pub(super) struct Mutable {
    pub(super) route: Option<Arc<str>>,
    pub(super) details: Option<Box<Details>>,
}

impl Entry {
    pub(super) fn new(new: NewEntry, shard: Arc<Shard>) -> Self {
        let (wall, monotonic) = new.started.unwrap_or_else(|| (SystemTime::now(), Instant::now()));
        let started = monotonic.saturating_duration_since(shard.base()).as_nanos();
        Self {
            id: EntryId::next(),
            started: u64::try_from(started).unwrap_or(u64::MAX),
            started_wall: nanos_since_epoch(wall),
            shard,
            parent_id: new.parent_id,
            trace_id: new.trace_id.to_bytes(),
            span_id: new.span_id.to_bytes(),
            method: cut(new.method, MAX_NAME),
            name: cut(new.name, MAX_NAME),
            path: cut_box(new.path, MAX_PATH),
            state: Mutex::new(Mutable { route: new.route, details: None }),
            tasks: AtomicU32::new(0),
            kind: new.kind,
            sampled: new.sampled,
            phase: AtomicU8::new(ACTIVE),
            stuck: AtomicBool::new(false),
        }
    }

    pub(super) fn started(&self) -> Instant {
        let base = self.shard.base();
        base.checked_add(Duration::from_nanos(self.started)).unwrap_or(base)
    }

    pub(super) fn started_at(&self) -> SystemTime {
        let distance = Duration::from_nanos(self.started_wall.unsigned_abs());
        let time = if self.started_wall < 0 {
            UNIX_EPOCH.checked_sub(distance)
        } else {
            UNIX_EPOCH.checked_add(distance)
        };
        time.unwrap_or(UNIX_EPOCH)
    }

    pub(super) fn trace_id(&self) -> TraceId {
        TraceId::from_bytes(self.trace_id)
    }

    pub(super) fn span_id(&self) -> SpanId {
        SpanId::from_bytes(self.span_id)
    }

    pub(super) fn method(&self) -> Option<&Cow<'static, str>> {
        (!self.method.is_empty()).then_some(&self.method)
    }

    /// The given name, else what the HTTP conventions call a span: method and route, or the method alone.
    pub(super) fn name(&self, route: Option<&str>) -> Cow<'static, str> {
        match route {
            _ if !self.name.is_empty() => self.name.clone(),
            Some(route) => format!("{} {route}", self.method).into(),
            None => self.method.clone(),
        }
    }

    pub(super) fn tasks(&self) -> u32 {
        self.tasks.load(Ordering::Relaxed)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == ENDED
    }

    /// Runs `read` under the entry's lock: no code of users, no formatting.
    pub(super) fn with_state<R>(&self, read: impl FnOnce(&mut Mutable) -> R) -> R {
        read(&mut lock(&self.state))
    }
}

fn nanos_since_epoch(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
    }
}

/// A handle on an entry. Cheap to clone, may outlive the entry and may be used on any thread.
///
/// Once the entry has ended, the setters have no effect: what [`recent`](super::Snapshot::recent) shows is the state at the end.
#[derive(Clone)]
pub struct Current(pub(super) Arc<Entry>);

impl Current {
    /// The entry's id.
    #[must_use]
    pub fn id(&self) -> EntryId {
        self.0.id
    }

    /// Request or task.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The trace; invalid = none.
    #[must_use]
    pub fn trace_id(&self) -> TraceId {
        self.0.trace_id()
    }

    /// The entry's own span; invalid = none.
    #[must_use]
    pub fn span_id(&self) -> SpanId {
        self.0.span_id()
    }

    /// Whether the trace is sampled.
    #[must_use]
    pub fn sampled(&self) -> bool {
        self.0.sampled
    }

    /// The name to show: the given one, else method and route.
    #[must_use]
    pub fn name(&self) -> Cow<'static, str> {
        self.0.name(self.route().as_deref())
    }

    /// The HTTP method; `None` for tasks.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.0.method().map(AsRef::as_ref)
    }

    /// The matched route, once it is known.
    #[must_use]
    pub fn route(&self) -> Option<Arc<str>> {
        self.0.with_state(|state| state.route.clone())
    }

    /// The path as the client sent it, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// When the entry started, by the wall clock.
    #[must_use]
    pub fn started_at(&self) -> SystemTime {
        self.0.started_at()
    }

    /// How long ago the entry started, by the monotonic clock.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.0.started().elapsed()
    }

    /// The entry this one was started from.
    #[must_use]
    pub fn parent_id(&self) -> Option<EntryId> {
        self.0.parent_id
    }

    /// Whether the entry has not ended yet.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.0.has_ended()
    }

    /// How many tasks started by [`spawn`](super::spawn) and [`spawn_blocking`](super::spawn_blocking) are running.
    #[must_use]
    pub fn tasks_running(&self) -> u32 {
        self.0.tasks()
    }

    /// The stage set last.
    #[must_use]
    pub fn stage(&self) -> Option<Cow<'static, str>> {
        self.0.with_state(|state| state.details.as_ref().and_then(|details| details.stage().cloned()))
    }

    /// Sets the matched route.
    pub fn set_route(&self, route: Arc<str>) {
        if self.is_active() {
            let old = self.0.with_state(|state| state.route.replace(route));
            drop(old);
        }
    }

    /// Says what the entry is doing now. The same stage again changes nothing.
    ///
    /// 16 stages are kept with the time of their start (the first 4 and the last 12; the others are counted), 64 bytes of
    /// a name. [`STREAMING`] has a meaning of its own.
    pub fn set_stage(&self, stage: impl Into<Cow<'static, str>>) {
        if !self.is_active() {
            return;
        }
        let stage = cut(stage.into(), Details::MAX_STAGE_NAME);
        let streams = stage == STREAMING;
        let at = self.age();
        self.0.with_state(|state| {
            state.details.get_or_insert_with(Box::default).set_stage(stage, at);
            // under the entry's lock, so that stage and count of streams never disagree; the order is entry, then shard
            if streams != (self.0.phase.load(Ordering::Relaxed) == IN_STREAM) {
                self.0.shard.set_streaming(&self.0, streams);
            }
        });
    }

    /// Adds a fact to the entry, or replaces the one with the same key.
    ///
    /// 32 facts are kept (more are counted), with 64 bytes of the key and 256 bytes of the value's text.
    pub fn annotate(&self, key: impl Into<Cow<'static, str>>, value: impl fmt::Display) {
        self.annotate_as(key.into(), value, false);
    }

    /// [`annotate`](Self::annotate) with a value that JSON and `Debug` show as `[redacted]`.
    pub fn annotate_sensitive(&self, key: impl Into<Cow<'static, str>>, value: impl fmt::Display) {
        self.annotate_as(key.into(), value, true);
    }

    fn annotate_as(&self, key: Cow<'static, str>, value: impl fmt::Display, sensitive: bool) {
        if !self.is_active() {
            return;
        }
        let key = cut(key, Details::MAX_KEY);
        // users' formatting runs before the lock is taken
        let value = super::text::format_bounded(value, Details::MAX_VALUE);
        self.0.with_state(|state| {
            state.details.get_or_insert_with(Box::default).annotate(key, value, sensitive);
        });
    }

    /// Marks the entry as stuck, or as moving again; whoever watches over entries decides.
    pub fn set_stuck(&self, stuck: bool) {
        self.0.stuck.store(stuck, Ordering::Relaxed);
    }

    /// Counts a task that runs on behalf of the entry, until the count is dropped.
    pub(super) fn count_task(&self) -> TaskCount {
        self.0.tasks.fetch_add(1, Ordering::Relaxed);
        TaskCount(self.clone())
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current")
            .field("id", &self.id())
            .field("kind", &self.kind())
            .field("method", &self.method())
            .field("path", &self.path())
            .field("active", &self.is_active())
            .finish_non_exhaustive()
    }
}

/// One running task of an entry.
pub(super) struct TaskCount(Current);

impl Drop for TaskCount {
    fn drop(&mut self) {
        self.0.0.tasks.fetch_sub(1, Ordering::Relaxed);
    }
}
