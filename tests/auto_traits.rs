//! What may be moved to another thread, shared with it, and seen after a panic: a promise that a private field could break.

use std::{
    future::Future,
    panic::{RefUnwindSafe, UnwindSafe},
};

use tracewell::{
    InitError, LogFilter, ReloadError, ShutdownError, ShutdownReport, Telemetry, View, config, health, http,
    redaction, requests, resilience, shutdown, tasks, testing,
};

const fn everywhere<T: Send + Sync + 'static>() {}
const fn unwinds<T: UnwindSafe + RefUnwindSafe>() {}
fn moves<F: Future + Send>(_: fn() -> F) {}

#[test]
fn values_may_go_everywhere() {
    everywhere::<Telemetry>();
    everywhere::<InitError>();
    everywhere::<ShutdownError>();
    everywhere::<ShutdownReport>();
    everywhere::<ReloadError>();
    everywhere::<LogFilter>();
    everywhere::<View>();
    everywhere::<config::Config>();
    everywhere::<config::Explanation>();
    everywhere::<redaction::Redactor>();
    everywhere::<health::Check>();
    everywhere::<health::Health>();
    everywhere::<requests::Registry>();
    everywhere::<requests::Guard>();
    everywhere::<requests::Current>();
    everywhere::<resilience::Breaker>();
    everywhere::<resilience::Bulkhead>();
    everywhere::<resilience::Budget>();
    everywhere::<resilience::Policy>();
    everywhere::<resilience::Permit>();
    everywhere::<tasks::Tasks>();
    everywhere::<testing::Capture>();
    everywhere::<testing::Collector>();
}

#[test]
fn layers_are_as_sendable_as_what_they_are_around() {
    everywhere::<http::ServerLayer>();
    everywhere::<http::ClientLayer>();
    everywhere::<http::ServerService<()>>();
    everywhere::<http::ClientService<()>>();
    everywhere::<http::ResponseBody<String>>();
    everywhere::<http::CallBody<String>>();
    everywhere::<resilience::PolicyLayer>();
}

#[test]
fn errors_and_values_may_be_seen_after_a_panic() {
    unwinds::<InitError>();
    unwinds::<ReloadError>();
    unwinds::<config::Config>();
    unwinds::<requests::Registry>();
    unwinds::<resilience::BreakerOpen>();
    unwinds::<redaction::Redactor>();
}

#[test]
fn futures_may_move_between_threads() {
    moves(|| async {
        let telemetry = Telemetry::builder().build();
        if let Ok(telemetry) = telemetry {
            let _ = telemetry.shutdown().await;
        }
    });
    moves(shutdown::signal);
    moves(|| async {
        let policy = resilience::Policy::new("p");
        let _ = policy.call(|| async { Ok::<_, std::io::Error>(()) }).await;
    });
}
