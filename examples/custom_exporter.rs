//! Shows: parts of one's own beside OTLP: a span exporter of another kind, behind the SDK's own processor, and a log
//! processor that adds to every record. Types of the SDK come from `tracewell::otel`, which has the version in use.
//!
//! Run with: `cargo run --example custom_exporter`

use std::{error::Error, io::Write as _, time::Duration};

use tracewell::{
    Telemetry,
    otel::{
        AddProcessors as _,
        api::{InstrumentationScope, logs::LogRecord as _},
        sdk::{
            error::{OTelSdkError, OTelSdkResult},
            logs::{LogProcessor, SdkLogRecord},
            trace::{SimpleSpanProcessor, SpanData, SpanExporter},
        },
    },
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let telemetry = Telemetry::builder()
        .default_service_name("custom-exporter")
        // with a slow exporter: BatchSpanProcessor, which does its work on a thread of its own
        .with_span_processor(SimpleSpanProcessor::new(Lines))
        .with_log_processor(Shift { name: "night" })
        .install()?;
    tracing::info_span!("round").in_scope(|| {
        tracing::info_span!("door", number = 4).in_scope(|| tracing::info!("locked"));
    });
    telemetry.shutdown().await?;
    Ok(())
}

/// Exports spans as lines on stderr.
#[derive(Debug)]
struct Lines;

impl SpanExporter for Lines {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        for span in batch {
            let trace = span.span_context.trace_id();
            let time = span.end_time.duration_since(span.start_time).unwrap_or_default();
            writeln!(std::io::stderr(), "span {trace} {} {time:?}", span.name)
                .map_err(|error| OTelSdkError::InternalFailure(error.to_string()))?;
        }
        Ok(())
    }
}

/// Says in every log record who is on duty.
#[derive(Debug)]
struct Shift {
    name: &'static str,
}

impl LogProcessor for Shift {
    /// Runs where the event happens: quick, and never logging itself.
    fn emit(&self, record: &mut SdkLogRecord, _: &InstrumentationScope) {
        record.add_attribute("shift", self.name);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
