//! Semantic conventions for RPC, version 1.44 (rpc/rpc-spans.md, rpc/rpc-metrics.md, rpc/grpc.md): calls of gRPC into
//! attributes. Pure, and the only file that knows names starting with `rpc.`.

use std::{net::SocketAddr, time::Duration};

use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use opentelemetry::{KeyValue, StringValue};

use crate::{
    config::AccessLog,
    http::{self as web, ClientEnding, ServerEnding, Target},
};

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

/// Calls from this on are slow for the access log.
const SLOW: Duration = Duration::from_secs(1);
/// The longest name of a method that becomes an attribute, in bytes.
pub(crate) const MAX_METHOD: usize = 255;
/// The longest message of a status that is kept, in bytes.
const MAX_MESSAGE: usize = 1024;
/// A client's clock and network may let a call end this much before its deadline.
const EARLY: Duration = Duration::from_millis(10);

/// A status code of gRPC (grpc/doc/statuscodes.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Code(u8);

const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl Code {
    pub(crate) const OK: Self = Self(0);
    pub(crate) const CANCELLED: Self = Self(1);
    pub(crate) const UNKNOWN: Self = Self(2);
    pub(crate) const DEADLINE_EXCEEDED: Self = Self(4);
    pub(crate) const PERMISSION_DENIED: Self = Self(7);
    pub(crate) const RESOURCE_EXHAUSTED: Self = Self(8);
    pub(crate) const UNIMPLEMENTED: Self = Self(12);
    pub(crate) const INTERNAL: Self = Self(13);
    pub(crate) const UNAVAILABLE: Self = Self(14);
    const DATA_LOSS: Self = Self(15);
    const UNAUTHENTICATED: Self = Self(16);

    /// The name that attributes have.
    pub(crate) fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or("UNKNOWN")
    }

    /// `grpc-status`; what is no code counts as UNKNOWN, as clients do.
    fn parse(value: &HeaderValue) -> Self {
        let code = value.to_str().ok().and_then(|code| code.parse::<u8>().ok());
        code.filter(|code| usize::from(*code) < NAMES.len()).map_or(Self::UNKNOWN, Self)
    }

    /// What an answer without a status means (grpc/doc/http-grpc-status-mapping.md).
    fn of_http(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::INTERNAL,
            401 => Self::UNAUTHENTICATED,
            403 => Self::PERMISSION_DENIED,
            404 => Self::UNIMPLEMENTED,
            429 | 502..=504 => Self::UNAVAILABLE,
            _ => Self::UNKNOWN,
        }
    }

    /// Whether a server has failed with it (rpc/grpc.md); for a client everything but OK is a failure.
    fn is_servers_fault(self) -> bool {
        matches!(
            self,
            Self::UNKNOWN
                | Self::DEADLINE_EXCEEDED
                | Self::UNIMPLEMENTED
                | Self::INTERNAL
                | Self::UNAVAILABLE
                | Self::DATA_LOSS
        )
    }
}

/// The status in headers or trailers, and what it says in words.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    pub(crate) code: Option<Code>,
    pub(crate) message: Option<String>,
}

impl Status {
    /// Reads what is there; what was there before stays otherwise.
    pub(crate) fn read(&mut self, headers: &HeaderMap) {
        let Some(code) = headers.get("grpc-status") else { return };
        self.code = Some(Code::parse(code));
        self.message = headers.get("grpc-message").filter(|message| !message.is_empty()).map(|message| {
            let text = percent_encoding::percent_decode(message.as_bytes()).decode_utf8_lossy();
            web::clip(&text, MAX_MESSAGE).to_owned()
        });
    }
}

/// Whether a request is a call of gRPC. gRPC-Web is another protocol: its trailers are in the body.
pub(crate) fn is_call(headers: &HeaderMap) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    let value = headers.get(http::header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    value.split_at_checked(TYPE.len()).is_some_and(|(essence, rest)| {
        essence.eq_ignore_ascii_case(TYPE) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
    })
}

/// `grpc-timeout` (grpc/doc/PROTOCOL-HTTP2.md): at most 8 digits and a unit. A bad one says nothing.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// `package.Service/Method`, as the conventions want it; `None` for what is no such path.
pub(crate) fn method_of(path: &str) -> Option<&str> {
    let full = path.strip_prefix('/')?;
    let (service, method) = full.split_once('/')?;
    let plain = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    (full.len() <= MAX_METHOD && plain(service) && plain(method) && !method.contains('/')).then_some(full)
}

/// How a call ended, as span and metric tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Conclusion {
    pub(crate) code: Option<Code>,
    /// `error.type`; none when it went well.
    pub(crate) error: Option<&'static str>,
    outcome: Option<&'static str>,
}

/// What is known of a call when it ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// The status that was sent or received.
    pub(crate) status: Option<Code>,
    pub(crate) http: Option<StatusCode>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) duration: Duration,
}

