//! One request as a service would report it: a trace of two spans, a log line and a duration with an exemplar.

use std::time::SystemTime;

use serde_json::{Value, json};
use uuid::Uuid;

/// Three OTLP JSON messages with one trace id, of a service that nobody else uses.
pub(crate) struct Sample {
    pub(crate) service: String,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) traces: Value,
    pub(crate) logs: Value,
    pub(crate) metrics: Value,
}

/// The duration in the metric and in its exemplar, in seconds.
pub(crate) const DURATION: f64 = 0.04;

impl Sample {
    pub(crate) fn new() -> Self {
        let trace_id = Uuid::new_v4().simple().to_string();
        let span_id = id64();
        let service = format!("checkout-{}", &trace_id[..8]);
        let resource = json!({"attributes": [
            text("service.name", &service),
            text("service.namespace", "shop"),
            text("service.instance.id", &id64()),
            text("deployment.environment.name", "test"),
        ]});
        let scope = json!({"name": "sample"});
        Self {
            traces: json!({"resourceSpans": [{"resource": resource, "scopeSpans": [
                {"scope": scope, "spans": spans(&trace_id, &span_id)},
            ]}]}),
            logs: json!({"resourceLogs": [{"resource": resource, "scopeLogs": [
                {"scope": scope, "logRecords": [log_record(&trace_id, &span_id)]},
            ]}]}),
            metrics: json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [
                {"scope": scope, "metrics": [duration(&trace_id, &span_id)]},
            ]}]}),
            service,
            trace_id,
            span_id,
        }
    }

    /// The same metric half a minute before the request: with it a rate has the two points that it needs.
    pub(crate) fn metrics_before(&self) -> Value {
        let mut message = self.metrics.clone();
        let point = "/resourceMetrics/0/scopeMetrics/0/metrics/0/histogram/dataPoints/0";
        let point = message.pointer_mut(point).unwrap().as_object_mut().unwrap();
        for gone in ["min", "max", "exemplars"] {
            point.remove(gone);
        }
        point.insert("timeUnixNano".to_owned(), nanos_ago(30_000).into());
        point.insert("count".to_owned(), "0".into());
        point.insert("sum".to_owned(), 0.0.into());
        point.insert("bucketCounts".to_owned(), json!(["0", "0", "0", "0"]));
        message
    }
}

fn spans(trace_id: &str, span_id: &str) -> Value {
    json!([
        {
            "traceId": trace_id, "spanId": span_id, "name": "GET /orders/{id}", "kind": 2, "flags": 257,
            "startTimeUnixNano": nanos_ago(40), "endTimeUnixNano": nanos_ago(0), "status": {},
            "attributes": request_attributes(),
        },
        {
            "traceId": trace_id, "spanId": id64(), "parentSpanId": span_id, "name": "SELECT orders", "kind": 3,
            "startTimeUnixNano": nanos_ago(30), "endTimeUnixNano": nanos_ago(10), "status": {},
            "attributes": [text("db.system.name", "sqlite")],
        },
    ])
}

fn log_record(trace_id: &str, span_id: &str) -> Value {
    json!({
        "timeUnixNano": nanos_ago(20), "observedTimeUnixNano": nanos_ago(20), "severityNumber": 9, "severityText": "INFO",
        "body": {"stringValue": "order loaded"}, "attributes": [text("order.id", "42")],
        "traceId": trace_id, "spanId": span_id, "flags": 1,
    })
}

fn duration(trace_id: &str, span_id: &str) -> Value {
    let exemplar = json!({
        "timeUnixNano": nanos_ago(0), "asDouble": DURATION, "traceId": trace_id, "spanId": span_id,
        "filteredAttributes": [text("order.id", "42")],
    });
    json!({"name": "http.server.request.duration", "unit": "s", "histogram": {
        "aggregationTemporality": 2,
        "dataPoints": [{
            "startTimeUnixNano": nanos_ago(60_000), "timeUnixNano": nanos_ago(0), "attributes": request_attributes(),
            "count": "1", "sum": DURATION, "min": DURATION, "max": DURATION,
            "explicitBounds": [0.01, 0.05, 0.25], "bucketCounts": ["0", "1", "0", "0"], "exemplars": [exemplar],
        }],
    }})
}

fn request_attributes() -> Value {
    json!([
        text("http.request.method", "GET"),
        text("http.route", "/orders/{id}"),
        {"key": "http.response.status_code", "value": {"intValue": "200"}},
    ])
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn id64() -> String {
    Uuid::new_v4().simple().to_string()[..16].to_owned()
}

/// OTLP JSON writes 64-bit numbers as text.
fn nanos_ago(milliseconds: u128) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    (now - milliseconds * 1_000_000).to_string()
}
