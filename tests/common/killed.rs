//! A Collector that is killed and stopped again and again while a service goes on emitting: what the service says of its
//! telemetry is compared with what is there, item by item.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use tracewell::{SignalReport, Telemetry, config::Signal, testing::Collector};
use tracing_subscriber::layer::SubscriberExt as _;

use super::backends::{Backends, wait_until};

const ROUNDS: usize = 20;
const ANSWER: Duration = Duration::from_secs(30);

/// `exported ≤ received ≤ exported + failed`, for every signal, and equal when every answer arrived. Something may arrive
/// twice, when the answer to its first request was lost: it is counted once here.
pub(crate) fn twenty_times(protocol: &str, endpoint: fn(&Backends) -> String) {
    let behind = Collector::start();
    let backends =
        Backends::collector_in_front_of(&behind.endpoint()).unwrap_or_else(|error| panic!("{error}"));
    let telemetry = telemetry(protocol, &endpoint(&backends));
    let dispatch = tracing::Dispatch::new(tracing_subscriber::Registry::default().with(telemetry.layers()));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let emitting = scope.spawn(|| tracing::dispatcher::with_default(&dispatch, || emit(&done)));
        for round in 0..ROUNDS {
            // once something has arrived, so that there is a connection to break
            let before = behind.accepted_items(Signal::Traces);
            let arrived = behind.wait_for(ANSWER, |behind| behind.accepted_items(Signal::Traces) > before);
            assert!(arrived, "round {round}: {:?}", telemetry.status());
            if round % 2 == 0 {
                backends.kill_collector()
            } else {
                backends.stop_collector()
            }
            backends.restart_collector().unwrap_or_else(|error| panic!("{error}"));
        }
        done.store(true, Ordering::Relaxed);
        emitting.join().unwrap();
    });
    let queued = || telemetry.status().iter().map(|report| report.account.queued).sum::<u64>();
    wait_until(ANSWER, || (queued() == 0).then_some(())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // what was lost before is in the reports
    let _ = runtime.block_on(telemetry.shutdown());

    assert_eq!(behind.read(|behind| behind.forgotten()), 0);
    let spans: HashSet<_> = behind.spans().iter().map(|span| (span.trace_id(), span.span_id())).collect();
    let records: HashSet<_> =
        behind.logs().into_iter().map(|record| record.attribute("item").unwrap()).collect();
    let points: HashSet<_> = behind.metrics().iter().flat_map(points).collect();
    let received = [spans.len(), points.len(), records.len()];
    for (report, received) in telemetry.status().iter().zip(received) {
        let SignalReport { signal, account, .. } = report;
        let received = received as u64;
        assert!(
            account.exported <= received && received <= account.exported + account.failed,
            "{received} received: {report:?}"
        );
        assert!(account.exported > 0 && account.queued == 0, "{report:?}");
        assert_eq!(account.emitted, account.exported + account.failed + account.dropped, "{report:?}");
        // outages this short cost nothing that waits in a queue; points are outdated by the next collection
        assert!(*signal == Signal::Metrics || account.failed == 0, "{report:?}");
    }
}

fn telemetry(protocol: &str, endpoint: &str) -> Telemetry {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "20"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "250"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "always_off"),
    ];
    Telemetry::builder().with_env(variables).with_stdout(false).build().unwrap()
}

/// Spans and log records, more than a queue holds through an outage of some seconds.
fn emit(done: &AtomicBool) {
    let mut item = 0_u64;
    while !done.load(Ordering::Relaxed) {
        for _ in 0..10 {
            let _span = tracing::info_span!("work", item).entered();
            tracing::info!(item, "done");
            item += 1;
        }
        thread::sleep(Duration::from_millis(2)); // the pace of the load; nothing waits for it
    }
}

/// What tells a metric's points apart: a point that is sent again is the same to the nanosecond.
fn points(record: &tracewell::testing::MetricRecord) -> Vec<String> {
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    let name = format!("{} {}", record.scope.name, record.name());
    let each = |points: Vec<String>| points.into_iter().map(|point| format!("{name} {point}")).collect();
    match &record.metric.data {
        Some(Data::Gauge(data)) => each(data.data_points.iter().map(|point| format!("{point:?}")).collect()),
        Some(Data::Sum(data)) => each(data.data_points.iter().map(|point| format!("{point:?}")).collect()),
        Some(Data::Histogram(data)) => {
            each(data.data_points.iter().map(|point| format!("{point:?}")).collect())
        }
        other => panic!("{other:?}"),
    }
}
