//! Records below the filter, kept with their request or task in case it fails: bounded in bytes for each and in all.

use std::{
    any::Any,
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use opentelemetry::logs::{AnyValue, LogRecord as _};
use opentelemetry_sdk::logs::SdkLogRecord;

use super::outlets::{Outlets, Ways};
use crate::{
    config::OnFailure,
    requests::{Current, Held},
};

/// On the first record that is given out: how many before it were not kept. No convention has a name for it.
const NOT_KEPT: &str = "tracewell.log.not_kept";
/// Attributes a record has room for in itself.
const INLINE: usize = 5;

/// What all requests and tasks share.
#[derive(Debug)]
pub(super) struct Bounds {
    each: usize,
    all: usize,
    used: AtomicUsize,
}

impl Bounds {
    pub(super) fn new(config: &OnFailure) -> Arc<Self> {
        Arc::new(Self { each: config.bytes, all: config.total_bytes, used: AtomicUsize::new(0) })
    }

    fn take(&self, bytes: usize) -> bool {
        let within = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.all);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Keeps a record with the request or task for the ways out it would go.
pub(super) fn hold(
    entry: &Current,
    outlets: &Arc<Outlets>,
    bounds: &Arc<Bounds>,
    record: SdkLogRecord,
    ways: Ways,
) {
    let bytes = size(&record);
    let kept = Box::new(Kept { record, ways, bytes });
    let make = || HeldRecords {
        outlets: Arc::clone(outlets),
        bounds: Arc::clone(bounds),
        records: VecDeque::new(),
        bytes: 0,
        not_kept: 0,
    };
    // what has to go is freed outside of the entry's lock
    let gone = entry.hold(make, |held: &mut HeldRecords| held.add(kept, outlets));
    drop(gone);
}

struct Kept {
    record: SdkLogRecord,
    ways: Ways,
    bytes: usize,
}

struct HeldRecords {
    outlets: Arc<Outlets>,
    bounds: Arc<Bounds>,
    records: VecDeque<Box<Kept>>,
    bytes: usize,
    not_kept: u64,
}

impl HeldRecords {
    /// Adds a record; what has no place is handed out.
    fn add(&mut self, kept: Box<Kept>, outlets: &Arc<Outlets>) -> VecDeque<Box<Kept>> {
        let mut gone = VecDeque::new();
        // another pipeline's record is not ours to give out
        if !Arc::ptr_eq(&self.outlets, outlets) {
            gone.push_back(kept);
            return gone;
        }
        // the last ones tell most
        while self.bytes + kept.bytes > self.bounds.each {
            let Some(oldest) = self.records.pop_front() else { break };
            self.bytes -= oldest.bytes;
            self.bounds.give_back(oldest.bytes);
            self.not_kept += 1;
            gone.push_back(oldest);
        }
        if self.bytes + kept.bytes <= self.bounds.each && self.bounds.take(kept.bytes) {
            self.bytes += kept.bytes;
            self.records.push_back(kept);
        } else {
            self.not_kept += 1;
            gone.push_back(kept);
        }
        gone
    }
}

impl Held for HeldRecords {
    fn give_out(mut self: Box<Self>, entry: &Current) {
        let mut not_kept = std::mem::take(&mut self.not_kept);
        while let Some(kept) = self.records.pop_front() {
            let Kept { mut record, ways, bytes } = *kept;
            self.bytes -= bytes;
            self.bounds.give_back(bytes);
            if not_kept > 0 {
                let count = i64::try_from(std::mem::take(&mut not_kept)).unwrap_or(i64::MAX);
                record.add_attribute(NOT_KEPT, count);
            }
            self.outlets.put(record, ways, Some(entry));
        }
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl Drop for HeldRecords {
    fn drop(&mut self) {
        self.bounds.give_back(self.bytes);
    }
}

/// The memory of a record, nearly: what it holds, and the place in the list.
fn size(record: &SdkLogRecord) -> usize {
    let own = size_of::<Kept>() + 2 * size_of::<Box<Kept>>();
    let beyond = record.attributes_iter().count().saturating_sub(INLINE);
    let attributes: usize =
        record.attributes_iter().map(|(key, value)| key.as_str().len() + value_size(value)).sum();
    own + beyond * size_of::<(opentelemetry::Key, AnyValue)>()
        + attributes
        + record.body().map_or(0, value_size)
}

fn value_size(value: &AnyValue) -> usize {
    const PLACE: usize = size_of::<AnyValue>();
    match value {
        AnyValue::String(text) => text.as_str().len(),
        AnyValue::Bytes(bytes) => bytes.len(),
        AnyValue::ListAny(values) => values.iter().map(|value| PLACE + value_size(value)).sum(),
        AnyValue::Map(values) => {
            values.iter().map(|(key, value)| 2 * PLACE + key.as_str().len() + value_size(value)).sum()
        }
        _ => 0,
    }
}
