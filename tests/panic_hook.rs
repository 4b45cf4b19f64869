//! A panic is one log record with its trace id and backtrace, is sent before the process that it ends is gone, leaves the
//! program's hook in place, and neither a layer nor a dead collector makes it worse.
//!
//! Each trial is a child of its own, for its globals and its main thread: an own harness, because the built-in one runs
//! tests in threads.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed helper fails its trial; children say what they do"
)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    process::{Command, ExitCode, Output, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Trial};
use opentelemetry::trace::TraceContextExt as _;
use tracewell::{Telemetry, testing::Collector};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, layer::Context};

const ROLE: &str = "PANIC_CHILD";
const ENDPOINT: &str = "PANIC_ENDPOINT";

fn main() -> ExitCode {
    match std::env::var(ROLE).as_deref() {
        Ok("caught") => caught(),
        Ok("main") => in_main(),
        Ok("storm") => storm(),
        Ok("layer_panics") => layer(false),
        Ok("layer_waits") => layer(true),
        Ok(other) => panic!("no role {other}"),
        Err(_) => {
            let trials = [
                ("a_panic_that_is_caught_is_one_record_in_its_span", a_caught_panic as fn()),
                ("a_panic_that_ends_the_process_is_sent_first", a_panic_in_main),
                ("a_storm_of_panics_flushes_once_and_names_few_backtraces", a_storm),
                ("a_layer_that_panics_or_hangs_in_the_event_costs_nothing_else", a_bad_layer),
            ];
            let trials = trials.map(|(name, test)| {
                Trial::test(name, move || {
                    test();
                    Ok(())
                })
            });
            return libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code();
        }
    }
    ExitCode::SUCCESS
}

fn child(role: &str, collector: &Collector) -> (Output, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .env(ROLE, role)
        .env(ENDPOINT, collector.endpoint())
        .env_remove("RUST_BACKTRACE")
        .env_remove("RUST_LIB_BACKTRACE")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    (output, said)
}

/// Nothing is sent before somebody flushes.
fn install(layer: Option<Bad>) -> Telemetry {
    std::panic::set_hook(Box::new(|panic| say(&format!("the program's hook: {panic}"))));
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*std::env::var(ENDPOINT).unwrap()),
        ("OTEL_BSP_SCHEDULE_DELAY", "60000"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "60000"),
        ("OTEL_METRICS_EXPORTER", "none"),
    ];
    let builder = Telemetry::builder().with_env(variables).with_stdout(false);
    match layer {
        Some(layer) => builder.with_layer(layer).install().unwrap(),
        None => builder.install().unwrap(),
    }
}

fn say(line: &str) {
    eprintln!("{line}");
}

fn shut_down(telemetry: &Telemetry) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(telemetry.shutdown()).unwrap();
}

// --- caught ---

fn a_caught_panic() {
    let collector = Collector::start();
    let (output, said) = child("caught", &collector);
    assert!(output.status.success(), "{said}");
    let records = collector.logs();
    let [record] = &records[..] else { panic!("{records:?}\n{said}") };
    assert_eq!(record.record.event_name, "exception");
    assert_eq!(record.attribute("exception.message").as_deref(), Some("42 is too much"));
    assert_eq!(record.attribute("thread.name").as_deref(), Some("worker"));
    assert!(record.attribute("exception.stacktrace").unwrap().contains("panic_hook::caught"), "{record:?}");
    assert!(said.contains(&format!("trace id {}\n", record.trace_id())), "{record:?}\n{said}");
    assert_eq!(said.matches("the program's hook: ").count(), 1, "{said}");
    assert_eq!(said.matches("42 is too much").count(), 1, "{said}");
}

fn caught() {
    let telemetry = install(None);
    let worker = thread::Builder::new().name("worker".to_owned()).spawn(|| {
        let span = tracing::info_span!("work");
        say(&format!("trace id {}", span.context().span().span_context().trace_id()));
        let _span = span.entered();
        let value = 42;
        panic!("{value} is too much");
    });
    assert!(worker.unwrap().join().is_err());
    shut_down(&telemetry);
}

// --- the end of the process ---

fn a_panic_in_main() {
    let collector = Collector::start();
    let (output, said) = child("main", &collector);
    assert_eq!(output.status.code(), Some(101), "{said}");
    assert_eq!(collector.logs().len(), 1, "{said}");
    assert_eq!(collector.spans().len(), 1, "what waited before goes too: {said}");
}

fn in_main() {
    // never dropped: nothing but the hook flushes
    static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();
    assert!(TELEMETRY.set(install(None)).is_ok());
    drop(tracing::info_span!("before"));
    panic!("the end");
}

// --- many ---

const STORM: usize = 40;

fn a_storm() {
    let collector = Collector::start();
    let (output, said) = child("storm", &collector);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.matches("the program's hook: ").count(), STORM, "{said}");
    let records = collector.logs();
    assert_eq!(records.len(), STORM, "{said}");
    let traced = records.iter().filter(|record| record.attribute("exception.stacktrace").is_some()).count();
    assert_eq!(traced, 10);
    // the flush of the first, and the shutdown's
    assert_eq!(collector.requests().len(), 2, "{said}");
}

fn storm() {
    let telemetry = install(None);
    for _ in 0..STORM {
        assert!(catch_unwind(|| panic_any("no end")).is_err());
    }
    shut_down(&telemetry);
}

// --- layers ---

fn a_bad_layer() {
    for role in ["layer_panics", "layer_waits"] {
        let collector = Collector::start();
        let (output, said) = child(role, &collector);
        assert!(output.status.success(), "{role}: {said}");
        assert!(said.contains("went on"), "{role}: {said}");
        assert!(said.contains("the program's hook: ") && said.contains("the program's own fault"), "{said}");
    }
}

/// A layer that cannot take a panic's event.
struct Bad {
    waits: bool,
}

impl<S: tracing::Subscriber> Layer<S> for Bad {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "tracewell::panic" {
            if self.waits {
                loop {
                    thread::park();
                }
            }
            panic!("the layer's fault");
        }
    }
}

fn layer(waits: bool) {
    let telemetry = install(Some(Bad { waits }));
    let started = Instant::now();
    let worker = thread::spawn(|| {
        let caught = catch_unwind(AssertUnwindSafe(|| panic!("the program's own fault")));
        assert!(caught.is_err());
        say("went on");
    });
    worker.join().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    drop(telemetry);
}
