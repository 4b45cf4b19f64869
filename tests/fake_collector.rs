//! The test collector itself: every protocol is decoded, every fault reaches the client, counts are exact.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::{
    future::Future,
    io::Write as _,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use bytes::{Buf, BufMut, Bytes};
use http::{Request, StatusCode, header, uri::PathAndQuery};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use prost::Message;
use tonic::{
    Code, Status,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_types::StatusExt;
use tracewell::testing::{
    Collector, Fault, Protocol, Recorded, Signal,
    proto::{
        collector::{
            logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
            metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
            trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
        },
        common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
        metrics::v1::{
            Exemplar, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar, metric::Data,
            number_data_point,
        },
        resource::v1::Resource,
        trace::v1::{ResourceSpans, ScopeSpans, Span},
    },
};

const LONG: Duration = Duration::from_secs(10);
const SIGNALS: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];
const PROTOCOLS: [Protocol; 3] = [Protocol::Grpc, Protocol::HttpProtobuf, Protocol::HttpJson];

/// What a client made of an answer: the response's bytes, or the HTTP status, gRPC code or broken transport.
#[derive(Debug)]
enum Answer {
    Body(Bytes),
    Http(StatusCode, http::HeaderMap, Bytes),
    Grpc(Status),
    Broken(String),
}

impl Answer {
    fn is_success(&self) -> bool {
        matches!(self, Self::Body(_))
    }

    /// The rejected items a partial success announces.
    fn rejected(&self, signal: Signal, protocol: Protocol) -> (i64, String) {
        let Self::Body(body) = self else { panic!("no success: {self:?}") };
        if protocol == Protocol::HttpJson {
            let json: serde_json::Value = serde_json::from_slice(body).unwrap();
            let name = match signal {
                Signal::Traces => "rejectedSpans",
                Signal::Metrics => "rejectedDataPoints",
                Signal::Logs => "rejectedLogRecords",
            };
            let partial = &json["partialSuccess"];
            let rejected = partial[name].as_str().unwrap().parse().unwrap();
            return (rejected, partial["errorMessage"].as_str().unwrap().to_owned());
        }
        let body = body.clone();
        match signal {
            Signal::Traces => {
                let partial = ExportTraceServiceResponse::decode(body).unwrap().partial_success.unwrap();
                (partial.rejected_spans, partial.error_message)
            }
            Signal::Metrics => {
                let partial = ExportMetricsServiceResponse::decode(body).unwrap().partial_success.unwrap();
                (partial.rejected_data_points, partial.error_message)
            }
            Signal::Logs => {
                let partial = ExportLogsServiceResponse::decode(body).unwrap().partial_success.unwrap();
                (partial.rejected_log_records, partial.error_message)
            }
        }
    }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn resource() -> Option<Resource> {
    let attributes = vec![attribute("service.name", Value::StringValue("shop".to_owned()))];
    Some(Resource { attributes, ..Default::default() })
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: "checkout".to_owned(), ..Default::default() })
}

fn spans(count: u8) -> ExportTraceServiceRequest {
    let span = |n| Span {
        trace_id: vec![0xab; 16],
        span_id: vec![n; 8],
        name: format!("span {n}"),
        attributes: vec![
            attribute("http.route", Value::StringValue("/users/{id}".to_owned())),
            attribute("n", Value::IntValue(i64::from(n))),
            attribute("ratio", Value::DoubleValue(0.5)),
            attribute("hit", Value::BoolValue(true)),
        ],
        ..Default::default()
    };
    let spans = (1..=count).map(span).collect();
    let scope_spans = vec![ScopeSpans { scope: scope(), spans, ..Default::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource: resource(), scope_spans, ..Default::default() }],
    }
}

fn logs(count: u8) -> ExportLogsServiceRequest {
    let record = |n| LogRecord {
        severity_text: "INFO".to_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue(format!("line {n}"))) }),
        trace_id: vec![0xab; 16],
        span_id: vec![n; 8],
        ..Default::default()
    };
    let log_records = (1..=count).map(record).collect();
    let scope_logs = vec![ScopeLogs { scope: scope(), log_records, ..Default::default() }];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource: resource(), scope_logs, ..Default::default() }],
    }
}

