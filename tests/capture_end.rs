//! The end of a capture reaches no callsite for the first time.
//!
//! It may come while another test's thread has `tracing`'s list of subscribers locked, of which it holds the last reference
//! to this one: a callsite that registers then waits for that lock for ever. In a process of its own: callsites register once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Mutex;

use tracewell::testing::Capture;
use tracing::{Dispatch, Event, Metadata, Subscriber, span, subscriber::Interest};

static REGISTERED: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());

/// Notes what registers.
struct Notes;

impl Subscriber for Notes {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        REGISTERED.lock().unwrap().push(metadata.name());
        Interest::never()
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn a_captures_end_registers_nothing() {
    let capture = Capture::new();
    let guard = capture.set_default();
    tracing::info_span!("work").in_scope(|| tracing::info!("done"));
    assert_eq!(capture.tree(), "work\n  INFO done");
    drop(guard);
    let _notes = Dispatch::new(Notes);
    tracing::debug!("seen by the notes");
    let mut before = std::mem::take(&mut *REGISTERED.lock().unwrap());
    before.retain(|name| name.contains("capture_end.rs"));
    assert!(!before.is_empty(), "what registers is noted");

    drop(capture);
    assert_eq!(*REGISTERED.lock().unwrap(), Vec::<&str>::new());
}
