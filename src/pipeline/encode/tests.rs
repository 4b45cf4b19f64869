//! What is written is what opentelemetry-proto makes of the same data.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Array, InstrumentationScope, Key, KeyValue, StringValue, Value,
    logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity},
    trace::{Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_proto::{
    tonic::collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    transform::{
        common::tonic::ResourceAttributesWithSchema, logs::tonic::group_logs_by_resource_and_scope,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{
    Resource,
    logs::{LogBatch, SdkLogRecord, SdkLoggerProvider},
    trace::{SpanData, SpanEvents, SpanLinks},
};
use prost::Message as _;

use super::*;
use crate::config::Signal;

/// A small generator of everything (xorshift): the same sequence in every run.
struct Any(u64);

impl Any {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }

    /// Lengths on both sides of 1, 2 and 3 bytes of a length.
    fn text(&mut self) -> String {
        let length = self.one(&[0, 1, 3, 119, 120, 121, 127, 128, 129, 300, 16_370, 16_384, 17_000]);
        "ä".repeat(length / 2) + if length % 2 == 1 { "x" } else { "" }
    }

    fn value(&mut self) -> Value {
        match self.below(9) {
            0 => Value::Bool(self.below(2) == 1),
            1 => Value::I64(self.one(&[0, 1, -1, 127, 128, i64::MAX, i64::MIN])),
            2 => Value::F64(self.one(&[0.0, -0.0, 1.5, f64::MAX, f64::NEG_INFINITY])),
            3 => Value::Array(Array::Bool(vec![true, false])),
            4 => Value::Array(Array::I64(vec![0, -7, i64::MAX])),
            5 => Value::Array(Array::F64(vec![])),
            6 => Value::Array(Array::String(
                (0..self.below(4)).map(|_| StringValue::from(self.text())).collect(),
            )),
            _ => Value::String(self.text().into()),
        }
    }

    fn attributes(&mut self) -> Vec<KeyValue> {
        (0..self.below(4)).map(|at| KeyValue::new(format!("{at}.{}", self.text()), self.value())).collect()
    }

    fn any_value(&mut self, depth: u32) -> AnyValue {
        match self.below(if depth == 0 { 5 } else { 7 }) {
            0 => AnyValue::Boolean(self.below(2) == 1),
            1 => AnyValue::Int(self.one(&[0, 1, -1, i64::MIN])),
            2 => AnyValue::Double(self.one(&[0.0, -2.5])),
            3 => AnyValue::Bytes(Box::new(self.text().into_bytes())),
            4 => AnyValue::String(self.text().into()),
            5 => AnyValue::ListAny(Box::new((0..self.below(4)).map(|_| self.any_value(depth - 1)).collect())),
            // one entry: the order of a map's is nobody's
            _ => {
                AnyValue::Map(Box::new(HashMap::from([(Key::from(self.text()), self.any_value(depth - 1))])))
            }
        }
    }

    fn time(&mut self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.one(&[0, 1, 1_790_000_000_123_456_789]))
    }

    fn context(&mut self) -> SpanContext {
        let state = match self.below(3) {
            0 => TraceState::from_key_value([("ot", "th:8"), ("a", "b")]).unwrap(),
            _ => TraceState::NONE,
        };
        let (trace, span) = (u128::from(self.next()), self.next());
        let flags = TraceFlags::new(self.one(&[0, 1, 3]));
        SpanContext::new(trace.into(), span.into(), flags, self.below(2) == 1, state)
    }

    fn event(&mut self) -> Event {
        let attributes = self.attributes();
        Event::new(self.text(), self.time(), attributes, self.below(2) as u32)
    }

    fn span(&mut self, scopes: &[InstrumentationScope]) -> SpanData {
        let (mut events, mut links) = (SpanEvents::default(), SpanLinks::default());
        events.events = (0..self.below(3)).map(|_| self.event()).collect();
        events.dropped_count = self.below(2) as u32;
        links.links = (0..self.below(3))
            .map(|_| Link::new(self.context(), self.attributes(), self.below(300) as u32))
            .collect();
        links.dropped_count = self.below(2) as u32;
        let description = Cow::Owned(self.text());
        SpanData {
            span_context: self.context(),
            parent_span_id: self.one(&[SpanId::INVALID, SpanId::from(7)]),
            parent_span_is_remote: self.below(2) == 1,
            span_kind: self.one(&[
                SpanKind::Internal,
                SpanKind::Server,
                SpanKind::Client,
                SpanKind::Producer,
                SpanKind::Consumer,
            ]),
            name: self.text().into(),
            start_time: self.time(),
            end_time: self.time(),
            attributes: self.attributes(),
            dropped_attributes_count: self.below(200) as u32,
            events,
            links,
            status: self.one(&[Status::Unset, Status::Ok, Status::Error { description }]),
            instrumentation_scope: self.one(scopes),
        }
    }

    fn record(&mut self, logger: &opentelemetry_sdk::logs::SdkLogger) -> SdkLogRecord {
        let mut record = logger.create_log_record();
        record.set_observed_timestamp(self.time());
        if self.below(2) == 1 {
            record.set_timestamp(self.time());
            record.set_target(self.one(&["shop::orders", "shop::payments", ""]));
            record.set_event_name("shop.order");
            record.set_severity_text("INFO");
            let (trace, span) = (TraceId::from(u128::from(self.next())), SpanId::from(self.next()));
            record.set_trace_context(trace, span, self.one(&[None, Some(TraceFlags::SAMPLED)]));
        }
        if self.below(3) > 0 {
            record.set_severity_number(self.one(&SEVERITIES));
            record.set_body(self.any_value(3));
        }
        for at in 0..self.below(8) {
            record.add_attribute(format!("{at}.{}", self.text()), self.any_value(2));
        }
        record
    }
}

const SEVERITIES: [Severity; 24] = [
    Severity::Trace,
    Severity::Trace2,
    Severity::Trace3,
    Severity::Trace4,
    Severity::Debug,
    Severity::Debug2,
    Severity::Debug3,
    Severity::Debug4,
    Severity::Info,
    Severity::Info2,
    Severity::Info3,
    Severity::Info4,
    Severity::Warn,
    Severity::Warn2,
    Severity::Warn3,
    Severity::Warn4,
    Severity::Error,
    Severity::Error2,
    Severity::Error3,
    Severity::Error4,
    Severity::Fatal,
    Severity::Fatal2,
    Severity::Fatal3,
    Severity::Fatal4,
];

fn scopes() -> Vec<InstrumentationScope> {
    let plain = || InstrumentationScope::builder("shop");
    vec![
        plain().build(),
        plain().with_version("1.2.3").build(),
        plain().with_schema_url("https://opentelemetry.io/schemas/1.43.0").build(),
        plain().with_attributes([KeyValue::new("kind", "a")]).build(),
        plain().with_attributes([KeyValue::new("kind", "b")]).build(),
        InstrumentationScope::builder("").build(),
    ]
}

fn resources() -> [Resource; 2] {
    let full = Resource::builder_empty()
        .with_schema_url([KeyValue::new("service.name", "shop")], "https://opentelemetry.io/schemas/1.43.0");
    [full.build(), Resource::builder_empty().build()]
}

#[test]
fn spans_are_written_as_opentelemetry_proto_would() {
    let (mut any, scopes) = (Any(0x2545_F491_4F6C_DD1D), scopes());
    for (round, resource) in resources().iter().cycle().take(60).enumerate() {
        let batch: Vec<_> = (0..any.below(12)).map(|_| any.span(&scopes)).collect();
        let written = About::new(resource).spans(&batch);
        let expected = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(batch, &resource.into()),
        };
        assert_eq!(ExportTraceServiceRequest::decode(&*written).as_ref(), Ok(&expected), "{round}");
        assert!(written == expected.encode_to_vec(), "{round}: the shortest form, fields in their order");
        let json = json(Signal::Traces, &written).unwrap();
        assert_eq!(json, serde_json::to_string(&expected).unwrap(), "{round}");
    }
}

