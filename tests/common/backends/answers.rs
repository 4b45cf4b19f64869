//! What the backends answer, as values a test can compare.

use std::collections::BTreeMap;

use serde_json::Value;

pub(crate) type Labels = BTreeMap<String, String>;

/// A log line as Loki has it.
#[derive(Debug, Clone)]
pub(crate) struct LokiLine {
    /// Nanoseconds since 1970.
    pub(crate) timestamp: u64,
    pub(crate) line: String,
    /// The index labels of its stream.
    pub(crate) labels: Labels,
    /// Everything else that came with the line: `trace_id`, `span_id`, its attributes with `_` for `.`.
    pub(crate) metadata: Labels,
}

/// An exemplar as Prometheus has it.
#[derive(Debug, Clone)]
pub(crate) struct Exemplar {
    /// The series it belongs to, `__name__` and `le` included.
    pub(crate) series: Labels,
    /// Empty when the exemplar has none.
    pub(crate) trace_id: String,
    /// All its labels: `trace_id`, `span_id` and the attributes that the metric does not have.
    pub(crate) labels: Labels,
    pub(crate) value: f64,
}

/// One series of an instant query.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) labels: Labels,
    pub(crate) value: f64,
}

/// What reached the Collector: one OTLP JSON message each, in the order of arrival.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received {
    pub(crate) traces: Vec<Value>,
    pub(crate) logs: Vec<Value>,
    pub(crate) metrics: Vec<Value>,
}

impl Received {
    pub(crate) fn spans(&self) -> Vec<&Value> {
        items(&self.traces, ["resourceSpans", "scopeSpans", "spans"])
    }

    pub(crate) fn log_records(&self) -> Vec<&Value> {
        items(&self.logs, ["resourceLogs", "scopeLogs", "logRecords"])
    }

    /// Whole metrics with their data points; one that was exported twice is here twice.
    pub(crate) fn metrics(&self) -> Vec<&Value> {
        items(&self.metrics, ["resourceMetrics", "scopeMetrics", "metrics"])
    }
}

fn items<'a>(messages: &'a [Value], path: [&str; 3]) -> Vec<&'a Value> {
    path.iter().fold(messages.iter().collect(), |parents: Vec<&Value>, key| {
        parents.iter().filter_map(|parent| parent[*key].as_array()).flatten().collect()
    })
}

pub(crate) fn loki_lines(answer: &Value) -> Vec<LokiLine> {
    let mut lines = Vec::new();
    for stream in array(&answer["data"]["result"]) {
        for entry in array(&stream["values"]) {
            lines.push(LokiLine {
                timestamp: text(&entry[0]).parse().unwrap_or_default(),
                line: text(&entry[1]),
                labels: labels(&stream["stream"]),
                metadata: labels(&entry[2]["structuredMetadata"]),
            });
        }
    }
    lines.sort_by_key(|line| line.timestamp); // Loki orders them within a stream only
    lines
}

pub(crate) fn exemplars(answer: &Value) -> Vec<Exemplar> {
    let mut exemplars = Vec::new();
    for series in array(&answer["data"]) {
        for exemplar in array(&series["exemplars"]) {
            let labels = labels(&exemplar["labels"]);
            exemplars.push(Exemplar {
                series: self::labels(&series["seriesLabels"]),
                trace_id: labels.get("trace_id").cloned().unwrap_or_default(),
                value: number(&exemplar["value"]),
                labels,
            });
        }
    }
    exemplars
}

pub(crate) fn samples(answer: &Value) -> Vec<Sample> {
    let series = array(&answer["data"]["result"]).iter();
    series
        .map(|series| Sample { labels: labels(&series["metric"]), value: number(&series["value"][1]) })
        .collect()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn labels(value: &Value) -> Labels {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.clone(), text(value))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Prometheus writes numbers as text, `NaN` and `+Inf` among them.
fn number(value: &Value) -> f64 {
    value.as_str().and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
}