/// Two metrics, `first` with one data point and `second` with the others.
fn metrics(points: u8) -> ExportMetricsServiceRequest {
    let point = |n| NumberDataPoint {
        attributes: vec![attribute("n", Value::IntValue(i64::from(n)))],
        value: Some(number_data_point::Value::AsInt(i64::from(n))),
        exemplars: vec![Exemplar {
            filtered_attributes: vec![attribute("user", Value::StringValue("a".to_owned()))],
            value: Some(exemplar::Value::AsDouble(f64::from(n))),
            trace_id: vec![0xab; 16],
            span_id: vec![n; 8],
            ..Default::default()
        }],
        ..Default::default()
    };
    let metric = |name: &str, data_points| Metric {
        name: name.to_owned(),
        data: Some(Data::Sum(Sum { data_points, is_monotonic: true, aggregation_temporality: 2 })),
        ..Default::default()
    };
    let metrics = vec![metric("first", vec![point(1)]), metric("second", (2..=points).map(point).collect())];
    let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics, ..Default::default() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { resource: resource(), scope_metrics, ..Default::default() }],
    }
}

fn encode(signal: Signal, protocol: Protocol, items: u8) -> Vec<u8> {
    match (signal, protocol == Protocol::HttpJson) {
        (Signal::Traces, false) => spans(items).encode_to_vec(),
        (Signal::Traces, true) => serde_json::to_vec(&spans(items)).unwrap(),
        (Signal::Metrics, false) => metrics(items).encode_to_vec(),
        (Signal::Metrics, true) => serde_json::to_vec(&metrics(items)).unwrap(),
        (Signal::Logs, false) => logs(items).encode_to_vec(),
        (Signal::Logs, true) => serde_json::to_vec(&logs(items)).unwrap(),
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// The clients of one test, with their connection pools.
struct Clients {
    http: reqwest::Client,
    grpc: Channel,
    endpoint: String,
}

impl Clients {
    fn of(collector: &Collector) -> Self {
        let endpoint = collector.endpoint();
        let grpc = Endpoint::from_shared(endpoint.clone()).unwrap().connect_lazy();
        Self { http: reqwest::Client::builder().no_proxy().build().unwrap(), grpc, endpoint }
    }

    async fn send(&self, signal: Signal, protocol: Protocol, items: u8) -> Answer {
        self.send_as(signal, protocol, items, false).await
    }

    async fn send_as(&self, signal: Signal, protocol: Protocol, items: u8, compressed: bool) -> Answer {
        let message = encode(signal, protocol, items);
        if protocol == Protocol::Grpc {
            return call(self.grpc.clone(), signal, message, compressed).await;
        }
        let mut request = self
            .http
            .post(http_url(&self.endpoint, signal))
            .header(header::CONTENT_TYPE, content_type(protocol));
        let body = if compressed {
            request = request.header(header::CONTENT_ENCODING, "gzip");
            gzip(&message)
        } else {
            message
        };
        self.finish(request.body(body)).await
    }

    async fn finish(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Answer::Broken(format!("no response: {error:?}")),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        match response.bytes().await {
            Ok(body) if status == StatusCode::OK => Answer::Body(body),
            Ok(body) => Answer::Http(status, headers, body),
            Err(error) => Answer::Broken(format!("no body: {error:?}")),
        }
    }
}

fn http_url(endpoint: &str, signal: Signal) -> String {
    let path = match signal {
        Signal::Traces => "traces",
        Signal::Metrics => "metrics",
        Signal::Logs => "logs",
    };
    format!("{endpoint}/v1/{path}")
}

fn content_type(protocol: Protocol) -> &'static str {
    if protocol == Protocol::HttpJson { "application/json" } else { "application/x-protobuf" }
}

async fn call(channel: Channel, signal: Signal, message: Vec<u8>, compressed: bool) -> Answer {
    let path = match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    };
    let mut client = tonic::client::Grpc::new(channel);
    if compressed {
        client = client.send_compressed(CompressionEncoding::Gzip);
    }
    if let Err(error) = client.ready().await {
        return Answer::Broken(format!("no connection: {error:?}"));
    }
    let request = tonic::Request::new(Bytes::from(message));
    match client.unary(request, PathAndQuery::from_static(path), RawCodec).await {
        Ok(response) => Answer::Body(response.into_inner()),
        Err(status) => Answer::Grpc(status),
    }
}

