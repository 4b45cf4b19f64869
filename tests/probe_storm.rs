//! A storm of probes over real sockets: each check runs once, nobody is refused, and liveness stays quick.
//!
//! The numbers, by hand: `cargo test --test probe_storm -- --ignored --nocapture`
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tracewell::{Telemetry, health::Check, requests::Registry};

struct Service {
    telemetry: Telemetry,
    address: SocketAddr,
    runs: Arc<AtomicUsize>,
    _runtime: tokio::runtime::Runtime,
}

/// With one check, and a service's runtime that is one thread.
fn service() -> Service {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let check = Check::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { tokio::time::sleep(Duration::from_millis(20)).await }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let variables = [
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("TRACEWELL_ADMIN_ADDR", "127.0.0.1:0"),
    ];
    let builder =
        Telemetry::builder().with_env(variables).with_registry(Registry::new(64)).with_stdout(false);
    let telemetry = builder.with_health_check("database", check).build().unwrap();
    telemetry.health().set_ready();
    let address = telemetry.admin_address().unwrap();
    drop(_inside);
    Service { telemetry, address, runs, _runtime: runtime }
}

/// Probes on one connection, one after the other.
struct Prober {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Prober {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: vec![0; 4096] }
    }

    fn status(&mut self, path: &str) -> u16 {
        // as a stranger: the answer is a status, and fits one read
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 192.0.2.7\r\n\r\n");
        self.stream.write_all(request.as_bytes()).unwrap();
        let mut length = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[length..]).unwrap();
            assert!(read > 0, "closed");
            length += read;
            let answer = std::str::from_utf8(&self.buffer[..length]).unwrap();
            if answer.ends_with('}') {
                return answer.split(' ').nth(1).unwrap().parse().unwrap();
            }
        }
    }
}

#[test]
fn a_storm_over_sockets_runs_each_check_once_and_nobody_is_told_wrong() {
    let Service { telemetry, address, runs, _runtime } = &service();
    let probers: Vec<_> = (0..4)
        .map(|_| {
            let address = *address;
            thread::spawn(move || {
                let mut prober = Prober::new(address);
                for nth in 0..1500 {
                    let path = ["/readyz", "/livez", "/startup"][nth % 3];
                    assert_eq!(prober.status(path), 200, "{path}");
                }
            })
        })
        .collect();
    // as a kubelet has it: each on a connection of its own
    for _ in 0..300 {
        assert_eq!(Prober::new(*address).status("/livez"), 200);
    }
    for prober in probers {
        prober.join().unwrap();
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    telemetry.health().set_draining();
    assert_eq!((Prober::new(*address).status("/readyz"), Prober::new(*address).status("/livez")), (503, 200));
}

/// Median and 99th percentile of what a kubelet waits for liveness.
fn liveness(address: SocketAddr, count: usize) -> (Duration, Duration) {
    let mut times: Vec<Duration> = (0..count)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(Prober::new(address).status("/livez"), 200);
            begun.elapsed()
        })
        .collect();
    times.sort();
    (times[count / 2], times[count * 99 / 100])
}

#[test]
#[ignore = "a measurement: it takes a machine to itself"]
fn liveness_under_5000_probes_a_second() {
    const RATE: f64 = 5000.0;
    let Service { address, runs, .. } = &service();
    let address = *address;
    let idle = liveness(address, 2000);
    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let storm: Vec<_> = (0..2)
        .map(|_| {
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            thread::spawn(move || {
                let mut prober = Prober::new(address);
                while !stop.load(Ordering::Relaxed) {
                    let due = begun.elapsed().as_secs_f64() * RATE;
                    if (sent.load(Ordering::Relaxed) as f64) < due {
                        sent.fetch_add(1, Ordering::Relaxed);
                        assert_eq!(prober.status("/readyz"), 200);
                    } else {
                        thread::park_timeout(Duration::from_micros(100));
                    }
                }
            })
        })
        .collect();
    let stormy = liveness(address, 5000);
    let took = begun.elapsed();
    stop.store(true, Ordering::Relaxed);
    for prober in storm {
        prober.join().unwrap();
    }
    let sent = sent.load(Ordering::Relaxed);
    println!(
        "idle: p50 {:?} p99 {:?}; at {:.0} probes a second: p50 {:?} p99 {:?}; ratio p50 {:.2} p99 {:.2}; {} run(s) of the check",
        idle.0,
        idle.1,
        sent as f64 / took.as_secs_f64(),
        stormy.0,
        stormy.1,
        stormy.0.as_secs_f64() / idle.0.as_secs_f64(),
        stormy.1.as_secs_f64() / idle.1.as_secs_f64(),
        runs.load(Ordering::SeqCst),
    );
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}
