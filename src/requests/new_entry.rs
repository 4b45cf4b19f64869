//! What an entry is made from.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Instant, SystemTime},
};

use opentelemetry::{SpanId, TraceFlags, TraceId, trace::SpanContext};

use super::EntryId;

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

    /// By [`index`](Self::index).
    pub(super) const ALL: [Self; 2] = [Self::Request, Self::Task];

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
    /// The path as the client sent it, without the query; `None` = none. At most 2048 bytes are kept.
    pub path: Option<Arc<str>>,
    /// The trace; invalid = none.
    pub trace_id: TraceId,
    /// The span of this entry; invalid = none.
    pub span_id: SpanId,
    /// Whether the trace is sampled.
    pub sampled: bool,
    /// The trace's other flags, such as that its id is random.
    pub(crate) other_flags: TraceFlags,
    /// The entry this one was started from.
    pub parent_id: Option<EntryId>,
    /// Whether an operator may cancel it: set by owners that heed [`Current::cancelled`](super::Current::cancelled).
    pub cancellable: bool,
    /// The `tracing` span, to be ended with telemetry if nobody does before; 0 = none.
    pub(crate) tracing_id: u64,
    /// The start on both clocks; `None` = when the entry is inserted. Saves two clock readings where the caller has them.
    pub started: Option<(SystemTime, Instant)>,
}

impl NewEntry {
    /// A request with this method.
    #[must_use]
    #[inline]
    pub fn request(method: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Request, Cow::Borrowed(""), method.into())
    }

    /// A task with this name.
    #[must_use]
    #[inline]
    pub fn task(name: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Task, name.into(), Cow::Borrowed(""))
    }

    #[inline]
    fn new(kind: Kind, name: Cow<'static, str>, method: Cow<'static, str>) -> Self {
        Self {
            kind,
            name,
            method,
            route: None,
            path: None,
            trace_id: TraceId::INVALID,
            span_id: SpanId::INVALID,
            sampled: false,
            other_flags: TraceFlags::NOT_SAMPLED,
            parent_id: None,
            cancellable: false,
            tracing_id: 0,
            started: None,
        }
    }

    #[inline]
    pub(super) fn start(&self) -> (SystemTime, tokio::time::Instant) {
        let given = self.started.map(|(wall, monotonic)| (wall, monotonic.into()));
        given.unwrap_or_else(|| (SystemTime::now(), tokio::time::Instant::now()))
    }

    /// Sets the name to show.
    #[must_use]
    #[inline]
    pub fn with_name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the matched route.
    #[must_use]
    #[inline]
    pub fn with_route(mut self, route: impl Into<Arc<str>>) -> Self {
        self.route = Some(route.into());
        self
    }

    /// Sets the path; without the query, which may hold secrets.
    #[must_use]
    #[inline]
    pub fn with_path(mut self, path: impl Into<Arc<str>>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Sets the ids of the entry's span.
    #[must_use]
    #[inline]
    pub fn with_span(mut self, trace_id: TraceId, span_id: SpanId, sampled: bool) -> Self {
        (self.trace_id, self.span_id, self.sampled) = (trace_id, span_id, sampled);
        self
    }

    /// The same, with all the flags of the trace.
    #[inline]
    pub(crate) fn with_span_context(mut self, ids: &SpanContext) -> Self {
        self.other_flags = ids.trace_flags();
        self.with_span(ids.trace_id(), ids.span_id(), ids.is_sampled())
    }

    #[inline]
    pub(super) fn trace_flags(&self) -> TraceFlags {
        self.other_flags.with_sampled(self.sampled)
    }

    /// Sets the entry this one was started from.
    #[must_use]
    #[inline]
    pub fn with_parent(mut self, parent: EntryId) -> Self {
        self.parent_id = Some(parent);
        self
    }

    /// Lets an operator cancel it, because its owner heeds [`Current::cancelled`](super::Current::cancelled).
    #[must_use]
    #[inline]
    pub fn with_cancellation(mut self) -> Self {
        self.cancellable = true;
        self
    }

    /// Sets the start, as read by the caller from both clocks.
    #[must_use]
    #[inline]
    pub fn with_start(mut self, wall: SystemTime, monotonic: Instant) -> Self {
        self.started = Some((wall, monotonic));
        self
    }
}
