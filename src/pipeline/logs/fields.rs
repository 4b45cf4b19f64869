//! An event's fields into a log record, each formatted once.

use std::{
    error::Error,
    fmt::{self, Write as _},
};

use opentelemetry::{
    Array, Key, KeyValue, Value,
    logs::{AnyValue, LogRecord as _},
};
use opentelemetry_sdk::logs::SdkLogRecord;
use tracing::field::{Field, Visit};

use super::messages;
use crate::{
    pipeline::scrub::{DROPPED, Scrub},
    redaction::REDACTED,
};

/// Longest value of one field; what is longer is cut and marked.
const MAX_VALUE: usize = 32 * 1024;
const CUT: &str = "…[cut]";
/// Stands for a value whose formatting panicked.
pub(super) const PANICKED: &str = "[this value panicked while it was formatted]";

/// Writes fields into a record, as far as they may be seen.
pub(super) struct Fields<'a> {
    record: &'a mut SdkLogRecord,
    scrub: &'a Scrub,
    kept: u32,
    dropped: u32,
    /// What the conventions call the message of an exception (exceptions/exceptions-logs.md).
    exception: Option<String>,
}

const EXCEPTION_MESSAGE: &str = "exception.message";

impl<'a> Fields<'a> {
    pub(super) fn new(record: &'a mut SdkLogRecord, scrub: &'a Scrub) -> Self {
        Self { record, scrub, kept: 0, dropped: 0, exception: None }
    }

    /// Says in the record what did not fit.
    pub(super) fn finish(mut self) {
        if let Some(message) = self.exception.take() {
            self.enrich(KeyValue::new(EXCEPTION_MESSAGE, message));
        }
        if self.dropped > 0 {
            self.record.add_attribute(DROPPED, i64::from(self.dropped));
        }
    }

    /// An attribute of the request's, unless the event has one of that name.
    pub(super) fn enrich(&mut self, attribute: KeyValue) {
        let KeyValue { key, value, .. } = attribute;
        if self.record.attributes_iter().any(|(own, _)| *own == key) {
            return;
        }
        if self.kept < self.scrub.attributes {
            self.kept += 1;
            let value = self.scrub.any_value(key.as_str(), any_value(value));
            self.record.add_attribute(key, value);
        } else {
            self.dropped += 1;
        }
    }

    /// An attribute of a span around the event, as it may be seen, unless there is one of that name.
    pub(super) fn inherit(&mut self, key: &Key, value: &AnyValue) {
        if self.record.attributes_iter().any(|(own, _)| own == key) {
            return;
        }
        if self.kept < self.scrub.attributes {
            self.kept += 1;
            self.record.add_attribute(key.clone(), value.clone());
        } else {
            self.dropped += 1;
        }
    }

    /// A number or the like: nothing to be seen in it, unless its name is secret.
    fn put(&mut self, field: &Field, value: impl Into<AnyValue>) {
        match field.name() {
            "message" => self.record.set_body(value.into()),
            name if self.scrub.redactor.is_secret_name(name) => self.add(name, REDACTED.into()),
            name => self.add(name, value.into()),
        }
    }

