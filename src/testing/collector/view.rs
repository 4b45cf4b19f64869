//! Typed views over accepted items, with the accessors tests want.

use std::{fmt::Write as _, sync::Arc};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1 as logs,
    metrics::v1::{self as metrics, Metric, exemplar, metric::Data},
    resource::v1::Resource,
    trace::v1 as trace,
};

use super::record::{Export, Received, points};

/// A list of OTLP attributes, read by key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attributes<'a>(pub &'a [KeyValue]);

impl<'a> Attributes<'a> {
    /// The raw value.
    #[must_use]
    pub fn get(self, key: &str) -> Option<&'a Value> {
        self.0.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
    }

    /// Any value as text: strings as they are, numbers and booleans in Rust's notation, bytes in hex, arrays as
    /// `[a, b]`, maps as `{k: v}`.
    #[must_use]
    pub fn text(self, key: &str) -> Option<String> {
        self.get(key).map(text)
    }

    /// A string value; `None` for every other type.
    #[must_use]
    pub fn str(self, key: &str) -> Option<&'a str> {
        if let Some(Value::StringValue(value)) = self.get(key) { Some(value) } else { None }
    }

    /// An integer value; `None` for every other type.
    #[must_use]
    pub fn i64(self, key: &str) -> Option<i64> {
        if let Some(Value::IntValue(value)) = self.get(key) { Some(*value) } else { None }
    }

    /// A floating-point value; `None` for every other type.
    #[must_use]
    pub fn f64(self, key: &str) -> Option<f64> {
        if let Some(Value::DoubleValue(value)) = self.get(key) { Some(*value) } else { None }
    }

    /// A boolean value; `None` for every other type.
    #[must_use]
    pub fn bool(self, key: &str) -> Option<bool> {
        if let Some(Value::BoolValue(value)) = self.get(key) { Some(*value) } else { None }
    }

    /// The keys, in the order sent.
    pub fn keys(self) -> impl Iterator<Item = &'a str> {
        self.0.iter().map(|attribute| attribute.key.as_str())
    }
}

/// An accepted span.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SpanRecord {
    /// Who sent it.
    pub resource: Arc<Resource>,
    /// The instrumentation scope.
    pub scope: Arc<InstrumentationScope>,
    /// The span as sent.
    pub span: trace::Span,
}

impl SpanRecord {
    /// The span's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.span.name
    }

    /// The trace id, 32 lower-case hex digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        hex(&self.span.trace_id)
    }

    /// The span id, 16 lower-case hex digits.
    #[must_use]
    pub fn span_id(&self) -> String {
        hex(&self.span.span_id)
    }

    /// The parent's span id, 16 lower-case hex digits; empty for a root.
    #[must_use]
    pub fn parent_span_id(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// The span's attributes.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes(&self.span.attributes)
    }

    /// One attribute of the span, as text.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<String> {
        self.attributes().text(key)
    }

    /// The resource's attributes.
    #[must_use]
    pub fn resource(&self) -> Attributes<'_> {
        Attributes(&self.resource.attributes)
    }

    /// The accepted spans of a request.
    pub(super) fn of(request: &Received) -> Vec<Self> {
        let Export::Traces(export) = &*request.export else { return Vec::new() };
        let mut all = Vec::new();
        for by_resource in &export.resource_spans {
            let resource = Arc::new(by_resource.resource.clone().unwrap_or_default());
            for by_scope in &by_resource.scope_spans {
                let scope = Arc::new(by_scope.scope.clone().unwrap_or_default());
                all.extend(by_scope.spans.iter().map(|span| Self {
                    resource: resource.clone(),
                    scope: scope.clone(),
                    span: span.clone(),
                }));
            }
        }
        all.truncate(accepted(request));
        all
    }
}

/// An accepted log record.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LogRecord {
    /// Who sent it.
    pub resource: Arc<Resource>,
    /// The instrumentation scope; its name is the record's target where the sender keeps one.
    pub scope: Arc<InstrumentationScope>,
    /// The record as sent.
    pub record: logs::LogRecord,
}

