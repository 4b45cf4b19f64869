//! What was sent, held against the conventions.

use std::collections::{BTreeMap, BTreeSet};

use tracewell::testing::{
    Collector, SpanRecord,
    proto::{
        common::v1::{AnyValue, KeyValue, any_value::Value},
        metrics::v1::metric::Data,
        trace::v1::{span::SpanKind, status::StatusCode},
    },
};

use crate::conventions::Conventions;

/// What must be there on spans of a kind that have the first of these attributes. The module does not tell it of spans.
const REQUIRED_OF_SPANS: [(SpanKind, &[&str]); 9] = [
    (SpanKind::Server, &["rpc.system.name", "rpc.method"]),
    (SpanKind::Client, &["rpc.system.name", "rpc.method", "server.address"]),
    (SpanKind::Server, &["http.request.method", "url.path", "url.scheme"]),
    (SpanKind::Client, &["http.request.method", "server.address", "server.port", "url.full"]),
    (SpanKind::Client, &["db.query.text", "db.system.name"]),
    (SpanKind::Client, &["db.operation.name", "db.system.name"]),
    (SpanKind::Client, &["messaging.system", "messaging.operation.name", "messaging.destination.name"]),
    (SpanKind::Producer, &["messaging.system", "messaging.operation.name", "messaging.destination.name"]),
    (SpanKind::Consumer, &["messaging.system", "messaging.operation.name", "messaging.destination.name"]),
];
const REQUIRED_OF_RESOURCES: [&str; 4] =
    ["service.name", "telemetry.sdk.name", "telemetry.sdk.language", "telemetry.sdk.version"];

/// What was sent and is not as it should be, each once.
pub(crate) struct Findings<'a> {
    conventions: &'a Conventions,
    exceptions: BTreeMap<&'a str, bool>,
    found: BTreeSet<String>,
    /// Names of the conventions that were sent.
    pub(crate) sent: BTreeSet<String>,
}

