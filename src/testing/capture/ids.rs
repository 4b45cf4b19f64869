//! Ids that count, so that a test's text with ids in it is always the same.

use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::{SpanId, TraceId};
use opentelemetry_sdk::trace::IdGenerator;

/// The next trace id and the next span id.
#[derive(Debug)]
pub(super) struct SequentialIds {
    traces: AtomicU64,
    spans: AtomicU64,
}

impl SequentialIds {
    /// 0 is no id.
    pub(super) fn from(first: u64) -> Self {
        let first = first.max(1);
        Self { traces: AtomicU64::new(first), spans: AtomicU64::new(first) }
    }
}

impl IdGenerator for SequentialIds {
    fn new_trace_id(&self) -> TraceId {
        TraceId::from(u128::from(self.traces.fetch_add(1, Ordering::Relaxed)))
    }

    fn new_span_id(&self) -> SpanId {
        SpanId::from(self.spans.fetch_add(1, Ordering::Relaxed))
    }
}
