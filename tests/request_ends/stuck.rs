//! What hangs while a server runs is found by the server's own watch, with the operator's thresholds or the program's.

use std::{
    future::pending,
    time::{Duration, Instant, SystemTime},
};

use axum::{Router, routing::any};
use tracewell::{
    Telemetry,
    requests::{NewEntry, Registry, Thresholds},
};

use crate::harness::{Expected, Http1, World, until};

#[test]
fn the_operators_threshold_is_what_the_server_watches_with() {
    let mut world = World::with(&[("TRACEWELL_STUCK_MS", "40"), ("TRACEWELL_DRAIN_MS", "1")]);
    let mut server = world.serve_to_the_end(Router::new().route("/", any(pending::<()>)));
    let (address, registry) = (server.address, world.registry.clone());
    world.run(async move {
        let client = Http1::get(address, "/").await;
        until("it is stuck", || registry.snapshot().active.iter().any(|entry| entry.stuck)).await;
        server.stop();
        server.task.await.unwrap().unwrap();
        drop(client);
    });
    world.assert_one(&Expected::cancelled());
    let said: Vec<_> =
        world.records_at("WARN").into_iter().filter(|log| log.body().starts_with("stuck")).collect();
    assert_eq!(said.len(), 1, "said once, however long it hung");
    let trace = world.server_spans()[0].span_context.trace_id().to_string();
    assert_eq!((said[0].trace_id(), said[0].attribute("tracewell.route").as_deref()), (trace, Some("/")));
}

#[test]
fn the_program_has_a_threshold_per_route_and_zero_is_never() {
    let quiet = [
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("TRACEWELL_STUCK_MS", "0"),
        ("TRACEWELL_STUCK_TASKS_MS", "1000"),
    ];
    let registry = Registry::new(8);
    let built = || Telemetry::builder().with_env(quiet).with_stdout(false);
    let (configured, coded) = (
        built().build().unwrap(),
        built()
            .with_stuck_thresholds(Thresholds::default().with_name("/a", Duration::from_secs(1)))
            .build()
            .unwrap(),
    );
    let old = |new: NewEntry| {
        let begun = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
        registry.start(new.with_start(SystemTime::now(), begun))
    };
    let _entries =
        [old(NewEntry::request("GET").with_route("/a")), old(NewEntry::request("GET").with_route("/b"))];
    let _task = old(NewEntry::task("nightly"));
    let stuck = |thresholds: &Thresholds| {
        registry.flag_stuck(thresholds);
        let active = registry.snapshot().active;
        active
            .into_iter()
            .filter(|entry| entry.stuck)
            .map(|entry| entry.name.into_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(stuck(configured.stuck_thresholds()), ["nightly"]);
    assert_eq!(stuck(coded.stuck_thresholds()), ["GET /a", "nightly"]);
}