/// Messages as the bytes they are.
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

fn items(collector: &Collector, signal: Signal) -> (u64, u64) {
    (collector.accepted_items(signal), collector.rejected_items(signal))
}

#[tokio::test]
async fn every_protocol_delivers_every_signal_plain_and_compressed() {
    let collector = Collector::start();
    let clients = Clients::of(&collector);
    for signal in SIGNALS {
        for protocol in PROTOCOLS {
            for compressed in [false, true] {
                let answer = clients.send_as(signal, protocol, 3, compressed).await;
                assert!(answer.is_success(), "{signal:?} {protocol:?} {compressed}: {answer:?}");
            }
        }
        assert_eq!(items(&collector, signal), (18, 0), "{signal:?}");
    }
    let requests = collector.requests();
    assert_eq!(requests.len(), 18);
    for (n, request) in requests.iter().enumerate() {
        assert_eq!((request.signal, request.protocol), (SIGNALS[n / 6], PROTOCOLS[n / 2 % 3]));
        assert!(request.accepted && request.items == 3 && request.accepted_items == 3);
        let plain = encode(request.signal, request.protocol, 3).len();
        assert_eq!(request.size, plain, "the size is that of the message");
        let encoding = if request.protocol == Protocol::Grpc { "grpc-encoding" } else { "content-encoding" };
        assert_eq!(request.headers.contains_key(encoding), n % 2 == 1);
    }
    // one pooled connection for HTTP and one for gRPC
    assert_eq!(collector.read(Recorded::connections), 2);
    assert_ne!(requests[0].connection, requests[2].connection);
}

#[tokio::test]
async fn typed_views_show_what_was_sent() {
    let collector = Collector::start();
    let clients = Clients::of(&collector);
    for protocol in PROTOCOLS {
        collector.forget();
        for signal in SIGNALS {
            assert!(clients.send(signal, protocol, 2).await.is_success());
        }
        let spans = collector.spans();
        assert_eq!(spans.iter().map(|span| span.name()).collect::<Vec<_>>(), ["span 1", "span 2"]);
        let span = &spans[1];
        assert_eq!((span.trace_id(), span.span_id()), ("ab".repeat(16), "02".repeat(8)));
        assert_eq!(span.parent_span_id(), "");
        assert_eq!(span.attribute("http.route").as_deref(), Some("/users/{id}"));
        assert_eq!(span.attribute("n").as_deref(), Some("2"));
        let attributes = span.attributes();
        assert_eq!(
            (attributes.i64("n"), attributes.f64("ratio"), attributes.bool("hit")),
            (Some(2), Some(0.5), Some(true))
        );
        assert_eq!((attributes.str("n"), attributes.f64("n"), attributes.i64("missing")), (None, None, None));
        assert_eq!(
            (span.resource().str("service.name"), span.scope.name.as_str()),
            (Some("shop"), "checkout")
        );

        let log = &collector.logs()[0];
        assert_eq!((log.body().as_str(), log.severity()), ("line 1", "INFO"));
        assert_eq!((log.trace_id(), log.span_id()), ("ab".repeat(16), "01".repeat(8)));

        let metrics = collector.metrics();
        assert_eq!(metrics.iter().map(|metric| metric.name()).collect::<Vec<_>>(), ["first", "second"]);
        let exemplars = collector.exemplars("second");
        assert_eq!(exemplars.len(), 1);
        assert_eq!((exemplars[0].trace_id(), exemplars[0].value()), ("ab".repeat(16), 2.0));
        assert_eq!(exemplars[0].point_attributes().i64("n"), Some(2));
        assert_eq!(exemplars[0].filtered_attributes().str("user"), Some("a"));
    }
    assert_eq!(items(&collector, Signal::Traces), (6, 0), "forgetting requests keeps the counts");
    assert_eq!(collector.read(Recorded::forgotten), 6);
}