impl Conclusion {
    /// The code of the answer, if there was one.
    pub(crate) fn answered(&self) -> Option<Code> {
        if self.outcome.is_some() { None } else { self.code }
    }
}

impl Known {
    fn answered(&self) -> Code {
        self.status.unwrap_or_else(|| self.http.map_or(Code::UNKNOWN, Code::of_http))
    }

    fn is_late(&self) -> bool {
        self.timeout.is_some_and(|timeout| self.duration + EARLY.min(timeout / 10) >= timeout)
    }

    /// The status of a call that was given up: by its deadline, or by its caller.
    fn given_up(&self) -> Code {
        if self.is_late() { Code::DEADLINE_EXCEEDED } else { Code::CANCELLED }
    }
}

/// How a call ended here, on the server.
pub(crate) fn served(ending: ServerEnding, known: &Known) -> Conclusion {
    let fault = |code: Code| code.is_servers_fault().then(|| code.name());
    match ending {
        ServerEnding::Answered => {
            let code = known.answered();
            Conclusion { code: Some(code), error: fault(code), outcome: None }
        }
        ServerEnding::Error(name) => Conclusion { code: None, error: Some(name), outcome: None },
        ServerEnding::Panicked => Conclusion { code: None, error: Some("panic"), outcome: None },
        ServerEnding::Cancelled | ServerEnding::Aborted => {
            let code = known.given_up();
            let outcome = if ending == ServerEnding::Cancelled { "cancelled" } else { "aborted" };
            Conclusion { code: Some(code), error: fault(code), outcome: Some(outcome) }
        }
        ServerEnding::BodyError(name) => {
            Conclusion { code: None, error: Some(name), outcome: Some("aborted") }
        }
    }
}

/// How a call ended that was made here; `reset` is what the connection's error says, if it was one.
pub(crate) fn called(ending: ClientEnding, reset: Option<Code>, known: &Known) -> Conclusion {
    let failed = |code: Code| (code != Code::OK).then(|| code.name());
    match ending {
        ClientEnding::Answered => {
            let code = known.answered();
            Conclusion { code: Some(code), error: failed(code), outcome: None }
        }
        ClientEnding::Failed(kind) => {
            let code = match kind {
                "timeout" => Code::DEADLINE_EXCEEDED,
                _ if known.is_late() => Code::DEADLINE_EXCEEDED,
                "connect" | "dns" | "tls" => Code::UNAVAILABLE,
                _ => reset.unwrap_or(Code::UNKNOWN),
            };
            let error = if code == Code::DEADLINE_EXCEEDED { code.name() } else { kind };
            Conclusion { code: Some(code), error: Some(error), outcome: None }
        }
        ClientEnding::Cancelled | ClientEnding::Aborted => {
            let code = known.given_up();
            let outcome = if ending == ClientEnding::Cancelled { "cancelled" } else { "aborted" };
            Conclusion { code: Some(code), error: failed(code), outcome: Some(outcome) }
        }
    }
}

