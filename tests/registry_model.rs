//! The registry, model-checked: loom runs it in every order that its locks and atomics allow, up to three preemptions.
//!
//! `cargo test --test registry_model`
//!
//! The registry's own files are compiled here with loom's locks, atomics and thread locals in the place of
//! `src/requests/sync.rs`, so that neither a flag for the whole build nor a copy of the code is needed.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "a part of the crate, used in part")]

use std::time::Duration;

use loom::{model::Builder, thread};
use requests::{EndDetails, Guard, Kind, NewEntry, Outcome, Registry, STREAMING, Snapshot};

#[path = "../src/timestamp.rs"]
mod timestamp;

#[path = "../src/requests"]
mod requests {
    mod bounded_text;
    mod calls;
    mod details;
    mod drain;
    mod entry;
    mod guard;
    mod handle;
    mod id;
    mod kept_records;
    mod latency_bands;
    mod log_lines;
    mod new_entry;
    mod outcome;
    mod registry;
    mod shard;
    mod snapshot;

    mod sync {
        pub(super) use loom::sync::{
            Arc, Mutex, MutexGuard,
            atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering},
        };

        pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
            mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        }

        macro_rules! thread_local_of_the_model {
            ($(#[$attribute:meta])* static $name:ident: $type:ty = const { $init:expr };) => {
                loom::thread_local! { $(#[$attribute])* static $name: $type = $init; }
            };
        }
        pub(super) use thread_local_of_the_model as thread_local;
    }

    pub(crate) use self::{
        details::{Annotation, Stage},
        drain::DrainReport,
        guard::Guard,
        handle::{Current, STREAMING},
        id::EntryId,
        new_entry::{Kind, NewEntry},
        outcome::{EndDetails, Outcome},
        registry::Registry,
        snapshot::{ActiveEntry, RecentEntry, Snapshot, Totals},
    };

    /// All loom threads are one thread to the system, so all start at the same shard: the hardest case.
    pub(crate) fn registry(capacity: usize, shards: usize) -> Registry {
        Registry::with_shards(capacity, shards)
    }

    pub(crate) fn is_idle(registry: &Registry, streams_count: bool) -> bool {
        registry.is_idle(streams_count)
    }
}

/// Runs a model; none may take longer than the tests of this file together should: 60 s.
fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_branches = 20_000;
    builder.max_duration = Some(Duration::from_secs(12));
    builder.check(model);
}

fn end(guard: Guard, outcome: Outcome) {
    guard.end(outcome, EndDetails::new(Duration::from_millis(1)));
}

fn start(registry: &Registry) -> Guard {
    registry.start(NewEntry::request("GET"))
}

fn assert_identity(snapshot: &Snapshot) {
    let active = snapshot.active.len() as u64 + snapshot.unlisted;
    assert_eq!(snapshot.totals.started, snapshot.totals.ended() + active, "{:?}", snapshot.totals);
}

fn assert_empty(registry: &Registry, ended: u64) {
    let snapshot = registry.snapshot();
    assert_eq!((snapshot.totals.started, snapshot.totals.ended()), (ended, ended));
    assert_eq!((snapshot.active.len(), snapshot.unlisted, registry.active_count()), (0, 0, 0));
    assert!(requests::is_idle(registry, false) && requests::is_idle(registry, true));
}

#[test]
fn a_snapshot_agrees_with_itself_while_entries_come_and_go() {
    check(|| {
        let registry = requests::registry(8, 1);
        let kept = start(&registry);
        let threads = [Outcome::Completed, Outcome::Failed].map(|outcome| {
            let registry = registry.clone();
            thread::spawn(move || end(start(&registry), outcome))
        });
        let snapshot = registry.snapshot();
        assert_identity(&snapshot);
        assert_eq!(snapshot.active[0].id, kept.handle().id());
        for thread in threads {
            thread.join().unwrap();
        }
        drop(kept);
        assert_empty(&registry, 3);
    });
}

#[test]
fn a_stage_set_while_the_entry_ends_leaves_no_stream_behind() {
    check(|| {
        let registry = requests::registry(8, 1);
        let guard = start(&registry);
        let handle = guard.handle().clone();
        let setter = thread::spawn(move || {
            handle.set_stage(STREAMING);
            handle.set_stage("writing");
            handle.set_stage(STREAMING);
        });
        let ender = thread::spawn(move || end(guard, Outcome::Aborted));
        let snapshot = registry.snapshot();
        assert_identity(&snapshot);
        let stages = snapshot.active.iter().map(|entry| entry.stages.len());
        assert!(stages.max().unwrap_or(0) <= 3);
        setter.join().unwrap();
        ender.join().unwrap();
        assert_empty(&registry, 1);
    });
}

#[test]
fn a_full_table_lists_what_it_can_and_counts_the_rest() {
    check(|| {
        let registry = requests::registry(1, 1);
        let other = registry.clone();
        let thread = thread::spawn(move || {
            let guard = start(&other);
            assert_identity(&other.snapshot());
            guard
        });
        let own = start(&registry);
        let guards = (own, thread.join().unwrap());
        let snapshot = registry.snapshot();
        assert_eq!((snapshot.active.len(), snapshot.unlisted, snapshot.overflowed), (1, 1, 1));
        drop(guards);
        assert_empty(&registry, 2);
        drop(start(&registry));
        assert_eq!(registry.snapshot().overflowed, 1, "there is room again");
    });
}

#[test]
fn a_table_that_is_never_idle_is_never_said_to_be() {
    check(|| {
        // one place per shard: the second entry goes into the second shard
        let registry = requests::registry(2, 2);
        let first = start(&registry);
        let other = registry.clone();
        let relay = thread::spawn(move || {
            let second = start(&other);
            drop(first);
            let third = start(&other);
            drop(second);
            third
        });
        assert!(!requests::is_idle(&registry, true));
        drop(relay.join().unwrap());
        assert_empty(&registry, 3);
    });
}

#[test]
fn memory_used_again_never_shows_through_an_old_handle() {
    check(|| {
        let registry = requests::registry(8, 1);
        let guard = registry.start(NewEntry::request("GET").with_path("/mine"));
        let handle = guard.handle().clone();
        let reader = thread::spawn(move || {
            handle.set_stage("late");
            assert_eq!(handle.path(), "/mine");
        });
        // with a duration of its own: a clock's would make the model depend on how busy the machine is
        end(guard, Outcome::Cancelled);
        // a shard remembers 64 entries that ended, and the bands ten that were cancelled: after one more, the first one's
        // memory is offered to the next
        for _ in 0..75 {
            end(start(&registry), Outcome::Cancelled);
        }
        let other = registry.start(NewEntry::request("PUT").with_path("/other"));
        assert_eq!((other.handle().path(), other.handle().stage()), ("/other", None));
        reader.join().unwrap();
    });
}
