//! Attributes, values and scopes (opentelemetry-proto, `common/v1/common.proto`).

use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value, logs::AnyValue};

use super::wire::Wire;

/// A `KeyValue`: its key, and what `value` writes as its `AnyValue`.
pub(super) fn pair(wire: &mut Wire, field: u32, key: &str, value: impl FnOnce(&mut Wire)) {
    wire.message(field, |wire| {
        wire.text(1, key);
        wire.message(2, value);
    });
}

pub(super) fn attributes<'a>(
    wire: &mut Wire,
    field: u32,
    attributes: impl IntoIterator<Item = &'a KeyValue>,
) {
    for attribute in attributes {
        pair(wire, field, attribute.key.as_str(), |wire| self::value(wire, &attribute.value));
    }
}

/// The fields of an `AnyValue`.
pub(super) fn value(wire: &mut Wire, value: &Value) {
    match value {
        Value::Bool(value) => boolean(wire, *value),
        Value::I64(value) => integer(wire, *value),
        Value::F64(value) => double(wire, *value),
        Value::String(value) => text(wire, value),
        Value::Array(Array::Bool(values)) => array(wire, values, |wire, value| boolean(wire, *value)),
        Value::Array(Array::I64(values)) => array(wire, values, |wire, value| integer(wire, *value)),
        Value::Array(Array::F64(values)) => array(wire, values, |wire, value| double(wire, *value)),
        Value::Array(Array::String(values)) => array(wire, values, text),
        // a kind of value that OpenTelemetry has added since: better its text than nothing
        other => wire.present_bytes(1, other.as_str().as_bytes()),
    }
}

/// The fields of an `AnyValue`, of a log record.
pub(super) fn any_value(wire: &mut Wire, value: &AnyValue) {
    match value {
        AnyValue::Boolean(value) => boolean(wire, *value),
        AnyValue::Int(value) => integer(wire, *value),
        AnyValue::Double(value) => double(wire, *value),
        AnyValue::String(value) => text(wire, value),
        AnyValue::Bytes(value) => wire.present_bytes(7, value),
        AnyValue::ListAny(values) => array(wire, values, any_value),
        AnyValue::Map(values) => wire.message(6, |wire| {
            for (key, value) in values.iter() {
                pair(wire, 1, key.as_str(), |wire| any_value(wire, value));
            }
        }),
        other => wire.present_bytes(1, format!("{other:?}").as_bytes()),
    }
}

fn boolean(wire: &mut Wire, value: bool) {
    wire.present_varint(2, u64::from(value));
}

fn integer(wire: &mut Wire, value: i64) {
    wire.present_varint(3, value as u64);
}

fn double(wire: &mut Wire, value: f64) {
    wire.present_double(4, value);
}

fn text(wire: &mut Wire, value: &StringValue) {
    wire.present_bytes(1, value.as_str().as_bytes());
}

fn array<T>(wire: &mut Wire, values: &[T], each: impl Fn(&mut Wire, &T)) {
    wire.message(5, |wire| {
        for value in values {
            wire.message(1, |wire| each(wire, value));
        }
    });
}

/// The fields of an `InstrumentationScope`, under another name than its own.
pub(super) fn scope(wire: &mut Wire, scope: &InstrumentationScope, name: &str) {
    wire.text(1, name);
    wire.text(2, scope.version().unwrap_or_default());
    attributes(wire, 3, scope.attributes());
}
