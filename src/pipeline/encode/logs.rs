//! Log records (opentelemetry-proto, `logs/v1/logs.proto`).

use opentelemetry::logs::AnyValue;
use opentelemetry_sdk::logs::SdkLogRecord;

use super::{
    nanos,
    values::{any_value, pair},
    wire::Wire,
};
use crate::pipeline::scrub::DROPPED;

/// The fields of a `LogRecord`.
pub(super) fn record(wire: &mut Wire, record: &SdkLogRecord) {
    wire.fixed64(1, record.timestamp().map_or(0, nanos));
    // the severities of the API have the numbers of the data model
    wire.varint(2, record.severity_number().map_or(0, |severity| severity as u64));
    wire.text(3, record.severity_text().unwrap_or_default());
    if let Some(body) = record.body() {
        wire.message(5, |wire| any_value(wire, body));
    }
    let mut dropped = 0;
    for (key, value) in record.attributes_iter() {
        match value {
            AnyValue::Int(count) if key.as_str() == DROPPED => dropped = u64::try_from(*count).unwrap_or(0),
            value => pair(wire, 6, key.as_str(), |wire| any_value(wire, value)),
        }
    }
    wire.varint(7, dropped);
    if let Some(context) = record.trace_context() {
        wire.fixed32(8, context.trace_flags.map_or(0, |flags| flags.to_u8().into()));
        wire.bytes(9, &context.trace_id.to_bytes());
        wire.bytes(10, &context.span_id.to_bytes());
    }
    wire.fixed64(11, record.observed_timestamp().map_or(0, nanos));
    wire.text(12, record.event_name().unwrap_or_default());
}
