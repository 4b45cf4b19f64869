//! What the examples send is named, typed and measured as the semantic conventions say: no unknown name, type, unit, kind or
//! attribute of a metric without a reason in `exceptions.txt`, and nothing required is missing. The conventions are read from
//! the Go module that is made of them, fetched when the test runs; without Go this is skipped, as are the examples whose
//! PostgreSQL or NATS is not there; with `TRACEWELL_REQUIRE_BACKENDS=1` both are failures.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a failed helper fails its test")]

mod conventions;
mod examples;
mod findings;
#[expect(dead_code, reason = "others want its port, too")]
#[path = "../common/nats.rs"]
mod nats;
#[expect(dead_code, reason = "others want its folder, too")]
#[path = "../common/postgres.rs"]
mod postgres;
#[path = "../common/program.rs"]
mod program;

use std::thread;

use tracewell::testing::Collector;

use self::{conventions::Conventions, findings::Findings};

type Drive = fn() -> Option<Collector>;

const EXAMPLES: [(&str, Drive); 14] = [
    ("storefront", || Some(examples::storefront())),
    ("grpc", || Some(examples::grpc())),
    ("interop", || Some(examples::interop())),
    ("worker", || Some(examples::worker())),
    ("messages", examples::messages),
    ("postgres", examples::postgres),
    ("config_file", || Some(examples::config_file())),
    ("quickstart", || Some(examples::served("quickstart", &["/users/7", "/nothing"]))),
    ("axum_service", || Some(examples::served("axum_service", &["/orders/7", "/orders/0", "/ready"]))),
    ("tower_hyper", || Some(examples::served("tower_hyper", &["/hello/you", "/elsewhere"]))),
    ("own_subscriber", || Some(examples::served("own_subscriber", &["/users/7"]))),
    ("cli_job", || Some(examples::ends("cli_job", "tea=3.5\nmilk=1.25\n"))),
    ("library", || Some(examples::ends("library", ""))),
    ("custom_exporter", || Some(examples::ends("custom_exporter", ""))),
];

/// The load generator, which plays services of any kind, and sends nothing of its own.
const NOT_DRIVEN: &str = "load";
/// The metrics of the conventions that this crate makes.
const MEASURED: [&str; 23] = [
    "db.client.connection.count",
    "db.client.connection.max",
    "db.client.connection.pending_requests",
    "db.client.connection.timeouts",
    "db.client.connection.use_time",
    "db.client.connection.wait_time",
    "db.client.operation.duration",
    "http.client.request.duration",
    "http.server.active_requests",
    "http.server.request.body.size",
    "http.server.request.duration",
    "http.server.response.body.size",
    "messaging.client.consumed.messages",
    "messaging.client.operation.duration",
    "messaging.client.sent.messages",
    "messaging.process.duration",
    "process.cpu.time",
    "process.memory.usage",
    "process.thread.count",
    "process.unix.file_descriptor.count",
    "process.uptime",
    "rpc.client.call.duration",
    "rpc.server.call.duration",
];

#[test]
fn every_example_is_driven() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> =
        names.map(|name| name.to_str().unwrap().trim_end_matches(".rs").to_owned()).collect();
    names.sort();
    let mut driven: Vec<_> = EXAMPLES.map(|(name, _)| name).into_iter().chain([NOT_DRIVEN]).collect();
    driven.sort_unstable();
    assert_eq!(names, driven);
}

#[test]
fn what_the_examples_send_is_what_the_conventions_name() {
    let conventions = match Conventions::fetch() {
        Ok(conventions) => conventions,
        Err(why) => {
            assert!(std::env::var("TRACEWELL_REQUIRE_BACKENDS").as_deref() != Ok("1"), "{why}");
            eprintln!("skipped: {why}");
            return;
        }
    };
    let mut findings = Findings::new(&conventions, include_str!("exceptions.txt"));
    let sent: Vec<_> = thread::scope(|scope| {
        let running = EXAMPLES.map(|(name, drive)| (name, scope.spawn(drive)));
        running.into_iter().map(|(name, sent)| (name, sent.join().unwrap())).collect()
    });
    for (name, collector) in &sent {
        if let Some(collector) = collector {
            findings.check(name, collector);
        }
    }
    assert!(findings.found().is_empty(), "{}", findings.found());
    if sent.iter().all(|(_, collector)| collector.is_some()) {
        assert!(findings.unused().is_empty(), "exceptions that nothing needs: {:?}", findings.unused());
        let unsent: Vec<_> = MEASURED.into_iter().filter(|name| !findings.sent.contains(*name)).collect();
        assert!(unsent.is_empty(), "nothing was sent of {unsent:?}");
    }
}
