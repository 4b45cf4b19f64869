//! One active entry and its place in memory.

use std::{borrow::Cow, cell::Cell, sync::Arc as StdArc, time::SystemTime};

use opentelemetry::{SpanId, TraceFlags, TraceId};
use tokio::time::Instant;

use super::{
    EntryId, Kind, NewEntry,
    bounded_text::{cut, cut_shared},
    details::Details,
    shard::Shard,
    sync::{Arc, AtomicU8, AtomicU32, Mutex, Ordering, lock, thread_local},
};

/// The longest path that is kept, in bytes.
const MAX_PATH: usize = 2048;
/// The longest name or method that is kept, in bytes.
const MAX_NAME: usize = 256;

/// Where an entry is in its life. Changed under its shard's lock only.
pub(super) const ACTIVE: u8 = 0;
pub(super) const IN_STREAM: u8 = 1;
pub(super) const ENDED: u8 = 2;

/// Bits of `Entry::flags`.
pub(super) const STUCK: u8 = 1;
/// The owner listens to [`CANCEL_ASKED`].
pub(super) const CANCELLABLE: u8 = 2;
pub(super) const CANCEL_ASKED: u8 = 4;
/// It has attributes for its span, logs and metrics.
pub(super) const ENRICHED: u8 = 8;
/// The service went down before it ended.
pub(super) const INTERRUPTED: u8 = 16;
/// Something is kept back with it.
pub(super) const HOLDING: u8 = 32;
/// Nothing is kept back any more: it fails.
pub(super) const FAILING: u8 = 64;
/// Its program said which route it takes.
pub(super) const ROUTED: u8 = 128;

/// One entry. Kept small (a test has the number): ids are bytes, so that nothing is padded; a name is rare for requests.
pub(super) struct Entry {
    pub(super) id: EntryId,
    pub(super) shard: Arc<Shard>,
    /// tokio's clock is the system's, but in a test that paused it.
    pub(super) started: Instant,
    pub(super) started_at: SystemTime,
    /// The `tracing` span; 0 = none.
    pub(super) tracing_id: u64,
    trace_id: [u8; 16],
    span_id: [u8; 8],
    method: Cow<'static, str>,
    rare: Option<Box<Rare>>,
    pub(super) path: Option<StdArc<str>>,
    state: Mutex<Mutable>,
    tasks: AtomicU32,
    pub(super) kind: Kind,
    pub(super) trace_flags: TraceFlags,
    pub(super) phase: AtomicU8,
    flags: AtomicU8,
}

/// What requests have not: a name of its own, and an entry it was started from.
struct Rare {
    name: Cow<'static, str>,
    parent_id: Option<EntryId>,
}

/// What changes during the entry's life. Most entries never need `details`.
pub(super) struct Mutable {
    pub(super) route: Option<StdArc<str>>,
    pub(super) details: Option<Box<Details>>,
}

impl Entry {
    #[inline]
    pub(super) fn new(new: NewEntry, shard: Arc<Shard>) -> Self {
        let (started_at, started) = new.start();
        let trace_flags = new.trace_flags();
        Self {
            id: EntryId::next(),
            shard,
            started,
            started_at,
            tracing_id: new.tracing_id,
            trace_id: new.trace_id.to_bytes(),
            span_id: new.span_id.to_bytes(),
            method: cut(new.method, MAX_NAME),
            rare: rare(new.name, new.parent_id),
            path: cut_shared(new.path, MAX_PATH),
            state: Mutex::new(Mutable { route: new.route, details: None }),
            tasks: AtomicU32::new(0),
            kind: new.kind,
            trace_flags,
            phase: AtomicU8::new(ACTIVE),
            flags: AtomicU8::new(first_flags(new.cancellable)),
        }
    }

