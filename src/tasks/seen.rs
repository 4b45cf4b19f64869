//! The memory of task ids: which states of which task have been counted.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    hash::{BuildHasher as _, BuildHasherDefault, RandomState},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustc_hash::FxHasher;

use super::state::{State, States};

/// Ids that are remembered at most.
pub(super) const CAPACITY: usize = 100_000;
/// For how long after it was first seen an id is remembered, in seconds.
const SECONDS: u32 = 3600;

/// What is known of the last ids, by the keyed 64-bit hash of name and id: two of 100,000 ids share a hash with a
/// probability below one in a billion, which nobody outside can raise.
///
/// 24 bytes are spent per place in the map and 8 to 16 in the queue: 6 MB when full, nothing before the first id.
#[derive(Debug)]
pub(super) struct Seen {
    hasher: RandomState,
    epoch: Instant,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    states: HashMap<u64, States, BuildHasherDefault<FxHasher>>,
    /// The keys of `states`, oldest first, with the second they were first seen.
    order: VecDeque<(u64, u32)>,
}

/// A task with an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(u64);

impl Seen {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), epoch: Instant::now(), memory: Mutex::default() }
    }

    pub(super) fn key(&self, name: &str, id: &str) -> Key {
        Key(self.hasher.hash_one((name, id)))
    }

    /// Notes that the task reached `state`; which states it had reached before.
    pub(super) fn note(&self, key: Key, state: State) -> States {
        self.note_at(key, state, self.epoch.elapsed())
    }

    fn note_at(&self, key: Key, state: State, at: Duration) -> States {
        let now = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.forget(|first_seen| now.saturating_sub(first_seen) >= SECONDS);
        let Memory { states, order } = &mut *memory;
        match states.entry(key.0) {
            Entry::Occupied(mut known) => {
                let before = *known.get();
                known.insert(before.with(state));
                before
            }
            Entry::Vacant(place) => {
                place.insert(States::default().with(state));
                order.push_back((key.0, now));
                if order.len() > CAPACITY {
                    if let Some((oldest, _)) = order.pop_front() {
                        states.remove(&oldest);
                    }
                }
                States::default()
            }
        }
    }

    /// What the task reached so far.
    pub(super) fn states(&self, key: Key) -> States {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.states.get(&key.0).copied().unwrap_or_default()
    }
}

impl Memory {
    /// A few at a time, so that nobody waits for the whole memory to be cleared.
    fn forget(&mut self, is_old: impl Fn(u32) -> bool) {
        for _ in 0..4 {
            match self.order.front() {
                Some((key, first_seen)) if is_old(*first_seen) => {
                    self.states.remove(key);
                    self.order.pop_front();
                }
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_remembered_for_an_hour_or_until_there_are_too_many() {
        let seen = Seen::new();
        let note = |id: u64, at: u64| {
            let key = seen.key("email", &id.to_string());
            seen.note_at(key, State::Sent, Duration::from_secs(at)).has(State::Sent)
        };
        assert!(!note(0, 0));
        assert!(note(0, 3599));
        assert!(!note(0, 3600), "an hour after it was first seen");
        for id in 1..CAPACITY as u64 {
            assert!(!note(id, 3600));
        }
        assert!(note(0, 3600), "the last 100,000 are remembered");
        assert!(!note(CAPACITY as u64, 3600));
        assert!(!note(0, 3600), "and no more");
        let memory = seen.memory.lock().unwrap();
        assert_eq!((memory.states.len(), memory.order.len()), (CAPACITY, CAPACITY));
        let bytes = memory.states.capacity() * 8 / 7 * 17 + memory.order.capacity() * 16;
        assert!(bytes <= 6_000_000, "{bytes}");
    }

    #[test]
    fn names_keep_ids_apart() {
        let seen = Seen::new();
        assert_ne!(seen.key("a", "bc"), seen.key("ab", "c"));
    }
}
