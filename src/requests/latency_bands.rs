//! What ended last, by route: the last ten of each latency, of errors and of what was given up.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc as StdArc,
    time::Duration,
};

use super::{
    Kind, Outcome,
    entry::Entry,
    shard::Ended,
    sync::{Arc, Mutex, lock},
};

/// Entries kept of each band.
pub(super) const KEPT: usize = 10;
/// Routes and names of tasks kept apart; further ones share one group.
const MAX_GROUPS: usize = 128;

/// The lower ends of the latency bands, those of Go's x/net/trace.
pub(super) const LATENCIES: [Duration; 8] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(100),
];
const ERRORS: usize = LATENCIES.len();
const GIVEN_UP: usize = ERRORS + 1;

/// The group of what is beyond [`MAX_GROUPS`].
pub(super) const OTHER: &str = "_OTHER";

/// The band of a duration.
pub(super) fn band(duration: Duration) -> usize {
    LATENCIES.iter().rposition(|from| duration >= *from).unwrap_or(0)
}

/// Whether it went wrong, and which list has it then.
pub(super) fn is_error(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Failed | Outcome::Panicked)
}

/// Whether it was given up before its end.
pub(super) fn is_given_up(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Cancelled | Outcome::Aborted)
}

/// What every shard hands over once it forgets it. Bounded: 10 entries × 10 bands × 129 groups of each kind.
#[derive(Default)]
pub(super) struct Bands(Mutex<Groups>);

#[derive(Default)]
struct Groups {
    closed: bool,
    /// By route, and by name.
    of_kind: [HashMap<StdArc<str>, Group>; 2],
}

#[derive(Default)]
struct Group([VecDeque<Ended>; GIVEN_UP + 1]);

impl Bands {
    /// Keeps an ended entry; what it takes the place of is handed out, to be freed without the lock.
    pub(super) fn keep(&self, ended: Ended) -> [Option<Ended>; 2] {
        let name = group_name(&ended.entry);
        let bad = match ended.outcome {
            outcome if is_error(outcome) => Some(ERRORS),
            outcome if is_given_up(outcome) => Some(GIVEN_UP),
            _ => None,
        };
        let mut groups = lock(&self.0);
        if groups.closed {
            return [Some(ended), None];
        }
        let of_kind = &mut groups.of_kind[ended.entry.kind.index()];
        let name =
            if of_kind.len() < MAX_GROUPS || of_kind.contains_key(&name) { name } else { OTHER.into() };
        let Group(bands) = of_kind.entry(name).or_default();
        let replaced = bad.and_then(|bad| put(&mut bands[bad], ended.clone()));
        [put(&mut bands[band(ended.details.duration)], ended), replaced]
    }

    /// Everything kept.
    pub(super) fn collect(&self, all: &mut Vec<Ended>) {
        let groups = lock(&self.0);
        let kept = groups.of_kind.iter().flat_map(HashMap::values).flat_map(|Group(bands)| bands);
        all.extend(kept.flatten().cloned());
    }

    /// How many entries are kept.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        let mut all = Vec::new();
        self.collect(&mut all);
        all.iter().map(|ended| ended.entry.id).collect::<std::collections::HashSet<_>>().len()
    }

    /// Forgets everything, now and from now on: entries hold their shards, which hold this.
    pub(super) fn close(&self) {
        let mut groups = lock(&self.0);
        groups.closed = true;
        let kept = std::mem::take(&mut groups.of_kind);
        drop(groups);
        drop(kept);
    }
}

fn put(band: &mut VecDeque<Ended>, ended: Ended) -> Option<Ended> {
    let oldest = if band.len() >= KEPT { band.pop_front() } else { None };
    band.push_back(ended);
    oldest
}

/// A request's route, empty where none matched; a task's name.
pub(super) fn group_name(entry: &Arc<Entry>) -> StdArc<str> {
    match entry.kind {
        Kind::Request => entry.with_state(|state| state.route.clone()).unwrap_or_default(),
        Kind::Task => entry.name(None).into(),
    }
}
