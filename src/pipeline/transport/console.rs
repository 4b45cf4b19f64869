//! The `console` exporter: each request as one line of OTLP JSON on stdout.

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use prost::Message as _;

use super::{Payload, SendError};
use crate::{config::Signal, line_writer::LineWriter};

#[derive(Debug)]
pub(super) struct ConsoleWire {
    pub(super) signal: Signal,
    pub(super) lines: LineWriter,
}

impl ConsoleWire {
    pub(super) fn print(&self, payload: &Payload) -> Result<(), SendError> {
        let json = if payload.json { compact(&payload.body) } else { self.decode(&payload.body) };
        let mut line = json.ok_or_else(|| SendError::rejected("the request could not be shown as JSON"))?;
        line.push('\n');
        self.lines.write(line.as_bytes());
        Ok(())
    }

    fn decode(&self, body: &[u8]) -> Option<String> {
        match self.signal {
            Signal::Traces => serde_json::to_string(&ExportTraceServiceRequest::decode(body).ok()?).ok(),
            Signal::Metrics => serde_json::to_string(&ExportMetricsServiceRequest::decode(body).ok()?).ok(),
            Signal::Logs => serde_json::to_string(&ExportLogsServiceRequest::decode(body).ok()?).ok(),
        }
    }
}

/// opentelemetry-otlp spreads its JSON over lines.
fn compact(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<serde_json::Value>(body).ok().map(|value| value.to_string())
}
