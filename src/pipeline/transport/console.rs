//! The `console` exporter: each request as one line of OTLP JSON on stdout.

use super::SendError;
use crate::{config::Signal, line_writer::LineWriter, pipeline::encode};

#[derive(Debug)]
pub(super) struct ConsoleWire {
    pub(super) signal: Signal,
    pub(super) lines: LineWriter,
}

impl ConsoleWire {
    pub(super) fn print(&self, request: &[u8]) -> Result<(), SendError> {
        let mut line = encode::json(self.signal, request).map_err(SendError::rejected)?;
        line.push('\n');
        self.lines.write(line.as_bytes());
        Ok(())
    }
}
