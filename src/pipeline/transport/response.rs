//! What a collector's answer means (OTLP specification, "OTLP/HTTP Response" and "OTLP/gRPC Response").

use std::time::Duration;

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceResponse, metrics::v1::ExportMetricsServiceResponse,
    trace::v1::ExportTraceServiceResponse,
};
use prost::Message as _;

use super::{Accepted, SendError, SendErrorKind};
use crate::config::Signal;

/// Longest text of a collector's that is shown.
const MAX_MESSAGE: usize = 200;

/// Reads the body of a positive answer. One that cannot be read is still positive: the items were taken.
pub(super) fn accepted(signal: Signal, body: &[u8], json: bool) -> Accepted {
    macro_rules! read {
        ($response:ty, $rejected:ident) => {{
            let response: Option<$response> =
                if json { serde_json::from_slice(body).ok() } else { <$response>::decode(body).ok() };
            response.and_then(|response| response.partial_success).map_or_else(Accepted::default, |partial| {
                Accepted {
                    rejected: u64::try_from(partial.$rejected).unwrap_or(0),
                    message: shown(&partial.error_message),
                }
            })
        }};
    }
    match signal {
        Signal::Traces => read!(ExportTraceServiceResponse, rejected_spans),
        Signal::Metrics => read!(ExportMetricsServiceResponse, rejected_data_points),
        Signal::Logs => read!(ExportLogsServiceResponse, rejected_log_records),
    }
}

/// Reads an HTTP status that is not positive.
#[cfg(feature = "otlp-http")]
pub(super) fn http_error(status: u16, retry_after: Option<&str>, message: &str) -> SendError {
    let kind = match status {
        429 | 502 | 503 | 504 => SendErrorKind::Retryable(retry_after.and_then(seconds)),
        413 => SendErrorKind::TooLarge,
        _ => SendErrorKind::Rejected,
    };
    let message = shown(message);
    let separator = if message.is_empty() { "" } else { ": " };
    SendError { kind, cause: format!("HTTP status {status}{separator}{message}") }
}

/// `Retry-After` in seconds. Its other form, a date, is rare and would trust the collector's clock: our own pause serves.
#[cfg(feature = "otlp-http")]
fn seconds(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(Duration::from_secs)
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
    let mut cause = format!("gRPC status {:?}", status.code());
    let message = shown(status.message());
    if !message.is_empty() {
        cause.push_str(": ");
        cause.push_str(&message);
    }
    if let Some(source) = std::error::Error::source(status) {
        cause.push_str(": ");
        cause.push_str(&root_cause(source));
    }
    SendError { kind, cause }
}

/// The innermost cause: "Connection refused (os error 111)" rather than "client error (Connect)".
pub(super) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// A foreign text, short and on one line.
fn shown(text: &str) -> String {
    let end = text.char_indices().nth(MAX_MESSAGE).map_or(text.len(), |(at, _)| at);
    text[..end].chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;

    #[test]
    fn a_partial_success_is_read_in_both_encodings_and_garbage_is_taken_as_plain_success() {
        let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "too\nold".into() };
        let response = ExportTraceServiceResponse { partial_success: Some(partial) };
        let expected = Accepted { rejected: 3, message: "too old".into() };
        assert_eq!(accepted(Signal::Traces, &response.encode_to_vec(), false), expected);
        let json = br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too\nold"}}"#;
        assert_eq!(accepted(Signal::Traces, json, true), expected);
        assert_eq!(accepted(Signal::Logs, b"\xff\xff\xff", false), Accepted::default());
        assert_eq!(accepted(Signal::Metrics, b"<html>", true), Accepted::default());
    }

    #[cfg(feature = "otlp-http")]
    #[test]
    fn only_the_specification_s_statuses_are_repeated() {
        let kind = |status, after| http_error(status, after, "").kind;
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