impl<'a> Findings<'a> {
    pub(crate) fn new(conventions: &'a Conventions, exceptions: &'a str) -> Self {
        let mut known = BTreeMap::new();
        for line in exceptions.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (name, reason) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            assert!(!reason.trim().is_empty(), "{name} has no reason");
            known.insert(name, false);
        }
        Self { conventions, exceptions: known, found: BTreeSet::new(), sent: BTreeSet::new() }
    }

    pub(crate) fn found(&self) -> String {
        self.found.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    /// Exceptions that nothing needed.
    pub(crate) fn unused(&self) -> Vec<&str> {
        self.exceptions.iter().filter(|(_, used)| !**used).map(|(name, _)| *name).collect()
    }

    fn find(&mut self, finding: String) {
        self.found.insert(finding);
    }

    /// Whether there is a reason for this name, or for the family it belongs to.
    fn is_excepted(&mut self, name: &str) -> bool {
        let fits = |known: &str| {
            known == name || known.strip_suffix('*').is_some_and(|family| name.starts_with(family))
        };
        match self.exceptions.iter_mut().find(|(known, _)| fits(known)) {
            Some((_, used)) => {
                *used = true;
                true
            }
            None => false,
        }
    }

    pub(crate) fn check(&mut self, example: &str, collector: &Collector) {
        let (spans, logs, metrics) = (collector.spans(), collector.logs(), collector.metrics());
        assert!(
            !spans.is_empty() && !logs.is_empty() && metrics.len() > 10,
            "{example}: {spans:?} {logs:?} {metrics:?}"
        );
        let resource = spans[0].resource().0;
        self.attributes(&format!("{example}: resource"), resource);
        self.required(&format!("{example}: resource"), &REQUIRED_OF_RESOURCES, resource);
        for span in &spans {
            self.span(&format!("{example}: span {}", span.name()), span);
        }
        for log in &logs {
            let place = format!("{example}: log {:?}", log.body());
            let attributes = log.attributes().0;
            self.attributes(&place, attributes);
            let has = |name: &str| attributes.iter().any(|attribute| attribute.key == name);
            if has("exception.stacktrace") && !has("exception.type") && !has("exception.message") {
                self.find(format!("{place}: neither exception.type nor exception.message"));
            }
        }
        for metric in &metrics {
            if let Some(data) = &metric.metric.data {
                self.metric(example, metric.name(), &metric.metric.unit, data);
            }
        }
    }

    fn span(&mut self, place: &str, span: &SpanRecord) {
        let attributes = span.attributes().0;
        self.attributes(place, attributes);
        for event in &span.span.events {
            self.attributes(&format!("{place}, event {}", event.name), &event.attributes);
        }
        let has = |name: &str| attributes.iter().any(|attribute| attribute.key == name);
        for (kind, required) in REQUIRED_OF_SPANS {
            if span.span.kind == kind as i32 && has(required[0]) {
                self.required(place, required, attributes);
            }
        }
        let failed = span.span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32);
        if failed && span.span.kind != SpanKind::Internal as i32 && !has("error.type") {
            self.find(format!("{place}: an error without error.type"));
        }
    }

    fn attributes(&mut self, place: &str, attributes: &[KeyValue]) {
        for attribute in attributes {
            let name = attribute.key.as_str();
            let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
            match self.conventions.type_of(name) {
                None if self.is_excepted(name) => {}
                None => self.find(format!("{place}: attribute {name} is unknown, or deprecated")),
                Some(expected) if fits(expected, value) => {
                    self.sent.insert(name.to_owned());
                }
                Some(expected) => {
                    self.find(format!("{place}: attribute {name} is {value:?}, not of type {expected}"));
                }
            }
        }
    }

    fn required(&mut self, place: &str, required: &[impl AsRef<str>], attributes: &[KeyValue]) {
        for name in required.iter().map(AsRef::as_ref) {
            if !attributes.iter().any(|attribute| attribute.key == *name) {
                self.find(format!("{place}: {name} is required and missing"));
            }
        }
    }

    fn metric(&mut self, example: &str, name: &str, unit: &str, data: &Data) {
        let place = format!("{example}: metric {name}");
        let kind = kind(data);
        let conventions = self.conventions;
        let points = points(data);
        for attributes in &points {
            self.attributes(&place, attributes);
        }
        let Some(metric) = conventions.metrics.get(name) else {
            if !self.is_excepted(name) {
                self.find(format!("{place} ({kind}, {unit:?}) is unknown, or deprecated"));
            }
            return;
        };
        self.sent.insert(name.to_owned());
        let of_kind = metric.kind.trim_start_matches("Int64").trim_start_matches("Float64");
        if of_kind.trim_start_matches("Observable") != kind || unit != metric.unit {
            self.find(format!("{place}: {kind} in {unit:?}, not {} in {:?}", metric.kind, metric.unit));
        }
        let required: Vec<&String> = metric.required.iter().collect();
        for attributes in points {
            self.required(&place, &required, attributes);
            for attribute in attributes {
                let key = &attribute.key;
                let belongs = metric.required.contains(key) || metric.optional.contains(key);
                if !belongs && !self.is_excepted(key) && !self.is_excepted(&format!("{name}/{key}")) {
                    self.find(format!("{place}: attribute {key} is none of this metric's"));
                }
            }
        }
    }
}

fn kind(data: &Data) -> &'static str {
    match data {
        Data::Gauge(_) => "Gauge",
        Data::Sum(sum) if sum.is_monotonic => "Counter",
        Data::Sum(_) => "UpDownCounter",
        Data::Histogram(_) | Data::ExponentialHistogram(_) => "Histogram",
        Data::Summary(_) => "Summary",
    }
}

/// Whether a value is of a type of the conventions.
fn fits(expected: &str, value: Option<&Value>) -> bool {
    let all = |values: &[AnyValue], of: &str| values.iter().all(|value| fits(of, value.value.as_ref()));
    match (expected, value) {
        ("any", Some(_))
        | ("string", Some(Value::StringValue(_)))
        | ("Enum", Some(Value::StringValue(_) | Value::IntValue(_)))
        | ("int", Some(Value::IntValue(_)))
        | ("double", Some(Value::DoubleValue(_)))
        | ("boolean", Some(Value::BoolValue(_))) => true,
        (array, Some(Value::ArrayValue(values))) => {
            array.strip_suffix("[]").is_some_and(|of| all(&values.values, of))
        }
        _ => false,
    }
}

/// The attributes of each point.
fn points(data: &Data) -> Vec<&[KeyValue]> {
    match data {
        Data::Gauge(gauge) => gauge.data_points.iter().map(|point| &*point.attributes).collect(),
        Data::Sum(sum) => sum.data_points.iter().map(|point| &*point.attributes).collect(),
        Data::Histogram(histogram) => histogram.data_points.iter().map(|point| &*point.attributes).collect(),
        Data::ExponentialHistogram(histogram) => {
            histogram.data_points.iter().map(|point| &*point.attributes).collect()
        }
        Data::Summary(summary) => summary.data_points.iter().map(|point| &*point.attributes).collect(),
    }
}
