//! The shutdown matrix: what a service runs on × how the collector behaves × how it is spoken to.
//!
//! Each cell is a test of its own: `cargo test --test shutdown_matrix` runs a set in which every pair of values occurs,
//! `cargo test --test shutdown_matrix -- --include-ignored` all of them, and a name such as
//! `by_drop_alone::answers_slowly::grpc` one. In every cell the shutdown keeps its deadline, an alive collector has
//! everything, and otherwise the report accounts for every item.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/delivery.rs"]
mod support;

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, Command, ExitCode, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::{Builder, Runtime};
use tracewell::{
    Loss, ShutdownError, ShutdownReport, SignalReport, SignalState,
    testing::{Collector, Fault},
};

use support::{SIGNALS, Service, assert_adds_up, assert_agrees};

const DEADLINE: Duration = Duration::from_millis(500);
/// What the deadline may be exceeded by, whatever happens.
const SLACK: Duration = Duration::from_millis(250);
/// Spans and log records; more than one request holds.
const ITEMS: usize = 600;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    CurrentThread,
    OneWorker,
    MultiThread,
    NoRuntime,
    RuntimeDropped,
    SpawnedTask,
    BlockingThread,
    ByDropAlone,
    ByDropInPanic,
    Sigterm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Alive,
    Refuses,
    NeverAnswers,
    AnswersSlowly,
    AsksForTime,
    DiesInMidBatch,
    TlsFails,
}

const SHAPES: [Shape; 10] = [
    Shape::CurrentThread,
    Shape::OneWorker,
    Shape::MultiThread,
    Shape::NoRuntime,
    Shape::RuntimeDropped,
    Shape::SpawnedTask,
    Shape::BlockingThread,
    Shape::ByDropAlone,
    Shape::ByDropInPanic,
    Shape::Sigterm,
];
const BEHAVIOURS: [Behaviour; 7] = [
    Behaviour::Alive,
    Behaviour::Refuses,
    Behaviour::NeverAnswers,
    Behaviour::AnswersSlowly,
    Behaviour::AsksForTime,
    Behaviour::DiesInMidBatch,
    Behaviour::TlsFails,
];
const PROTOCOLS: [&str; 2] = ["grpc", "http/protobuf"];

