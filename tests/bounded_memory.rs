//! Memory stays under the stated bound while the collector is away, whatever the load: queue and one batch per signal.
//!
//! One test: the allocator counts for the whole process.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/delivery.rs"]
mod support;

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tracewell::{
    SignalState,
    testing::{Collector, Signal},
};

use support::Service;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The defaults of the specification.
const HELD: usize = 2048 + 512;
/// What the documentation says an item costs at most when its attributes are few and short: one span and one record, and
/// the bytes they are encoded as.
const ITEM: usize = 3 * 1024;

fn in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

#[test]
fn memory_stays_under_its_bound_while_the_collector_is_away() {
    for (protocol, policy, silent) in
        [("grpc", "oldest", true), ("http/protobuf", "newest", false), ("http/json", "oldest", false)]
    {
        let collector = Collector::start();
        if silent {
            collector.silence()
        } else {
            collector.refuse()
        }
        let variables = [
            ("TRACEWELL_TRACES_DROP", policy),
            ("TRACEWELL_LOGS_DROP", policy),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "200"),
            ("OTEL_METRICS_EXPORTER", "none"),
        ];
        let before = in_use();
        let service = Service::start(&collector.endpoint(), protocol, &variables);
        service.emit(2 * HELD);
        for signal in [Signal::Traces, Signal::Logs] {
            service.wait_until(signal, protocol, |report| report.state == SignalState::Down);
        }
        service.emit(2 * HELD);
        let full = in_use() - before;
        assert!(full < HELD * ITEM, "{protocol}: {full} bytes for {HELD} spans and records");
        service.emit(4 * HELD);
        let later = in_use() - before;
        // a request that is tried again is encoded, and perhaps buffered, once more or not
        assert!(later < full + full / 4, "{protocol} {policy} silent={silent}: {full} bytes, later {later}");
        for signal in [Signal::Traces, Signal::Logs] {
            assert!(service.report(signal).account.queued <= HELD as u64);
        }
    }
}
