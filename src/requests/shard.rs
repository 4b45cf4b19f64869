//! One shard of the table: its entries, its totals and its ended entries, all under one lock.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    EndDetails, Kind, Outcome, Totals,
    drain::IdleSignal,
    entry::{ACTIVE, ENDED, Entry, IN_STREAM},
    latency_bands::{self, Bands},
    sync::{Arc, AtomicUsize, Mutex, Ordering, lock},
};

/// Ended entries each shard keeps, so that the last so many of the whole table are always among them.
pub(super) const RECENT: usize = 64;

/// Of entries that ended well and fast, a shard hands on at most one per so much time when it forgets them.
const BETWEEN_FAST: Duration = Duration::from_millis(1);

/// The slot of an entry that is counted but not listed.
const UNLISTED: u32 = u32::MAX;

/// The end of the list of free slots.
const NONE: u32 = u32::MAX;

/// Aligned so that two shards never share a cache line (or the pair of lines that is fetched together).
#[repr(align(128))]
pub(super) struct Shard {
    capacity: usize,
    idle: Arc<IdleSignal>,
    bands: Arc<Bands>,
    /// How many log lines of a request are kept; 0 = none.
    pub(super) log_lines: AtomicUsize,
    /// `State::listed`, for looking for room without the lock. Written under it.
    listed: AtomicUsize,
    state: Mutex<State>,
}

/// What the lock protects. Each critical section leaves it whole: an entry goes in or out together with its count.
#[derive(Default)]
struct State {
    slots: Vec<Slot>,
    /// The first free slot plus one; 0 = none.
    free: u32,
    listed: usize,
    tallies: [Tally; 2],
    /// A ring: `oldest` is the next one to be forgotten, once there are `RECENT`.
    recent: Vec<Ended>,
    oldest: usize,
    /// When the next fast one to be handed on starts, at the earliest.
    next_fast: Option<Instant>,
    /// The registry is gone: nobody will look at ended entries again.
    closed: bool,
}

enum Slot {
    Used(Arc<Entry>),
    /// The next free slot, as in `State::free`.
    Free(u32),
}

/// The numbers of one kind of entries in one shard.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) totals: Totals,
    pub(super) active: u64,
    /// Active entries in stage `streaming`.
    pub(super) streams: u64,
    /// Active entries the table had no room for.
    pub(super) unlisted: u64,
    /// All entries the table ever had no room for.
    pub(super) overflowed: u64,
    /// Streams that went back to being something to wait for.
    unstreamed: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.totals.add(&other.totals);
        self.active += other.active;
        self.streams += other.streams;
        self.unlisted += other.unlisted;
        self.overflowed += other.overflowed;
        self.unstreamed += other.unstreamed;
    }

    /// Grows whenever something to wait for appears.
    pub(super) fn arrivals(&self) -> u64 {
        self.totals.started + self.unstreamed
    }

    pub(super) fn only_streams(&self) -> bool {
        self.active == self.streams
    }
}

/// An entry that has ended, and how.
#[derive(Clone)]
pub(super) struct Ended {
    pub(super) entry: Arc<Entry>,
    pub(super) outcome: Outcome,
    pub(super) details: EndDetails,
    /// Spawned tasks that were still running.
    pub(super) tasks: u32,
}

impl Ended {
    pub(super) fn at(&self) -> Option<Instant> {
        self.entry.started.checked_add(self.details.duration)
    }
}

/// The place an entry holds in its shard, to be given back to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place(u32);

impl Shard {
    pub(super) fn new(capacity: usize, idle: Arc<IdleSignal>, bands: Arc<Bands>) -> Self {
        let (log_lines, listed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { capacity, idle, bands, log_lines, listed, state: Mutex::default() }
    }

    /// Whether there seems to be room. A hint: only `insert` knows.
    pub(super) fn has_room(&self) -> bool {
        self.listed.load(Ordering::Relaxed) < self.capacity
    }

    /// Lists and counts the entry; `None`, and nothing done, when the shard is full.
    #[inline]
    pub(super) fn insert(&self, entry: &Arc<Entry>) -> Option<Place> {
        let mut state = lock(&self.state);
        if state.listed >= self.capacity {
            return None;
        }
        let slot = state.put(Arc::clone(entry));
        state.listed += 1;
        self.listed.store(state.listed, Ordering::Relaxed);
        state.tallies[entry.kind.index()].start();
        Some(Place(slot))
    }

    /// Counts an entry that no shard has room for.
    pub(super) fn insert_unlisted(&self, kind: Kind) -> Place {
        let mut state = lock(&self.state);
        let tally = &mut state.tallies[kind.index()];
        tally.start();
        tally.unlisted += 1;
        tally.overflowed += 1;
        Place(UNLISTED)
    }

    /// Takes the entry out and counts its outcome, in one step. Once per entry: the guard sees to that.
    #[inline]
    pub(super) fn remove(&self, entry: &Arc<Entry>, place: Place, outcome: Outcome, details: EndDetails) {
        let tasks = entry.tasks();
        let mut state = lock(&self.state);
        let listed = state.take(place.0);
        if listed.is_some() {
            state.listed = state.listed.saturating_sub(1);
            self.listed.store(state.listed, Ordering::Relaxed);
        }
        let tally = &mut state.tallies[entry.kind.index()];
        // every change of the phase is under this lock: no need for a swap
        let streamed = entry.phase.load(Ordering::Relaxed) == IN_STREAM;
        entry.phase.store(ENDED, Ordering::Relaxed);
        tally.end(outcome, listed.is_some(), streamed);
        let quiet = entry.kind == Kind::Request && tally.only_streams();
        let ended = Ended { entry: listed.unwrap_or_else(|| Arc::clone(entry)), outcome, details, tasks };
        let evicted = state.remember(ended);
        let kept_longer = evicted.as_ref().is_some_and(|ended| state.is_worth_more(ended));
        drop(state);
        // memory is given back outside of the lock
        match evicted {
            Some(ended) if kept_longer => self.keep_longer(ended),
            Some(Ended { entry, .. }) => Entry::keep_spare(entry),
            None => {}
        }
        if quiet {
            self.ring();
        }
    }

    #[cold]
    fn keep_longer(&self, ended: Ended) {
        for Ended { entry, .. } in self.bands.keep(ended).into_iter().flatten() {
            Entry::keep_spare(entry);
        }
    }

    /// Counts the entry as a stream, or no longer; nothing once it has ended. Whether to `ring` afterwards, without a lock.
    pub(super) fn set_streaming(&self, entry: &Entry, streams: bool) -> bool {
        let mut state = lock(&self.state);
        let (from, to) = if streams { (ACTIVE, IN_STREAM) } else { (IN_STREAM, ACTIVE) };
        if entry.phase.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return false;
        }
        let tally = &mut state.tallies[entry.kind.index()];
        if streams {
            tally.streams += 1;
        } else {
            tally.streams = tally.streams.saturating_sub(1);
            tally.unstreamed += 1;
        }
        entry.kind == Kind::Request && tally.only_streams()
    }