impl LogRecord {
    /// The body, as text; empty when there is none.
    #[must_use]
    pub fn body(&self) -> String {
        self.record.body.as_ref().and_then(|body| body.value.as_ref()).map(text).unwrap_or_default()
    }

    /// The severity as sent, such as `INFO`.
    #[must_use]
    pub fn severity(&self) -> &str {
        &self.record.severity_text
    }

    /// The trace id, 32 lower-case hex digits; empty when there is none.
    #[must_use]
    pub fn trace_id(&self) -> String {
        hex(&self.record.trace_id)
    }

    /// The span id, 16 lower-case hex digits; empty when there is none.
    #[must_use]
    pub fn span_id(&self) -> String {
        hex(&self.record.span_id)
    }

    /// The record's attributes.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes(&self.record.attributes)
    }

    /// One attribute of the record, as text.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<String> {
        self.attributes().text(key)
    }

    /// The resource's attributes.
    #[must_use]
    pub fn resource(&self) -> Attributes<'_> {
        Attributes(&self.resource.attributes)
    }

    /// The accepted records of a request.
    pub(super) fn of(request: &Received) -> Vec<Self> {
        let Export::Logs(export) = &*request.export else { return Vec::new() };
        let mut all = Vec::new();
        for by_resource in &export.resource_logs {
            let resource = Arc::new(by_resource.resource.clone().unwrap_or_default());
            for by_scope in &by_resource.scope_logs {
                let scope = Arc::new(by_scope.scope.clone().unwrap_or_default());
                all.extend(by_scope.log_records.iter().map(|record| Self {
                    resource: resource.clone(),
                    scope: scope.clone(),
                    record: record.clone(),
                }));
            }
        }
        all.truncate(accepted(request));
        all
    }
}

/// One accepted export of a metric.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MetricRecord {
    /// Who sent it.
    pub resource: Arc<Resource>,
    /// The instrumentation scope.
    pub scope: Arc<InstrumentationScope>,
    /// The metric as sent; after a partial success without the data points that were refused.
    pub metric: Metric,
}

impl MetricRecord {
    /// The metric's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.metric.name
    }

    /// The resource's attributes.
    #[must_use]
    pub fn resource(&self) -> Attributes<'_> {
        Attributes(&self.resource.attributes)
    }

    /// The exemplars of every data point, in the order sent.
    #[must_use]
    pub fn exemplars(&self) -> Vec<ExemplarRecord> {
        match &self.metric.data {
            Some(Data::Gauge(data)) => of_points(&data.data_points, |p| (&p.attributes, &p.exemplars)),
            Some(Data::Sum(data)) => of_points(&data.data_points, |p| (&p.attributes, &p.exemplars)),
            Some(Data::Histogram(data)) => of_points(&data.data_points, |p| (&p.attributes, &p.exemplars)),
            Some(Data::ExponentialHistogram(data)) => {
                of_points(&data.data_points, |p| (&p.attributes, &p.exemplars))
            }
            Some(Data::Summary(_)) | None => Vec::new(),
        }
    }

    /// The accepted metrics of a request.
    pub(super) fn of(request: &Received) -> Vec<Self> {
        let Export::Metrics(export) = &*request.export else { return Vec::new() };
        let mut all = Vec::new();
        let mut left = accepted(request);
        for by_resource in &export.resource_metrics {
            let resource = Arc::new(by_resource.resource.clone().unwrap_or_default());
            for by_scope in &by_resource.scope_metrics {
                let scope = Arc::new(by_scope.scope.clone().unwrap_or_default());
                for metric in &by_scope.metrics {
                    let kept = points(metric).min(left);
                    left -= kept;
                    // a metric without points is kept in a request accepted whole, and only there
                    if kept > 0 || request.accepted && request.items == request.accepted_items {
                        let metric = first_points(metric, kept);
                        all.push(Self { resource: resource.clone(), scope: scope.clone(), metric });
                    }
                }
            }
        }
        all
    }
}

