//! Where the service's threads leave what the store is to keep: a copy and two short locks, bounded by bytes.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::Thread,
};

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::{logs::SdkLogRecord, trace::SpanData};

use super::size;
use crate::pipeline::Watch;

/// What waits to be stored. What comes when it is full is counted and not kept: nobody waits.
#[derive(Debug)]
pub(super) struct Intake {
    waiting: Mutex<Batch>,
    /// Bytes that wait or are being stored.
    bytes: AtomicUsize,
    limit: usize,
    closed: AtomicBool,
    lost_spans: AtomicU64,
    lost_logs: AtomicU64,
    feeder: OnceLock<Thread>,
}

/// What came since the last look, each with its size.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) spans: Vec<(SpanData, usize)>,
    pub(super) logs: Vec<(SdkLogRecord, Arc<InstrumentationScope>, usize)>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty() && self.logs.is_empty()
    }
}

impl Intake {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            bytes: AtomicUsize::new(0),
            limit,
            closed: AtomicBool::new(false),
            lost_spans: AtomicU64::new(0),
            lost_logs: AtomicU64::new(0),
            feeder: OnceLock::new(),
        }
    }

    /// Who is woken when much waits.
    pub(super) fn set_feeder(&self, feeder: Thread) {
        // it is started once
        let _ = self.feeder.set(feeder);
    }

    pub(super) fn take(&self) -> Batch {
        std::mem::take(&mut *self.lock())
    }

    /// So many bytes that were taken are stored, or dropped.
    pub(super) fn settle(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let left = self.take();
        self.settle(left.spans.iter().map(|(_, size)| size).sum());
        self.settle(left.logs.iter().map(|(_, _, size)| size).sum());
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Spans and log records that came when it was full.
    pub(super) fn lost(&self) -> (u64, u64) {
        (self.lost_spans.load(Ordering::Relaxed), self.lost_logs.load(Ordering::Relaxed))
    }

    /// Whether there is room for so much; then it is taken.
    fn has_room(&self, size: usize) -> bool {
        if self.closed.load(Ordering::Relaxed) {
            return false;
        }
        let before = self.bytes.fetch_add(size, Ordering::Relaxed);
        if before + size > self.limit {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            return false;
        }
        let half = self.limit / 2;
        if before < half && before + size >= half {
            if let Some(feeder) = self.feeder.get() {
                feeder.unpark();
            }
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Batch> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Intake {
    fn span(&self, span: &SpanData) {
        let size = size::span(span);
        if self.has_room(size) {
            let span = span.clone();
            self.lock().spans.push((span, size));
        } else {
            self.lost_spans.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn record(&self, record: &SdkLogRecord, scope: &Arc<InstrumentationScope>) {
        let size = size::record(record);
        if self.has_room(size) {
            let record = record.clone();
            self.lock().logs.push((record, Arc::clone(scope), size));
        } else {
            self.lost_logs.fetch_add(1, Ordering::Relaxed);
        }
    }
}
