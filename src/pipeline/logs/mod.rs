//! Log records: one `tracing` event becomes one OTLP record and one line on stdout, with the same ids.

mod brief;
mod fields;
#[cfg(any(fuzzing, test))]
pub(super) mod fuzzing;
mod json;
mod layer;
mod messages;
mod pretty;

use std::{sync::Arc, time::Duration};

use opentelemetry::{InstrumentationScope, logs::Severity};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::{LogBatch, LogExporter as _, LogProcessor, SdkLogRecord, SdkLoggerProvider},
};

pub(super) use self::layer::LogLayer;
pub(crate) use self::layer::is_transport;
use super::{
    otlp::{Batched, Lane},
    queue::{Item, Queue},
    scrub::{Blank, Scrub},
    watch::{Watch, Watched},
};
use crate::{config::LogFormat, lines::LineWriter};

/// A record with the scope it was made in.
pub(crate) type ScopedRecord = (SdkLogRecord, Arc<InstrumentationScope>);

impl Item for ScopedRecord {
    fn is_kept_first(&self) -> bool {
        self.0.severity_number().is_some_and(|severity| severity >= Severity::Error)
    }
}

/// Lines on stdout.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    pub(crate) writer: LineWriter,
    pub(crate) format: LogFormat,
    /// Escape sequences for colour; only on a terminal.
    pub(crate) colour: bool,
}

/// Where the layer's records go.
#[derive(Debug, Clone)]
pub(crate) enum Records {
    /// Nowhere: lines only.
    None,
    /// Straight into the queue, without a copy for processors that do not exist.
    Queue(Arc<Queue<ScopedRecord>>),
    /// To whoever watches, and into the queue if there is one.
    Watched(Arc<dyn Watch>, Option<Arc<Queue<ScopedRecord>>>),
    /// Through the provider, whose processors are not all ours.
    Provider,
}

/// The logger provider: for whoever uses OpenTelemetry's log API directly, and for processors of the user's.
pub(super) fn provider(
    resource: &Resource,
    queues: impl IntoIterator<Item = Watched<ScopedRecord>>,
    added: Vec<Box<dyn LogProcessor>>,
    scrub: &Scrub,
) -> SdkLoggerProvider {
    let mut builder = SdkLoggerProvider::builder().with_resource(resource.clone());
    for added in added {
        builder = builder.with_log_processor(Added(added));
    }
    for watched in queues {
        let scrub = scrub.clone();
        builder = builder.with_log_processor(QueueProcessor { watched, scrub, blank: Blank::default() });
    }
    builder.build()
}

/// A processor of the user's.
#[derive(Debug)]
struct Added(Box<dyn LogProcessor>);

impl LogProcessor for Added {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        super::contained(|| self.0.emit(record, scope));
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

#[derive(Debug)]
struct QueueProcessor {
    watched: Watched<ScopedRecord>,
    scrub: Scrub,
    blank: Blank,
}

impl LogProcessor for QueueProcessor {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        // the record belongs to the logger, and other processors may still want it
        let (record, scope) = (self.scrub.record(record, &self.blank), Arc::new(scope.clone()));
        if let Some(watch) = &self.watched.watch {
            watch.record(&record, &scope);
        }
        if let Some(queue) = &self.watched.queue {
            queue.push((record, scope));
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends log records.
#[derive(Debug)]
pub(super) struct LogExport {
    lane: Lane<ScopedRecord>,
    exporter: opentelemetry_otlp::LogExporter,
}

impl LogExport {
    pub(super) fn new(lane: Lane<ScopedRecord>, resource: &Resource, json: bool) -> Result<Self, String> {
        use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
        let mut exporter = opentelemetry_otlp::LogExporter::builder()
            .with_http()
            .with_http_client(lane.client())
            .with_endpoint(super::otlp::NOWHERE)
            .with_protocol(super::otlp::encoding(json))
            .with_timeout(super::otlp::FOREVER)
            .with_retry_policy(super::otlp::no_retry())
            .build()
            .map_err(|error| error.to_string())?;
        exporter.set_resource(resource);
        Ok(Self { lane, exporter })
    }
}

impl Batched for LogExport {
    type Item = ScopedRecord;

    fn lane(&self) -> &Lane<ScopedRecord> {
        &self.lane
    }

    async fn export(&self, batch: Vec<ScopedRecord>) -> OTelSdkResult {
        let records: Vec<_> = batch.iter().map(|(record, scope)| (record, &**scope)).collect();
        self.exporter.export(LogBatch::new(&records)).await
    }
}
