//! No secret of a span leaves the console's store, whatever is asked, nor is any found by asking for it; and rules that
//! become stricter hold for what was stored before.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use opentelemetry::{
    Array, Context, KeyValue, StringValue, Value,
    trace::{
        Event, Link, Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags,
        TraceId, TraceState, Tracer as _, TracerProvider as _,
    },
};
use tracewell::Telemetry;

const PATIENCE: Duration = Duration::from_secs(10);
/// In parts, so that nothing that scans this file takes it for one.
const KEY: &str = concat!("sk_live_", "4eC39HqLyjWDarjtT1zdp7dc");
const PART: &str = "HqLyjWDarj";
/// Hidden by its name alone, once that is among the secret ones.
const NUMBER: &str = "C-4711";

struct File(PathBuf);

impl File {
    fn write(&self, own: &str) {
        let text = format!(
            "file_format: \"1.1\"
tracer_provider: {{processors: [simple: {{exporter: {{otlp_http: {{endpoint: \"http://127.0.0.1:9/v1/traces\"}}}}}}]}}
distribution: {{tracewell: {{console: true, admin_addr: \"127.0.0.1:0\", shutdown_ms: 100{own}}}}}"
        );
        let next = self.0.with_extension("next");
        fs::write(&next, text).unwrap();
        fs::rename(&next, &self.0).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn ask(admin: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// What the stream tells in its first second and a half at most, or until it has told of traces.
fn events(admin: SocketAddr, then: impl FnOnce()) -> String {
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let path = "/console/api/events?views=overview,traces,logs,metrics,requests";
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let (mut told, mut then) = (Vec::new(), Some(then));
    let mut some = [0; 4096];
    loop {
        let read = stream.read(&mut some).unwrap();
        assert!(read > 0, "the stream goes on: {}", String::from_utf8_lossy(&told));
        told.extend_from_slice(&some[..read]);
        let text = String::from_utf8_lossy(&told);
        if text.contains("retry:") {
            if let Some(then) = then.take() {
                then();
            }
        }
        if let Some((_, after)) = text.split_once("event: traces") {
            if after.contains("\n\n") {
                return text.into_owned();
            }
        }
    }
}

fn attributes() -> Vec<KeyValue> {
    vec![
        KeyValue::new("http.request.method", "GET"),
        KeyValue::new("http.route", format!("/orders/{KEY}")),
        KeyValue::new("api_key", KEY),
        KeyValue::new("note", format!("with {KEY} inside")),
        KeyValue::new("customer.number", NUMBER),
        KeyValue::new("list", Value::Array(Array::String(vec![StringValue::from(KEY), "b".into()]))),
        KeyValue::new("tracewell.outcome", format!("completed with {KEY}")),
    ]
}

/// A span with a secret in each of its parts, and a child like it.
fn emit(telemetry: &Telemetry) -> TraceId {
    let tracer = telemetry.tracer_provider().tracer("shop");
    let linked = SpanContext::new(
        TraceId::from_bytes([7; 16]),
        SpanId::from_bytes([7; 8]),
        TraceFlags::SAMPLED,
        true,
        TraceState::NONE,
    );
    let build = |kind: SpanKind, parent: &Context| {
        let event = Event::new(format!("{KEY} event"), SystemTime::now(), vec![KeyValue::new("key", KEY)], 0);
        let builder = tracer.span_builder(format!("GET {KEY}")).with_kind(kind).with_attributes(attributes());
        let links = vec![Link::new(linked.clone(), vec![KeyValue::new("of", KEY)], 0)];
        let mut span = builder.with_events(vec![event]).with_links(links).start_with_context(&tracer, parent);
        span.set_status(Status::error(format!("refused {KEY}")));
        span
    };
    let root = Context::new().with_span(build(SpanKind::Server, &Context::new()));
    build(SpanKind::Client, &root).end();
    root.span().end();
    root.span().span_context().trace_id()
}

/// Everything that can be asked of the store.
fn questions(trace: TraceId) -> Vec<String> {
    let list = "/console/api/traces";
    vec![
        "/".into(),
        "/console/api/overview".into(),
        list.into(),
        format!("{list}?text=orders"),
        format!("{list}?status=error&method=GET"),
        format!("{list}/{trace}"),
        format!("{list}/{trace}?download"),
        format!("{list}/{trace}/logs"),
        format!("{list}/{trace}/requests"),
        "/console/api/logs".into(),
        "/console/api/metrics".into(),
        "/console/api/configuration".into(),
    ]
}

/// Once the trace is there.
fn stored(admin: SocketAddr, trace: TraceId) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = ask(admin, &format!("/console/api/traces/{trace}"));
        if answer.matches("\"spanId\"").count() >= 4 {
            return answer; // two spans, each with a link
        }
        assert!(Instant::now() < end, "{answer}");
        std::thread::sleep(Duration::from_millis(25)); // the pace of asking: more than 100 a second are refused
    }
}

#[test]
fn nothing_that_is_asked_of_the_store_tells_a_secret() {
    let file = File(std::env::temp_dir().join(format!("tracewell-{}.yaml", uuid::Uuid::new_v4())));
    file.write("");
    let telemetry = Telemetry::builder()
        .with_env([("OTEL_CONFIG_FILE", file.0.to_str().unwrap()), ("OTEL_LOG_LEVEL", "none")])
        .with_stdout(false)
        .build()
        .unwrap();
    let admin = telemetry.admin_address().unwrap();
    let trace = emit(&telemetry);

    let shown = stored(admin, trace);
    for part in ["REDACTED", "with REDACTED inside", NUMBER, "refused REDACTED", "/orders/REDACTED"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let told = events(admin, || _ = emit(&telemetry));
    assert!(told.contains("GET REDACTED") && !told.contains(PART), "{told}");
    for path in questions(trace) {
        let answer = ask(admin, &path);
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        assert!(!answer.contains(PART), "{path}: {answer}");
    }

    // nobody learns by what is found that it is there
    for question in [
        format!("text={KEY}"),
        format!("text={PART}"),
        format!("attribute=api_key%3D{KEY}"),
        format!("route=%2Forders%2F{KEY}"),
    ] {
        let answer = ask(admin, &format!("/console/api/traces?{question}"));
        assert!(answer.contains("{\"next\":null,\"traces\":[]}"), "{question}: {answer}");
    }
    for question in ["text=with%20redacted", "route=%2Forders%2FREDACTED", &format!("text={NUMBER}")] {
        let answer = ask(admin, &format!("/console/api/traces?{question}"));
        assert!(answer.contains(&trace.to_string()), "{question}: {answer}");
    }

    // what becomes a secret is one from then on, also where it was stored before
    file.write(", redact_names: [customer_number]");
    telemetry.reload().unwrap();
    let shown = stored(admin, trace);
    assert!(!shown.contains(NUMBER), "{shown}");
    let answer = ask(admin, &format!("/console/api/traces?text={NUMBER}"));
    assert!(answer.contains("\"traces\":[]"), "{answer}");
    telemetry.shutdown_blocking().ok();
}
