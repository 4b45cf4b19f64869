//! A log record as one JSON object on one line.

use std::{fmt::Write as _, time::SystemTime};

use opentelemetry::logs::AnyValue;
use opentelemetry_sdk::logs::SdkLogRecord;

use crate::{
    requests::{Current, Kind},
    timestamp,
};

/// Appends the line of `record`, with its line feed. `request` is the one it was logged in.
///
/// Fields: `timestamp` (RFC 3339, UTC, µs), `level`, `target`, `message`, inside a span `trace_id`, `span_id` and
/// `trace_flags` (specification, compatibility/logging_trace_context.md), `attributes`, inside a request `request`, inside a
/// task `task`.
pub(super) fn write_line(record: &SdkLogRecord, request: Option<&Current>, out: &mut String) {
    out.push_str("{\"timestamp\":\"");
    timestamp::rfc3339_micros(record.timestamp().unwrap_or_else(SystemTime::now), out);
    out.push_str("\",\"level\":\"");
    out.push_str(record.severity_text().unwrap_or("INFO"));
    out.push_str("\",\"target\":");
    write_str(record.target().map_or("", |target| target), out);
    out.push_str(",\"message\":");
    match record.body() {
        Some(body) => write_text(body, out),
        None => out.push_str("\"\""),
    }
    if let Some(context) = record.trace_context() {
        let flags = context.trace_flags.unwrap_or_default().to_u8();
        // writing to a String cannot fail
        let _ = write!(
            out,
            ",\"trace_id\":\"{}\",\"span_id\":\"{}\",\"trace_flags\":\"{flags:02x}\"",
            context.trace_id, context.span_id
        );
    }
    out.push_str(",\"attributes\":{");
    for (index, (key, value)) in record.attributes_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_str(key.as_str(), out);
        out.push(':');
        write_value(value, out);
    }
    out.push('}');
    if let Some(request) = request {
        write_request(request, out);
    }
    out.push_str("}\n");
}

fn write_request(request: &Current, out: &mut String) {
    if request.kind() == Kind::Task {
        let _ = write!(out, ",\"task\":{{\"id\":\"{}\",\"name\":", request.id());
        write_str(&request.name(), out);
        out.push('}');
        return;
    }
    let _ = write!(out, ",\"request\":{{\"id\":\"{}\",\"method\":", request.id());
    write_str(request.method().unwrap_or(""), out);
    out.push_str(",\"route\":");
    match request.route() {
        Some(route) => write_str(&route, out),
        None => out.push_str("null"),
    }
    out.push('}');
}

/// A message is text whatever its type.
pub(super) fn write_text(value: &AnyValue, out: &mut String) {
    match value {
        AnyValue::String(text) => write_str(text.as_str(), out),
        other => {
            let mut text = String::new();
            write_value(other, &mut text);
            write_str(&text, out);
        }
    }
}

pub(super) fn write_value(value: &AnyValue, out: &mut String) {
    match value {
        AnyValue::Int(value) => {
            let _ = write!(out, "{value}");
        }
        AnyValue::Double(value) if value.is_finite() => {
            // `{:?}` keeps the ".0" that tells a reader's parser that this is no integer
            let _ = write!(out, "{value:?}");
        }
        // JSON has no such numbers
        AnyValue::Double(value) => {
            let _ = write!(out, "\"{value}\"");
        }
        AnyValue::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        AnyValue::String(value) => write_str(value.as_str(), out),
        AnyValue::Bytes(value) => {
            out.push('"');
            for byte in value.iter() {
                let _ = write!(out, "{byte:02x}");
            }
            out.push('"');
        }
        AnyValue::ListAny(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(value, out);
            }
            out.push(']');
        }
        AnyValue::Map(values) => {
            out.push('{');
            for (index, (key, value)) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_str(key.as_str(), out);
                out.push(':');
                write_value(value, out);
            }
            out.push('}');
        }
        _ => out.push_str("null"),
    }
}

/// A JSON string (RFC 8259 section 7). Line and paragraph separators are escaped too: some readers split lines there.
pub(super) fn write_str(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (at, char) in text.char_indices() {
        let escaped = match char {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&text[plain..at]);
                let _ = write!(out, "\\u{:04x}", u32::from(char));
                plain = at + char.len_utf8();
                continue;
            }
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        out.push_str(escaped);
        plain = at + char.len_utf8();
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_reads_back_as_it_was() {
        let hostile: String =
            (0..=0x2030).filter_map(char::from_u32).chain("\u{1F980}\"}\n{".chars()).collect();
        let mut line = String::new();
        write_str(&hostile, &mut line);
        assert!(!line.contains(['\n', '\r', '\u{2028}', '\u{85}']));
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), hostile);
    }

    #[test]
    fn every_value_is_valid_json_of_its_type() {
        let list = AnyValue::ListAny(Box::new(vec![
            AnyValue::Int(-3),
            AnyValue::Double(2.0),
            AnyValue::Boolean(true),
        ]));
        for (value, expected) in [
            (list, serde_json::json!([-3, 2.0, true])),
            (AnyValue::Double(f64::NAN), serde_json::json!("NaN")),
            (AnyValue::Bytes(Box::new(vec![0, 255])), serde_json::json!("00ff")),
        ] {
            let mut line = String::new();
            write_value(&value, &mut line);
            assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), expected);
        }
    }
}
