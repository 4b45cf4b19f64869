//! The memory of task ids: which states of which task have been counted.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher as _, BuildHasherDefault, RandomState},
    sync::{Mutex, PoisonError},
};

use rustc_hash::FxHasher;
use tokio::time::Instant;

use super::state::{State, States};

/// Ids that are remembered at most.
pub(super) const CAPACITY: usize = 100_000;
/// For how long after it was first seen an id is remembered, in seconds.
const SECONDS: u32 = 3600;

/// What is known of the last ids, by the keyed 64-bit hash of name and id: two of 100,000 ids share a hash with a
/// probability below one in a billion, which nobody outside can raise.
///
/// 17 bytes are spent per place in the map and 16 in the queue: 4.5 MB when full, nothing before the first id.
#[derive(Debug)]
pub(super) struct Seen {
    hasher: RandomState,
    epoch: Instant,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    tasks: HashMap<u64, Known, BuildHasherDefault<FxHasher>>,
    /// The tasks, oldest first, with the second they were first seen. One that came back after its time was over is in
    /// it twice until its first place is reached.
    order: VecDeque<(u64, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// In seconds since the epoch of `Seen`.
    first_seen: u32,
    states: States,
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
        self.note_at(key, state, self.now())
    }

    fn now(&self) -> u32 {
        u32::try_from(self.epoch.elapsed().as_secs()).unwrap_or(u32::MAX)
    }

    fn note_at(&self, key: Key, state: State, now: u32) -> States {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.forget(now);
        if let Some(known) = memory.tasks.get_mut(&key.0) {
            if !is_over(known.first_seen, now) {
                let before = known.states;
                known.states = before.with(state);
                return before;
            }
        }
        memory.tasks.insert(key.0, Known { first_seen: now, states: States::default().with(state) });
        memory.order.push_back((key.0, now));
        if memory.order.len() > CAPACITY {
            memory.forget_oldest();
        }
        States::default()
    }

    /// What the task reached so far.
    pub(super) fn states(&self, key: Key) -> States {
        let now = self.now();
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let known = memory.tasks.get(&key.0).filter(|known| !is_over(known.first_seen, now));
        known.map(|known| known.states).unwrap_or_default()
    }
}

const fn is_over(first_seen: u32, now: u32) -> bool {
    now.saturating_sub(first_seen) >= SECONDS
}

impl Memory {
    /// A few at a time, so that nobody waits for the whole memory to be cleared.
    fn forget(&mut self, now: u32) {
        for _ in 0..4 {
            match self.order.front() {
                Some((_, first_seen)) if is_over(*first_seen, now) => self.forget_oldest(),
                _ => return,
            }
        }
    }

    fn forget_oldest(&mut self) {
        let Some((key, first_seen)) = self.order.pop_front() else { return };
        if self.tasks.get(&key).is_some_and(|known| known.first_seen == first_seen) {
            self.tasks.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_known(seen: &Seen, id: u32, at: u32) -> bool {
        seen.note_at(seen.key("email", &id.to_string()), State::Sent, at).has(State::Sent)
    }

    #[test]
    fn an_id_is_remembered_until_there_are_too_many() {
        let seen = Seen::new();
        let all = u32::try_from(CAPACITY).unwrap();
        assert!((0..all).all(|id| !is_known(&seen, id, 0)));
        assert!(is_known(&seen, 0, 0), "the last 100,000 are remembered");
        assert!(!is_known(&seen, all, 0));
        assert!(!is_known(&seen, 0, 0), "and no more");
        let memory = seen.memory.lock().unwrap();
        assert_eq!((memory.tasks.len(), memory.order.len()), (CAPACITY, CAPACITY));
        let places = memory.tasks.capacity().next_power_of_two();
        let bytes =
            places * (size_of::<(u64, Known)>() + 1) + memory.order.capacity() * size_of::<(u64, u32)>();
        assert!(bytes <= 4_500_000, "{bytes}");
    }

    #[test]
    fn an_id_is_remembered_for_an_hour() {
        let seen = Seen::new();
        assert!((0..100).all(|id| !is_known(&seen, id, 0)));
        assert!(is_known(&seen, 99, 3599));
        // however many are to be forgotten before it
        assert!(!is_known(&seen, 99, 3600), "an hour after it was first seen");
        assert!((100..200).all(|id| !is_known(&seen, id, 3600)));
        assert!(is_known(&seen, 99, 3601), "its first place in the queue does not end its second hour");
        let memory = seen.memory.lock().unwrap();
        assert_eq!((memory.tasks.len(), memory.order.len()), (101, 101));
    }

    #[test]
    fn names_keep_ids_apart() {
        let seen = Seen::new();
        assert_ne!(seen.key("a", "bc"), seen.key("ab", "c"));
    }
}
