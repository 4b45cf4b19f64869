//! The small parts of a line: escaped text, numbers, timestamps, attribute values.

use std::fmt::Write as _;

use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};

/// Appends a label's value; NUL is replaced because Prometheus' lexer takes it for the end of the page.
pub(super) fn push_label_value(out: &mut String, value: &str) {
    push_escaped(out, value, true);
}

/// Appends the text of a HELP line; only OpenMetrics escapes quotes there.
pub(super) fn push_help(out: &mut String, help: &str, openmetrics: bool) {
    push_escaped(out, help, openmetrics);
}

fn push_escaped(out: &mut String, text: &str, quotes: bool) {
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'\\' => r"\\",
            b'\n' => r"\n",
            b'"' if quotes => "\\\"",
            0 => "\u{fffd}",
            _ => continue,
        };
        // every byte matched above is ASCII, hence a character boundary
        out.push_str(&text[start..at]);
        out.push_str(escaped);
        start = at + 1;
    }
    out.push_str(&text[start..]);
}

/// Appends `value` in its shortest form that reads back the same: Go's `%g`, the canonical form of OpenMetrics.
///
/// `float_mark` appends `.0` where neither point nor exponent shows that it is a float.
pub(super) fn push_float(out: &mut String, value: f64, float_mark: bool) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if value == 0.0 || (1e-4..1e6).contains(&value.abs()) {
        let _ = write!(out, "{value}");
        if float_mark && value.fract() == 0.0 {
            out.push_str(".0");
        }
    } else {
        push_exponent_form(out, value);
    }
}

fn push_exponent_form(out: &mut String, value: f64) {
    let start = out.len();
    let _ = write!(out, "{value:e}");
    let Some(at) = out[start..].find('e').map(|at| start + at) else { return };
    let exponent: i32 = out[at + 1..].parse().unwrap_or_default();
    out.truncate(at);
    let sign = if exponent < 0 { '-' } else { '+' };
    let _ = write!(out, "e{sign}{:02}", exponent.unsigned_abs());
}

/// Appends nanoseconds since the epoch as seconds with millisecond decimals.
pub(super) fn push_timestamp(out: &mut String, unix_nano: u64) {
    let millis = unix_nano / 1_000_000;
    let _ = write!(out, "{}.{:03}", millis / 1000, millis % 1000);
}

/// Appends an id in lower-case hexadecimal.
pub(super) fn push_hex(out: &mut String, id: &[u8]) {
    for byte in id {
        let _ = write!(out, "{byte:02x}");
    }
}

/// Appends an attribute's value the way OpenTelemetry prescribes for protocols with text values only, unescaped.
pub(super) fn push_any_value(out: &mut String, value: &AnyValue) {
    match &value.value {
        Some(Value::StringValue(text)) => out.push_str(text),
        Some(Value::BytesValue(bytes)) => push_base64(out, bytes),
        Some(Value::DoubleValue(number)) => push_json_float(out, *number, ""),
        Some(_) => push_json(out, value),
        None => {}
    }
}

fn push_json(out: &mut String, value: &AnyValue) {
    match &value.value {
        Some(Value::StringValue(text)) => push_json_text(out, text),
        Some(Value::BoolValue(truth)) => out.push_str(if *truth { "true" } else { "false" }),
        Some(Value::IntValue(number)) => {
            let _ = write!(out, "{number}");
        }
        Some(Value::DoubleValue(number)) => push_json_float(out, *number, "\""),
        Some(Value::BytesValue(bytes)) => {
            out.push('"');
            push_base64(out, bytes);
            out.push('"');
        }
        Some(Value::ArrayValue(array)) => {
            out.push('[');
            for (nth, item) in array.values.iter().enumerate() {
                out.push_str(if nth > 0 { "," } else { "" });
                push_json(out, item);
            }
            out.push(']');
        }
        Some(Value::KvlistValue(list)) => {
            out.push('{');
            for (nth, pair) in list.values.iter().enumerate() {
                out.push_str(if nth > 0 { "," } else { "" });
                push_json_text(out, &pair.key);
                out.push(':');
                match &pair.value {
                    Some(value) => push_json(out, value),
                    None => out.push_str("null"),
                }
            }
            out.push('}');
        }
        // string tables exist in profiles only
        Some(Value::StringValueStrindex(_)) | None => out.push_str("null"),
    }
}

fn push_json_text(out: &mut String, text: &str) {
    let _ = write!(out, "{}", serde_json::Value::from(text));
}

fn push_json_float(out: &mut String, number: f64, quote: &str) {
    let _ = match number {
        n if n.is_nan() => write!(out, "{quote}NaN{quote}"),
        n if n == f64::INFINITY => write!(out, "{quote}Infinity{quote}"),
        n if n == f64::NEG_INFINITY => write!(out, "{quote}-Infinity{quote}"),
        n => write!(out, "{n:?}"),
    };
}

fn push_base64(out: &mut String, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            out.push(if digit > chunk.len() { '=' } else { char::from(ALPHABET[index as usize]) });
        }
    }
}
