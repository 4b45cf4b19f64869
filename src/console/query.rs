//! What a caller looks for, found in small steps: whoever feeds the store waits for none of them.

use std::{sync::Arc, time::Duration};

use opentelemetry::{
    TraceId,
    logs::{AnyValue, Severity},
};
use opentelemetry_sdk::trace::SpanData;

use super::{
    Console,
    shown::{ShownSpan, ShownTrace},
    trace::{StoredLog, Summary, attribute},
};

/// Traces or log records looked at under one lock.
const STEP: usize = 256;

/// Where a list goes on: before the item of this number.
pub(crate) type Cursor = u64;

/// How a trace ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusFilter {
    /// No span has failed.
    Ok,
    /// A span has failed.
    Error,
    /// The root's response had this code.
    Code(i64),
}

/// Which traces are wanted; a text is found whatever its case.
#[derive(Debug, Clone, Default)]
pub(crate) struct TraceFilter {
    pub(crate) route: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) status: Option<StatusFilter>,
    pub(crate) outcome: Option<String>,
    pub(crate) min: Option<Duration>,
    pub(crate) max: Option<Duration>,
    pub(crate) attribute: Option<(String, String)>,
    pub(crate) text: Option<String>,
}

impl TraceFilter {
    /// As far as numbers say.
    fn passes(&self, summary: &Summary) -> bool {
        let duration = summary.duration();
        self.min.is_none_or(|min| duration >= min)
            && self.max.is_none_or(|max| duration <= max)
            && self.status.is_none_or(|status| match status {
                StatusFilter::Ok => !summary.is_error(),
                StatusFilter::Error => summary.is_error(),
                StatusFilter::Code(code) => summary.status_code() == Some(code),
            })
    }

    /// As far as the list's texts say.
    fn passes_texts(&self, trace: &ShownTrace) -> bool {
        self.route.as_deref().is_none_or(|route| trace.route().as_deref() == Some(route))
            && self.method.as_deref().is_none_or(|method| trace.method().as_deref() == Some(method))
            && self.outcome.as_deref().is_none_or(|outcome| trace.outcome().as_deref() == Some(outcome))
    }

    /// Whether the spans and log records of a trace are to be looked at.
    fn is_deep(&self) -> bool {
        self.attribute.is_some() || self.text.is_some()
    }

    /// What is looked at is what would be shown: nobody finds a secret by asking for it.
    fn passes_deep(&self, id: TraceId, spans: &[ShownSpan], logs: &[Arc<StoredLog>]) -> bool {
        let has_attribute = self.attribute.as_ref().is_none_or(|(key, value)| {
            spans.iter().any(|span| attribute(span, key).is_some_and(|own| own.as_str() == *value))
        });
        let has_text = |text: &String| {
            let text = text.to_lowercase();
            id.to_string().contains(&text)
                || spans.iter().any(|span| span_has(span, &text))
                || logs.iter().any(|log| log_has(log, &text))
        };
        has_attribute && self.text.as_ref().is_none_or(has_text)
    }
}

/// Which log records are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogFilter {
    pub(crate) min_level: Option<Severity>,
    /// The target, or what it begins with up to `::`.
    pub(crate) target: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) trace_id: Option<TraceId>,
}

impl LogFilter {
    fn passes(&self, log: &StoredLog) -> bool {
        let target = log.record.target().map_or("", |target| target.as_ref());
        self.min_level.is_none_or(|level| log.record.severity_number().is_some_and(|own| own >= level))
            && self.trace_id.is_none_or(|id| log.trace_id() == Some(id))
            && self.target.as_deref().is_none_or(|wanted| {
                target.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            })
            && self.text.as_ref().is_none_or(|text| log_has(log, &text.to_lowercase()))
    }
}

impl Console {
    /// The newest traces that are wanted, before the cursor; and where to go on, if there may be more.
    pub(crate) fn traces(
        &self,
        filter: &TraceFilter,
        before: Option<Cursor>,
        limit: usize,
    ) -> (Vec<ShownTrace>, Option<Cursor>) {
        let mut found = Vec::new();
        let mut before = before.unwrap_or(u64::MAX);
        loop {
            let some = self.shared.store().summaries(before, STEP);
            let Some(last) = some.last() else { return (found, None) };
            before = last.number;
            for summary in some {
                if !filter.passes(&summary) {
                    continue;
                }
                let trace = self.shared.veil.trace(summary);
                if !filter.passes_texts(&trace) || !self.passes_deep(filter, trace.id) {
                    continue;
                }
                let number = trace.number;
                found.push(trace);
                if found.len() >= limit {
                    return (found, Some(number));
                }
            }
        }
    }

    fn passes_deep(&self, filter: &TraceFilter, id: TraceId) -> bool {
        if !filter.is_deep() {
            return true;
        }
        let (spans, logs) = {
            let store = self.shared.store();
            (store.spans(id).unwrap_or_default(), store.logs_of(id))
        };
        filter.passes_deep(id, &self.shared.veil.spans(&spans), &logs)
    }

    /// The newest log records that are wanted, before the cursor; and where to go on, if there may be more.
    pub(crate) fn logs(
        &self,
        filter: &LogFilter,
        before: Option<Cursor>,
        limit: usize,
    ) -> (Vec<Arc<StoredLog>>, Option<Cursor>) {
        let mut found = Vec::new();
        let mut before = before.unwrap_or(u64::MAX);
        loop {
            let some = self.shared.store().logs_before(before, STEP);
            let Some(last) = some.last() else { return (found, None) };
            before = last.number;
            for log in some {
                if filter.passes(&log) {
                    let number = log.number;
                    found.push(log);
                    if found.len() >= limit {
                        return (found, Some(number));
                    }
                }
            }
        }
    }
}

fn has(text: &str, lower: &str) -> bool {
    text.to_lowercase().contains(lower)
}

fn span_has(span: &SpanData, lower: &str) -> bool {
    let described = match &span.status {
        opentelemetry::trace::Status::Error { description } => has(description, lower),
        _ => false,
    };
    let attributes = |list: &[opentelemetry::KeyValue]| {
        list.iter()
            .any(|attribute| has(attribute.key.as_str(), lower) || has(&attribute.value.as_str(), lower))
    };
    has(&span.name, lower)
        || described
        || attributes(&span.attributes)
        || span.events.events.iter().any(|event| has(&event.name, lower) || attributes(&event.attributes))
}

fn log_has(log: &StoredLog, lower: &str) -> bool {
    log.record.body().is_some_and(|body| any_has(body, lower))
        || log.record.target().is_some_and(|target| has(target, lower))
        || log.record.attributes_iter().any(|(key, value)| has(key.as_str(), lower) || any_has(value, lower))
}

fn any_has(value: &AnyValue, lower: &str) -> bool {
    match value {
        AnyValue::String(text) => has(text.as_str(), lower),
        AnyValue::Int(value) => value.to_string().contains(lower),
        AnyValue::Double(value) => value.to_string().contains(lower),
        AnyValue::Boolean(value) => value.to_string().contains(lower),
        AnyValue::ListAny(values) => values.iter().any(|value| any_has(value, lower)),
        AnyValue::Map(values) => {
            values.iter().any(|(key, value)| has(key.as_str(), lower) || any_has(value, lower))
        }
        _ => false,
    }
}
