//! The bounded, sharded table of active entries.

use std::{fmt, sync::OnceLock};

use super::{
    Current, Guard, Kind, NewEntry, Snapshot, Totals,
    drain::IdleSignal,
    entry::Entry,
    id::thread_number,
    latency_bands::Bands,
    log_lines,
    shard::{Shard, Tally},
    sync::{Arc, Ordering},
};

/// Entries a shard should have at most: a snapshot holds one shard's lock for so many clones, well under a millisecond.
const SHARD_CAPACITY: usize = 4096;
const MAX_SHARDS: usize = 256;

/// The table of active requests and tasks. Clones share one table.
///
/// An entry goes into the shard of the thread that starts it (the next one with room when that is full) and leaves through
/// its [`Guard`]. List and totals of a shard change together under the shard's lock, so in every [`Snapshot`] what was
/// started is what has ended plus what is active.
///
/// The table lists at most its capacity of entries. What comes on top is counted in the totals and in
/// [`Snapshot::unlisted`], has its handle as usual, and is missing from the list only. An entry costs less than 200 bytes,
/// plus its path, annotations and stages; slots once used are kept (16 bytes each), and 64 ended entries per shard. Of
/// each route, and of each name of tasks, ten ended entries per latency are kept besides, for
/// [`history`](Self::history): 12,900 at most of each kind.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Shards>,
}

impl Registry {
    /// The capacity of the global registry: 131,072 entries, more requests at once than one process serves well.
    pub const DEFAULT_CAPACITY: usize = 131_072;

    /// The registry of the process, made at first use.
    pub fn global() -> &'static Self {
        static GLOBAL: OnceLock<Registry> = OnceLock::new();
        GLOBAL.get_or_init(|| Self::new(Self::DEFAULT_CAPACITY))
    }

    /// A registry of its own that lists up to `capacity` entries.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let threads = std::thread::available_parallelism().map_or(4, usize::from);
        let count =
            (threads.saturating_mul(4)).clamp(8, 64).max(capacity.div_ceil(SHARD_CAPACITY)).min(MAX_SHARDS);
        Self::with_shards(capacity, count.next_power_of_two())
    }

    /// With so many shards, a power of two.
    pub(super) fn with_shards(capacity: usize, count: usize) -> Self {
        Self { inner: Arc::new(Shards::new(capacity, count)) }
    }

    /// Lists a request or task until the guard is dropped.
    pub fn start(&self, new: NewEntry) -> Guard {
        let shard = self.inner.with_room();
        let entry = Entry::shared(new, shard);
        match shard.insert(&entry) {
            Some(place) => Guard::new(Current(entry), place),
            None => self.start_crowded(entry),
        }
    }

    /// The way of an entry whose shard is full: another shard, else counted only.
    #[cold]
    fn start_crowded(&self, mut entry: Arc<Entry>) -> Guard {
        for shard in self.inner.shards.iter().filter(|shard| shard.has_room()) {
            // nobody else has seen the entry yet
            let Some(own) = Arc::get_mut(&mut entry) else { break };
            own.shard = Arc::clone(shard);
            if let Some(place) = shard.insert(&entry) {
                return Guard::new(Current(entry), place);
            }
        }
        let place = entry.shard.insert_unlisted(entry.kind);
        Guard::new(Current(entry), place)
    }

    /// All active entries, the totals and the entries that ended last.
    ///
    /// One shard is locked at a time, for as long as its references are copied; everything is formatted afterwards.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let (mut active, mut recent) = (Vec::new(), Vec::new());
        let mut tallies = [Tally::default(); 2];
        for shard in &self.inner.shards {
            let own = shard.collect(&mut active, &mut recent);
            for (sum, tally) in tallies.iter_mut().zip(&own) {
                sum.add(tally);
            }
        }
        Snapshot::new(active, recent, tallies)
    }

    /// How many requests are active, whether listed or not.
    #[must_use]
    pub fn active_count(&self) -> usize {
        usize::try_from(self.tally(Kind::Request).active).unwrap_or(usize::MAX)
    }

    /// The totals of one kind of entries.
    #[must_use]
    pub fn totals(&self, kind: Kind) -> Totals {
        self.tally(kind).totals
    }

    fn tally(&self, kind: Kind) -> Tally {
        let mut sum = Tally::default();
        for shard in &self.inner.shards {
            sum.add(&shard.tally(kind));
        }
        sum
    }

    /// Whether there was a moment during the call at which no request was active (but streams, if they do not count).
    pub(super) fn is_idle(&self, streams_count: bool) -> bool {
        let read = || {
            let mut arrivals = 0_u64;
            for shard in &self.inner.shards {
                let tally = shard.tally(Kind::Request);
                let idle = if streams_count { tally.active == 0 } else { tally.only_streams() };
                if !idle {
                    return None;
                }
                arrivals = arrivals.wrapping_add(tally.arrivals());
            }
            Some(arrivals)
        };
        // shards are read one by one: only if nothing arrived in any of them since its first reading
        // were all of them idle at the moment between the two rounds
        loop {
            let (Some(first), Some(second)) = (read(), read()) else { return false };
            if first == second {
                return true;
            }
        }
    }

    pub(super) fn idle_signal(&self) -> &Arc<IdleSignal> {
        &self.inner.idle
    }

    pub(super) fn bands(&self) -> &Bands {
        &self.inner.bands
    }

    pub(super) fn shards(&self) -> &[Arc<Shard>] {
        &self.inner.shards
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new(Self::DEFAULT_CAPACITY)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("active", &self.active_count()).finish_non_exhaustive()
    }
}

struct Shards {
    /// A power of two of them.
    shards: Box<[Arc<Shard>]>,
    idle: Arc<IdleSignal>,
    bands: Arc<Bands>,
}

impl Shards {
    fn new(capacity: usize, count: usize) -> Self {
        let (idle, bands) = (Arc::new(IdleSignal::new()), Arc::new(Bands::default()));
        let shards = (0..count).map(|index| {
            let own = capacity / count + usize::from(index < capacity % count);
            Arc::new(Shard::new(own, Arc::clone(&idle), Arc::clone(&bands)))
        });
        Self { shards: shards.collect(), idle, bands }
    }
}

impl Shards {
    /// The thread's own shard, or the next one after it that seems to have room, or the own one when none has.
    #[inline]
    fn with_room(&self) -> &Arc<Shard> {
        let home = thread_number() & (self.shards.len() - 1);
        let own = &self.shards[home];
        if own.has_room() {
            return own;
        }
        let (before, from) = self.shards.split_at(home);
        from.iter().chain(before).find(|shard| shard.has_room()).unwrap_or(own)
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        let kept = self.shards.first().map_or(0, |shard| shard.log_lines.load(Ordering::Relaxed));
        log_lines::count_keeping(kept, 0);
        for shard in &self.shards {
            shard.close();
        }
        self.bands.close();
    }
}
