//! Looking back: what ended, grouped by route and latency, and one entry in full.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc as StdArc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    ActiveEntry, EntryId, Kind, RecentEntry, Registry,
    latency_bands::{self, KEPT, LATENCIES},
    log_lines::LogLine,
    shard::Ended,
    sync::Arc,
};

/// What ended last of one route, or of the tasks of one name.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct History {
    /// Requests or tasks.
    pub kind: Kind,
    /// The route, empty for requests that none matched; the name of tasks.
    pub name: StdArc<str>,
    /// How many are active now.
    pub active: usize,
    /// By latency, shortest first.
    pub latencies: Vec<LatencyBand>,
    /// The last ten that failed or panicked, latest first.
    pub errors: Vec<RecentEntry>,
    /// The last ten that were cancelled or aborted, latest first.
    pub given_up: Vec<RecentEntry>,
}

/// Entries that took at least so long.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LatencyBand {
    /// The lower end; there is no upper one.
    pub from: Duration,
    /// The last ten of them, latest first.
    pub recent: Vec<RecentEntry>,
}

/// One entry, in full.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Found {
    /// It is active.
    Active(ActiveEntry, Vec<LogLine>),
    /// It has ended.
    Ended(RecentEntry, Vec<LogLine>),
}

impl Registry {
    /// What ended last, by route or task name and by latency: ten of at least 0, 50, 100, 200 and 500 ms, 1, 10 and 100 s,
    /// ten errors and ten that were given up.
    ///
    /// Exact but for entries that ended well in under 50 ms: of these each shard keeps its last 64, and of older ones
    /// one per millisecond. What is beyond 128 routes, or names of tasks, shares the place of one. Costs about as much as a
    /// [`snapshot`](Self::snapshot).
    #[must_use]
    pub fn history(&self) -> Vec<History> {
        let (mut active, mut ended) = (Vec::new(), Vec::new());
        for shard in self.shards() {
            shard.collect(&mut active, &mut ended);
        }
        self.bands().collect(&mut ended);
        let mut seen = HashSet::new();
        ended.retain(|ended| seen.insert(ended.entry.id));
        ended.sort_by_cached_key(|ended| std::cmp::Reverse((ended.at(), ended.entry.id)));
        let mut groups: BTreeMap<(usize, StdArc<str>), Group<'_>> = BTreeMap::new();
        for entry in &active {
            let group = groups.entry((entry.kind.index(), latency_bands::group_name(entry))).or_default();
            group.active += 1;
        }
        for ended in &ended {
            let key = (ended.entry.kind.index(), latency_bands::group_name(&ended.entry));
            groups.entry(key).or_default().add(ended);
        }
        groups.into_iter().map(|((kind, name), group)| group.show(Kind::ALL[kind], name)).collect()
    }

    /// One entry in full, active or among those that are remembered. Looks at every entry: for operators, not for programs.
    #[must_use]
    pub fn find(&self, id: EntryId) -> Option<Found> {
        let mut active = Vec::new();
        for shard in self.shards() {
            shard.pick(|entry| entry.id == id, &mut active);
        }
        if let Some(entry) = active.pop() {
            return Some(Found::Active(ActiveEntry::new(&entry, Instant::now()), lines(&entry)));
        }
        let mut ended = Vec::new();
        for shard in self.shards() {
            shard.collect(&mut active, &mut ended);
        }
        self.bands().collect(&mut ended);
        let ended = ended.into_iter().find(|ended| ended.entry.id == id)?;
        Some(Found::Ended(RecentEntry::new(&ended), lines(&ended.entry)))
    }
}

fn lines(entry: &Arc<super::entry::Entry>) -> Vec<LogLine> {
    entry.with_state(|state| state.details.as_ref().map(|details| details.lines.kept())).unwrap_or_default()
}

#[derive(Default)]
struct Group<'a> {
    active: usize,
    latencies: [Vec<&'a Ended>; LATENCIES.len()],
    errors: Vec<&'a Ended>,
    given_up: Vec<&'a Ended>,
}

impl<'a> Group<'a> {
    /// Comes latest first.
    fn add(&mut self, ended: &'a Ended) {
        let band = latency_bands::band(ended.details.duration);
        let mut lists: Vec<_> = self.latencies[..=band].iter_mut().collect();
        if latency_bands::is_error(ended.outcome) {
            lists.push(&mut self.errors);
        }
        if latency_bands::is_given_up(ended.outcome) {
            lists.push(&mut self.given_up);
        }
        for list in lists.into_iter().filter(|list| list.len() < KEPT) {
            list.push(ended);
        }
    }

    fn show(self, kind: Kind, name: StdArc<str>) -> History {
        let all = |list: Vec<&Ended>| list.into_iter().map(RecentEntry::new).collect();
        History {
            kind,
            name,
            active: self.active,
            latencies: std::iter::zip(LATENCIES, self.latencies)
                .map(|(from, recent)| LatencyBand { from, recent: all(recent) })
                .collect(),
            errors: all(self.errors),
            given_up: all(self.given_up),
        }
    }
}
