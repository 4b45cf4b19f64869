//! The console's memory stays below its bound whatever comes, and nobody who emits waits for whoever reads.
//!
//! One test: the allocator counts for the whole process.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    alloc::System,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tracewell::Telemetry;
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const LIMIT: usize = 8 << 20;
/// What is not the store's: the pipeline without exporters, threads, answers that are being written.
const REST: usize = 4 << 20;
/// Spans at most.
const FLOOD: u64 = 300_000;

fn in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// `None` when it was asked too often.
fn get(admin: SocketAddr, path: &str) -> Option<Value> {
    let mut connection = TcpStream::connect(admin).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    if head.starts_with("HTTP/1.1 429") {
        return None;
    }
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    Some(serde_json::from_str(body).unwrap())
}

fn has_evicted(store: &Value) -> bool {
    ["evicted_traces", "evicted_logs"].iter().all(|name| store[name].as_u64() > Some(0))
}

fn store(admin: SocketAddr) -> Value {
    loop {
        if let Some(overview) = get(admin, "/console/api/overview") {
            return overview["store"].clone();
        }
    }
}

#[test]
fn memory_stays_below_the_bound_under_a_flood_that_others_read() {
    let before = in_use();
    let telemetry = Telemetry::builder()
        .with_env([
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_LOGS_EXPORTER", "none"),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("TRACEWELL_CONSOLE", "true"),
            ("TRACEWELL_CONSOLE_MAX_BYTES", &LIMIT.to_string()),
            ("TRACEWELL_ADMIN_ADDR", "127.0.0.1:0"),
        ])
        .with_stdout(false)
        .build()
        .unwrap();
    let admin = telemetry.admin_address().unwrap();
    let done = AtomicBool::new(false);
    let large = "x".repeat(20_000);
    let (mut most, mut longest) = (0, Duration::ZERO);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut read = 0;
                    while !done.load(Ordering::Relaxed) {
                        for list in ["logs?limit=1000", "traces?limit=500"] {
                            let path = format!("/console/api/{list}&text=nobody+said+this");
                            read += u64::from(get(admin, &path).is_some());
                        }
                    }
                    read
                })
            })
            .collect();
        let _on = tracing_subscriber::registry().with(telemetry.layers()).set_default();
        for number in 0..FLOOD {
            // what comes faster than it is sorted in is dropped: the flood goes on until the store has been too small
            if number >= 15_000 && number % 1_000 == 0 && has_evicted(&store(admin)) {
                break;
            }
            let began = Instant::now();
            let span =
                tracing::info_span!("work", number, large = if number % 10 == 0 { &large } else { "" });
            span.in_scope(|| tracing::info!(number, "a line"));
            if number % 50 == 0 {
                span.in_scope(|| tracing::error!(large, "a large line"));
            }
            drop(span);
            longest = longest.max(began.elapsed());
            most = most.max(in_use().saturating_sub(before));
        }
        done.store(true, Ordering::Relaxed);
        assert!(readers.into_iter().all(|reader| reader.join().unwrap() > 0));
    });
    assert!(most < LIMIT + REST, "{most} bytes for a store of {LIMIT}");
    // far above what a lock costs on a busy machine, far below what a search through the store does
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    let store = store(admin);
    let number = |name: &str| store[name].as_u64().unwrap();
    assert!(number("bytes") <= LIMIT as u64 && number("bytes") > LIMIT as u64 / 2, "{store}");
    assert!(has_evicted(&store), "{store}");
    assert!(number("spans") > 100 && number("traces") == number("spans"), "{store}");
}