    /// An entry in memory of this thread's spare one, if nobody has a handle on that any more.
    #[inline]
    pub(super) fn shared(new: NewEntry, shard: &Arc<Shard>) -> Arc<Self> {
        if let Some(mut spare) = SPARE.try_with(Cell::take).ok().flatten() {
            if let Some(entry) = Arc::get_mut(&mut spare) {
                entry.renew(new, shard);
                return spare;
            }
        }
        Arc::new(Self::new(new, Arc::clone(shard)))
    }

    /// Keeps an entry for the next one this thread starts: saves the allocator's work and the count of the shard.
    #[inline]
    pub(super) fn keep_spare(entry: Arc<Self>) {
        // a thread on its way out keeps nothing
        let _ = SPARE.try_with(|spare| spare.set(Some(entry)));
    }

    #[inline]
    fn renew(&mut self, new: NewEntry, shard: &Arc<Shard>) {
        self.id = EntryId::next();
        if !Arc::ptr_eq(&self.shard, shard) {
            self.shard = Arc::clone(shard);
        }
        (self.started_at, self.started) = new.start();
        self.tracing_id = new.tracing_id;
        self.trace_flags = new.trace_flags();
        (self.trace_id, self.span_id) = (new.trace_id.to_bytes(), new.span_id.to_bytes());
        self.method = cut(new.method, MAX_NAME);
        self.rare = rare(new.name, new.parent_id);
        self.path = cut_shared(new.path, MAX_PATH);
        self.state = Mutex::new(Mutable { route: new.route, details: None });
        self.tasks = AtomicU32::new(0);
        self.kind = new.kind;
        self.phase = AtomicU8::new(ACTIVE);
        self.flags = AtomicU8::new(first_flags(new.cancellable));
    }

    pub(super) fn parent_id(&self) -> Option<EntryId> {
        self.rare.as_ref()?.parent_id
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
        let own = self.rare.as_ref().map(|rare| &rare.name).filter(|name| !name.is_empty());
        match (own, route) {
            (Some(name), _) => Cow::clone(name),
            (None, Some(route)) => format!("{} {route}", self.method).into(),
            (None, None) => self.method.clone(),
        }
    }

    pub(super) fn tasks(&self) -> u32 {
        self.tasks.load(Ordering::Relaxed)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == ENDED
    }

    pub(super) fn has_flag(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Acquire) & flag != 0
    }

    /// Sets a flag, or clears it; whether that changed it.
    pub(super) fn set_flag(&self, flag: u8, on: bool) -> bool {
        let before = if on {
            self.flags.fetch_or(flag, Ordering::AcqRel)
        } else {
            self.flags.fetch_and(!flag, Ordering::AcqRel)
        };
        (before & flag != 0) != on
    }

    /// Runs `read` under the entry's lock: no code of users, no formatting.
    pub(super) fn with_state<R>(&self, read: impl FnOnce(&mut Mutable) -> R) -> R {
        read(&mut lock(&self.state))
    }
}

const fn first_flags(cancellable: bool) -> u8 {
    if cancellable { CANCELLABLE } else { 0 }
}

thread_local! {
    /// At most one entry, that ended here and was forgotten by its shard.
    static SPARE: Cell<Option<Arc<Entry>>> = const { Cell::new(None) };
}

#[inline]
fn rare(name: Cow<'static, str>, parent_id: Option<EntryId>) -> Option<Box<Rare>> {
    let common = name.is_empty() && parent_id.is_none();
    if common { None } else { Some(Box::new(Rare { name: cut(name, MAX_NAME), parent_id })) }
}

/// One running task of an entry.
pub(super) struct TaskCount(Arc<Entry>);

impl TaskCount {
    pub(super) fn new(entry: Arc<Entry>) -> Self {
        entry.tasks.fetch_add(1, Ordering::Relaxed);
        Self(entry)
    }
}

impl Drop for TaskCount {
    fn drop(&mut self) {
        self.0.tasks.fetch_sub(1, Ordering::Relaxed);
    }
}
