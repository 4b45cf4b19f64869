//! How much memory an item takes: its own size and that of every text and list it owns, rounded up rather than down.

use std::mem::size_of;

use opentelemetry::{Array, InstrumentationScope, KeyValue, Value, logs::AnyValue, trace::TraceState};
use opentelemetry_sdk::{logs::SdkLogRecord, trace::SpanData};

/// What an allocation costs beside its bytes.
const ALLOCATION: usize = 16;

/// A list of attributes within an item.
const LIST: usize = size_of::<Vec<u8>>() + ALLOCATION;

pub(super) fn span(span: &SpanData) -> usize {
    let events = span.events.events.iter();
    let events = events.map(|event| size_of_val(event) + event.name.len() + attributes(&event.attributes));
    let links = span.links.links.iter();
    let links = links.map(|link| {
        size_of_val(link) + attributes(&link.attributes) + trace_state(link.span_context.trace_state())
    });
    let status = match &span.status {
        opentelemetry::trace::Status::Error { description } => description.len(),
        _ => 0,
    };
    size_of::<SpanData>()
        + ALLOCATION
        + span.name.len()
        + status
        + attributes(&span.attributes)
        + trace_state(span.span_context.trace_state())
        + scope(&span.instrumentation_scope)
        + events.sum::<usize>()
        + links.sum::<usize>()
}

/// Without the scope, which records share.
pub(super) fn record(record: &SdkLogRecord) -> usize {
    let attributes =
        record.attributes_iter().map(|(key, value)| size_of_val(key) + key.as_str().len() + any(value));
    size_of::<SdkLogRecord>()
        + ALLOCATION
        + record.target().map_or(0, |target| target.len())
        + record.body().map_or(0, any)
        + attributes.sum::<usize>()
}

pub(super) fn scope(scope: &InstrumentationScope) -> usize {
    scope.name().len()
        + scope.version().map_or(0, str::len)
        + scope.schema_url().map_or(0, str::len)
        + scope.attributes().map(attribute).sum::<usize>()
}

/// Callers bound what they pass on; its parts are two texts each.
fn trace_state(state: &TraceState) -> usize {
    if *state == TraceState::NONE { 0 } else { state.header().len() * 2 + 32 * ALLOCATION }
}

fn attributes(list: &[KeyValue]) -> usize {
    LIST + list.iter().map(attribute).sum::<usize>()
}

fn attribute(attribute: &KeyValue) -> usize {
    let value = match &attribute.value {
        Value::String(text) => text.as_str().len() + ALLOCATION,
        Value::Array(array) => LIST + self::array(array),
        _ => 0,
    };
    size_of::<KeyValue>() + attribute.key.as_str().len() + value
}

fn array(array: &Array) -> usize {
    match array {
        Array::Bool(values) => values.len(),
        Array::I64(values) => values.len() * 8,
        Array::F64(values) => values.len() * 8,
        Array::String(values) => {
            values.iter().map(|text| size_of_val(text) + text.as_str().len() + ALLOCATION).sum()
        }
        // no other kind is known
        _ => 0,
    }
}

fn any(value: &AnyValue) -> usize {
    let own = match value {
        AnyValue::String(text) => text.as_str().len() + ALLOCATION,
        AnyValue::Bytes(bytes) => LIST + bytes.len(),
        AnyValue::ListAny(values) => LIST + values.iter().map(any).sum::<usize>(),
        // a table is never quite full
        AnyValue::Map(values) => {
            let each = |(key, value): (&opentelemetry::Key, &AnyValue)| {
                2 * (size_of_val(key) + size_of_val(value)) + key.as_str().len() + any(value)
            };
            2 * LIST + values.iter().map(each).sum::<usize>()
        }
        _ => 0,
    };
    size_of::<AnyValue>() + own
}