/// The status that a stream's reset means (grpc/doc/PROTOCOL-HTTP2.md "Errors"), by what `h2` has said of it for years: its
/// types are not a dependency.
pub(crate) fn reset(error: &(dyn std::error::Error + 'static)) -> Code {
    let mut link = Some(error);
    while let Some(error) = link {
        let said = error.to_string();
        if let Some(reason) = said.strip_prefix("stream error received: ") {
            return match reason {
                "stream no longer needed" => Code::CANCELLED,
                "refused stream before processing any application logic" => Code::UNAVAILABLE,
                "detected excessive load generating behavior" => Code::RESOURCE_EXHAUSTED,
                "security properties do not meet minimum requirements" => Code::PERMISSION_DENIED,
                _ => Code::INTERNAL,
            };
        }
        link = error.source();
    }
    Code::UNAVAILABLE
}

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

/// The event of an error that ended a call (exceptions/exceptions-logs.md).
pub(crate) fn log_exception(kind: &str, message: &dyn std::fmt::Display, method: &str) {
    tracing::event!(
        name: "rpc.server.call.exception",
        target: "tracewell::rpc",
        tracing::Level::ERROR,
        exception.type = kind,
        exception.message = %message,
        { METHOD } = method,
        "the call failed: {message}"
    );
}

/// Whether the words of such a status are an error that a person should read.
pub(crate) fn is_told(code: Code) -> bool {
    matches!(code, Code::UNKNOWN | Code::INTERNAL | Code::UNAVAILABLE | Code::DATA_LOSS)
}

/// A caller that leaves is no error: seen by who looks for it.
pub(crate) fn log_left(outcome: &'static str, method: &str) {
    tracing::event!(
        target: "tracewell::rpc",
        tracing::Level::DEBUG,
        { OUTCOME } = outcome,
        { METHOD } = method,
        "the caller left, or the call was given up"
    );
}

/// The completion record of a call (`TRACEWELL_ACCESS_LOG`); `duration` in seconds, as the histogram has it.
pub(crate) fn log_access(
    wanted: AccessLog,
    method: &str,
    conclusion: &Conclusion,
    outcome: &'static str,
    duration: Duration,
) {
    let failed = outcome != "completed";
    let wanted = match wanted {
        AccessLog::All => true,
        AccessLog::Slow => duration >= SLOW || failed,
        AccessLog::Errors => failed,
        _ => false,
    };
    if wanted {
        tracing::event!(
            name: "tracewell.access",
            target: "tracewell::access",
            tracing::Level::INFO,
            { METHOD } = method,
            { STATUS_CODE } = conclusion.code.map(Code::name),
            { OUTCOME } = outcome,
            duration = duration.as_secs_f64(),
            "{method}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn every_unit_of_a_timeout_is_read_and_what_is_none_says_nothing() {
        let of = |value| timeout(&headers("grpc-timeout", value));
        let nanos = |nanos| Some(Duration::from_nanos(nanos));
        assert_eq!(of("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(of("3M"), Some(Duration::from_secs(180)));
        assert_eq!(of("4S"), Some(Duration::from_secs(4)));
        assert_eq!((of("5m"), of("6u"), of("7n")), (nanos(5_000_000), nanos(6000), nanos(7)));
        assert_eq!(of("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "S", "5", "5s", "5 S", "+5S", "-5S", "5.0S", "123456789S", "é", "5é"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_paths_of_two_parts_name_a_method() {
        assert_eq!(method_of("/shop.Stock/Get"), Some("shop.Stock/Get"));
        for path in ["", "/", "/a", "/a/", "//a", "a/b", "/a/b/c", "/a b/c", "/a/\u{e9}"] {
            assert_eq!(method_of(path), None, "{path}");
        }
        assert_eq!(method_of(&format!("/a/{}", "b".repeat(300))), None);
    }

    #[test]
    fn a_call_is_known_by_its_content_type() {
        let of = |value| is_call(&headers("content-type", value));
        assert!(of("application/grpc") && of("application/grpc+proto") && of("Application/gRPC; x=y"));
        assert!(!of("application/grpc-web+proto") && !of("application/json") && !of("application/grp"));
    }

    #[test]
    fn a_status_is_a_number_up_to_16_with_words_that_are_decoded_and_cut() {
        let read = |code: &str, message: &str| {
            let mut trailers = headers("grpc-status", code);
            trailers.insert("grpc-message", message.parse().unwrap());
            let mut status = Status::default();
            status.read(&trailers);
            (status.code.unwrap().name(), status.message)
        };
        assert_eq!(read("5", "no%20such %E2%82%AC"), ("NOT_FOUND", Some("no such €".to_owned())));
        for bad in ["17", "-1", "x", "300"] {
            assert_eq!(read(bad, "").0, "UNKNOWN");
        }
        assert_eq!(read("13", &"x".repeat(5000)).1.unwrap().len(), MAX_MESSAGE);
    }

    #[test]
    fn only_six_codes_are_a_servers_fault_and_everything_but_ok_is_a_clients() {
        let known = |code, http| Known {
            status: code,
            http: StatusCode::from_u16(http).ok(),
            timeout: None,
            duration: Duration::ZERO,
        };
        let mut faults = Vec::new();
        for code in 0..17 {
            let known = known(Some(Code(code)), 200);
            faults.extend(served(ServerEnding::Answered, &known).error);
            assert_eq!(called(ClientEnding::Answered, None, &known).error.is_none(), code == 0);
        }
        assert_eq!(
            faults,
            ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"]
        );
        // an answer without a status
        let code = |http| served(ServerEnding::Answered, &known(None, http)).code.unwrap().name();
        assert_eq!([200, 404, 503].map(code), ["UNKNOWN", "UNIMPLEMENTED", "UNAVAILABLE"]);
    }

    #[test]
    fn what_ends_at_its_deadline_has_exceeded_it_and_what_ends_before_was_cancelled() {
        let after = |millis| Known {
            status: None,
            http: None,
            timeout: Some(Duration::from_secs(1)),
            duration: Duration::from_millis(millis),
        };
        let server = |millis| served(ServerEnding::Cancelled, &after(millis));
        let client = |millis| called(ClientEnding::Aborted, None, &after(millis));
        assert_eq!((server(900).error, server(900).code), (None, Some(Code::CANCELLED)));
        assert_eq!((server(995).error, server(995).outcome), (Some("DEADLINE_EXCEEDED"), Some("cancelled")));
        assert_eq!((client(900).error, client(1000).error), (Some("CANCELLED"), Some("DEADLINE_EXCEEDED")));
        let failed = |kind| called(ClientEnding::Failed(kind), Some(Code::INTERNAL), &after(10));
        assert_eq!(
            (failed("timeout").error, failed("connect").error),
            (Some("DEADLINE_EXCEEDED"), Some("connect"))
        );
        assert_eq!(failed("reset").code, Some(Code::INTERNAL));
    }
}
