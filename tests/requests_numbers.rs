//! The registry's numbers, measured: `cargo test --release --test requests_numbers -- --ignored --nocapture --test-threads 1`.

use std::{
    hint::black_box,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use tracewell::requests::{EndDetails, Guard, NewEntry, Outcome, Registry};

fn cycles(registry: &Registry, count: u32) -> f64 {
    let (wall, start) = (SystemTime::now(), Instant::now());
    for _ in 0..count {
        let guard = registry.start(black_box(NewEntry::request("GET").with_start(wall, start)));
        guard.end(Outcome::Completed, EndDetails::new(Duration::from_millis(1)).with_status(200));
    }
    start.elapsed().as_nanos() as f64 / f64::from(count)
}

fn best(mut measure: impl FnMut() -> f64) -> f64 {
    (0..20).map(|_| measure()).fold(f64::INFINITY, f64::min)
}

fn filled(count: usize) -> (Registry, Vec<Guard>) {
    let registry = Registry::new(Registry::DEFAULT_CAPACITY);
    let guards = (0..count).map(|_| registry.start(NewEntry::request("GET"))).collect();
    (registry, guards)
}

#[test]
#[ignore = "a measurement"]
fn insert_and_remove() {
    let empty = Registry::new(Registry::DEFAULT_CAPACITY);
    println!("insert + remove, nothing else active: {:.1} ns", best(|| cycles(&empty, 2_000_000)));
    let (registry, _guards) = filled(100_000);
    println!("insert + remove, 100,000 active: {:.1} ns", best(|| cycles(&registry, 200_000)));
    let clocks = best(|| {
        let start = Instant::now();
        for _ in 0..100_000 {
            black_box((SystemTime::now(), Instant::now()));
        }
        start.elapsed().as_nanos() as f64 / 1e5
    });
    println!("for comparison, the two clock readings of a start: {clocks:.1} ns");
}

#[test]
#[ignore = "a measurement"]
fn threads() {
    for count in [1, 2, 4, 8] {
        let registry = Registry::new(Registry::DEFAULT_CAPACITY);
        let each = best(|| {
            let barrier = Barrier::new(count);
            let times: Vec<_> = thread::scope(|scope| {
                let run = || {
                    barrier.wait();
                    let start = Instant::now();
                    cycles(&registry, 200_000);
                    (start, Instant::now())
                };
                let workers: Vec<_> = (0..count).map(|_| scope.spawn(run)).collect();
                workers.into_iter().map(|worker| worker.join().unwrap()).collect()
            });
            // from the first start to the last end: threads wait for a core as well
            let (first, last) =
                (times.iter().map(|time| time.0).min(), times.iter().map(|time| time.1).max());
            (last.unwrap() - first.unwrap()).as_nanos() as f64 / (count as f64 * 2e5)
        });
        println!("{count} threads: {each:.1} ns of wall time per insert + remove");
    }
}

#[test]
#[ignore = "a measurement"]
fn snapshot_of_100_000() {
    let (registry, _guards) = filled(100_000);
    let start = Instant::now();
    assert_eq!(registry.snapshot().active.len(), 100_000);
    println!("a snapshot takes {:?}", start.elapsed());

    // the longest start + end of a thread that runs while snapshots are taken, against the same without them
    for snapshots in [false, true] {
        let done = AtomicBool::new(false);
        let longest = thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let mut longest = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    drop(registry.start(NewEntry::request("GET")));
                    longest.push(start.elapsed());
                }
                longest.sort();
                (
                    longest[longest.len() - 1],
                    longest[longest.len() - longest.len() / 10_000 - 1],
                    longest.len(),
                )
            });
            let until = Instant::now() + Duration::from_secs(2);
            while Instant::now() < until {
                if snapshots {
                    black_box(registry.snapshot());
                }
            }
            done.store(true, Ordering::Relaxed);
            worker.join().unwrap()
        });
        println!("snapshots: {snapshots}; longest, 99.99th percentile, count: {longest:?}");
    }
}
