//! A log record as a line of its request's own history.

use std::fmt::{self, Write};

use opentelemetry::logs::AnyValue;
use opentelemetry_sdk::logs::SdkLogRecord;

use crate::requests;

/// More than a request keeps of a line: what is beyond is not written at all.
const ENOUGH: usize = 600;

/// Gives the record to the request or task that the running code belongs to, if that keeps lines.
pub(super) fn keep(record: &SdkLogRecord) {
    let Some(current) = requests::peek().filter(requests::Current::keeps_log_lines) else { return };
    let mut line = Line(String::with_capacity(128));
    // an error says that the line is long enough
    let _ = write(record, &mut line);
    current.keep_log_line(record.severity_text().unwrap_or("INFO"), line.0);
}

fn write(record: &SdkLogRecord, line: &mut Line) -> fmt::Result {
    if let Some(target) = record.target() {
        write!(line, "{target}: ")?;
    }
    if let Some(body) = record.body() {
        value(body, line)?;
    }
    for (key, attribute) in record.attributes_iter() {
        write!(line, " {key}=")?;
        value(attribute, line)?;
    }
    Ok(())
}

fn value(value: &AnyValue, line: &mut Line) -> fmt::Result {
    match value {
        AnyValue::String(text) => line.write_str(text.as_str()),
        AnyValue::Int(value) => write!(line, "{value}"),
        AnyValue::Double(value) => write!(line, "{value}"),
        AnyValue::Boolean(value) => write!(line, "{value}"),
        other => write!(line, "{other:?}"),
    }
}

struct Line(String);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = ENOUGH.saturating_sub(self.0.len());
        let end = (0..=room.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        self.0.push_str(&text[..end]);
        if end < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}
