//! What only the inside can show: sizes, slots, live entries, poisoned locks, lock times.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{entry::Entry, *};

/// Entries of this registry that exist anywhere: each holds its shard once, and the table does.
fn live(registry: &Registry) -> usize {
    registry.shards().iter().map(|shard| Arc::strong_count(shard) - 1).sum()
}

/// A small generator, so that a failure repeats itself.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Ends the guard in one of the ways there are, or sends it to another thread.
fn end_somehow(guard: Guard, random: &mut Random, elsewhere: &mpsc::Sender<Guard>) {
    let details = EndDetails::new(Duration::from_millis(1));
    match random.below(1000) {
        0 => {
            let unwound = catch_unwind(AssertUnwindSafe(|| {
                let _guard = guard;
                std::panic::resume_unwind(Box::new(()));
            }));
            assert!(unwound.is_err());
        }
        1..=200 => drop(guard),
        201..=300 => {
            guard.set_stage(if random.below(2) == 0 { "waiting" } else { STREAMING });
            guard.handle().annotate("n", random.0);
            guard.end(Outcome::Aborted, details);
        }
        301..=400 => elsewhere.send(guard).unwrap(),
        401..=500 => guard.end(Outcome::Failed, details.with_status(500)),
        _ => guard.end(Outcome::Completed, details.with_status(200)),
    }
}

