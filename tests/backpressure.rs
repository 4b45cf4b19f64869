//! A queue that is full: the policy says what is dropped, errors and what was slow are kept rather than the rest, and every
//! item is accounted for.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/delivery.rs"]
mod support;

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    KeyValue,
    trace::{Span as _, Status, Tracer as _, TracerProvider as _},
};
use tracewell::{
    Builder, Loss, SignalState, Telemetry,
    config::DropPolicy,
    testing::{Collector, Signal},
};
use tracing_subscriber::layer::SubscriberExt as _;

use support::{Service, builder};

const QUEUE: u64 = 40;
const BATCH: u64 = 10;
const ITEMS: u64 = 200;

/// Every tenth is an error, and every tenth of the spans is slow.
const fn is_error(item: u64) -> bool {
    item % 10 == 3
}

const fn is_slow(item: u64) -> bool {
    item % 10 == 7
}

fn emit(service: &Service, items: Range<u64>) {
    let tracer = service.telemetry.tracer_provider().tracer("backpressure");
    tracing::dispatcher::with_default(&service.dispatch, || {
        for item in items {
            let start = SystemTime::now() - Duration::from_secs(u64::from(is_slow(item)));
            let mut span = tracer.span_builder("work").with_start_time(start).start(&tracer);
            span.set_attribute(KeyValue::new("item", i64::try_from(item).unwrap()));
            if is_error(item) {
                span.set_status(Status::error("wrong"));
                tracing::error!(item, "wrong");
            } else {
                tracing::warn!(item, "done");
            }
            span.end();
        }
    });
}

/// Fills the queues of a service whose collector is away; the spans and the log records that arrive when it is back.
fn kept(collector: &Collector, telemetry: Telemetry) -> [Vec<u64>; 2] {
    let service = Service {
        dispatch: tracing::Dispatch::new(tracing_subscriber::Registry::default().with(telemetry.layers())),
        telemetry,
    };
    let signals = [Signal::Traces, Signal::Logs];
    // a batch that is tried again and again holds the exporters up: nothing leaves the queues meanwhile
    emit(&service, ITEMS..ITEMS + BATCH);
    for signal in signals {
        service.wait_until(signal, "held", |report| report.state == SignalState::Down);
    }
    emit(&service, 0..ITEMS);
    collector.revive();
    for signal in signals {
        service.wait_until(signal, "sent", |report| report.account.queued == 0);
        let account = service.report(signal).account;
        assert_eq!((account.emitted, account.exported), (ITEMS + BATCH, QUEUE + BATCH), "{account:?}");
        assert_eq!(account.lost(Loss::QueueFull), ITEMS - QUEUE, "{account:?}");
    }
    let item = |text: Option<String>| text.unwrap().parse().unwrap();
    let spans = collector.spans().iter().map(|span| item(span.attribute("item"))).collect();
    let records = collector.logs().iter().map(|record| item(record.attribute("item"))).collect();
    [spans, records].map(|items: Vec<u64>| items[BATCH as usize..].to_vec())
}

/// Half of the queue for the first that are kept first, the other half for those of the rest that the policy prefers; in
/// the order in which they were emitted.
fn expected(policy: DropPolicy, is_first: fn(u64) -> bool) -> Vec<u64> {
    let half = QUEUE as usize / 2;
    let first: Vec<_> = (0..ITEMS).filter(|item| is_first(*item)).take(half).collect();
    let rest = (0..ITEMS).filter(|item| !first.contains(item));
    let rest: Vec<_> = match policy {
        DropPolicy::Oldest => rest.rev().take(half).collect(),
        _ => rest.take(half).collect(),
    };
    let mut all = [first, rest].concat();
    all.sort_unstable();
    all
}

fn assert_kept(policy: DropPolicy, [spans, records]: [Vec<u64>; 2]) {
    assert_eq!(spans, expected(policy, |item| is_error(item) || is_slow(item)), "{policy}: spans");
    assert_eq!(records, expected(policy, is_error), "{policy}: log records");
}

fn collector_away(change: impl FnOnce(Builder) -> Builder, variables: &[(&str, &str)]) -> [Vec<u64>; 2] {
    let collector = Collector::start();
    collector.refuse();
    let (queue, batch) = (QUEUE.to_string(), BATCH.to_string());
    let sizes = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", &*queue),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", &*batch),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", &*queue),
        ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", &*batch),
        // only a whole batch is sent
        ("OTEL_BSP_SCHEDULE_DELAY", "600000"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "600000"),
    ];
    let variables = [&sizes[..], variables].concat();
    let telemetry = change(builder(&collector.endpoint(), "http/protobuf", &variables)).build().unwrap();
    kept(&collector, telemetry)
}

#[test]
fn the_newest_are_dropped_unless_said_otherwise() {
    assert_kept(DropPolicy::Newest, collector_away(|builder| builder, &[]));
}

#[test]
fn the_oldest_are_dropped_where_a_variable_or_the_builder_says_so() {
    let variables = [("TRACEWELL_TRACES_DROP", "oldest"), ("TRACEWELL_LOGS_DROP", "oldest")];
    assert_kept(DropPolicy::Oldest, collector_away(|builder| builder, &variables));
    let each = [Signal::Traces, Signal::Logs];
    let oldest = |builder| {
        each.into_iter()
            .fold(builder, |builder: Builder, signal| builder.with_drop_policy(signal, DropPolicy::Oldest))
    };
    assert_kept(DropPolicy::Oldest, collector_away(oldest, &[]));
    let metrics = Telemetry::builder().with_drop_policy(Signal::Metrics, DropPolicy::Oldest).build();
    assert!(metrics.unwrap_err().to_string().contains("accepted are traces and logs"));
}
