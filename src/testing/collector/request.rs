//! From an HTTP request to a decoded export: routing, decompression, framing, decoding.

use std::io::Read;

use bytes::Bytes;
use http::{HeaderMap, Method, header, request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use prost::Message;

use super::record::Export;
use crate::config::{Protocol, Signal};

/// The longest body taken, before and after decompression, in bytes.
const MAX_BODY: usize = 64 << 20;

/// Why a request is no export, as both kinds of status.
#[derive(Debug)]
pub(super) struct Invalid {
    pub(super) http: u16,
    pub(super) grpc: i32,
    pub(super) message: String,
}

impl Invalid {
    fn new(http: u16, grpc: i32, message: impl Into<String>) -> Self {
        Self { http, grpc, message: message.into() }
    }
}

/// The protocol a content type stands for; gRPC is told by its own.
pub(super) fn protocol(headers: &HeaderMap) -> Option<Protocol> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    match content_type.split(';').next()?.trim() {
        "application/grpc" | "application/grpc+proto" => Some(Protocol::Grpc),
        "application/x-protobuf" => Some(Protocol::HttpProtobuf),
        "application/json" => Some(Protocol::HttpJson),
        _ => None,
    }
}

/// The signal a request is for.
pub(super) fn route(
    parts: &request::Parts,
    protocol: Option<Protocol>,
) -> Result<(Signal, Protocol), Invalid> {
    let path = parts.uri.path();
    let (signal, grpc) = match path {
        "/v1/traces" => (Signal::Traces, false),
        "/v1/metrics" => (Signal::Metrics, false),
        "/v1/logs" => (Signal::Logs, false),
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => (Signal::Traces, true),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => (Signal::Metrics, true),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => (Signal::Logs, true),
        _ => return Err(Invalid::new(404, 12, format!("no such path: {path}"))),
    };
    if parts.method != Method::POST {
        return Err(Invalid::new(405, 12, format!("{path} takes POST only, not {}", parts.method)));
    }
    match protocol {
        Some(protocol) if (protocol == Protocol::Grpc) == grpc => Ok((signal, protocol)),
        _ => Err(Invalid::new(415, 12, format!("{path} does not take this content type"))),
    }
}

/// Reads a body to its end; returns the export and the length of its message.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Incoming,
    signal: Signal,
    protocol: Protocol,
) -> Result<(Export, usize), Invalid> {
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(too_long()),
        Err(error) => return Err(Invalid::new(400, 3, format!("the body broke off: {error}"))),
    };
    let message = match protocol {
        Protocol::Grpc => unframe(headers, body)?,
        Protocol::HttpProtobuf | Protocol::HttpJson => {
            decompress(headers, header::CONTENT_ENCODING.as_str(), body)?
        }
    };
    let export = decode(&message, signal, protocol)
        .map_err(|error| Invalid::new(400, 3, format!("the body is no export of {signal:?}: {error}")))?;
    Ok((export, message.len()))
}

/// Takes the one message of a unary call out of its frame: a flag, four bytes of length, the message.
fn unframe(headers: &HeaderMap, mut body: Bytes) -> Result<Bytes, Invalid> {
    let broken = || Invalid::new(400, 13, "the body is not one gRPC frame");
    let prefix = body.first_chunk::<5>().copied().ok_or_else(broken)?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    let message = body.split_off(5);
    match prefix[0] {
        _ if message.len() as u64 != u64::from(length) => Err(broken()),
        0 => Ok(message),
        1 => decompress(headers, "grpc-encoding", message),
        _ => Err(broken()),
    }
}

fn decompress(headers: &HeaderMap, name: &str, body: Bytes) -> Result<Bytes, Invalid> {
    match headers.get(name).map(|value| value.as_bytes()) {
        None | Some(b"identity") => Ok(body),
        Some(b"gzip") => {
            let mut plain = Vec::new();
            let mut reader = flate2::read::GzDecoder::new(&*body).take(MAX_BODY as u64 + 1);
            reader
                .read_to_end(&mut plain)
                .map_err(|error| Invalid::new(400, 3, format!("the body is not gzip: {error}")))?;
            if plain.len() > MAX_BODY { Err(too_long()) } else { Ok(plain.into()) }
        }
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            Err(Invalid::new(415, 12, format!("unsupported compression: {other}")))
        }
    }
}

fn decode(message: &[u8], signal: Signal, protocol: Protocol) -> Result<Export, Box<dyn std::error::Error>> {
    Ok(match (signal, protocol) {
        (Signal::Traces, Protocol::HttpJson) => Export::Traces(serde_json::from_slice(message)?),
        (Signal::Metrics, Protocol::HttpJson) => Export::Metrics(serde_json::from_slice(message)?),
        (Signal::Logs, Protocol::HttpJson) => Export::Logs(serde_json::from_slice(message)?),
        (Signal::Traces, _) => Export::Traces(Message::decode(message)?),
        (Signal::Metrics, _) => Export::Metrics(Message::decode(message)?),
        (Signal::Logs, _) => Export::Logs(Message::decode(message)?),
    })
}

fn too_long() -> Invalid {
    Invalid::new(413, 8, format!("the body is longer than {MAX_BODY} bytes"))
}