#[tokio::test]
async fn scripts_run_out_and_standing_faults_do_not() {
    let collector = Collector::start();
    let clients = Clients::of(&collector);
    let succeeds = async |signal| clients.send(signal, Protocol::HttpProtobuf, 1).await.is_success();
    collector.script(Signal::Traces, [Fault::Accept, Fault::unavailable()]);
    collector.script_all([Fault::bad_request()]);
    assert!(succeeds(Signal::Traces).await, "its own script goes first");
    assert!(!succeeds(Signal::Logs).await, "the script for all");
    assert!(succeeds(Signal::Logs).await, "it ran out");
    assert!(!succeeds(Signal::Traces).await);
    assert!(succeeds(Signal::Traces).await);
    collector.set(Signal::Metrics, Fault::unavailable());
    for _ in 0..3 {
        assert!(!succeeds(Signal::Metrics).await && succeeds(Signal::Traces).await);
    }
    collector.set_all(Fault::unavailable());
    collector.set(Signal::Metrics, Fault::Accept);
    assert!(!succeeds(Signal::Traces).await && succeeds(Signal::Metrics).await);
    collector.clear();
    assert!(succeeds(Signal::Traces).await);
    assert_eq!(items(&collector, Signal::Traces), (6, 2));
    assert_eq!(items(&collector, Signal::Metrics), (1, 3));
    assert_eq!(collector.spans().len(), 6);
}

#[tokio::test]
async fn an_error_status_carries_its_code_and_the_time_to_wait() {
    let collector = Collector::start();
    let clients = Clients::of(&collector);
    collector.set_all(Fault::throttled(Duration::from_millis(1500)));
    for signal in SIGNALS {
        let Answer::Grpc(status) = clients.send(signal, Protocol::Grpc, 1).await else { panic!("no status") };
        assert_eq!(status.code(), Code::ResourceExhausted);
        let retry = status.get_details_retry_info().unwrap();
        assert_eq!(retry.retry_delay, Some(Duration::from_millis(1500)));
        for protocol in [Protocol::HttpProtobuf, Protocol::HttpJson] {
            let answer = clients.send(signal, protocol, 1).await;
            let Answer::Http(status, headers, body) = answer else { panic!("no status: {answer:?}") };
            assert_eq!((status.as_u16(), &headers[header::RETRY_AFTER]), (429, &"2".parse().unwrap()));
            assert_eq!(headers[header::CONTENT_TYPE], content_type(protocol));
            let code = match protocol {
                Protocol::HttpJson => {
                    serde_json::from_slice::<serde_json::Value>(&body).unwrap()["code"].as_i64()
                }
                _ => Some(tonic_types::pb::Status::decode(body).unwrap().code.into()),
            };
            assert_eq!(code, Some(8));
        }
        assert_eq!(items(&collector, signal), (0, 3));
    }
    collector.set_all(Fault::unavailable());
    let Answer::Grpc(status) = clients.send(Signal::Logs, Protocol::Grpc, 1).await else {
        panic!("no status")
    };
    assert!(status.code() == Code::Unavailable && status.get_details_retry_info().is_none(), "{status:?}");
    let answer = clients.send(Signal::Logs, Protocol::HttpProtobuf, 1).await;
    assert!(matches!(answer, Answer::Http(StatusCode::SERVICE_UNAVAILABLE, headers, _)
        if !headers.contains_key(header::RETRY_AFTER)));
}

#[tokio::test]
async fn a_partial_success_refuses_the_last_items() {
    let collector = Collector::start();
    let clients = Clients::of(&collector);
    collector.set_all(Fault::PartialSuccess { rejected: 2, message: "too old".to_owned() });
    for protocol in PROTOCOLS {
        for signal in SIGNALS {
            let answer = clients.send(signal, protocol, 3).await;
            assert_eq!(
                answer.rejected(signal, protocol),
                (2, "too old".to_owned()),
                "{signal:?} {protocol:?}"
            );
        }
    }
    for signal in SIGNALS {
        assert_eq!(items(&collector, signal), (3, 6), "{signal:?}");
    }
    assert_eq!(
        collector.spans().iter().map(|span| span.name().to_owned()).collect::<Vec<_>>(),
        ["span 1"; 3]
    );
    assert_eq!(collector.logs().len(), 3);
    assert_eq!(collector.metrics().iter().map(|m| m.name().to_owned()).collect::<Vec<_>>(), ["first"; 3]);
    assert!(collector.requests().iter().all(|request| request.accepted && request.accepted_items == 1));
}

