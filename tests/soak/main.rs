//! Mixed load with faults for as long as one asks; then everything must add up, and memory must be flat.
//!
//! `cargo test --test soak` takes 5 s, `cargo test --release --test soak -- --seconds 3600` an hour; so does
//! `TRACEWELL_SOAK_SECONDS=3600`. The seed is printed: `--seed` or `TRACEWELL_SOAK_SEED` plays the same game again, as
//! far as the machine's own timing allows.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;
mod dice;
mod faults;
mod load;

use std::{
    alloc::System,
    cell::RefCell,
    collections::HashMap,
    io::Write as _,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use libtest_mimic::{Arguments, Trial};
use prost::Message as _;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::{runtime::Runtime, task::JoinSet, time::Instant};
use tracewell::{
    Telemetry,
    requests::{Kind, Registry, Totals},
    testing::{
        Collector, Export, Signal,
        proto::metrics::v1::{metric::Data, number_data_point::Value},
    },
};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::{app::Extra, dice::Dice};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CLIENTS: u64 = 24;
const PATIENCE: Duration = Duration::from_secs(60);
/// Rounds after which everything that grows once has grown.
const WARM_UP: usize = 2;
/// Live bytes that the end may have over the warm-up: what lists and tables grow by at a new peak of concurrency.
const GROWTH: isize = 2 * 1024 * 1024;

fn main() -> ExitCode {
    let mut settings = Settings::from_environment();
    let mut rest = Vec::new();
    let mut given = std::env::args();
    while let Some(argument) = given.next() {
        let mut number = || given.next().and_then(|text| text.parse().ok()).expect("a number");
        match argument.as_str() {
            "--seconds" => settings.seconds = number(),
            "--seed" => settings.seed = number(),
            _ => rest.push(argument),
        }
    }
    let trial = Trial::test("after_the_soak_everything_adds_up_and_memory_is_flat", move || {
        soak(settings);
        Ok(())
    });
    libtest_mimic::run(&Arguments::from_iter(rest), vec![trial]).exit_code()
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    seconds: u64,
    seed: u64,
}

impl Settings {
    fn from_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self {
            seconds: number("TRACEWELL_SOAK_SECONDS").unwrap_or(5),
            seed: number("TRACEWELL_SOAK_SEED").unwrap_or(now.as_millis() as u64 % 1_000_000),
        }
    }
}

fn say(line: std::fmt::Arguments<'_>) {
    // stderr gone is no reason to stop
    let _ = writeln!(std::io::stderr(), "soak: {line}");
}

/// Bytes allocated and not freed; the least of some readings, since the exporter's thread goes on.
fn live_bytes() -> isize {
    let readings = (0..20).map(|_| {
        thread::sleep(Duration::from_millis(5));
        let stats = ALLOCATOR.stats();
        stats.bytes_allocated.wrapping_sub(stats.bytes_deallocated) as isize
    });
    readings.min().unwrap_or(0)
}

/// Panics of the game are not worth a backtrace each.
fn quiet_panics() {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref().copied());
        let ours = text.is_some_and(|message: &str| message.contains(app::PANIC));
        if !ours {
            others(panic);
        }
    }));
}

fn soak(Settings { seconds, seed }: Settings) {
    say(format_args!("{seconds} s; again with TRACEWELL_SOAK_SECONDS={seconds} TRACEWELL_SOAK_SEED={seed}"));
    quiet_panics();
    let game = Game::new(seed);
    // long enough for all that happens, short enough for what the collector keeps
    let rounds = (seconds / 5).max(4) as u32;
    let length = Duration::from_secs(seconds) / rounds;
    let mut live = Vec::new();
    for round in 0..rounds {
        game.play(round, length);
        game.check();
        live.push(live_bytes());
    }
    let totals = game.totals();
    say(format_args!("{totals:?}"));
    for report in game.telemetry.status() {
        say(format_args!("{}: {:?}", report.signal, report.account));
    }
    say(format_args!("live bytes after each round: {live:?}"));
    let outcomes = [totals.completed, totals.failed, totals.cancelled, totals.panicked, totals.aborted];
    assert!(outcomes.iter().all(|count| *count > 0), "not much of a soak: {totals:?}");
    // the least of the last rounds: a leak is in all of them, and no chance in one makes a failure
    let last = (rounds as usize / 4).max(2);
    let (warm, end) = (live[WARM_UP - 1], live[rounds as usize - last..].iter().min().copied().unwrap_or(0));
    assert!(end - warm < GROWTH, "{} bytes more than after the warm-up", end - warm);
    game.end();
}

