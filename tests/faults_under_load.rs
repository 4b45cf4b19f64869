//! A collector that fails twenty times in every way while the service goes on emitting: what fits into the queues arrives,
//! and the account says of every item what became of it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/delivery.rs"]
mod support;

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use tracewell::{
    SignalState,
    testing::{Collector, Fault, Recorded, Signal},
};

use support::{PATIENCE, Service, assert_adds_up};

const ROUNDS: usize = 20;

/// Blocks until the collector has failed in the round's way, and lets it recover.
fn fail(collector: &Collector, service: &Service, round: usize) {
    let down = || service.wait_until(Signal::Logs, "down", |report| report.state == SignalState::Down);
    let requests = |recorded: &Recorded| recorded.request_count(Signal::Logs);
    let script = |fault| {
        let before = collector.read(requests);
        collector.script(Signal::Logs, [fault]);
        assert!(collector.wait_for(PATIENCE, |recorded| requests(recorded) > before));
    };
    match round % 7 {
        0 => {
            collector.refuse();
            down();
            collector.revive();
        }
        1 => {
            collector.silence();
            down();
            collector.revive();
        }
        2 => script(Fault::Hang),
        3 => script(Fault::Garbage),
        4 => script(Fault::unavailable()),
        5 => script(Fault::ResetMidBody),
        _ => script(Fault::throttled(Duration::from_millis(1))),
    }
    let before = service.report(Signal::Logs).account.exported;
    service.wait_until(Signal::Logs, "up again", |report| report.account.exported > before);
}

#[test]
fn a_collector_that_fails_twenty_times_in_every_way_under_load() {
    thread::scope(|scope| {
        for protocol in ["grpc", "http/protobuf"] {
            scope.spawn(move || twenty_faults(protocol));
        }
    });
}

fn twenty_faults(protocol: &str) {
    let collector = Collector::start();
    let variables = [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "200"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "none"),
        // more than is emitted meanwhile: what is lost here is lost to an answer that nobody can read
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "1000000"),
    ];
    let service = Service::start(&collector.endpoint(), protocol, &variables);
    let (done, emitted) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                service.emit(5);
                emitted.fetch_add(5, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(1)); // the pace of the load; nothing waits for it
            }
        });
        (0..ROUNDS).for_each(|round| fail(&collector, &service, round));
        done.store(true, Ordering::Relaxed);
    });
    service.wait_until(Signal::Logs, "all sent", |report| report.account.queued == 0);

    let report = service.report(Signal::Logs);
    assert_adds_up(&report);
    let account = report.account;
    assert_eq!(account.emitted, emitted.into_inner(), "{protocol}: {account:?}");
    assert_eq!(account.dropped, 0, "{protocol}: {account:?}");
    let arrived: HashSet<_> = collector.logs().iter().map(|record| record.record.time_unix_nano).collect();
    let arrived = arrived.len() as u64;
    assert!(
        account.exported <= arrived && arrived <= account.exported + account.failed,
        "{protocol}: {arrived} arrived: {account:?}"
    );
    assert!(account.failed > 0, "the garbage was met: {account:?}");
}