#[tokio::test]
async fn broken_answers_break_in_the_client() {
    let collector = Collector::start();
    let clients = Clients::of(&collector);
    collector.set_all(Fault::Garbage);
    let Answer::Grpc(_) = clients.send(Signal::Traces, Protocol::Grpc, 1).await else { panic!("decoded") };
    let Answer::Body(body) = clients.send(Signal::Traces, Protocol::HttpProtobuf, 1).await else { panic!() };
    ExportTraceServiceResponse::decode(body).unwrap_err();
    let Answer::Body(body) = clients.send(Signal::Traces, Protocol::HttpJson, 1).await else { panic!() };
    serde_json::from_slice::<serde_json::Value>(&body).unwrap_err();

    collector.set_all(Fault::ResetMidBody);
    let Answer::Grpc(_) = clients.send(Signal::Traces, Protocol::Grpc, 1).await else { panic!("answered") };
    for protocol in [Protocol::HttpProtobuf, Protocol::HttpJson] {
        let answer = clients.send(Signal::Traces, protocol, 1).await;
        assert!(matches!(&answer, Answer::Broken(how) if how.starts_with("no body")), "{answer:?}");
    }

    // HTTP/2 loses the stream and not the connection
    let http = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let http2 = Clients { http, ..Clients::of(&collector) };
    let before = collector.read(Recorded::connections);
    for _ in 0..2 {
        let answer = http2.send(Signal::Traces, Protocol::HttpProtobuf, 1).await;
        assert!(matches!(&answer, Answer::Broken(how) if how.starts_with("no body")), "{answer:?}");
    }
    assert_eq!(collector.read(Recorded::connections), before + 1);

    collector.set_all(Fault::Close);
    for protocol in PROTOCOLS {
        let answer = clients.send(Signal::Traces, protocol, 1).await;
        assert!(matches!(&answer, Answer::Grpc(_) | Answer::Broken(_)), "{answer:?}");
    }
    assert_eq!(collector.accepted_items(Signal::Traces), 0);
    collector.clear();
    assert!(clients.send(Signal::Traces, Protocol::Grpc, 1).await.is_success(), "closing one is not dying");
}

#[tokio::test]
async fn a_hanging_request_is_read_and_never_answered() {
    let collector = Collector::start();
    let clients = Clients::of(&collector);
    collector.script(Signal::Logs, [Fault::Hang, Fault::Hang, Fault::Hang]);
    for (n, protocol) in PROTOCOLS.into_iter().enumerate() {
        let read = |recorded: &Recorded| recorded.request_count(Signal::Logs) == n + 1;
        let mut answer = pin!(clients.send(Signal::Logs, protocol, 2));
        tokio::select! {
            answer = answer.as_mut() => panic!("answered: {answer:?}"),
            read = collector.wait_for_async(LONG, read) => assert!(read),
        }
        tokio::time::timeout(Duration::from_millis(50), answer).await.unwrap_err();
    }
    assert_eq!(items(&collector, Signal::Logs), (0, 6));
}

#[tokio::test]
async fn a_delayed_request_counts_when_it_is_answered() {
    let collector = Collector::start();
    let clients = Clients::of(&collector);
    for protocol in PROTOCOLS {
        collector.script_all([Fault::Delay(Duration::from_millis(50))]);
        let start = Instant::now();
        assert!(clients.send(Signal::Traces, protocol, 1).await.is_success());
        assert!(start.elapsed() >= Duration::from_millis(50));
    }
    // a client that gives up: what it sent is never accepted
    collector.script_all([Fault::Delay(Duration::from_millis(50))]);
    let impatient = clients.send(Signal::Traces, Protocol::HttpProtobuf, 1);
    tokio::select! {
        answer = impatient => panic!("answered: {answer:?}"),
        read = collector.wait_for_async(LONG, |recorded| recorded.request_count(Signal::Traces) == 4) => assert!(read),
    }
    let counted = |recorded: &Recorded| recorded.accepted_items(Signal::Traces) == 4;
    assert!(!collector.wait_for_async(Duration::from_millis(150), counted).await);
    assert_eq!(items(&collector, Signal::Traces), (3, 1));
}

