//! An event's fields into a log record, each formatted once.

use std::{error::Error, fmt};

use opentelemetry::logs::{AnyValue, LogRecord as _};
use opentelemetry_sdk::logs::SdkLogRecord;
use tracing::field::{Field, Visit};

/// Longest value of one field; what is longer is cut and marked.
const MAX_VALUE: usize = 32 * 1024;
const CUT: &str = "…[cut]";

/// Writes fields into a record.
pub(super) struct Fields<'a>(pub(super) &'a mut SdkLogRecord);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl Into<AnyValue>) {
        match field.name() {
            "message" => self.0.set_body(value.into()),
            // tracing-log's copy of metadata that the record has in its own place
            name if name.starts_with("log.") => {}
            name => self.0.add_attribute(name, value),
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
            Err(_) => self.put(field, value.to_string()),
        }
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        match i64::try_from(value) {
            Ok(value) => self.put(field, value),
            Err(_) => self.put(field, value.to_string()),
        }
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        match i64::try_from(value) {
            Ok(value) => self.put(field, value),
            Err(_) => self.put(field, value.to_string()),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, bounded(value.to_owned()));
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        let length = value.len().min(MAX_VALUE);
        self.put(field, AnyValue::Bytes(Box::new(value[..length].to_vec())));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        // one value a person can read; the causes are what distinguishes two errors of one kind
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        self.put(field, bounded(text));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, bounded(formatted(value)));
    }
}

/// Formats a value; one whose `Debug` panics says so instead of taking the request down.
fn formatted(value: &dyn fmt::Debug) -> String {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| format!("{value:?}")))
        .unwrap_or_else(|_| "[this value panicked while it was formatted]".to_owned())
}

fn bounded(mut value: String) -> String {
    if value.len() > MAX_VALUE {
        let end = (0..=MAX_VALUE).rev().find(|at| value.is_char_boundary(*at)).unwrap_or(0);
        value.truncate(end);
        value.push_str(CUT);
    }
    value
}
