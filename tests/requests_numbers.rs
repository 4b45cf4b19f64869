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

fn best(measure: impl FnMut() -> f64) -> f64 {
    best_of(20, measure)
}

/// The least of many: on a busy machine, the longer a measurement the more of it is somebody else's.
fn best_of(rounds: u32, mut measure: impl FnMut() -> f64) -> f64 {
    (0..rounds).map(|_| measure()).fold(f64::INFINITY, f64::min)
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
    println!("insert + remove, nothing else active: {:.1} ns", best_of(4000, || cycles(&empty, 10_000)));
    let (registry, _guards) = filled(100_000);
    println!("insert + remove, 100,000 active: {:.1} ns", best_of(4000, || cycles(&registry, 10_000)));
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

/// What a log record of a request costs while its lines are kept, against the same while they are not.
#[test]
#[ignore = "a measurement"]
fn log_lines() {
    // the records go nowhere, but all the way to the queue
    let nowhere = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_LOG_LEVEL", "none"),
        ("TRACEWELL_SHUTDOWN_MS", "1"),
    ];
    let registry = Registry::new(8);
    let builder = tracewell::Telemetry::builder().with_env(nowhere).with_registry(registry.clone());
    let telemetry = builder.with_stdout(false).build().unwrap();
    let subscriber = tracing_subscriber::layer::SubscriberExt::with(
        tracing_subscriber::Registry::default(),
        telemetry.layers(),
    );
    let _guard = tracing::subscriber::set_default(subscriber);
    let entry = registry.start(NewEntry::request("GET"));
    let _entered = tracewell::requests::enter(entry.handle());
    for lines in [0, 20, 0, 20] {
        registry.keep_log_lines(lines);
        let each = best_of(500, || {
            let start = Instant::now();
            for product in 0..100 {
                tracing::info!(product.id = product, "product shown");
            }
            start.elapsed().as_nanos() as f64 / 100.0
        });
        println!("{lines} lines kept: {each:.0} ns per log record");
    }
}
