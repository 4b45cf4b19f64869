//! A log record as one JSON object with the names of the Elastic Common Schema.
//!
//! Follows the specification of Elastic's ECS loggers (`ecs-logging`): `@timestamp`, `log.level` and `message` come first and
//! in this order, names are dotted and not nested, and what the schema has no field for is a label.

use std::{fmt::Write as _, time::SystemTime};

use opentelemetry::{Key, logs::AnyValue};
use opentelemetry_sdk::{Resource, logs::SdkLogRecord};

use super::json::{write_str, write_text, write_value};
use crate::{
    requests::{Current, Kind},
    timestamp,
};

/// The version of the schema whose fields these are.
const VERSION: &str = "9.0.0";

/// Who the service is, as the same piece of each line.
#[derive(Debug, Clone, Default)]
pub(in crate::pipeline) struct Service(String);

impl Service {
    pub(in crate::pipeline) fn of(resource: &Resource) -> Self {
        let mut piece = String::new();
        for (name, key) in [
            ("service.name", "service.name"),
            ("service.version", "service.version"),
            ("service.environment", "deployment.environment.name"),
            ("service.node.name", "service.instance.id"),
        ] {
            if let Some(value) = resource.get(&Key::from_static_str(key)) {
                let _ = write!(piece, ",\"{name}\":");
                write_str(&value.to_string(), &mut piece);
            }
        }
        Self(piece)
    }
}

/// The field of the schema that an attribute of the conventions is.
fn field(attribute: &str) -> Option<&'static str> {
    Some(match attribute {
        "exception.type" => "error.type",
        "exception.message" => "error.message",
        "exception.stacktrace" => "error.stack_trace",
        "code.file.path" => "log.origin.file.name",
        "code.line.number" => "log.origin.file.line",
        "code.function.name" => "log.origin.function",
        "thread.name" => "process.thread.name",
        _ => return None,
    })
}

/// Appends the line of `record`, with its line feed. The span of the request is the transaction.
pub(super) fn write_line(
    record: &SdkLogRecord,
    request: Option<&Current>,
    service: &Service,
    out: &mut String,
) {
    out.push_str("{\"@timestamp\":\"");
    timestamp::rfc3339_micros(record.timestamp().unwrap_or_else(SystemTime::now), out);
    out.push_str("\",\"log.level\":\"");
    out.push_str(record.severity_text().unwrap_or("INFO"));
    out.push_str("\",\"message\":");
    match record.body() {
        Some(body) => write_text(body, out),
        None => out.push_str("\"\""),
    }
    // writing to a String cannot fail
    let _ = write!(out, ",\"ecs.version\":\"{VERSION}\",\"log.logger\":");
    write_str(record.target().map_or("", |target| target), out);
    out.push_str(&service.0);
    if let Some(name) = record.event_name() {
        out.push_str(",\"event.action\":");
        write_str(name, out);
    }
    if let Some(context) = record.trace_context() {
        let _ = write!(out, ",\"trace.id\":\"{}\",\"span.id\":\"{}\"", context.trace_id, context.span_id);
        if let Some(request) = request.filter(|request| request.trace_id() == context.trace_id) {
            let _ = write!(out, ",\"transaction.id\":\"{}\"", request.span_id());
        }
    }
    write_attributes(record, request, out);
    out.push_str("}\n");
}

fn write_attributes(record: &SdkLogRecord, request: Option<&Current>, out: &mut String) {
    for (key, value) in record.attributes_iter() {
        let Some(name) = field(key.as_str()) else { continue };
        let _ = write!(out, ",\"{name}\":");
        match value {
            AnyValue::Int(value) => {
                let _ = write!(out, "{value}");
            }
            other => write_text(other, out),
        }
    }
    out.push_str(",\"labels\":{");
    let mut first = true;
    let mut name = |name: &str, out: &mut String| {
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        // a dot would make a label an object
        write_str(&name.replace('.', "_"), out);
        out.push(':');
    };
    for (key, value) in record.attributes_iter().filter(|(key, _)| field(key.as_str()).is_none()) {
        name(key.as_str(), out);
        match value {
            // an object is no label
            AnyValue::ListAny(_) | AnyValue::Map(_) => write_text(value, out),
            other => write_value(other, out),
        }
    }
    if let Some(task) = request.filter(|entry| entry.kind() == Kind::Task) {
        name("task.id", out);
        let _ = write!(out, "\"{}\"", task.id());
        name("task.name", out);
        write_str(&task.name(), out);
    } else if let Some(request) = request {
        name("request.id", out);
        let _ = write!(out, "\"{}\"", request.id());
        if let Some(method) = request.method() {
            name("request.method", out);
            write_str(method, out);
        }
        if let Some(route) = request.route() {
            name("request.route", out);
            write_str(&route, out);
        }
    }
    out.push('}');
}