struct Game {
    seed: u64,
    collector: Arc<Collector>,
    registry: Registry,
    telemetry: Telemetry,
    runtime: Runtime,
    extra: Extra,
    /// What the collector took, by signal.
    arrived: RefCell<[u64; 3]>,
}

impl Game {
    fn new(seed: u64) -> Self {
        let collector = Arc::new(Collector::start());
        let registry = Registry::new(64);
        let endpoint = collector.endpoint();
        // every protocol at once
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "250"),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "20"),
            ("OTEL_LOG_LEVEL", "none"),
            ("RUST_LOG", "info,tracewell=debug"),
            ("TRACEWELL_ACCESS_LOG", "all"),
        ];
        let builder = Telemetry::builder().with_env(variables).with_stdout(false);
        let telemetry = builder.with_registry(registry.clone()).build().unwrap();
        let subscriber = tracing_subscriber::Registry::default().with(telemetry.layers());
        let dispatch = tracing::Dispatch::new(subscriber);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .on_thread_start(move || subscribe(&dispatch))
            .build()
            .unwrap();
        Self {
            seed,
            collector,
            registry,
            telemetry,
            runtime,
            extra: Extra::default(),
            arrived: RefCell::default(),
        }
    }

    fn totals(&self) -> Totals {
        self.registry.totals(Kind::Request)
    }

    /// Load and trouble for a while, then peace until nothing is under way.
    fn play(&self, round: u32, length: Duration) {
        let dice = |player| Dice::new(self.seed, u64::from(round) * 1000 + player);
        let (stop_trouble, stopped) = mpsc::channel();
        let over = AtomicBool::new(false);
        let (collector, telemetry, registry) = (&*self.collector, &self.telemetry, &self.registry);
        thread::scope(|scope| {
            let troubled = dice(0);
            scope.spawn(move || faults::trouble(collector, troubled, &stopped));
            scope.spawn(|| watch(telemetry, registry, &over));
            let (layer, extra) = (self.telemetry.server_layer(), Arc::clone(&self.extra));
            let players: Vec<_> = (1..=CLIENTS).map(dice).collect();
            // on the runtime's own threads, which have the subscriber
            let round = self.runtime.spawn(async move {
                let (listener, address) = app::listener().await;
                let server = tokio::spawn(app::serve(listener, layer, extra));
                let end = Instant::now() + length;
                let mut clients: JoinSet<_> =
                    players.into_iter().map(|dice| load::client(address, dice, end)).collect();
                while let Some(client) = clients.join_next().await {
                    client.unwrap();
                }
                server.abort();
                let _ = server.await;
            });
            let ended = self.runtime.block_on(async { tokio::time::timeout(length + PATIENCE, round).await });
            over.store(true, Ordering::Relaxed);
            drop(stop_trouble);
            ended.expect("clients end in time").unwrap();
        });
        self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, self.registry.idle()).await.expect("every request ends");
        });
        self.settle();
    }

    /// Until the collector, which is well now, has everything.
    fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        let queued = || self.telemetry.status().iter().map(|report| report.account.queued).sum::<u64>();
        loop {
            self.runtime.block_on(self.telemetry.flush(PATIENCE));
            let spans = self.telemetry.status()[0].account.emitted;
            if queued() == 0 && spans == self.spans() {
                break;
            }
            assert!(Instant::now() < deadline, "{:?}, {} spans", self.telemetry.status(), self.spans());
        }
        self.count_arrived();
    }

    /// Counts what the collector took since the last time, a request that was repeated once: the answer to its first
    /// attempt may have come too late.
    fn count_arrived(&self) {
        let mut taken = HashMap::<(Signal, Vec<u8>), u64>::new();
        for request in self.collector.take() {
            let body = match &*request.export {
                Export::Traces(export) => export.encode_to_vec(),
                Export::Metrics(export) => export.encode_to_vec(),
                Export::Logs(export) => export.encode_to_vec(),
            };
            let most = taken.entry((request.signal, body)).or_default();
            *most = request.accepted_items.max(*most);
        }
        let forgotten = self.collector.read(tracewell::testing::Recorded::forgotten);
        assert_eq!(forgotten, 0, "a round is longer than the collector remembers");
        let mut arrived = self.arrived.borrow_mut();
        for ((signal, _), items) in taken {
            arrived[signal as usize] += items;
        }
    }

    /// One for every request, and those that handlers made.
    fn spans(&self) -> u64 {
        self.totals().started + self.extra.load(Ordering::Relaxed)
    }

    /// Everything agrees with everything else, to the unit.
    fn check(&self) {
        let totals = self.totals();
        assert_eq!(totals.started, ended(&totals), "{totals:?}");
        assert_eq!((self.registry.active_count(), self.registry.snapshot().active.len()), (0, 0));
        // an export of its own, made when nothing is under way
        let (durations, active) = self.exported();
        assert_eq!(durations, totals.started, "{totals:?}");
        assert_eq!(active, 0);
        // metrics go on by the clock: what was exported before the count has arrived, and what arrived is known after it
        let before = self.telemetry.status();
        self.count_arrived();
        for (before, after) in before.iter().zip(self.telemetry.status()) {
            assert_adds_up(&after);
            let (account, arrived) = (&after.account, self.arrived.borrow()[after.signal as usize]);
            // a request that is under way has arrived before its answer
            let most = account.exported + account.failed + account.queued;
            let exported = before.account.exported;
            assert!(exported <= arrived && arrived <= most, "{arrived} arrived: {before:?}, {after:?}");
        }
    }

    /// The count of durations and the sum of active requests, as the collector last received them.
    fn exported(&self) -> (u64, i64) {
        let complete = |recorded: &tracewell::testing::Recorded| {
            recorded.metrics().iter().any(|metric| metric.name() == "http.server.active_requests")
        };
        self.runtime.block_on(self.telemetry.flush(PATIENCE));
        assert!(self.collector.wait_for(PATIENCE, complete), "no metrics");
        let (mut durations, mut active) = (0, 0);
        for metric in self.collector.metrics() {
            match (metric.name(), metric.metric.data.as_ref()) {
                ("http.server.request.duration", Some(Data::Histogram(data))) => {
                    durations = data.data_points.iter().map(|point| point.count).sum();
                }
                ("http.server.active_requests", Some(Data::Sum(data))) => {
                    let values = data.data_points.iter().map(|point| match point.value {
                        Some(Value::AsInt(value)) => value,
                        other => panic!("{other:?}"),
                    });
                    active = values.sum();
                }
                _ => {}
            }
        }
        self.count_arrived();
        (durations, active)
    }

    /// The shutdown says the same once more.
    fn end(self) {
        let report = self.runtime.block_on(self.telemetry.shutdown());
        let report =
            report.unwrap_or_else(|error| panic!("a collector that is well takes everything: {error}"));
        for signal in &report.signals {
            assert_adds_up(signal);
            assert_eq!((signal.account.queued, report.lost_in_shutdown(signal.signal)), (0, 0));
        }
        assert_eq!(report.signals[Signal::Traces as usize].account.emitted, self.spans());
    }
}