#[tokio::test]
async fn refused_connections_and_revival_on_the_same_port() {
    let collector = Collector::start();
    let clients = Clients::of(&collector);
    let endpoint = collector.endpoint();
    for round in 0..3 {
        for protocol in PROTOCOLS {
            let answer = clients.send(Signal::Traces, protocol, 1).await;
            assert!(answer.is_success(), "round {round}: {answer:?}");
        }
        collector.refuse();
        let refused = tokio::net::TcpStream::connect(collector.address()).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        for protocol in PROTOCOLS {
            let answer = clients.send(Signal::Traces, protocol, 1).await;
            assert!(matches!(&answer, Answer::Grpc(_) | Answer::Broken(_)), "round {round}: {answer:?}");
        }
        collector.revive();
    }
    assert_eq!(collector.endpoint(), endpoint);
    assert_eq!(items(&collector, Signal::Traces), (9, 0), "nothing was read while refusing");
}

#[tokio::test]
async fn a_death_in_the_middle_takes_the_whole_collector() {
    for protocol in PROTOCOLS {
        let collector = Collector::start();
        let clients = Clients::of(&collector);
        collector.die_after(2);
        let mut answers = Vec::new();
        for _ in 0..3 {
            answers.push(clients.send(Signal::Metrics, protocol, 2).await.is_success());
        }
        assert_eq!(answers, [true, true, false], "{protocol:?}");
        assert!(collector.wait_for_async(LONG, |recorded| !recorded.is_up()).await);
        assert!(!clients.send(Signal::Metrics, protocol, 2).await.is_success());
        assert_eq!(items(&collector, Signal::Metrics), (4, 2), "the last request was read, and no more came");
        collector.revive();
        assert!(clients.send(Signal::Metrics, protocol, 2).await.is_success());
    }
}

#[tokio::test]
async fn a_silent_collector_takes_connections_and_reads_nothing() {
    let collector = Collector::start();
    for protocol in PROTOCOLS {
        let known = Clients::of(&collector);
        assert!(known.send(Signal::Traces, protocol, 1).await.is_success());
        let before = collector.requests().len();
        collector.silence();
        for clients in [known, Clients::of(&collector)] {
            let answer =
                tokio::time::timeout(Duration::from_millis(50), clients.send(Signal::Traces, protocol, 1));
            answer.await.unwrap_err();
        }
        tokio::net::TcpStream::connect(collector.address()).await.unwrap();
        assert_eq!(collector.requests().len(), before);
        collector.revive();
        assert!(Clients::of(&collector).send(Signal::Traces, protocol, 1).await.is_success());
    }
}

#[tokio::test]
async fn what_is_no_export_is_refused_and_named() {
    let collector = Collector::start();
    let clients = Clients::of(&collector);
    collector.set_all(Fault::Die);
    let post = |path: &str, content_type: &str, body: Vec<u8>| {
        let url = format!("{}{path}", collector.endpoint());
        clients.finish(clients.http.post(url).header(header::CONTENT_TYPE, content_type).body(body))
    };
    let answers = [
        (404, post("/v1/profiles", "application/x-protobuf", Vec::new()).await),
        (415, post("/v1/traces", "text/plain", Vec::new()).await),
        (400, post("/v1/traces", "application/x-protobuf", vec![0xff; 9]).await),
        (400, post("/v1/traces", "application/json", b"{".to_vec()).await),
        (405, clients.finish(clients.http.get(http_url(&collector.endpoint(), Signal::Logs))).await),
        (413, {
            let bomb = clients
                .http
                .post(http_url(&collector.endpoint(), Signal::Traces))
                .body(gzip(&vec![0; 65 << 20]));
            let bomb = bomb.header(header::CONTENT_TYPE, "application/x-protobuf");
            clients.finish(bomb.header(header::CONTENT_ENCODING, "gzip")).await
        }),
    ];
    for (expected, answer) in &answers {
        assert!(matches!(answer, Answer::Http(status, ..) if status == expected), "{expected}: {answer:?}");
    }
    let broken = call(clients.grpc.clone(), Signal::Traces, vec![0xff; 9], false).await;
    assert!(matches!(&broken, Answer::Grpc(status) if status.code() == Code::InvalidArgument), "{broken:?}");
    let invalid = collector.read(|recorded| recorded.invalid().to_vec());
    assert_eq!(invalid.len(), 7, "{invalid:?}");
    assert!(invalid[0].contains("/v1/profiles"), "{invalid:?}");
    assert!(collector.requests().is_empty() && collector.read(Recorded::is_up), "no fault was consumed");
}

