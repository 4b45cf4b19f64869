//! What a collector's answer means (OTLP specification, "OTLP/HTTP Response" and "OTLP/gRPC Response").

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceResponse, metrics::v1::ExportMetricsServiceResponse,
    trace::v1::ExportTraceServiceResponse,
};
use prost::Message as _;

use super::{Accepted, SendError, SendErrorKind};
use crate::config::Signal;

/// Longest text of a collector's that is shown.
const MAX_MESSAGE: usize = 200;

/// What a body is made of.
#[cfg_attr(not(feature = "otlp-http"), allow(dead_code, reason = "gRPC is protobuf"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Protobuf,
    Json,
    /// Something that no OTLP response is made of.
    Foreign,
}

impl Encoding {
    /// By the media type; without one it is what the request was made of.
    #[cfg(feature = "otlp-http")]
    pub(super) fn of(media_type: Option<&str>, sent_json: bool) -> Self {
        match media_type.map(|text| text.split(';').next().unwrap_or(text).trim()) {
            None if sent_json => Self::Json,
            None => Self::Protobuf,
            Some(text) if text.ends_with("json") => Self::Json,
            Some(text) if text.contains("protobuf") => Self::Protobuf,
            Some(_) => Self::Foreign,
        }
    }
}

/// Reads the body of a positive answer; `None` when it is no answer of an OTLP server's.
///
/// A page that some other server answers with status 200 must not count as delivered. An empty body does: it is what
/// an answer without remarks is in protobuf, and what many servers send instead of `{}`.
pub(super) fn accepted(signal: Signal, body: &[u8], encoding: Encoding) -> Option<Accepted> {
    if body.is_empty() {
        return Some(Accepted::default());
    }
    let partial = match encoding {
        Encoding::Protobuf => protobuf(signal, body)?,
        Encoding::Json => json(signal, body)?,
        Encoding::Foreign => return None,
    };
    Some(partial.map_or_else(Accepted::default, |(rejected, message)| Accepted {
        rejected: u64::try_from(rejected).unwrap_or(0),
        message: shown(&message),
    }))
}

type Partial = Option<(i64, String)>;

fn protobuf(signal: Signal, body: &[u8]) -> Option<Partial> {
    Some(match signal {
        Signal::Traces => ExportTraceServiceResponse::decode(body)
            .ok()?
            .partial_success
            .map(|partial| (partial.rejected_spans, partial.error_message)),
        Signal::Metrics => ExportMetricsServiceResponse::decode(body)
            .ok()?
            .partial_success
            .map(|partial| (partial.rejected_data_points, partial.error_message)),
        Signal::Logs => ExportLogsServiceResponse::decode(body)
            .ok()?
            .partial_success
            .map(|partial| (partial.rejected_log_records, partial.error_message)),
    })
}

/// By hand: JSON carries a 64-bit integer as a string or as a number, and opentelemetry-proto reads only the latter.
fn json(signal: Signal, body: &[u8]) -> Option<Partial> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let either = |value: &serde_json::Value, camel: &str, snake: &str| {
        value.get(camel).or_else(|| value.get(snake)).filter(|value| !value.is_null()).cloned()
    };
    answer.as_object()?;
    let Some(partial) = either(&answer, "partialSuccess", "partial_success") else { return Some(None) };
    let (camel, snake) = match signal {
        Signal::Traces => ("rejectedSpans", "rejected_spans"),
        Signal::Metrics => ("rejectedDataPoints", "rejected_data_points"),
        Signal::Logs => ("rejectedLogRecords", "rejected_log_records"),
    };
    let rejected = match either(&partial, camel, snake) {
        None => 0,
        Some(serde_json::Value::String(text)) => text.parse().ok()?,
        Some(number) => number.as_i64()?,
    };
    let message = either(&partial, "errorMessage", "error_message");
    Some(Some((rejected, message.and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default())))
}

