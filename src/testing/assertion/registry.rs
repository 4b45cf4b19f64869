//! Assertions on the registry of active requests.

use crate::requests::Registry;

/// Nothing is active: every request and task has ended. For a registry of one's own; the one of a capture is asked by
/// [`Capture::assert_nothing_active`](crate::testing::Capture::assert_nothing_active).
///
/// ```
/// use tracewell::requests::{NewEntry, Registry};
///
/// let registry = Registry::new(16);
/// let entry = registry.start(NewEntry::task("report"));
/// drop(entry);
/// tracewell::testing::assert_nothing_active(&registry);
/// ```
///
/// # Panics
///
/// When something is, with a line for each: id, name or route, path, trace id, age and stage.
#[track_caller]
pub fn assert_nothing_active(registry: &Registry) {
    let snapshot = registry.snapshot();
    let missing = snapshot.unlisted;
    if snapshot.active.is_empty() && missing == 0 {
        return;
    }
    let mut text = String::from("still active:");
    for entry in &snapshot.active {
        text.push_str(&format!("\n  {entry}"));
    }
    if missing > 0 {
        text.push_str(&format!("\n  and {missing} requests for which there was no room in the table"));
    }
    panic!("{text}")
}
