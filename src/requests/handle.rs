//! The handle on an entry: what a handler may ask of it and tell it.

use std::{
    borrow::Cow,
    fmt,
    sync::Arc as StdArc,
    time::{Duration, SystemTime},
};

use opentelemetry::{SpanId, TraceId};

use super::{
    EntryId, Kind,
    bounded_text::{cut, format_bounded},
    details::Details,
    entry::{Entry, IN_STREAM, ROUTED, STUCK, TaskCount},
    sync::{Arc, Ordering},
};

/// The stage that says: the response is under way as a stream (upgrade, server-sent events) and its end is the client's
/// choice. [`drain`](super::drain) and [`Registry::idle_except_streams`](super::Registry::idle_except_streams) do not
/// wait for entries in this stage.
pub const STREAMING: &str = "streaming";

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
        self.0.trace_flags.is_sampled()
    }

    /// What others find the entry's own span by: the value of a header `traceparent` (W3C Trace Context Level 2, section
    /// 3.2), with all the flags of the trace; `None` = it has no valid span.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        let (trace, span) = (self.trace_id(), self.span_id());
        let valid = trace != TraceId::INVALID && span != SpanId::INVALID;
        valid.then(|| format!("00-{trace}-{span}-{:02x}", self.0.trace_flags.to_u8()))
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
    pub fn route(&self) -> Option<StdArc<str>> {
        self.0.with_state(|state| state.route.clone())
    }

    /// The path as the client sent it, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path.as_deref().unwrap_or_default()
    }

    /// When the entry started, by the wall clock.
    #[must_use]
    pub fn started_at(&self) -> SystemTime {
        self.0.started_at
    }

    /// How long ago the entry started, by the monotonic clock.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// The entry this one was started from.
    #[must_use]
    pub fn parent_id(&self) -> Option<EntryId> {
        self.0.parent_id()
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

    /// Sets the matched route (`/users/{id}`, never the path itself), for the entry and, unless its router said one before,
    /// for the span and the metrics of the request; see [`set_route`](super::set_route()).
    pub fn set_route(&self, route: StdArc<str>) {
        self.show_route(route);
        self.0.set_flag(ROUTED, true);
    }

    /// The same, for the entry alone.
    pub(crate) fn show_route(&self, route: StdArc<str>) {
        if self.is_active() {
            let old = self.0.with_state(|state| state.route.replace(route));
            drop(old);
        }
    }

    /// The route that [`set_route`](Self::set_route) was told since this was asked last.
    pub(crate) fn take_said_route(&self) -> Option<StdArc<str>> {
        let said = self.0.has_flag(ROUTED) && self.0.set_flag(ROUTED, false);
        if said { self.route() } else { None }
    }

    /// Says what the entry is doing now. The same stage again changes nothing, and an empty name says "no stage any more".
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
        let quiet = self.0.with_state(|state| {
            state.details.get_or_insert_with(Box::default).set_stage(stage, at);
            // under the entry's lock, so that stage and count of streams never disagree; the order is entry, then shard
            let changed = streams != (self.0.phase.load(Ordering::Relaxed) == IN_STREAM);
            changed && self.0.shard.set_streaming(&self.0, streams)
        });
        if quiet {
            self.0.shard.ring();
        }
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
        let value = format_bounded(value, Details::MAX_VALUE);
        self.0.with_state(|state| {
            state.details.get_or_insert_with(Box::default).annotate(key, value, sensitive);
        });
    }

    /// Marks the entry as stuck, or as moving again; whoever watches over entries decides.
    pub fn set_stuck(&self, stuck: bool) {
        self.0.set_flag(STUCK, stuck);
    }

    /// Counts a task that runs on behalf of the entry, until the count is dropped.
    pub(super) fn count_task(&self) -> TaskCount {
        TaskCount::new(Arc::clone(&self.0))
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
