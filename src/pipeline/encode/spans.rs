//! Spans (opentelemetry-proto, `trace/v1/trace.proto`).

use opentelemetry::trace::{Event, Link, SpanId, SpanKind, Status, TraceState};
use opentelemetry_sdk::trace::SpanData;

use super::{nanos, values::attributes, wire::Wire};

/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK` and `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK`.
const KNOWN_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// The fields of a `Span`.
pub(super) fn span(wire: &mut Wire, span: &SpanData) {
    let context = &span.span_context;
    wire.bytes(1, &context.trace_id().to_bytes());
    wire.bytes(2, &context.span_id().to_bytes());
    trace_state(wire, context.trace_state());
    if span.parent_span_id != SpanId::INVALID {
        wire.bytes(4, &span.parent_span_id.to_bytes());
    }
    wire.text(5, &span.name);
    wire.varint(6, kind(&span.span_kind));
    wire.fixed64(7, nanos(span.start_time));
    wire.fixed64(8, nanos(span.end_time));
    attributes(wire, 9, &span.attributes);
    wire.varint(10, span.dropped_attributes_count.into());
    for event in span.events.iter() {
        wire.message(11, |wire| self::event(wire, event));
    }
    wire.varint(12, span.events.dropped_count.into());
    for link in span.links.iter() {
        wire.message(13, |wire| self::link(wire, link));
    }
    wire.varint(14, span.links.dropped_count.into());
    wire.message(15, |wire| status(wire, &span.status));
    wire.fixed32(16, flags(context.trace_flags().to_u8(), span.parent_span_is_remote));
}

fn event(wire: &mut Wire, event: &Event) {
    wire.fixed64(1, nanos(event.timestamp));
    wire.text(2, &event.name);
    attributes(wire, 3, &event.attributes);
    wire.varint(4, event.dropped_attributes_count.into());
}

fn link(wire: &mut Wire, link: &Link) {
    let context = &link.span_context;
    wire.bytes(1, &context.trace_id().to_bytes());
    wire.bytes(2, &context.span_id().to_bytes());
    trace_state(wire, context.trace_state());
    attributes(wire, 4, &link.attributes);
    wire.varint(5, link.dropped_attributes_count.into());
    wire.fixed32(6, flags(context.trace_flags().to_u8(), context.is_remote()));
}

fn status(wire: &mut Wire, status: &Status) {
    match status {
        Status::Unset => {}
        Status::Ok => wire.varint(3, 1),
        Status::Error { description } => {
            wire.text(2, description);
            wire.varint(3, 2);
        }
    }
}

/// The field's number is the same in a span and in a link. Most have none, and the list is not read for it.
fn trace_state(wire: &mut Wire, state: &TraceState) {
    if *state != TraceState::NONE {
        wire.text(3, &state.header());
    }
}

fn flags(trace_flags: u8, remote: bool) -> u32 {
    u32::from(trace_flags) | KNOWN_REMOTE | if remote { IS_REMOTE } else { 0 }
}

fn kind(kind: &SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}
