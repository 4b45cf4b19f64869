//! The pipeline's account is among its own metrics, in the conventions' names.

use std::time::Duration;

use opentelemetry::trace::{Tracer as _, TracerProvider as _};
use tracewell::{
    Telemetry,
    testing::{
        Attributes, Collector,
        proto::metrics::v1::{metric::Data, number_data_point::Value},
    },
};

/// The latest value of a metric's point with this `error.type`.
fn value(collector: &Collector, name: &str, error: Option<&str>) -> Option<i64> {
    let metrics = collector.metrics();
    let points = metrics.iter().filter(|metric| metric.name() == name).filter_map(|metric| {
        match &metric.metric.data {
            Some(Data::Sum(sum)) => Some(sum.data_points.clone()),
            _ => None,
        }
    });
    let wanted = points.flatten().filter(|point| Attributes(&point.attributes).str("error.type") == error);
    wanted.fold(None, |_, latest| Some(latest)).and_then(|point| match point.value {
        Some(Value::AsInt(value)) => Some(value),
        _ => None,
    })
}

#[tokio::test]
async fn what_was_exported_and_what_a_full_queue_lost_is_exported_too() {
    let collector = Collector::start();
    let endpoint = collector.endpoint();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "10"),
        ("OTEL_BSP_SCHEDULE_DELAY", "600000"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "600000"),
    ];
    // the batch that is full at ten spans is taken at once: nothing may be sent before all are emitted
    collector.silence();
    let telemetry = Telemetry::builder().with_env(variables).with_stdout(false).build().unwrap();
    let tracer = telemetry.tracer_provider().tracer("test");
    (0..40).for_each(|_| drop(tracer.start("work")));
    let lost = telemetry.status()[0].account.dropped;
    assert!(lost >= 20, "two batches of ten fit at most, one of them in flight: {lost}");
    collector.revive();
    telemetry.flush(Duration::from_secs(20)).await;
    telemetry.flush(Duration::from_secs(20)).await;

    let lost = i64::try_from(lost).unwrap();
    assert_eq!(value(&collector, "otel.sdk.processor.span.processed", Some("queue_full")), Some(lost));
    assert_eq!(value(&collector, "otel.sdk.processor.span.processed", None), Some(40 - lost));
    assert_eq!(value(&collector, "otel.sdk.exporter.span.exported", None), Some(40 - lost));
    assert_eq!(value(&collector, "otel.sdk.processor.span.queue.size", None), Some(0));
    assert_eq!(value(&collector, "otel.sdk.processor.span.queue.capacity", None), Some(10));
    assert!(value(&collector, "otel.sdk.exporter.metric_data_point.exported", None).unwrap() > 0);
}