    fn put_text(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.record.set_body(self.scrub.redactor.owned_text(bounded(text)).into()),
            name => self.add(name, self.scrub.text(name, bounded(text)).into()),
        }
    }

    fn add(&mut self, name: &'static str, value: AnyValue) {
        // tracing-log's copy of metadata that the record has in its own place
        if name.starts_with("log.") {
            return;
        }
        if self.kept < self.scrub.attributes {
            self.kept += 1;
            self.record.add_attribute(name, value);
        } else {
            self.dropped += 1;
        }
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        // OTLP has no unsigned integer: what does not fit is exact as text rather than wrong as a number
        match i64::try_from(value) {
            Ok(value) => self.put(field, value),
            Err(_) => self.put_text(field, value.to_string()),
        }
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        match i64::try_from(value) {
            Ok(value) => self.put(field, value),
            Err(_) => self.put_text(field, value.to_string()),
        }
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        match i64::try_from(value) {
            Ok(value) => self.put(field, value),
            Err(_) => self.put_text(field, value.to_string()),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            "message" => self.put(field, value),
            // says whether there is a secret, never which
            name => self.add(name, value.into()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let end = value.len().min(MAX_VALUE + 4);
        let end = (0..=end).rev().find(|at| value.is_char_boundary(*at)).unwrap_or(0);
        self.put_text(field, value[..end].to_owned());
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        let length = value.len().min(MAX_VALUE);
        let limit = self.scrub.value_length.map_or(length, |limit| length.min(limit as usize));
        self.put(field, AnyValue::Bytes(Box::new(value[..limit].to_vec())));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.exception = Some(bounded(formatted(|out| write!(out, "{value}"))));
        // one value a person can read; the causes are what distinguishes two errors of one kind
        let text = formatted(|out| {
            write!(out, "{value}")?;
            let mut source = value.source();
            // an error that is its own cause ends where the text is full
            while let Some(cause) = source {
                write!(out, ": {cause}")?;
                source = cause.source();
            }
            Ok(())
        });
        self.put_text(field, text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            if let Some(message) = messages::remembered(field, value, &self.scrub.redactor) {
                return self.record.set_body(message.into());
            }
        }
        let text = formatted(|out| write!(out, "{value:?}"));
        // what `#[instrument(err)]` says
        if field.name() == "error" && self.record.body().is_none() {
            self.exception = Some(bounded(text.clone()));
        }
        self.put_text(field, text);
    }
}

/// The value of an attribute as that of a log record.
fn any_value(value: Value) -> AnyValue {
    fn list<T: Into<AnyValue>>(values: Vec<T>) -> AnyValue {
        AnyValue::ListAny(Box::new(values.into_iter().map(Into::into).collect()))
    }
    match value {
        Value::Bool(value) => value.into(),
        Value::I64(value) => value.into(),
        Value::F64(value) => value.into(),
        Value::String(value) => AnyValue::String(value),
        Value::Array(Array::Bool(values)) => list(values),
        Value::Array(Array::I64(values)) => list(values),
        Value::Array(Array::F64(values)) => list(values),
        Value::Array(Array::String(values)) => list(values),
        other => other.to_string().into(),
    }
}

/// Formats a value as far as it fits; one whose formatting panics says so instead of taking the request down.
fn formatted(format: impl FnOnce(&mut Bounded) -> fmt::Result) -> String {
    let format = std::panic::AssertUnwindSafe(|| {
        let mut out = Bounded(String::new());
        // an error is the end of the place, or the value's own
        let _ = format(&mut out);
        out.0
    });
    std::panic::catch_unwind(format).unwrap_or_else(|_| PANICKED.to_owned())
}

/// Takes a little more than [`MAX_VALUE`], which says that there was more, and then no more.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let room = (MAX_VALUE + 4).saturating_sub(self.0.len());
        if piece.len() <= room {
            self.0.push_str(piece);
            return Ok(());
        }
        let end = (0..=room).rev().find(|at| piece.is_char_boundary(*at)).unwrap_or(0);
        self.0.push_str(&piece[..end]);
        Err(fmt::Error)
    }
}

fn bounded(mut value: String) -> String {
    if value.len() > MAX_VALUE {
        let end = (0..=MAX_VALUE).rev().find(|at| value.is_char_boundary(*at)).unwrap_or(0);
        value.truncate(end);
        value.push_str(CUT);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its own cause.
    #[derive(Debug)]
    struct Endless;

    impl fmt::Display for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("é")
        }
    }

    impl Error for Endless {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&Self)
        }
    }

    #[test]
    fn a_value_is_formatted_only_as_far_as_it_is_kept() {
        let endless = formatted(|out| {
            let mut source = Some(&Endless as &dyn Error);
            while let Some(cause) = source {
                write!(out, ": {cause}")?;
                source = cause.source();
            }
            Ok(())
        });
        assert!(endless.len() <= MAX_VALUE + 4);
        let kept = bounded(endless);
        assert!(kept.ends_with(CUT) && kept.len() <= MAX_VALUE + CUT.len());
        assert_eq!(bounded(formatted(|out| write!(out, "{:?}", "short"))), "\"short\"");
    }
}