/// Reads an HTTP status that is not positive.
#[cfg(feature = "otlp-http")]
pub(super) fn http_error(
    status: u16,
    retry_after: Option<&str>,
    body: &[u8],
    encoding: Encoding,
) -> SendError {
    let kind = match status {
        429 | 502 | 503 | 504 => SendErrorKind::Retryable(retry_after.and_then(seconds)),
        413 => SendErrorKind::TooLarge,
        _ => SendErrorKind::Rejected,
    };
    let message = error_message(body, encoding);
    let separator = if message.is_empty() { "" } else { ": " };
    let hint = match status {
        401 | 403 => " (OTEL_EXPORTER_OTLP_HEADERS has the credentials)",
        404 | 405 => " (nothing takes OTLP at this path: another port, or a path too much?)",
        _ => "",
    };
    SendError { kind, cause: format!("HTTP status {status}{separator}{message}{hint}") }
}

/// The `message` of the `google.rpc.Status` that an error's body should be; other bodies are pages for nobody here.
#[cfg(feature = "otlp-http")]
fn error_message(body: &[u8], encoding: Encoding) -> String {
    let message = match encoding {
        Encoding::Json => serde_json::from_slice::<serde_json::Value>(body)
            .ok()
            .and_then(|status| status.get("message")?.as_str().map(str::to_owned)),
        // a partial success has the fields of a Status under the same numbers: an integer, then the text
        Encoding::Protobuf => {
            use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess as Status;
            Status::decode(body).ok().map(|status| status.error_message)
        }
        Encoding::Foreign => None,
    };
    shown(&message.unwrap_or_default())
}

/// `Retry-After` in seconds. Its other form, a date, is rare and would trust the collector's clock: our own pause serves.
#[cfg(feature = "otlp-http")]
fn seconds(value: &str) -> Option<std::time::Duration> {
    value.trim().parse().ok().map(std::time::Duration::from_secs)
}

/// Reads a gRPC status that is not OK.
#[cfg(feature = "otlp-grpc")]
pub(super) fn grpc_error(status: &tonic::Status) -> SendError {
    use tonic::Code;
    use tonic_types::StatusExt as _;
    let retry_delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let kind = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => SendErrorKind::Retryable(retry_delay),
        // only a server that says when to come back means "later" (OTLP/gRPC Throttling)
        Code::ResourceExhausted if retry_delay.is_some() => SendErrorKind::Retryable(retry_delay),
        _ => SendErrorKind::Rejected,
    };
    // a status with a source is tonic's own word for a connection that broke: no server has said "never"
    let kind = match (kind, std::error::Error::source(status)) {
        (SendErrorKind::Rejected, Some(_)) => SendErrorKind::Retryable(None),
        (kind, _) => kind,
    };
    let mut cause = format!("gRPC status {:?}", status.code());
    let message = shown(status.message());
    // tonic often takes the message from the source
    let source = std::error::Error::source(status).map(root_cause);
    let parts = match source {
        Some(source) if source.starts_with(&message) => [String::new(), source],
        source => [message, source.unwrap_or_default()],
    };
    for part in parts.iter().filter(|part| !part.is_empty()) {
        cause.push_str(": ");
        cause.push_str(part);
    }
    SendError { kind, cause }
}

/// The innermost cause: "Connection refused (os error 111)" rather than "client error (Connect)".
pub(super) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let cause = cause.to_string();
    match HINTS.iter().find(|(part, _)| cause.contains(part)) {
        Some((_, hint)) => format!("{cause} ({hint})"),
        None => cause,
    }
}