    /// Wakes those who wait for idleness: foreign code, so no lock may be held.
    pub(super) fn ring(&self) {
        self.idle.ring();
    }

    pub(super) fn tally(&self, kind: Kind) -> Tally {
        lock(&self.state).tallies[kind.index()]
    }

    /// Copies the lists and numbers, all of one moment. Holds the lock for clones of `Arc`s and nothing else.
    pub(super) fn collect(&self, active: &mut Vec<Arc<Entry>>, recent: &mut Vec<Ended>) -> [Tally; 2] {
        // room is made before the lock is taken; the margin is for those that arrive in between
        active.reserve(self.listed.load(Ordering::Relaxed) + 64);
        recent.reserve(RECENT);
        let state = lock(&self.state);
        active.extend(state.slots.iter().filter_map(|slot| match slot {
            Slot::Used(entry) => Some(Arc::clone(entry)),
            Slot::Free(_) => None,
        }));
        recent.extend(state.recent.iter().cloned());
        state.tallies
    }

    /// Adds the listed entries that `wanted` picks. It runs under the lock: a look at the entry and nothing else.
    pub(super) fn pick(&self, wanted: impl Fn(&Entry) -> bool, found: &mut Vec<Arc<Entry>>) {
        let state = lock(&self.state);
        found.extend(state.slots.iter().filter_map(|slot| match slot {
            Slot::Used(entry) if wanted(entry) => Some(Arc::clone(entry)),
            _ => None,
        }));
    }

    /// Forgets the ended entries, now and from now on. They hold the shard, so that it would never be freed.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let recent = std::mem::take(&mut state.recent);
        drop(state);
        drop(recent);
    }

    /// How many slots and ended entries it has.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.slots.len(), state.recent.len())
    }

    /// Panics while holding the lock.
    #[cfg(test)]
    pub(super) fn poison(&self) {
        let _state = lock(&self.state);
        panic!("poison");
    }
}

impl State {
    fn put(&mut self, entry: Arc<Entry>) -> u32 {
        if let Some(slot) = self.free.checked_sub(1) {
            if let Some(place) = self.slots.get_mut(slot as usize) {
                if let Slot::Free(next) = *place {
                    self.free = next;
                }
                *place = Slot::Used(entry);
                return slot;
            }
        }
        self.slots.push(Slot::Used(entry));
        u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
    }

    fn take(&mut self, slot: u32) -> Option<Arc<Entry>> {
        let place = self.slots.get_mut(slot as usize)?;
        match std::mem::replace(place, Slot::Free(self.free)) {
            Slot::Used(entry) => {
                self.free = slot + 1;
                Some(entry)
            }
            free @ Slot::Free(_) => {
                *place = free;
                None
            }
        }
    }

    /// Whether a forgotten entry goes on to the bands: all that were slow or went wrong, and of the others some.
    #[inline]
    fn is_worth_more(&mut self, ended: &Ended) -> bool {
        if self.closed {
            return false;
        }
        if ended.outcome != Outcome::Completed || ended.details.duration >= latency_bands::LATENCIES[1] {
            return true;
        }
        // by its start: a comparison and no sum
        let started = ended.entry.started;
        let due = self.next_fast.is_none_or(|next| started >= next);
        if due {
            self.next_fast = started.checked_add(BETWEEN_FAST);
        }
        due
    }

    /// Keeps an ended entry and hands out the one to be forgotten for it.
    fn remember(&mut self, ended: Ended) -> Option<Ended> {
        if self.closed {
            return Some(ended);
        }
        if self.recent.len() < RECENT {
            self.recent.push(ended);
            return None;
        }
        let place = self.recent.get_mut(self.oldest)?;
        self.oldest = (self.oldest + 1) % RECENT;
        Some(std::mem::replace(place, ended))
    }
}

impl Tally {
    fn start(&mut self) {
        self.totals.started += 1;
        self.active += 1;
    }

    fn end(&mut self, outcome: Outcome, listed: bool, streamed: bool) {
        self.totals.count(outcome);
        self.active = self.active.saturating_sub(1);
        self.streams = self.streams.saturating_sub(u64::from(streamed));
        self.unlisted = self.unlisted.saturating_sub(u64::from(!listed));
    }
}