#[tokio::test]
async fn tls_serves_both_http_versions_to_those_who_know_the_authority() {
    let collector = Collector::start_tls();
    assert!(collector.endpoint().starts_with("https://"));
    let ca = collector.ca_pem().unwrap();
    for http2 in [false, true] {
        post_tls(&collector, roots(ca), None, http2).await.unwrap();
    }
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    let answer = call_tls(&collector, tls).await;
    assert!(answer.is_success(), "{answer:?}");
    assert_eq!(items(&collector, Signal::Traces), (3, 0));

    // another authority's certificate proves nothing
    let stranger = Collector::start_tls();
    let stranger = stranger.ca_pem().unwrap();
    let error = post_tls(&collector, roots(stranger), None, false).await.unwrap_err();
    assert!(format!("{error:?}").contains("InvalidCertificate"), "{error:?}");
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(stranger));
    assert!(!call_tls(&collector, tls).await.is_success());
    assert!(!Clients::of(&Collector::start_tls()).send(Signal::Traces, Protocol::Grpc, 1).await.is_success());
    assert_eq!(items(&collector, Signal::Traces), (3, 0));
}

#[tokio::test]
async fn mutual_tls_demands_the_certificate_it_gives_out() {
    let collector = Collector::start_mutual_tls();
    let (certificate, key) = collector.client_pem().unwrap();
    post_tls(&collector, roots(collector.ca_pem().unwrap()), Some((certificate, key)), false).await.unwrap();
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(collector.ca_pem().unwrap()));
    assert!(
        call_tls(&collector, tls.clone().identity(Identity::from_pem(certificate, key))).await.is_success()
    );
    assert_eq!(items(&collector, Signal::Traces), (2, 0));

    assert!(!call_tls(&collector, tls).await.is_success());
    post_tls(&collector, roots(collector.ca_pem().unwrap()), None, false).await.unwrap_err();
    let other = Collector::start_mutual_tls();
    let foreign = other.client_pem();
    post_tls(&collector, roots(collector.ca_pem().unwrap()), foreign, false).await.unwrap_err();
    assert_eq!(items(&collector, Signal::Traces), (2, 0));
}

