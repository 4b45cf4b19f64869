//! The only capture of a process sees events that a thread without it reached first.
//!
//! In a process of its own: `tracing` has the trap only as long as there is a single subscriber.

use tracewell::testing::Capture;

fn work() {
    tracing::info_span!("work").in_scope(|| tracing::info!("done"));
}

#[test]
fn a_callsite_first_reached_outside_of_the_capture_is_not_lost_to_it() {
    let capture = Capture::new();
    std::thread::spawn(work).join().unwrap();
    assert_eq!(capture.tree(), "");
    let _guard = capture.set_default();
    work();
    assert_eq!(capture.tree(), "work\n  INFO done");
}
