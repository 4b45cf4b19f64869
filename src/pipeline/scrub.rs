//! What is done to attributes before they leave: secrets are hidden, then values are cut to the limit.

use opentelemetry::{
    Array, KeyValue, StringValue, Value,
    logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _},
};
use opentelemetry_sdk::{
    logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider},
    trace::SpanData,
};

use crate::{
    config::{LogLimits, SpanLimits},
    redaction::{Memory, Redactor},
};

/// Says how many attributes a log record lost to its limit: the SDK's record has no place for OTLP's own field, where the
/// encoder puts it (the name is that of the specification's common/mapping-to-non-otlp.md).
pub(super) const DROPPED: &str = "otel.dropped_attributes_count";

/// The rules of one signal. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct Scrub {
    pub(super) redactor: Redactor,
    /// Characters, or bytes of a byte value; `None` = no limit.
    pub(super) value_length: Option<u32>,
    /// Attributes of a log record; those of spans are the SDK's business.
    pub(super) attributes: u32,
}

impl Scrub {
    pub(crate) fn of_spans(limits: SpanLimits, redactor: &Redactor) -> Self {
        Self { redactor: redactor.clone(), value_length: limits.value_length, attributes: limits.attributes }
    }

    pub(super) fn of_logs(limits: LogLimits, redactor: &Redactor) -> Self {
        Self { redactor: redactor.clone(), value_length: limits.value_length, attributes: limits.attributes }
    }

    #[cfg(feature = "admin")] // the console's
    pub(crate) fn span(&self, span: &mut SpanData) {
        self.redactor.span(span);
        self.cut(span);
    }

    /// The same, on a thread that remembers what it saw.
    pub(super) fn span_again(&self, span: &mut SpanData, memory: &mut Memory) {
        self.redactor.span_again(span, memory);
        self.cut(span);
    }

    fn cut(&self, span: &mut SpanData) {
        let Some(limit) = self.value_length else { return };
        span.attributes.iter_mut().for_each(|attribute| cut_attribute(attribute, limit));
        for event in &mut span.events.events {
            event.attributes.iter_mut().for_each(|attribute| cut_attribute(attribute, limit));
        }
        for link in &mut span.links.links {
            link.attributes.iter_mut().for_each(|attribute| cut_attribute(attribute, limit));
        }
    }

    /// A text that becomes an attribute.
    pub(super) fn text(&self, name: &str, text: String) -> String {
        let mut text = self.redactor.owned_value(name, text);
        if let Some(end) = self.value_length.and_then(|limit| past(&text, limit)) {
            text.truncate(end);
        }
        text
    }

    pub(super) fn any_value(&self, name: &str, value: AnyValue) -> AnyValue {
        let value = self.redactor.any_value(name, value);
        match self.value_length {
            Some(limit) => cut_any(value, limit),
            None => value,
        }
    }

    /// The same record as it may leave. `blank` makes empty records.
    pub(super) fn record(&self, given: &SdkLogRecord, blank: &Blank) -> SdkLogRecord {
        let mut record = blank.0.create_log_record();
        if let Some(name) = given.event_name() {
            record.set_event_name(name);
        }
        if let Some(target) = given.target() {
            record.set_target(target.clone());
        }
        if let Some(at) = given.timestamp() {
            record.set_timestamp(at);
        }
        if let Some(at) = given.observed_timestamp() {
            record.set_observed_timestamp(at);
        }
        if let Some(context) = given.trace_context() {
            record.set_trace_context(context.trace_id, context.span_id, context.trace_flags);
        }
        if let Some(text) = given.severity_text() {
            record.set_severity_text(text);
        }
        if let Some(number) = given.severity_number() {
            record.set_severity_number(number);
        }
        if let Some(body) = given.body() {
            record.set_body(self.redactor.any_value("", body.clone()));
        }
        let (mut kept, mut dropped) = (0, 0);
        for (key, value) in given.attributes_iter() {
            // counted already, by the layer
            if kept < self.attributes || key.as_str() == DROPPED {
                kept += 1;
                record.add_attribute(key.clone(), self.any_value(key.as_str(), value.clone()));
            } else {
                dropped += 1;
            }
        }
        if dropped > 0 {
            record.add_attribute(DROPPED, dropped);
        }
        record
    }
}

/// Makes empty records; the SDK has no other way.
#[derive(Debug)]
pub(super) struct Blank(SdkLogger);

impl Default for Blank {
    fn default() -> Self {
        Self(SdkLoggerProvider::builder().build().logger(""))
    }
}

fn cut_attribute(attribute: &mut KeyValue, limit: u32) {
    match &mut attribute.value {
        Value::String(text) => cut(text, limit),
        Value::Array(Array::String(texts)) => texts.iter_mut().for_each(|text| cut(text, limit)),
        _ => {}
    }
}

fn cut(text: &mut StringValue, limit: u32) {
    if let Some(end) = past(text.as_str(), limit) {
        *text = text.as_str()[..end].to_owned().into();
    }
}

fn cut_any(value: AnyValue, limit: u32) -> AnyValue {
    match value {
        AnyValue::String(mut text) => {
            cut(&mut text, limit);
            AnyValue::String(text)
        }
        AnyValue::Bytes(mut bytes) => {
            bytes.truncate(limit as usize);
            AnyValue::Bytes(bytes)
        }
        AnyValue::ListAny(values) => {
            AnyValue::ListAny(Box::new(values.into_iter().map(|value| cut_any(value, limit)).collect()))
        }
        AnyValue::Map(values) => AnyValue::Map(Box::new(
            values.into_iter().map(|(key, value)| (key, cut_any(value, limit))).collect(),
        )),
        other => other,
    }
}

/// Where the text exceeds `limit` characters.
fn past(text: &str, limit: u32) -> Option<usize> {
    // no text has more characters than bytes
    if text.len() <= limit as usize {
        return None;
    }
    text.char_indices().nth(limit as usize).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_between_characters_and_lists_element_by_element() {
        let mut text = KeyValue::new("a", "éèê");
        cut_attribute(&mut text, 2);
        assert_eq!(text.value.as_str(), "éè");
        let mut list = KeyValue::new("a", Value::Array(Array::String(vec!["abc".into(), "d".into()])));
        cut_attribute(&mut list, 1);
        assert_eq!(list.value, Value::Array(Array::String(vec!["a".into(), "d".into()])));
        let mut number = KeyValue::new("a", 12345);
        cut_attribute(&mut number, 1);
        assert_eq!(number.value, Value::I64(12345));
        let mut none = KeyValue::new("a", "x");
        cut_attribute(&mut none, 0);
        assert_eq!(none.value.as_str(), "", "a limit of zero leaves nothing");
        let nested =
            AnyValue::ListAny(Box::new(vec![AnyValue::from("xyz"), AnyValue::Bytes(Box::new(vec![1, 2]))]));
        let expected =
            AnyValue::ListAny(Box::new(vec![AnyValue::from("x"), AnyValue::Bytes(Box::new(vec![1]))]));
        assert_eq!(cut_any(nested, 1), expected);
    }
}