#[test]
fn tls_files_hold_what_the_accessors_say() {
    let directory = std::env::temp_dir().join(format!("tracewell-collector-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let collector = Collector::start_mutual_tls();
    let files = collector.write_tls_files(&directory).unwrap();
    let read = |path| std::fs::read_to_string(path).unwrap();
    let (ca, pair) = (read(files.ca), (read(files.client_certificate), read(files.client_key)));
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(Some(ca.as_str()), collector.ca_pem());
    assert_eq!(Some((pair.0.as_str(), pair.1.as_str())), collector.client_pem());
    assert!(Collector::start().write_tls_files(&directory).is_err());
}

#[test]
fn waiting_wakes_at_the_change_in_any_kind_of_test() {
    let collector = Collector::start();
    let start = Instant::now();
    assert!(!collector.wait_for(Duration::from_millis(20), |recorded| !recorded.spans().is_empty()));
    assert!(!block_on(
        collector.wait_for_async(Duration::from_millis(20), |recorded| !recorded.spans().is_empty())
    ));
    assert!(start.elapsed() >= Duration::from_millis(40));
    thread::scope(|scope| {
        let blocked =
            scope.spawn(|| collector.wait_for(LONG, |recorded| recorded.accepted_items(Signal::Traces) == 7));
        let awaited = scope.spawn(|| {
            block_on(collector.wait_for_async(LONG, |recorded| recorded.accepted_items(Signal::Traces) == 7))
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            assert!(Clients::of(&collector).send(Signal::Traces, Protocol::Grpc, 7).await.is_success());
        });
        assert!(blocked.join().unwrap() && awaited.join().unwrap());
    });
    assert!(start.elapsed() < LONG);
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_does_not_end_the_wait() {
    let collector = Collector::start();
    let start = Instant::now();
    assert!(!collector.wait_for_async(Duration::from_millis(30), |recorded| !recorded.is_up()).await);
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[tokio::test]
async fn dropping_it_closes_everything_at_once() {
    for silent in [false, true] {
        let collector = Collector::start();
        let address = collector.address();
        let clients = Clients::of(&collector);
        assert!(clients.send(Signal::Logs, Protocol::Grpc, 1).await.is_success());
        collector.set_all(Fault::Hang);
        let hanging = tokio::spawn(async move {
            let grpc = clients.send(Signal::Traces, Protocol::Grpc, 1);
            let http = clients.send(Signal::Traces, Protocol::HttpProtobuf, 1);
            tokio::join!(grpc, http)
        });
        assert!(collector.wait_for_async(LONG, |recorded| recorded.request_count(Signal::Traces) == 2).await);
        if silent {
            collector.silence();
        }
        let start = Instant::now();
        drop(collector);
        assert!(start.elapsed() < Duration::from_secs(1));
        let (grpc, http) = tokio::time::timeout(LONG, hanging).await.unwrap().unwrap();
        assert!(!grpc.is_success() && !http.is_success());
        tokio::net::TcpStream::connect(address).await.unwrap_err();
    }
}

/// Exact under concurrency: sixteen senders, a script of mixed answers, and every item on one side or the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_exact_under_concurrency() {
    let collector = Collector::start();
    let clients = Arc::new(Clients::of(&collector));
    let partial = Fault::PartialSuccess { rejected: 1, message: String::new() };
    let cycle = [Fault::Accept, Fault::unavailable(), partial, Fault::Garbage];
    collector.script_all(cycle.into_iter().cycle().take(320));
    let senders: Vec<_> = (0..16)
        .map(|n| {
            let clients = clients.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    clients.send(Signal::Logs, PROTOCOLS[n % 3], 3).await;
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    // of each 4 requests with 3 items: 3 + 0 + 2 + 0 accepted
    assert_eq!(items(&collector, Signal::Logs), (80 * 5, 80 * 7));
    assert_eq!(collector.logs().len(), 80 * 5);
}

fn roots(pem: &str) -> rustls::RootCertStore {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    roots
}

/// Sends one span over HTTPS.
async fn post_tls(
    collector: &Collector,
    roots: rustls::RootCertStore,
    identity: Option<(&str, &str)>,
    http2: bool,
) -> Result<(), hyper_util::client::legacy::Error> {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots);
    let config = match identity {
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            config.with_client_auth_cert(vec![certificate], key).unwrap()
        }
        None => config.with_no_client_auth(),
    };
    let connector = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(config).https_only();
    let connector = if http2 { connector.enable_http2().build() } else { connector.enable_http1().build() };
    let client = Client::builder(TokioExecutor::new()).http2_only(http2).build::<_, Full<Bytes>>(connector);
    let request = Request::post(http_url(&collector.endpoint(), Signal::Traces))
        .header(header::CONTENT_TYPE, "application/x-protobuf")
        .body(Full::from(encode(Signal::Traces, Protocol::HttpProtobuf, 1)))
        .unwrap();
    let response = client.request(request).await?;
    assert_eq!(response.version(), if http2 { http::Version::HTTP_2 } else { http::Version::HTTP_11 });
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body().collect().await.unwrap();
    Ok(())
}

/// Sends one span over gRPC with TLS.
async fn call_tls(collector: &Collector, tls: ClientTlsConfig) -> Answer {
    let channel =
        Endpoint::from_shared(collector.endpoint()).unwrap().tls_config(tls).unwrap().connect_lazy();
    call(channel, Signal::Traces, encode(Signal::Traces, Protocol::Grpc, 1), false).await
}

/// Drives a future without any runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