type Cell = (Shape, Behaviour, &'static str);

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--terminated-service") {
        terminated_service();
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    // a cell measures time: as many at once as leave the machine some air
    arguments.test_threads.get_or_insert(4);
    let covering = covering_set();
    let cells = SHAPES.into_iter().flat_map(|shape| {
        BEHAVIOURS
            .into_iter()
            .flat_map(move |behaviour| PROTOCOLS.map(|protocol| (shape, behaviour, protocol)))
    });
    let trials = cells
        .filter(|(shape, ..)| cfg!(unix) || *shape != Shape::Sigterm)
        .map(|cell| {
            let trial = Trial::test(name(cell), move || run(cell));
            trial.with_ignored_flag(!covering.contains(&name(cell)))
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn name((shape, behaviour, protocol): Cell) -> String {
    let snake = |text: String| {
        let mut words = String::new();
        for letter in text.chars() {
            if letter.is_uppercase() && !words.is_empty() {
                words.push('_');
            }
            words.extend(letter.to_lowercase());
        }
        words
    };
    let protocol = if protocol == "grpc" { "grpc" } else { "http" };
    format!("{}::{}::{protocol}", snake(format!("{shape:?}")), snake(format!("{behaviour:?}")))
}

/// A set of cells in which every pair of a shape, a behaviour and a protocol occurs. There are 10 × 7 pairs of shape
/// and behaviour, and each takes the protocol that leaves the fewest pairs with it open.
fn covering_set() -> HashSet<String> {
    let pick = |shape: usize, behaviour: usize| PROTOCOLS[(shape + behaviour) % 2];
    let mut set = HashSet::new();
    for (row, shape) in SHAPES.into_iter().enumerate() {
        for (column, behaviour) in BEHAVIOURS.into_iter().enumerate() {
            set.insert(name((shape, behaviour, pick(row, column))));
        }
    }
    set
}

fn run(cell: Cell) -> Result<(), Failed> {
    // a failed assertion is a panic, which the harness reports under the cell's name
    let (shape, behaviour, protocol) = cell;
    let prepared = Prepared::new(behaviour);
    if shape == Shape::Sigterm {
        terminate(&prepared, behaviour, protocol);
        return Ok(());
    }
    let started = || {
        let service = Service::start(&prepared.endpoint, protocol, &prepared.variables());
        service.emit(ITEMS);
        service.request();
        service
    };
    let ended = end(shape, started);
    assert!(ended.took <= DEADLINE + SLACK, "it took {:?}: {:?}", ended.took, ended.result);
    assert!(ended.longest_pause < SLACK, "a worker was blocked for {:?}", ended.longest_pause);
    check(behaviour, &ended, &prepared.collector);
    Ok(())
}

/// A collector that behaves, and what is needed to reach it.
struct Prepared {
    collector: Collector,
    endpoint: String,
    authority: Option<String>,
}

impl Prepared {
    fn new(behaviour: Behaviour) -> Self {
        static DIRECTORIES: AtomicU64 = AtomicU64::new(0);
        let tls = behaviour == Behaviour::TlsFails;
        let collector = if tls { Collector::start_tls() } else { Collector::start() };
        let authority = tls.then(|| {
            // the authority of another collector
            let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
            let directory =
                std::env::temp_dir().join(format!("tracewell-matrix-{}-{number}", std::process::id()));
            std::fs::create_dir_all(&directory).unwrap();
            let files = Collector::start_tls().write_tls_files(&directory).unwrap();
            files.ca.to_str().unwrap().to_owned()
        });
        match behaviour {
            Behaviour::Alive | Behaviour::TlsFails => {}
            Behaviour::Refuses => collector.refuse(),
            Behaviour::NeverAnswers => collector.silence(),
            Behaviour::AnswersSlowly => collector.set_all(Fault::Delay(Duration::from_millis(100))),
            Behaviour::AsksForTime => {
                let retry_after = Some(Duration::from_secs(1));
                collector.set_all(Fault::Status { http: 503, grpc: 14, retry_after });
            }
            Behaviour::DiesInMidBatch => collector.die_after(1),
        }
        Self { endpoint: collector.endpoint(), collector, authority }
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        let mut variables = vec![("TRACEWELL_SHUTDOWN_MS", "500"), ("OTEL_METRIC_EXPORT_INTERVAL", "60000")];
        variables.extend(self.authority.as_deref().map(|file| ("OTEL_EXPORTER_OTLP_CERTIFICATE", file)));
        variables
    }
}

/// How a shutdown went.
struct Ended {
    took: Duration,
    /// The longest time in which a worker of the service's runtime did not get to its other task.
    longest_pause: Duration,
    /// `None` by drop.
    result: Option<Result<ShutdownReport, ShutdownError>>,
}

fn end(shape: Shape, started: impl Fn() -> Service) -> Ended {
    match shape {
        Shape::CurrentThread => on(&Builder::new_current_thread().enable_all().build().unwrap(), started),
        Shape::OneWorker => on(&workers(1), started),
        Shape::MultiThread => on(&workers(2), started),
        Shape::SpawnedTask => {
            let runtime = workers(1);
            runtime.block_on(async {
                let service = started();
                let watch = watch();
                let begun = Instant::now();
                let task = tokio::spawn(async move { service.telemetry.shutdown().await });
                let result = Some(task.await.unwrap());
                Ended { took: begun.elapsed(), longest_pause: watch.longest(), result }
            })
        }
        Shape::BlockingThread => {
            let runtime = workers(1);
            runtime.block_on(async {
                let service = started();
                let watch = watch();
                let begun = Instant::now();
                let task = tokio::task::spawn_blocking(move || Some(by_hand(service.telemetry.shutdown())));
                let result = task.await.unwrap();
                Ended { took: begun.elapsed(), longest_pause: watch.longest(), result }
            })
        }
        Shape::NoRuntime => plain(&started()),
        Shape::RuntimeDropped => {
            let runtime = workers(1);
            let service = runtime.block_on(async { started() });
            drop(runtime);
            plain(&service)
        }
        Shape::ByDropAlone => by_drop(started(), drop),
        Shape::ByDropInPanic => by_drop(started(), |service| {
            let unwinding = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let _service = service;
                // a panic without the hook's message
                std::panic::resume_unwind(Box::new("unwinding"));
            }));
            assert!(unwinding.is_err());
        }),
        Shape::Sigterm => unreachable!("has a process of its own"),
    }
}

