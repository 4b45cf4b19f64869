//! Finds code that runs in one request's entry and another request's trace.

use std::{
    collections::HashMap,
    panic::Location,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry::{Context, TraceId, trace::TraceContextExt as _};

use super::Current;

/// The same place is named again after this time at the earliest.
const QUIET: Duration = Duration::from_secs(60);
/// Places that are remembered; further ones are not named until the oldest is a minute old.
const MAX_PLACES: usize = 256;

static WANTED: AtomicBool = AtomicBool::new(cfg!(debug_assertions));

/// Whether places are named where a context was lost: on in debug builds, off in release builds, unless said here.
///
/// A future that was moved without its context runs with the entry of one request and the span of another, and what it
/// logs and measures lands in the wrong trace. Each call of [`current`](super::current), [`spawn`](super::spawn) and its
/// kin compares the entry's trace with the current one, and logs the caller's place at WARN (target
/// `tracewell::requests`, attributes `code.file.path` and `code.line.number`), each place once a minute at most.
/// Work with a trace of its own, on purpose, belongs into an entry of its own or outside of all
/// ([`Scope::new(None)`](super::Scope::new)).
pub fn detect_lost_context(wanted: bool) {
    WANTED.store(wanted, Ordering::Relaxed);
}

/// Compares the entry's trace with the trace of the running code.
#[track_caller]
pub(super) fn check(entry: Option<&Current>) {
    if let (Some(entry), true) = (entry, WANTED.load(Ordering::Relaxed)) {
        compare(entry, Location::caller());
    }
}

#[cold]
fn compare(entry: &Current, place: &'static Location<'static>) {
    let own = entry.trace_id();
    let running = Context::map_current(|context| context.span().span_context().trace_id());
    if own == running || own == TraceId::INVALID || running == TraceId::INVALID || !is_news(place) {
        return;
    }
    tracing::event!(
        target: "tracewell::requests",
        tracing::Level::WARN,
        code.file.path = place.file(),
        code.line.number = place.line(),
        "context lost at {place}: the code runs for {} {} of trace {own}, inside a span of trace {running}; carry both with \
         requests::spawn or requests::in_current",
        entry.kind().as_str(),
        entry.id(),
    );
}

fn is_news(place: &'static Location<'static>) -> bool {
    static NAMED: OnceLock<Mutex<HashMap<(&'static str, u32), Instant>>> = OnceLock::new();
    let mut named = NAMED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    if named.len() >= MAX_PLACES {
        named.retain(|_, at| now.duration_since(*at) < QUIET);
    }
    let key = (place.file(), place.line());
    let full = named.len() >= MAX_PLACES;
    match named.get_mut(&key) {
        Some(at) if now.duration_since(*at) < QUIET => false,
        Some(at) => {
            *at = now;
            true
        }
        None if full => false,
        None => {
            named.insert(key, now);
            true
        }
    }
}