#[test]
fn log_records_are_written_as_opentelemetry_proto_would() {
    let logger = SdkLoggerProvider::builder().build().logger("shop");
    let (mut any, scopes) = (Any(0x9E37_79B9_7F4A_7C15), scopes());
    let scopes: Vec<_> = scopes.into_iter().map(Arc::new).collect();
    for (round, resource) in resources().iter().cycle().take(60).enumerate() {
        let batch: Vec<ScopedRecord> =
            (0..any.below(12)).map(|_| (any.record(&logger), any.one(&scopes))).collect();
        let written = ExportLogsServiceRequest::decode(&*About::new(resource).logs(&batch)).unwrap();
        let given: Vec<_> = batch.iter().map(|(record, scope)| (record, &**scope)).collect();
        let about = ResourceAttributesWithSchema::from(resource);
        let mut expected = group_logs_by_resource_and_scope(&LogBatch::new(&given), &about);
        // ours come in the order of their first records, those of the SDK's conversion in any
        let place = |of: &opentelemetry_proto::tonic::logs::v1::ScopeLogs| {
            let found = written.resource_logs[0]
                .scope_logs
                .iter()
                .position(|ours| (&ours.scope, &ours.schema_url) == (&of.scope, &of.schema_url));
            found.unwrap_or_else(|| panic!("{round}: a scope is missing: {:?}", of.scope))
        };
        expected[0].scope_logs.sort_by_key(place);
        assert_eq!(written.resource_logs, expected, "{round}");
    }
}

#[test]
fn what_a_log_record_lost_to_its_limit_stands_in_otlps_own_field() {
    let logger = SdkLoggerProvider::builder().build().logger("shop");
    let mut record = logger.create_log_record();
    record.add_attribute("kept", 1);
    record.add_attribute(crate::pipeline::scrub::DROPPED, 300);
    let scope = Arc::new(InstrumentationScope::builder("shop").build());
    let written = About::new(&Resource::builder_empty().build()).logs(&[(record, scope)]);
    let request = ExportLogsServiceRequest::decode(&*written).unwrap();
    let record = &request.resource_logs[0].scope_logs[0].log_records[0];
    assert_eq!((record.dropped_attributes_count, record.attributes.len()), (300, 1));
}

#[test]
fn bytes_that_are_no_request_are_an_error_and_no_panic() {
    let error = json(Signal::Logs, &[0xFF; 9]).unwrap_err();
    assert!(error.starts_with("the request cannot be written as JSON: "), "{error}");
}