/// Parts of causes that name a symptom, and what is behind it.
const HINTS: [(&str, &str); 8] = [
    ("BadSignature", "OTEL_EXPORTER_OTLP_CERTIFICATE names the authority to trust"),
    ("UnknownIssuer", "OTEL_EXPORTER_OTLP_CERTIFICATE names the authority to trust"),
    ("InvalidContentType", "the server does not speak TLS: http:// rather than https://?"),
    ("CertificateRequired", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and _KEY name a client certificate"),
    ("invalid HTTP version parsed", "the server speaks gRPC or TLS: another port, protocol or scheme?"),
    ("received unexpected message", "the server speaks gRPC or TLS: another port, protocol or scheme?"),
    ("frame with invalid size", "the server speaks HTTP/1.1 or TLS: another port, protocol or scheme?"),
    ("stream closed because of a broken pipe", "the server hung up: does it speak gRPC at this port?"),
];

/// A foreign text, short and on one line.
fn shown(text: &str) -> String {
    let end = text.char_indices().nth(MAX_MESSAGE).map_or(text.len(), |(at, _)| at);
    text[..end].chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "otlp-http")]
    use std::time::Duration;

    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;

    #[test]
    fn a_partial_success_is_read_in_both_encodings_and_garbage_is_no_success() {
        let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "too\nold".into() };
        let response = ExportTraceServiceResponse { partial_success: Some(partial) };
        let expected = Accepted { rejected: 3, message: "too old".into() };
        assert_eq!(
            accepted(Signal::Traces, &response.encode_to_vec(), Encoding::Protobuf),
            Some(expected.clone())
        );
        for json in [
            r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too\nold"}}"#,
            r#"{"partial_success":{"rejected_spans":3,"error_message":"too\nold"}}"#,
        ] {
            assert_eq!(accepted(Signal::Traces, json.as_bytes(), Encoding::Json), Some(expected.clone()));
        }
        for plain in ["{}", r#"{"partialSuccess":null}"#, r#"{"partialSuccess":{}}"#, ""] {
            assert_eq!(accepted(Signal::Logs, plain.as_bytes(), Encoding::Json), Some(Accepted::default()));
        }
        let html = Encoding::of(Some("text/html; charset=utf-8"), false);
        assert_eq!(accepted(Signal::Metrics, b"", html), Some(Accepted::default()));
        for (garbage, encoding) in [
            ("\u{ff}\u{ff}", Encoding::Protobuf),
            ("{\"partial", Encoding::Json),
            ("[]", Encoding::Json),
            ("hi", html),
        ] {
            assert_eq!(accepted(Signal::Metrics, garbage.as_bytes(), encoding), None, "{garbage}");
        }
    }

    #[cfg(feature = "otlp-http")]
    #[test]
    fn a_cause_that_names_a_symptom_says_what_is_behind_it() {
        let cause = |status| http_error(status, None, b"", Encoding::Foreign).cause;
        assert_eq!(
            cause(404),
            "HTTP status 404 (nothing takes OTLP at this path: another port, or a path too much?)"
        );
        assert_eq!(cause(401), "HTTP status 401 (OTEL_EXPORTER_OTLP_HEADERS has the credentials)");
        assert_eq!(cause(500), "HTTP status 500");
        for (symptom, hint) in HINTS {
            let error = std::io::Error::other(format!("it was {symptom} here"));
            assert_eq!(root_cause(&error), format!("it was {symptom} here ({hint})"));
        }
    }

    #[cfg(feature = "otlp-http")]
    #[test]
    fn only_the_specification_s_statuses_are_repeated() {
        let kind = |status, after| http_error(status, after, b"", Encoding::Json).kind;
        assert_eq!(kind(503, Some("2")), SendErrorKind::Retryable(Some(Duration::from_secs(2))));
        for status in [429, 502, 504] {
            assert_eq!(kind(status, Some("Sat, 01 Jan 2000 00:00:00 GMT")), SendErrorKind::Retryable(None));
        }
        for status in [400, 401, 404, 500, 301] {
            assert_eq!(kind(status, None), SendErrorKind::Rejected);
        }
        assert_eq!(kind(413, None), SendErrorKind::TooLarge);
    }
}
