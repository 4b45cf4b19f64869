//! A log record for a person at a terminal.

use std::{fmt::Write as _, time::SystemTime};

use opentelemetry::logs::AnyValue;
use opentelemetry_sdk::logs::SdkLogRecord;

use crate::{requests::Current, timestamp};

/// Appends the line of `record`, with its line feed: time, level, target, message, fields, route and trace id.
pub(super) fn write_line(record: &SdkLogRecord, request: Option<&Current>, colour: bool, out: &mut String) {
    let paint = |code| if colour { code } else { "" };
    let (dim, reset) = (paint("\x1b[2m"), paint("\x1b[0m"));
    let level = record.severity_text().unwrap_or("INFO");
    let level_colour = paint(match level {
        "ERROR" => "\x1b[31m",
        "WARN" => "\x1b[33m",
        "INFO" => "\x1b[32m",
        _ => "\x1b[34m",
    });
    let mut time = String::with_capacity(27);
    timestamp::rfc3339_micros(record.timestamp().unwrap_or_else(SystemTime::now), &mut time);
    // writing to a String cannot fail
    let _ = write!(out, "{dim}{time}{reset} {level_colour}{level:>5}{reset} {dim}");
    write_text(record.target().map_or("", |target| target), out);
    let _ = write!(out, ":{reset} ");
    if let Some(body) = record.body() {
        write_value(body, out);
    }
    for (key, value) in record.attributes_iter() {
        let _ = write!(out, " {dim}");
        write_text(key.as_str(), out);
        let _ = write!(out, "={reset}");
        write_value(value, out);
    }
    if let Some(route) = request.and_then(Current::route) {
        let method = request.and_then(Current::method).unwrap_or("");
        let _ = write!(out, " {dim}{method} {route}{reset}");
    }
    if let Some(context) = record.trace_context() {
        let _ = write!(out, " {dim}trace_id={}{reset}", context.trace_id);
    }
    out.push('\n');
}

/// Control characters are shown escaped: what is logged must not drive the terminal.
fn write_text(text: &str, out: &mut String) {
    for char in text.chars() {
        if char.is_control() {
            out.extend(char.escape_default());
        } else {
            out.push(char);
        }
    }
}

fn write_value(value: &AnyValue, out: &mut String) {
    match value {
        AnyValue::String(text) => write_text(text.as_str(), out),
        AnyValue::Int(value) => {
            let _ = write!(out, "{value}");
        }
        AnyValue::Double(value) => {
            let _ = write!(out, "{value}");
        }
        AnyValue::Boolean(value) => {
            let _ = write!(out, "{value}");
        }
        other => {
            let _ = write!(out, "{other:?}");
        }
    }
}
