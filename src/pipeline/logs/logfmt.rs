//! A log record as `name=value` pairs on one line (logfmt).

use std::{fmt::Write as _, time::SystemTime};

use opentelemetry::logs::AnyValue;
use opentelemetry_sdk::logs::SdkLogRecord;

use super::json;
use crate::{
    requests::{Current, Kind},
    timestamp,
};

/// Names of ours: an attribute of such a name is `attributes.<name>`.
const OWN: [&str; 7] = ["ts", "level", "target", "msg", "trace_id", "span_id", "trace_flags"];

/// Appends the line of `record`, with its line feed: `ts` (RFC 3339, UTC, µs), `level` in lower case, `target`, `msg`, inside
/// a span `trace_id`, `span_id` and `trace_flags`, the attributes, inside a request `request.id`, `request.method` and
/// `request.route`, inside a task `task.id` and `task.name`.
pub(super) fn write_line(record: &SdkLogRecord, request: Option<&Current>, out: &mut String) {
    out.push_str("ts=");
    timestamp::rfc3339_micros(record.timestamp().unwrap_or_else(SystemTime::now), out);
    out.push_str(" level=");
    out.extend(record.severity_text().unwrap_or("INFO").chars().map(|char| char.to_ascii_lowercase()));
    out.push_str(" target=");
    write_text(record.target().map_or("", |target| target), out);
    out.push_str(" msg=");
    match record.body() {
        Some(body) => write_value(body, out),
        None => out.push_str("\"\""),
    }
    if let Some(context) = record.trace_context() {
        let flags = context.trace_flags.unwrap_or_default().to_u8();
        // writing to a String cannot fail
        let _ =
            write!(out, " trace_id={} span_id={} trace_flags={flags:02x}", context.trace_id, context.span_id);
    }
    for (key, value) in record.attributes_iter() {
        out.push(' ');
        write_name(key.as_str(), out);
        out.push('=');
        write_value(value, out);
    }
    if let Some(task) = request.filter(|entry| entry.kind() == Kind::Task) {
        let _ = write!(out, " task.id={} task.name=", task.id());
        write_text(&task.name(), out);
    } else if let Some(request) = request {
        let _ = write!(out, " request.id={} request.method=", request.id());
        write_text(request.method().unwrap_or(""), out);
        if let Some(route) = request.route() {
            out.push_str(" request.route=");
            write_text(&route, out);
        }
    }
    out.push('\n');
}

/// A name holds neither spaces nor what ends it.
fn write_name(name: &str, out: &mut String) {
    if OWN.contains(&name) || name.starts_with("request.") || matches!(name, "task.id" | "task.name") {
        out.push_str("attributes.");
    }
    if name.is_empty() {
        out.push('_');
    }
    out.extend(name.chars().map(|char| if needs_quotes(char) { '_' } else { char }));
}

fn write_value(value: &AnyValue, out: &mut String) {
    match value {
        AnyValue::String(text) => write_text(text.as_str(), out),
        AnyValue::Int(value) => {
            let _ = write!(out, "{value}");
        }
        AnyValue::Boolean(value) => {
            let _ = write!(out, "{value}");
        }
        AnyValue::Double(value) => {
            let _ = write!(out, "{value:?}");
        }
        other => {
            let mut text = String::new();
            json::write_value(other, &mut text);
            write_text(&text, out);
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    if text.is_empty() || text.chars().any(needs_quotes) {
        json::write_str(text, out);
    } else {
        out.push_str(text);
    }
}

fn needs_quotes(char: char) -> bool {
    char.is_control() || char.is_whitespace() || matches!(char, '"' | '=' | '\\' | '\u{fffd}')
}
