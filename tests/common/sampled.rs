//! What a real Collector makes of sampled spans: it reads the share that each was kept by.

use std::{collections::BTreeMap, time::Duration};

use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use tracewell::{
    Telemetry,
    testing::{
        Collector, Recorded,
        proto::metrics::v1::{metric::Data, number_data_point::Value},
    },
};

use super::backends::Backends;

const RULES: &str = "25% name=quarter, 12.5% name=eighth, keep name=all, 3/s name=rate, drop";
const LONG: Duration = Duration::from_secs(30);

/// Calls by the names of spans, as the Collector counts them.
fn calls(recorded: &Recorded) -> BTreeMap<String, i64> {
    let mut calls = BTreeMap::new();
    for metric in recorded.metrics() {
        let Some(Data::Sum(sum)) = &metric.metric.data else { continue };
        if metric.name() != "traces.span.metrics.calls" {
            continue;
        }
        for point in &sum.data_points {
            let name =
                tracewell::testing::Attributes(&point.attributes).text("span.name").unwrap_or_default();
            let Some(Value::AsInt(count)) = point.value else { continue };
            // each is the sum up to now
            let known = calls.entry(name).or_insert(0);
            *known = count.max(*known);
        }
    }
    calls
}

pub(crate) fn counted() {
    let behind = Collector::start();
    let backends = Backends::collector_counting_in_front_of(&behind.endpoint()).unwrap();
    let telemetry = Telemetry::builder()
        .with_env([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", backends.otlp_http_endpoint()),
            ("OTEL_METRICS_EXPORTER", "none".to_owned()),
            ("OTEL_LOGS_EXPORTER", "none".to_owned()),
            ("TRACEWELL_SAMPLING_RULES", RULES.to_owned()),
        ])
        .with_stdout(false)
        .build()
        .unwrap();
    let tracer = telemetry.tracer_provider().tracer("test");
    let mut kept = BTreeMap::new();
    for (name, stands_for) in [("quarter", 4), ("eighth", 8), ("all", 1), ("rate", 1), ("none", 1)] {
        let spans = (0..400).filter(|_| tracer.start(name).span_context().is_sampled()).count();
        kept.insert(name.to_owned(), i64::try_from(spans).unwrap() * stands_for);
    }
    assert_eq!(kept.remove("none"), Some(0));
    assert!(kept["all"] == 400 && kept["rate"] >= 3 && kept["quarter"] > 0 && kept["eighth"] > 0, "{kept:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(telemetry.shutdown_within(LONG)).unwrap().is_complete());
    let arrived = behind.wait_for(LONG, |recorded| calls(recorded) == kept);
    assert!(arrived, "kept, times what each stands for: {kept:?}; counted: {:?}", behind.read(calls));
}
