//! Semantic conventions for RPC, version 1.44 (rpc/rpc-spans.md, rpc/rpc-metrics.md, rpc/grpc.md): calls of gRPC into
//! attributes. Pure, and the only folder that knows names starting with `rpc.`.

mod conclusion;
mod events;
mod request;
mod status;

use std::net::SocketAddr;

use http::{HeaderMap, Uri};
use opentelemetry::{KeyValue, StringValue};

pub(crate) use self::{
    conclusion::{Conclusion, Known, called, served},
    events::{is_told, log_access, log_exception, log_left},
    request::{MAX_METHOD, is_call, method_of, timeout},
    status::{Code, Status, reset},
};
use crate::http::{self as web, Target};

pub(crate) const SERVER_DURATION: &str = "rpc.server.call.duration";
pub(crate) const CLIENT_DURATION: &str = "rpc.client.call.duration";
pub(crate) const REQUEST_METADATA: &str = "rpc.request.metadata.";
pub(crate) const RESPONSE_METADATA: &str = "rpc.response.metadata.";

const SYSTEM: &str = "rpc.system.name";
const METHOD: &str = "rpc.method";
const METHOD_ORIGINAL: &str = "rpc.method_original";
/// The one name that is still moving: after 1.44 it becomes `rpc.status_code`.
const STATUS_CODE: &str = "rpc.response.status_code";

const GRPC: &str = "grpc";
const OTHER: &str = "_OTHER";
const ADDRESS: &str = "server.address";
const PORT: &str = "server.port";
const ERROR_TYPE: &str = "error.type";
const OUTCOME: &str = "tracewell.outcome";
/// Not of the conventions: they have no name for them.
const TIMEOUT: &str = "tracewell.rpc.timeout";
const REQUEST_MESSAGES: &str = "tracewell.rpc.request.messages";
const RESPONSE_MESSAGES: &str = "tracewell.rpc.response.messages";

/// What a server's span says from its start on, beside the method.
pub(crate) fn server_start(uri: &Uri, headers: &HeaderMap, peer: Option<SocketAddr>) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(12);
    attributes.push(KeyValue::new(SYSTEM, GRPC));
    if let Some((host, port)) = web::server_asked(uri, headers) {
        attributes.push(KeyValue::new(ADDRESS, web::shared_text(host)));
        attributes.extend(port.map(|port| KeyValue::new(PORT, i64::from(port))));
    }
    if let Some(peer) = peer {
        let address = web::address_text(peer.ip().to_canonical());
        attributes.push(KeyValue::new("client.address", address.clone()));
        attributes.push(KeyValue::new("network.peer.address", address));
        attributes.push(KeyValue::new("network.peer.port", i64::from(peer.port())));
    }
    timed_out_after(&mut attributes, headers);
    attributes
}

/// What a client's span says from its start on, beside the method.
pub(crate) fn client_start(headers: &HeaderMap, target: &Target) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(10);
    attributes.push(KeyValue::new(SYSTEM, GRPC));
    attributes.extend(target.attributes());
    timed_out_after(&mut attributes, headers);
    attributes
}

/// The method of a call.
pub(crate) fn method(full: impl Into<StringValue>) -> KeyValue {
    KeyValue::new(METHOD, full.into())
}

/// The method of a call that no service has.
pub(crate) fn other_method(path: &str) -> [KeyValue; 2] {
    let original = path.strip_prefix('/').unwrap_or(path);
    [KeyValue::new(METHOD, OTHER), KeyValue::new(METHOD_ORIGINAL, web::clip(original, MAX_METHOD).to_owned())]
}

fn timed_out_after(attributes: &mut Vec<KeyValue>, headers: &HeaderMap) {
    attributes.extend(timeout(headers).map(|timeout| KeyValue::new(TIMEOUT, timeout.as_secs_f64())));
}

/// What a span says at its end beside [`end`]: messages, as far as they could be counted.
pub(crate) fn messages(requests: Option<u64>, responses: Option<u64>) -> impl Iterator<Item = KeyValue> {
    let count = |key, count: Option<u64>| {
        count.map(|count| KeyValue::new(key, i64::try_from(count).unwrap_or(i64::MAX)))
    };
    [count(REQUEST_MESSAGES, requests), count(RESPONSE_MESSAGES, responses)].into_iter().flatten()
}

/// What is known at the end, the same for span and metric.
pub(crate) fn end(conclusion: &Conclusion) -> impl Iterator<Item = KeyValue> {
    let code = conclusion.code.map(|code| KeyValue::new(STATUS_CODE, code.name()));
    let error = conclusion.error.map(|error| KeyValue::new(ERROR_TYPE, error));
    let outcome = conclusion.outcome.map(|outcome| KeyValue::new(OUTCOME, outcome));
    [code, error, outcome].into_iter().flatten()
}

/// Attributes of the duration; of a server without its address, which callers choose.
pub(crate) fn point(
    method: Option<&'static str>,
    target: Option<&Target>,
    conclusion: &Conclusion,
) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(8);
    attributes.push(KeyValue::new(SYSTEM, GRPC));
    attributes.push(KeyValue::new(METHOD, method.unwrap_or(OTHER)));
    attributes.extend(target.into_iter().flat_map(Target::attributes));
    attributes.extend(end(conclusion));
    attributes
}

/// The name of a span whose method is not known.
pub(crate) const UNKNOWN_NAME: &str = GRPC;
