//! The answers: success, partial success, errors and broken ones, for each protocol.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::{Body, Frame, SizeHint};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse},
    metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse},
    trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse},
};
use prost::Message;
use tokio::time::Sleep;
use tonic_types::{ErrorDetails, StatusExt};

use crate::config::{Protocol, Signal};

/// How long a reply that breaks off waits, so that its first bytes are sent before the end.
const BEFORE_BREAK: Duration = Duration::from_millis(20);

/// A body given step by step.
#[derive(Default)]
pub(super) struct Reply(VecDeque<Step>);

enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Pause(Pin<Box<Sleep>>),
    Break,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(Step::Pause(sleep)) = self.0.front_mut() {
            ready!(sleep.as_mut().poll(cx));
            self.0.pop_front();
        }
        Poll::Ready(self.0.pop_front().map(|step| match step {
            Step::Data(data) => Ok(Frame::data(data)),
            Step::Trailers(trailers) => Ok(Frame::trailers(trailers)),
            Step::Pause(_) | Step::Break => Err(io::Error::other("the reply breaks off")),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let lengths = self
            .0
            .iter()
            .map(|step| if let Step::Data(data) = step { Some(data.len() as u64) } else { None });
        // exact for plain data only, so that such a reply gets its Content-Length
        lengths.sum::<Option<u64>>().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A success; `partial` = the number of items refused and why.
pub(super) fn success(signal: Signal, protocol: Protocol, partial: Option<(u64, String)>) -> Response<Reply> {
    let message = match protocol {
        Protocol::Grpc | Protocol::HttpProtobuf => protobuf(signal, partial),
        Protocol::HttpJson => json(signal, partial),
    };
    let steps = match protocol {
        Protocol::Grpc => VecDeque::from([Step::Data(frame(&message)), ok_trailers()]),
        Protocol::HttpProtobuf | Protocol::HttpJson => VecDeque::from([Step::Data(message.into())]),
    };
    respond(200, protocol, steps)
}

/// An error answer.
pub(super) fn status(
    protocol: Protocol,
    http: u16,
    grpc: i32,
    message: &str,
    retry_after: Option<Duration>,
) -> Response<Reply> {
    let code = tonic::Code::from(grpc);
    let status = match retry_after {
        Some(_) => {
            tonic::Status::with_error_details(code, message, ErrorDetails::with_retry_info(retry_after))
        }
        None => tonic::Status::with_error_details(code, message, ErrorDetails::new()),
    };
    let body = match protocol {
        Protocol::Grpc => {
            let mut response = respond(200, protocol, VecDeque::new());
            // fails only for a message that cannot be a header; ours are percent-encoded
            let _ = status.add_header(response.headers_mut());
            return response;
        }
        Protocol::HttpProtobuf => Bytes::copy_from_slice(status.details()),
        Protocol::HttpJson => serde_json::json!({ "code": grpc, "message": message }).to_string().into(),
    };
    let mut response = respond(http, protocol, VecDeque::from([Step::Data(body)]));
    if let Some(wait) = retry_after {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A success with a body nobody can read.
pub(super) fn garbage(protocol: Protocol) -> Response<Reply> {
    let steps = match protocol {
        Protocol::Grpc => VecDeque::from([Step::Data(short_frame()), ok_trailers()]),
        Protocol::HttpProtobuf => VecDeque::from([Step::Data(Bytes::from_static(&[0xff; 16]))]),
        Protocol::HttpJson => VecDeque::from([Step::Data(Bytes::from_static(b"{\"partialSuccess\":"))]),
    };
    respond(200, protocol, steps)
}

/// A success that breaks off inside its body.
pub(super) fn reset_mid_body(protocol: Protocol) -> Response<Reply> {
    let steps =
        [Step::Data(short_frame()), Step::Pause(Box::pin(tokio::time::sleep(BEFORE_BREAK))), Step::Break];
    let mut response = respond(200, protocol, VecDeque::from(steps));
    if protocol != Protocol::Grpc {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(64));
    }
    response
}

fn respond(status: u16, protocol: Protocol, steps: VecDeque<Step>) -> Response<Reply> {
    let content_type = match protocol {
        Protocol::Grpc => "application/grpc",
        Protocol::HttpProtobuf => "application/x-protobuf",
        Protocol::HttpJson => "application/json",
    };
    let mut response = Response::new(Reply(steps));
    // a number that is no status becomes 500
    *response.status_mut() =
        http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn protobuf(signal: Signal, partial: Option<(u64, String)>) -> Vec<u8> {
    let partial = partial.map(|(rejected, message)| (i64::try_from(rejected).unwrap_or(i64::MAX), message));
    match signal {
        Signal::Traces => {
            let partial_success = partial.map(|(rejected_spans, error_message)| ExportTracePartialSuccess {
                rejected_spans,
                error_message,
            });
            ExportTraceServiceResponse { partial_success }.encode_to_vec()
        }
        Signal::Metrics => {
            let partial_success = partial.map(|(rejected_data_points, error_message)| {
                ExportMetricsPartialSuccess { rejected_data_points, error_message }
            });
            ExportMetricsServiceResponse { partial_success }.encode_to_vec()
        }
        Signal::Logs => {
            let partial_success = partial.map(|(rejected_log_records, error_message)| {
                ExportLogsPartialSuccess { rejected_log_records, error_message }
            });
            ExportLogsServiceResponse { partial_success }.encode_to_vec()
        }
    }
}

/// Written by hand: JSON protobuf has 64-bit integers as strings, as the real Collector sends them; the
/// serialization of opentelemetry-proto writes a number here.
fn json(signal: Signal, partial: Option<(u64, String)>) -> Vec<u8> {
    let name = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
        Signal::Logs => "rejectedLogRecords",
    };
    let partial = match partial {
        Some((rejected, message)) => {
            serde_json::json!({ name: rejected.to_string(), "errorMessage": message })
        }
        None => serde_json::json!({}),
    };
    serde_json::json!({ "partialSuccess": partial }).to_string().into_bytes()
}

fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    // a response is a few bytes and a message given by the test
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

/// A gRPC frame of 64 bytes of which three are there.
fn short_frame() -> Bytes {
    Bytes::from_static(&[0, 0, 0, 0, 64, 0xff, 0xff, 0xff])
}

fn ok_trailers() -> Step {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    Step::Trailers(trailers)
}
