//! Spans and log records as OTLP requests, written straight from the SDK's data.
//!
//! ```text
//! batch ─► grouped by scope ─► ResourceSpans / ResourceLogs ─► one buffer of protobuf ─► transport
//!                                     └─ its resource was encoded once, as the exporter started
//! ```
//!
//! Nothing in between: opentelemetry-otlp makes a copy of every name and value on the way, and measures each message
//! before it writes it, which cost more than all that a request does for its telemetry. Metrics, of which there are few, go
//! through opentelemetry-proto's types, and so does OTLP in JSON ([`json`]).

mod groups;
mod json;
mod logs;
mod spans;
#[cfg(test)]
mod tests;
mod values;
mod wire;

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_sdk::{Resource, trace::SpanData};

pub(super) use self::json::json;
use self::{groups::Groups, wire::Wire};
use super::logs::ScopedRecord;

/// What most items are shorter than: room for a batch, made once.
const USUAL: usize = 512;

/// The resource of all requests, encoded.
#[derive(Debug)]
pub(super) struct About {
    /// `ResourceSpans.resource`, which has the same number as `ResourceLogs.resource`.
    resource: Vec<u8>,
    schema_url: String,
}

impl About {
    pub(super) fn new(resource: &Resource) -> Self {
        let mut wire = Wire::with_capacity(USUAL);
        wire.message(1, |wire| {
            for (key, value) in resource {
                values::pair(wire, 1, key.as_str(), |wire| values::value(wire, value));
            }
        });
        let schema_url = resource.schema_url().unwrap_or_default().to_owned();
        Self { resource: wire.into_bytes(), schema_url }
    }

    /// An `ExportTraceServiceRequest`.
    pub(super) fn spans(&self, batch: &[SpanData]) -> Vec<u8> {
        let mut groups = Groups::default();
        for span in batch {
            let scope = &span.instrumentation_scope;
            groups.add(scope.name(), scope, span);
        }
        self.request(batch.len(), &groups, spans::span)
    }

    /// An `ExportLogsServiceRequest`. A record's target is the name of its scope.
    pub(super) fn logs(&self, batch: &[ScopedRecord]) -> Vec<u8> {
        let mut groups = Groups::default();
        for (record, scope) in batch {
            groups.add(record.target().map_or(scope.name(), AsRef::as_ref), scope, record);
        }
        self.request(batch.len(), &groups, logs::record)
    }

    /// Both requests have the same shape, down to the numbers of their fields.
    fn request<T>(&self, items: usize, groups: &Groups<'_, T>, each: impl Fn(&mut Wire, &T)) -> Vec<u8> {
        let mut wire = Wire::with_capacity(self.resource.len() + items * USUAL);
        wire.message(1, |wire| {
            wire.encoded(&self.resource);
            for group in groups.iter() {
                wire.message(2, |wire| {
                    wire.message(1, |wire| values::scope(wire, group.scope, group.name));
                    for item in &group.items {
                        wire.message(2, |wire| each(wire, item));
                    }
                    wire.text(3, group.scope.schema_url().unwrap_or_default());
                });
            }
            wire.text(3, &self.schema_url);
        });
        wire.into_bytes()
    }
}

/// Nanoseconds since 1970; 0, which OTLP takes for unknown, before it.
fn nanos(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