#[test]
fn nothing_is_left_after_a_million_ends() {
    const THREADS: u64 = 8;
    const EACH: u64 = 125_000;
    let registry = Registry::new(100);
    let (elsewhere, guards) = mpsc::channel();
    thread::scope(|scope| {
        let mut threads = vec![scope.spawn(move || guards.into_iter().for_each(drop))];
        for seed in 1..=THREADS {
            let (elsewhere, registry) = (elsewhere.clone(), &registry);
            threads.push(scope.spawn(move || {
                let mut random = Random(seed);
                for _ in 0..EACH {
                    let new =
                        if random.below(4) == 0 { NewEntry::task("t") } else { NewEntry::request("GET") };
                    end_somehow(registry.start(new.with_path("/x")), &mut random, &elsewhere);
                }
            }));
        }
        drop(elsewhere);
        // a join waits for the thread's locals, and so for its spare entry; the end of a scope does not
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    let snapshot = registry.snapshot();
    assert_eq!(snapshot.totals.started + snapshot.task_totals.started, THREADS * EACH);
    for totals in [snapshot.totals, snapshot.task_totals] {
        assert_eq!(totals.active(), 0);
        assert!(Outcome::ALL.iter().all(|&outcome| totals.of(outcome) > 0), "{totals:?}");
    }
    assert_eq!((snapshot.active.len(), registry.active_count()), (0, 0));
    assert_eq!((snapshot.unlisted, snapshot.unlisted_tasks), (0, 0));
    assert_eq!(snapshot.recent.len(), 64);
    // the threads and their spare entries are gone: what exists is what the shards and the bands remember
    let remembered: usize = registry.shards().iter().map(|shard| shard.sizes().1).sum();
    let longer = registry.bands().size();
    assert!(longer <= 2 * 10 * 10, "{longer} of one route and one name");
    assert_eq!(live(&registry), remembered + longer);
    assert!(registry.shards().iter().all(|shard| shard.sizes() <= (100, 64)));
}

#[test]
fn a_dropped_registry_frees_its_shards_also_under_guards() {
    let registry = Registry::new(10);
    let shards: Vec<_> = registry.shards().iter().map(Arc::downgrade).collect();
    // a thread of its own: a spare entry would keep one shard until the thread ends
    let work = thread::spawn(move || {
        registry.start(NewEntry::request("GET")).end(Outcome::Completed, EndDetails::new(Duration::ZERO));
        let late = registry.start(NewEntry::request("GET"));
        drop(registry);
        drop(late);
    });
    work.join().unwrap();
    assert!(shards.iter().all(|shard| shard.strong_count() == 0));
}

#[test]
fn an_entry_is_small() {
    let slot = 16;
    let counts = 2 * size_of::<usize>();
    assert!(size_of::<Entry>() + counts + slot <= 200, "{}", size_of::<Entry>() + counts + slot);
}

#[test]
fn a_poisoned_shard_goes_on() {
    let registry = Registry::new(100);
    let before = registry.start(NewEntry::request("GET"));
    for shard in registry.shards() {
        assert!(catch_unwind(AssertUnwindSafe(|| shard.poison())).is_err());
    }
    let after = registry.start(NewEntry::request("PUT"));
    after.set_stage(STREAMING);
    assert_eq!(registry.snapshot().active.len(), 2);
    drop((before, after));
    let totals = registry.totals(Kind::Request);
    assert_eq!((totals.started, totals.cancelled, registry.active_count()), (2, 2, 0));
}

#[test]
fn one_thread_may_fill_the_whole_table() {
    let registry = Registry::new(1000);
    let guards: Vec<_> = (0..1003).map(|_| registry.start(NewEntry::request("GET"))).collect();
    let snapshot = registry.snapshot();
    assert_eq!((snapshot.active.len(), snapshot.unlisted, snapshot.overflowed), (1000, 3, 3));
    assert_eq!((snapshot.totals.active(), registry.active_count()), (1003, 1003));
    drop(guards);
    let again = registry.start(NewEntry::request("GET"));
    let snapshot = registry.snapshot();
    assert_eq!((snapshot.active.len(), snapshot.unlisted, snapshot.overflowed), (1, 0, 3));
    assert_eq!(snapshot.active[0].id, again.handle().id());
}

#[test]
fn slots_are_used_again() {
    let registry = Registry::new(10_000);
    for _ in 0..100 {
        let mut guards: Vec<_> = (0..50).map(|_| registry.start(NewEntry::request("GET"))).collect();
        guards.swap(3, 40);
        guards.drain(10..20);
    }
    assert_eq!(registry.shards().iter().map(|shard| shard.sizes().0).sum::<usize>(), 50);
}

#[test]
fn a_handle_never_sees_another_entry() {
    let registry = Registry::new(100);
    let handle = registry.start(NewEntry::request("GET").with_path("/mine")).handle().clone();
    // enough ends for the shard to forget the entry and for its memory to be offered again
    for _ in 0..200 {
        drop(registry.start(NewEntry::request("PUT").with_path("/other")));
    }
    assert_eq!((handle.path(), handle.method()), ("/mine", Some("GET")));
    assert!(!handle.is_active());
}

#[test]
fn ids_are_unique_over_threads_and_registries() {
    let ids = thread::scope(|scope| {
        let draw = || {
            let registries = [Registry::new(1), Registry::new(1)];
            (0..1000).map(|n| registries[n % 2].start(NewEntry::task("t")).handle().id()).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(draw)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 4000);
}

#[test]
fn texts_are_cut_between_characters() {
    assert_eq!(bounded_text::cut("aäb".into(), 2), "a");
    assert_eq!(bounded_text::cut(String::from("aäb").into(), 3), "aä");
    assert_eq!(&*bounded_text::cut_box("ää".into(), 3), "ä");
    assert_eq!(&*bounded_text::format_bounded(format_args!("{}{}{}", "xä", "ä", "z"), 4), "xä");
    assert_eq!(&*bounded_text::format_bounded(123, 256), "123");
}

#[test]
#[ignore = "a measurement"]
fn how_long_a_snapshot_holds_a_lock() {
    let registry = Registry::new(Registry::DEFAULT_CAPACITY);
    let _guards: Vec<_> = (0..100_000).map(|_| registry.start(NewEntry::request("GET"))).collect();
    let mut longest = Vec::new();
    for _ in 0..20 {
        let (mut active, mut recent) = (Vec::with_capacity(100_000), Vec::new());
        let of_one = registry.shards().iter().map(|shard| {
            let start = Instant::now();
            shard.collect(&mut active, &mut recent);
            start.elapsed()
        });
        longest.push(of_one.max().unwrap());
    }
    longest.sort();
    println!("longest hold of one lock per snapshot: median {:?}, maximum {:?}", longest[10], longest[19]);
}

#[test]
#[ignore = "a measurement"]
fn how_long_a_round_of_the_watch_takes() {
    let registry = Registry::new(Registry::DEFAULT_CAPACITY);
    let guards: Vec<_> = (0..100_000).map(|_| registry.start(NewEntry::request("GET"))).collect();
    let round = |thresholds: &Thresholds| {
        let start = Instant::now();
        (registry.flag_stuck(thresholds), start.elapsed())
    };
    println!("100,000 young entries: {:?}", round(&Thresholds::default()));
    guards.iter().for_each(|guard| guard.handle().set_stuck(true));
    println!("100,000 stuck entries: {:?}", round(&Thresholds::new(Duration::ZERO)));
}