fn workers(number: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(number).enable_all().build().unwrap()
}

fn on(runtime: &Runtime, started: impl Fn() -> Service) -> Ended {
    runtime.block_on(async {
        let service = started();
        let watch = watch();
        let begun = Instant::now();
        let result = Some(service.telemetry.shutdown().await);
        Ended { took: begun.elapsed(), longest_pause: watch.longest(), result }
    })
}

fn plain(service: &Service) -> Ended {
    let begun = Instant::now();
    let result = Some(by_hand(service.telemetry.shutdown()));
    Ended { took: begun.elapsed(), longest_pause: Duration::ZERO, result }
}

fn by_drop(service: Service, end: impl FnOnce(Service)) -> Ended {
    let begun = Instant::now();
    end(service);
    Ended { took: begun.elapsed(), longest_pause: Duration::ZERO, result: None }
}

/// Polls a future on a thread that has no runtime.
fn by_hand<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => thread::park(),
        }
    }
}

/// Another task of the runtime, which wants to run all the time.
struct Watch {
    task: tokio::task::JoinHandle<()>,
    /// When it ran last, and the longest time between two runs.
    seen: Arc<Mutex<(Instant, Duration)>>,
}

fn watch() -> Watch {
    let seen = Arc::new(Mutex::new((Instant::now(), Duration::ZERO)));
    let watching = Arc::clone(&seen);
    let task = tokio::spawn(async move {
        loop {
            {
                let mut seen = watching.lock().unwrap();
                *seen = (Instant::now(), seen.1.max(seen.0.elapsed()));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    Watch { task, seen }
}

impl Watch {
    fn longest(self) -> Duration {
        self.task.abort();
        let (last, longest) = *self.seen.lock().unwrap();
        // a worker that was blocked until now has not run the task since
        longest.max(last.elapsed())
    }
}

fn check(behaviour: Behaviour, ended: &Ended, collector: &Collector) {
    let sent = ITEMS as u64 + 1;
    let Some(result) = &ended.result else {
        // nobody was given a report: what an alive collector has is what there is to see
        if behaviour == Behaviour::Alive {
            for signal in SIGNALS {
                let accepted = collector.accepted_items(signal);
                let all = if signal == tracewell::testing::Signal::Metrics {
                    accepted > 0
                } else {
                    accepted == sent
                };
                assert!(all, "{signal}: {accepted} arrived");
            }
        }
        return;
    };
    let report = match result {
        Ok(report) => report,
        Err(error) => &error.report,
    };
    assert_eq!(result.is_ok(), report.is_complete());
    for signal in &report.signals {
        assert_adds_up(signal);
        assert_agrees(signal, collector);
        assert_eq!(signal.account.queued, 0, "nothing is left undecided: {signal:?}");
        let numbers =
            [signal.account.emitted, signal.account.exported, report.lost_in_shutdown(signal.signal)];
        check_numbers(behaviour, signal.signal, numbers, collector);
        check_state(behaviour, signal, ended.took);
    }
}

/// Emitted, exported, lost in the shutdown.
fn check_numbers(
    behaviour: Behaviour,
    signal: tracewell::testing::Signal,
    [emitted, exported, lost]: [u64; 3],
    collector: &Collector,
) {
    if signal != tracewell::testing::Signal::Metrics {
        assert_eq!(emitted, ITEMS as u64 + 1, "{signal}");
    }
    match behaviour {
        Behaviour::Alive => {
            assert_eq!((exported, lost), (emitted, 0), "{signal}");
            assert_eq!(collector.accepted_items(signal), emitted, "{signal}");
        }
        Behaviour::Refuses | Behaviour::NeverAnswers | Behaviour::AsksForTime | Behaviour::TlsFails => {
            assert_eq!((exported, lost), (0, emitted), "{signal}");
        }
        // how much arrived is a matter of time
        Behaviour::AnswersSlowly | Behaviour::DiesInMidBatch => {
            assert_eq!(exported + lost, emitted, "{signal}")
        }
    }
}

fn check_state(behaviour: Behaviour, signal: &SignalReport, took: Duration) {
    let cause = signal.last_error.as_ref().map_or("", |(_, cause)| cause.as_str());
    let expected = match behaviour {
        Behaviour::Alive => return assert_eq!((signal.state, cause), (SignalState::Up, "")),
        Behaviour::AnswersSlowly | Behaviour::DiesInMidBatch => return,
        Behaviour::Refuses => "refused",
        Behaviour::NeverAnswers => "no answer within",
        Behaviour::AsksForTime => "scripted by the test",
        Behaviour::TlsFails => "invalid peer certificate",
    };
    if behaviour == Behaviour::NeverAnswers {
        assert!(signal.account.lost(Loss::Unanswered) > 0, "it may have arrived: {signal:?}");
    }
    assert_eq!(signal.state, SignalState::Down, "{signal:?}");
    // a machine so busy that not even the first attempt had ended by the deadline
    let too_busy = took >= DEADLINE && cause.contains("no answer within");
    assert!(cause.contains(expected) || too_busy, "{signal:?}");
}

/// This binary as a service in a process of its own, until SIGTERM.
fn terminate(prepared: &Prepared, behaviour: Behaviour, protocol: &str) {
    let mut service = Command::new(std::env::current_exe().unwrap());
    service
        .arg("--terminated-service")
        .env("MATRIX_ENDPOINT", &prepared.endpoint)
        .env("MATRIX_PROTOCOL", protocol);
    service.env("MATRIX_AUTHORITY", prepared.authority.as_deref().unwrap_or_default());
    let mut service =
        Killed(service.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut lines = BufReader::new(service.0.stdout.take().unwrap());
    let mut ready = String::new();
    lines.read_line(&mut ready).unwrap();
    assert_eq!(ready.trim(), "ready");
    let begun = Instant::now();
    assert!(Command::new("kill").args(["-TERM", &service.0.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert!(service.0.wait().unwrap().success(), "{rest}");
    let took = begun.elapsed();
    assert!(took <= DEADLINE + SLACK, "it took {took:?}: {rest}");
    for (signal, line) in SIGNALS.into_iter().zip(rest.lines()) {
        let numbers: Vec<u64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
        check_numbers(behaviour, signal, numbers.try_into().unwrap(), &prepared.collector);
    }
    assert_eq!(rest.lines().count(), SIGNALS.len(), "{rest}");
}

/// A child that does not outlive a failed cell.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // fails when it has ended, as it should have
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn terminated_service() {
    let given = |name: &str| std::env::var(name).unwrap();
    let authority = given("MATRIX_AUTHORITY");
    let mut variables = vec![("TRACEWELL_SHUTDOWN_MS", "500"), ("OTEL_METRIC_EXPORT_INTERVAL", "60000")];
    if !authority.is_empty() {
        variables.push(("OTEL_EXPORTER_OTLP_CERTIFICATE", &*authority));
    }
    let report = workers(2).block_on(async {
        let service = Service::start(&given("MATRIX_ENDPOINT"), &given("MATRIX_PROTOCOL"), &variables);
        service.emit(ITEMS);
        service.request();
        let mut signal = std::pin::pin!(tracewell::shutdown::signal());
        tokio::select! {
            biased;
            // polled once, so that the handler is set before anybody sends the signal
            () = &mut signal => {}
            () = std::future::ready(()) => {
                let mut stdout = std::io::stdout();
                stdout.write_all(b"ready\n").unwrap();
                stdout.flush().unwrap();
                signal.await;
            }
        }
        service.telemetry.shutdown().await.unwrap_or_else(|error| error.report)
    });
    let mut stdout = std::io::stdout();
    for signal in &report.signals {
        let account = &signal.account;
        let lost = report.lost_in_shutdown(signal.signal);
        writeln!(stdout, "{} {} {lost}", account.emitted, account.exported).unwrap();
    }
}