/// An exemplar of an accepted data point.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ExemplarRecord {
    /// The attributes of the data point it belongs to.
    pub point: Vec<KeyValue>,
    /// The exemplar as sent.
    pub exemplar: metrics::Exemplar,
}

impl ExemplarRecord {
    /// The trace id, 32 lower-case hex digits; empty when there is none.
    #[must_use]
    pub fn trace_id(&self) -> String {
        hex(&self.exemplar.trace_id)
    }

    /// The span id, 16 lower-case hex digits; empty when there is none.
    #[must_use]
    pub fn span_id(&self) -> String {
        hex(&self.exemplar.span_id)
    }

    /// The measured value.
    #[must_use]
    pub fn value(&self) -> f64 {
        match self.exemplar.value {
            Some(exemplar::Value::AsDouble(value)) => value,
            Some(exemplar::Value::AsInt(value)) => value as f64,
            None => f64::NAN,
        }
    }

    /// The attributes of the data point it belongs to.
    #[must_use]
    pub fn point_attributes(&self) -> Attributes<'_> {
        Attributes(&self.point)
    }

    /// The attributes of the measurement that the data point does not have.
    #[must_use]
    pub fn filtered_attributes(&self) -> Attributes<'_> {
        Attributes(&self.exemplar.filtered_attributes)
    }
}

fn accepted(request: &Received) -> usize {
    usize::try_from(request.accepted_items).unwrap_or(usize::MAX)
}

fn of_points<P>(
    points: &[P],
    parts: impl Fn(&P) -> (&Vec<KeyValue>, &Vec<metrics::Exemplar>),
) -> Vec<ExemplarRecord> {
    let with_point = |point| {
        let (attributes, exemplars) = parts(point);
        exemplars
            .iter()
            .map(|exemplar| ExemplarRecord { point: attributes.clone(), exemplar: exemplar.clone() })
    };
    points.iter().flat_map(with_point).collect()
}

fn first_points(metric: &Metric, kept: usize) -> Metric {
    let mut metric = metric.clone();
    match &mut metric.data {
        Some(Data::Gauge(data)) => data.data_points.truncate(kept),
        Some(Data::Sum(data)) => data.data_points.truncate(kept),
        Some(Data::Histogram(data)) => data.data_points.truncate(kept),
        Some(Data::ExponentialHistogram(data)) => data.data_points.truncate(kept),
        Some(Data::Summary(data)) => data.data_points.truncate(kept),
        None => {}
    }
    metric
}

pub(in crate::testing) fn text(value: &Value) -> String {
    let inner = |value: &Option<AnyValue>| {
        value.as_ref().and_then(|v| v.value.as_ref()).map(text).unwrap_or_default()
    };
    match value {
        Value::StringValue(value) => value.clone(),
        Value::BoolValue(value) => value.to_string(),
        Value::IntValue(value) => value.to_string(),
        Value::DoubleValue(value) => value.to_string(),
        Value::BytesValue(value) => hex(value),
        Value::ArrayValue(array) => {
            let values = array.values.iter().map(|value| value.value.as_ref().map(text).unwrap_or_default());
            format!("[{}]", values.collect::<Vec<_>>().join(", "))
        }
        Value::KvlistValue(list) => {
            let pairs = list.values.iter().map(|pair| format!("{}: {}", pair.key, inner(&pair.value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::StringValueStrindex(_) => String::new(),
    }
}

/// Like [`text`], with texts in quotes: the type shows.
pub(in crate::testing) fn shown(value: &Value) -> String {
    match value {
        Value::StringValue(value) => format!("{value:?}"),
        Value::DoubleValue(value) => format!("{value:?}"),
        Value::ArrayValue(array) => {
            let one = |value: &AnyValue| value.value.as_ref().map(shown).unwrap_or_default();
            format!("[{}]", array.values.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        _ => text(value),
    }
}

pub(in crate::testing) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        // writing to a String cannot fail
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
