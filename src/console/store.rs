//! The store of traces and log records: bounded by bytes and age, whole traces in and whole traces out.
//!
//! When room is needed, the trace goes that has not changed for longest, ordinary ones before the slowest of their kind
//! and these before failed ones, as long as failed ones fill no more than a half and slow ones no more than a quarter: a
//! storm of errors leaves room for what explains it. A log record goes with its trace. Spans that come for a trace that
//! went are not kept: half a trace would pass for a whole one.

use std::{
    collections::{BTreeMap, HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
    time::{Duration, Instant},
};

use opentelemetry::TraceId;

use super::{
    evicted::Evicted,
    slowest::Slowest,
    trace::{self, OVERHEAD, Rank, Standing, StoredLog, StoredSpan, Summary, Trace},
};

/// What a log record takes in tables beside itself.
const LOG_OVERHEAD: usize = 96;
/// Traces whose change is remembered for whoever follows.
const CHANGES: usize = 4096;

/// The bounds of a store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes: usize,
    pub(super) age: Duration,
}

/// How full it is, and what went.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fill {
    pub(crate) bytes: usize,
    pub(crate) traces: usize,
    pub(crate) spans: usize,
    pub(crate) logs: usize,
    pub(crate) evicted_traces: u64,
    pub(crate) evicted_logs: u64,
    /// Spans not kept: their trace had gone, or was too large.
    pub(crate) dropped_spans: u64,
}

/// What was taken out, to be dropped when the lock is released.
#[derive(Debug, Default)]
pub(super) struct Freed(Vec<Trace>, Vec<Arc<StoredLog>>);

#[derive(Debug)]
pub(super) struct Store {
    bounds: Bounds,
    traces: HashMap<TraceId, Trace>,
    /// Those with spans, in the order in which they came.
    listed: BTreeMap<u64, TraceId>,
    /// By rank and last change; one that has changed since gets its place when it would be the first to go.
    queues: [BTreeMap<u64, TraceId>; 3],
    /// Traces of each rank, and their bytes.
    ranked: [usize; 3],
    rank_bytes: [usize; 3],
    logs: BTreeMap<u64, Arc<StoredLog>>,
    /// The numbers of those without a trace.
    loose: VecDeque<u64>,
    loose_bytes: usize,
    gone: Evicted,
    slowest: Slowest,
    changes: VecDeque<(u64, TraceId)>,
    /// The number of the last item or change.
    last: u64,
    fill: Fill,
}