/// Every snapshot adds up, also in the middle of the storm.
fn watch(telemetry: &Telemetry, registry: &Registry, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        for report in telemetry.status() {
            assert_adds_up(&report);
        }
        let snapshot = registry.snapshot();
        let active = snapshot.active.iter().filter(|entry| entry.kind == Kind::Request).count() as u64;
        let totals = snapshot.totals;
        assert_eq!(totals.started, ended(&totals) + active, "{totals:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn ended(totals: &Totals) -> u64 {
    totals.completed + totals.failed + totals.cancelled + totals.panicked + totals.aborted
}

fn assert_adds_up(report: &tracewell::SignalReport) {
    let account = &report.account;
    let sum = account.exported + account.dropped + account.failed + account.queued;
    assert_eq!(account.emitted, sum, "{report:?}");
    let reasons: u64 = account.losses().map(|(_, lost)| lost).sum();
    assert_eq!(reasons, account.dropped + account.failed, "{report:?}");
}

/// A guard per thread: `set_default` holds for the thread that called it.
fn subscribe(dispatch: &tracing::Dispatch) {
    thread_local! {
        static GUARD: RefCell<Option<tracing::dispatcher::DefaultGuard>> = const { RefCell::new(None) };
    }
    let guard = tracing::dispatcher::set_default(dispatch);
    GUARD.with(|own| *own.borrow_mut() = Some(guard));
}
