//! OTLP in JSON, from the same bytes that would have gone out as protobuf.

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use prost::Message;

use crate::config::Signal;

/// One line, without a break at its end.
///
/// # Errors
/// The cause as a sentence: bytes that are no request of this signal, or nested deeper than 100 messages.
pub(in crate::pipeline) fn json(signal: Signal, protobuf: &[u8]) -> Result<String, String> {
    match signal {
        Signal::Traces => of::<ExportTraceServiceRequest>(protobuf, serde_json::to_string),
        Signal::Metrics => of::<ExportMetricsServiceRequest>(protobuf, serde_json::to_string),
        Signal::Logs => of::<ExportLogsServiceRequest>(protobuf, serde_json::to_string),
    }
}

fn of<M: Message + Default>(
    protobuf: &[u8],
    write: impl Fn(&M) -> serde_json::Result<String>,
) -> Result<String, String> {
    let never = |error: &dyn std::fmt::Display| format!("the request cannot be written as JSON: {error}");
    let message = M::decode(protobuf).map_err(|error| never(&error))?;
    write(&message).map_err(|error| never(&error))
}
