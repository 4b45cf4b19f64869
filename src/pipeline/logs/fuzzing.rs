//! Records with anything in them, as lines and as OTLP.

use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc};

use opentelemetry::{
    InstrumentationScope, Key,
    logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity},
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_sdk::{
    Resource,
    logs::{SdkLogRecord, SdkLoggerProvider},
};
use prost::Message as _;
use serde_json::Value;
use tracing::{Event, Subscriber, subscriber::with_default};
use tracing_subscriber::{Layer, Registry, layer::Context, layer::SubscriberExt as _, registry::LookupSpan};

use super::{LogLayer, Parts, Records, Rules, ecs, json, logfmt, pretty};
use crate::{
    config::Signal,
    pipeline::{
        encode,
        scrub::{Blank, Scrub},
        subscriber::LogSwitch,
    },
    redaction::Redactor,
};

/// Must be seen nowhere.
const PLANTED: &str = "pl4ntedZq9v";
/// The limits in force.
const ATTRIBUTES: u32 = 8;
const LENGTH: u32 = 100;

/// Fields, each ended by the byte FE, which no text holds: the message, the target, then names and values in turn. The
/// first byte of a value says of which type it is.
pub fn log_record(data: &[u8]) {
    let fields: Vec<_> = data.split(|byte| *byte == 0xFE).collect();
    by_event(&fields);
    by_api(&fields);
}

fn scrub() -> Scrub {
    Scrub { redactor: Redactor::default(), value_length: Some(LENGTH), attributes: ATTRIBUTES }
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// What `Debug` and `Display` write as it is.
struct Raw<'a>(&'a str);

impl fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Raw<'_> {}

/// Through `tracing`, whose names and targets are the program's own.
fn by_event(fields: &[&[u8]]) {
    let field = |at: usize| fields.get(at).copied().unwrap_or_default();
    let provider = SdkLoggerProvider::builder().build();
    let (config, _) =
        crate::config::Config::resolve(&crate::config::Source::from_pairs::<String, String>([]));
    let none = super::super::baggage::CopiedBaggage::default();
    let resource = opentelemetry_sdk::Resource::builder_empty().build();
    let parts = Parts::new(&config.logs, &provider, Records::None, (scrub(), none), &resource, true);
    let switch = LogSwitch::new("info", Rules::default());
    let layer = LogLayer::new(parts, switch);
    with_default(Registry::default().with(Checking(layer)), || {
        let (message, value) = (text(field(0)), text(field(1)));
        let number = field(2).iter().fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
        let error = std::io::Error::other(text(field(3)).into_owned());
        tracing::info!(
            text = &*value,
            debug = ?Raw(&value),
            bytes = field(2),
            unsigned = number,
            number = f64::from_bits(number as u64),
            error = &error as &dyn std::error::Error,
            password = PLANTED,
            "{message}"
        );
    });
}

/// Through OpenTelemetry's API, where names are anybody's too.
fn by_api(fields: &[&[u8]]) {
    let blank = SdkLoggerProvider::builder().build().logger("");
    let mut record = blank.create_log_record();
    // as emitting does
    record.set_observed_timestamp(std::time::SystemTime::now());
    let mut fields = fields.iter();
    record.set_body(value(fields.next().copied().unwrap_or_default(), 0));
    record.set_target(text(fields.next().copied().unwrap_or_default()).into_owned());
    record.set_severity_number(Severity::Warn);
    while let Some(name) = fields.next() {
        let given = value(fields.next().copied().unwrap_or_default(), 0);
        record.add_attribute(Key::new(text(name).into_owned()), given);
    }
    record.add_attribute("authorization", PLANTED);
    let record = scrub().record(&record, &Blank::default());
    assert!(record.attributes_iter().count() <= ATTRIBUTES as usize + 1);
    check(&record);
}

/// A value by its first byte.
fn value(data: &[u8], depth: u32) -> AnyValue {
    let Some((kind, data)) = data.split_first() else { return AnyValue::Boolean(false) };
    let number = || data.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let parts = || data.split(|byte| *byte == 0xFD).map(|part| value(part, depth + 1));
    match kind {
        b'b' => AnyValue::Bytes(Box::new(data.to_vec())),
        b'i' => AnyValue::Int(number() as i64),
        b'd' => AnyValue::Double(f64::from_bits(number())),
        b't' => AnyValue::Boolean(true),
        b'l' if depth < 8 => AnyValue::ListAny(Box::new(parts().collect())),
        b'm' if depth < 8 => {
            let names = data.split(|byte| *byte == 0xFD).map(|part| Key::new(text(part).into_owned()));
            let map: HashMap<_, _> = names.zip(parts()).collect();
            AnyValue::Map(Box::new(map))
        }
        _ => AnyValue::from(text(data).into_owned()),
    }
}

/// Checks the record the real layer makes of an event.
struct Checking(LogLayer);

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Checking {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        check(&self.0.record(event, &context));
    }
}

fn check(record: &SdkLogRecord) {
    for (key, value) in record.attributes_iter() {
        let length = match value {
            AnyValue::String(text) => text.as_str().chars().count(),
            AnyValue::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        assert!(length <= LENGTH as usize, "{key}: {length}");
    }
    let mut line = String::new();
    json::write_line(record, None, &mut line);
    assert!(line.ends_with('\n') && !line[..line.len() - 1].contains(breaks), "{line:?}");
    let read: Value = serde_json::from_str(&line).expect("one JSON object");
    let body = match record.body() {
        Some(AnyValue::String(body)) => Some(body.as_str()),
        _ => None,
    };
    assert!(body.is_none_or(|body| read["message"] == body) && read["message"].is_string(), "{line}");
    let target = record.target().map(AsRef::as_ref);
    assert_eq!(read["target"].as_str(), target);
    assert!(read["attributes"].is_object());

    let mut ecs = String::new();
    ecs::write_line(record, None, &ecs::Service::default(), &mut ecs);
    assert!(ecs.ends_with('\n') && !ecs[..ecs.len() - 1].contains(breaks), "{ecs:?}");
    let read: Value = serde_json::from_str(&ecs).expect("one JSON object");
    assert!(read["message"].is_string() && read["labels"].is_object(), "{ecs}");

    let mut logfmt = String::new();
    logfmt::write_line(record, None, &mut logfmt);
    assert!(logfmt.ends_with('\n') && !logfmt[..logfmt.len() - 1].contains(breaks), "{logfmt:?}");

    let mut shown = String::new();
    pretty::write_line(record, None, false, &mut shown);
    assert!(shown.ends_with('\n') && !shown[..shown.len() - 1].contains(char::is_control), "{shown:?}");

    let bytes = otlp(record);
    assert_eq!(
        ExportLogsServiceRequest::decode(&*bytes).map(|again| again.encode_to_vec()),
        Ok(bytes.clone())
    );
    let sent = encode::json(Signal::Logs, &bytes).expect("JSON of it");
    assert!(serde_json::from_str::<Value>(&sent).is_ok(), "{sent}");
    for seen in [&line, &ecs, &logfmt, &shown, &sent] {
        assert!(!seen.contains(PLANTED), "{seen}");
    }
}

/// Whether a reader of lines may take the character for an end.
fn breaks(char: char) -> bool {
    char.is_control() || matches!(char, '\u{2028}' | '\u{2029}')
}

/// As the exporter encodes it.
fn otlp(record: &SdkLogRecord) -> Vec<u8> {
    let scope = Arc::new(InstrumentationScope::builder("fuzzing").build());
    encode::About::new(&Resource::builder_empty().build()).logs(&[(record.clone(), scope)])
}