impl Store {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            traces: HashMap::new(),
            listed: BTreeMap::new(),
            queues: Default::default(),
            ranked: [0; 3],
            rank_bytes: [0; 3],
            logs: BTreeMap::new(),
            loose: VecDeque::new(),
            loose_bytes: 0,
            gone: Evicted::new((bounds.bytes / 4096).max(1024)),
            slowest: Slowest::default(),
            changes: VecDeque::new(),
            last: 0,
            fill: Fill::default(),
        }
    }

    pub(super) fn add_span(&mut self, span: &Arc<StoredSpan>, now: Instant, freed: &mut Freed) {
        let id = span.data.span_context.trace_id();
        self.last += 1;
        let (number, size, most) = (self.last, span.size, self.bounds.bytes / 4);
        let added = Arc::clone(span);
        let mut is_first = false;
        let is_kept = self.touch(id, size, now, |trace| {
            if trace.span_bytes + size > most {
                trace.spans_dropped += 1;
                return false;
            }
            trace.add(added);
            is_first = trace.number.is_none();
            trace.number = trace.number.or(Some(number));
            true
        });
        if !is_kept {
            self.fill.dropped_spans += 1;
            return self.make_room(freed);
        }
        self.fill.spans += 1;
        if is_first {
            self.listed.insert(number, id);
            self.fill.traces += 1;
        }
        if trace::standing(&span.data) > Standing::Child {
            self.rank_by_duration(id, &span.data.name, trace::duration(&span.data));
        }
        self.make_room(freed);
    }

    pub(super) fn add_log(&mut self, mut log: StoredLog, now: Instant, freed: &mut Freed) {
        self.last += 1;
        let number = self.last;
        log.number = number;
        log.size += LOG_OVERHEAD;
        let (size, is_error, most) = (log.size, log.is_error(), self.bounds.bytes / 8);
        let mut is_long = false;
        let has_trace = log.trace_id().is_some_and(|id| {
            self.touch(id, size, now, |trace| {
                trace.logs.push_back(number);
                trace.log_bytes += size;
                trace.error_logs += u32::from(is_error);
                is_long = trace.log_bytes > most;
                true
            })
        });
        let id = log.trace_id();
        self.logs.insert(number, Arc::new(log));
        self.fill.logs += 1;
        if !has_trace {
            self.loose.push_back(number);
            self.loose_bytes += size;
            self.fill.bytes += size;
        }
        if let Some(id) = id.filter(|_| is_long) {
            self.shorten(id, most, freed);
        }
        self.make_room(freed);
    }

    /// Changes a trace, or begins it, unless it has gone; `change` says whether it has taken so many bytes.
    fn touch(
        &mut self,
        id: TraceId,
        size: usize,
        now: Instant,
        change: impl FnOnce(&mut Trace) -> bool,
    ) -> bool {
        let number = self.last;
        let trace = match self.traces.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if self.gone.contains(&id) => return false,
            Entry::Vacant(place) => {
                self.queues[Rank::Ordinary as usize].insert(number, id);
                self.ranked[Rank::Ordinary as usize] += 1;
                self.rank_bytes[Rank::Ordinary as usize] += OVERHEAD;
                self.fill.bytes += OVERHEAD;
                place.insert(Trace::new(now))
            }
        };
        if !change(trace) {
            return false;
        }
        trace.touched = now;
        trace.changed = number;
        self.fill.bytes += size;
        self.rank_bytes[trace.rank as usize] += size;
        let (old, new) = (trace.rank, rank(trace));
        if self.changes.back().is_some_and(|(_, last)| *last == id) {
            self.changes.pop_back();
        } else if self.changes.len() >= CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back((number, id));
        if old != new {
            self.move_to(id, new);
        }
        true
    }

    /// A trace that never ends may log for ever: then the oldest of its records go.
    fn shorten(&mut self, id: TraceId, limit: usize, freed: &mut Freed) {
        let Some(trace) = self.traces.get_mut(&id) else { return };
        while trace.log_bytes > limit && trace.logs.len() > 1 {
            let Some(log) = trace.logs.pop_front().and_then(|number| self.logs.remove(&number)) else {
                break;
            };
            trace.log_bytes -= log.size;
            self.rank_bytes[trace.rank as usize] -= log.size;
            self.fill.bytes -= log.size;
            self.fill.logs -= 1;
            self.fill.evicted_logs += 1;
            freed.1.push(log);
        }
    }

    fn rank_by_duration(&mut self, id: TraceId, name: &str, duration: Duration) {
        let change = self.slowest.offer(name, duration, id);
        for (id, is_slow) in change.into_iter().flatten() {
            let Some(trace) = self.traces.get_mut(&id) else { continue };
            trace.is_slow = is_slow;
            let rank = rank(trace);
            self.move_to(id, rank);
        }
    }

    fn move_to(&mut self, id: TraceId, rank: Rank) {
        let Some(trace) = self.traces.get_mut(&id) else { return };
        if trace.rank == rank {
            return;
        }
        let left = std::mem::replace(&mut trace.rank, rank);
        self.rank_bytes[left as usize] -= trace.bytes();
        self.rank_bytes[rank as usize] += trace.bytes();
        self.ranked[left as usize] -= 1;
        self.ranked[rank as usize] += 1;
        self.queues[rank as usize].insert(trace.changed, id);
        // its entry in the other queue is passed over there, and swept once such entries are many
        if self.queues[left as usize].len() > 2 * self.ranked[left as usize] + 64 {
            let traces = &self.traces;
            self.queues[left as usize].retain(|_, id| traces.get(id).is_some_and(|trace| trace.rank == left));
        }
    }

    /// Takes out what is too much.
    fn make_room(&mut self, freed: &mut Freed) {
        let limit = self.bounds.bytes;
        while self.fill.bytes > limit {
            let [_, slow, error] = self.rank_bytes;
            let went = (self.loose_bytes > limit / 4 && self.evict_loose(freed))
                || (error > limit / 2 && self.evict(Rank::Error, None, freed))
                || (slow > limit / 4 && self.evict(Rank::Slow, None, freed))
                || self.evict(Rank::Ordinary, None, freed)
                || self.evict_loose(freed)
                || self.evict(Rank::Slow, None, freed)
                || self.evict(Rank::Error, None, freed);
            if !went {
                return;
            }
        }
    }

    /// Takes out what is too old.
    pub(super) fn expire(&mut self, now: Instant, freed: &mut Freed) {
        let Some(oldest) = now.checked_sub(self.bounds.age) else { return };
        for rank in [Rank::Ordinary, Rank::Slow, Rank::Error] {
            while self.evict(rank, Some(oldest), freed) {}
        }
        let is_old = |store: &Self| {
            let log = store.loose.front().and_then(|number| store.logs.get(number));
            log.is_some_and(|log| log.came < oldest)
        };
        while is_old(self) && self.evict_loose(freed) {}
    }

    fn evict_loose(&mut self, freed: &mut Freed) -> bool {
        let Some(log) = self.loose.pop_front().and_then(|number| self.logs.remove(&number)) else {
            return false;
        };
        self.loose_bytes -= log.size;
        self.fill.bytes -= log.size;
        self.fill.logs -= 1;
        self.fill.evicted_logs += 1;
        freed.1.push(log);
        true
    }

    /// Takes out the trace of a rank that has not changed for longest, if that is since `before`.
    fn evict(&mut self, rank: Rank, before: Option<Instant>, freed: &mut Freed) -> bool {
        loop {
            let queue = &mut self.queues[rank as usize];
            let Some((change, id)) = queue.first_key_value().map(|(change, id)| (*change, *id)) else {
                return false;
            };
            let Some(trace) = self.traces.get(&id).filter(|trace| trace.rank == rank) else {
                queue.pop_first();
                continue;
            };
            if trace.changed > change {
                queue.pop_first();
                queue.insert(trace.changed, id);
                continue;
            }
            if before.is_some_and(|before| trace.touched >= before) {
                return false;
            }
            queue.pop_first();
            self.remove(id, freed);
            return true;
        }
    }

    fn remove(&mut self, id: TraceId, freed: &mut Freed) {
        let Some(trace) = self.traces.remove(&id) else { return };
        self.ranked[trace.rank as usize] -= 1;
        self.rank_bytes[trace.rank as usize] -= trace.bytes();
        self.fill.bytes -= trace.bytes();
        if let Some(number) = trace.number {
            self.listed.remove(&number);
            self.fill.traces -= 1;
            self.fill.evicted_traces += 1;
        }
        self.fill.spans -= trace.spans.len();
        self.fill.logs -= trace.logs.len();
        self.fill.evicted_logs += trace.logs.len() as u64;
        freed.1.extend(trace.logs.iter().filter_map(|number| self.logs.remove(number)));
        if trace.is_slow {
            self.slowest.forget(id);
        }
        self.gone.insert(id);
        freed.0.push(trace);
    }

    pub(super) fn fill(&self) -> Fill {
        self.fill
    }

    /// The number of the last change.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn spans(&self, id: TraceId) -> Option<Vec<Arc<StoredSpan>>> {
        self.traces.get(&id).map(|trace| trace.spans.clone()).filter(|spans| !spans.is_empty())
    }

    pub(super) fn logs_of(&self, id: TraceId) -> Vec<Arc<StoredLog>> {
        let numbers = self.traces.get(&id).map(|trace| &trace.logs).into_iter().flatten();
        numbers.filter_map(|number| self.logs.get(number)).cloned().collect()
    }

    /// Traces before this number, the newest first, `most` at most.
    pub(super) fn summaries(&self, before: u64, most: usize) -> Vec<Summary> {
        let listed = self.listed.range(..before).rev().take(most);
        listed.filter_map(|(_, id)| self.traces.get(id)?.summary(*id)).collect()
    }

    /// Traces that have changed since, the oldest change first.
    pub(super) fn changed_since(&self, change: u64, most: usize) -> Vec<Summary> {
        let from = self.changes.partition_point(|(number, _)| *number <= change);
        let changes = self.changes.range(from..);
        // of several changes of one trace the last counts
        let last = |(number, id): &&(u64, TraceId)| {
            self.traces.get(id).is_some_and(|trace| trace.changed == *number)
        };
        changes.filter(last).take(most).filter_map(|(_, id)| self.traces.get(id)?.summary(*id)).collect()
    }

    /// Log records before this number, the newest first, `most` at most.
    pub(super) fn logs_before(&self, before: u64, most: usize) -> Vec<Arc<StoredLog>> {
        self.logs.range(..before).rev().take(most).map(|(_, log)| Arc::clone(log)).collect()
    }

    /// Log records after this number, the oldest first, `most` at most; how many there are beyond, and the last number.
    pub(super) fn logs_after(&self, after: u64, most: usize) -> (Vec<Arc<StoredLog>>, usize, u64) {
        let mut newer = self.logs.range(after + 1..).map(|(_, log)| log);
        let taken = newer.by_ref().take(most).map(Arc::clone).collect();
        (taken, newer.count(), self.last)
    }
}

fn rank(trace: &Trace) -> Rank {
    match (trace.errors > 0 || trace.error_logs > 0, trace.is_slow) {
        (true, _) => Rank::Error,
        (false, true) => Rank::Slow,
        (false, false) => Rank::Ordinary,
    }
}
