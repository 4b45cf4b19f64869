//! What hangs is said once, in its own trace; a context that was lost is named with its place.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant, SystemTime};

use opentelemetry::{SpanId, TraceId};
use tokio::task::JoinSet;
use tracewell::{
    Telemetry,
    requests::{self, JoinSetExt as _, NewEntry, Registry, STREAMING, Thresholds},
    testing::{Attributes, Collector, proto::metrics::v1::metric::Data},
};

fn old(new: NewEntry, seconds: u64) -> NewEntry {
    new.with_start(SystemTime::now(), Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap())
}

fn stuck(registry: &Registry) -> Vec<String> {
    let active = registry.snapshot().active;
    active.into_iter().filter(|entry| entry.stuck).map(|entry| entry.name.into_owned()).collect()
}

fn thresholds() -> Thresholds {
    Thresholds::default().with_name("/report", Duration::from_secs(300)).with_name("nightly", None)
}

/// One process, one telemetry: the instruments of the watch are the global ones.
#[test]
fn what_hangs_and_what_is_lost() {
    let collector = Collector::start();
    let registry = Registry::new(1000);
    let telemetry = Telemetry::builder()
        .with_env([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
            ("TRACEWELL_PRESET", "test".to_owned()),
        ])
        .with_registry(registry.clone())
        .with_stdout(false)
        .install()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let trace = TraceId::from_hex("0102030405060708090a0b0c0d0e0f10").unwrap();
    let span = SpanId::from_hex("0102030405060708").unwrap();

    stuck_is_said_once(&registry, (trace, span));
    let lost_at = context_is_lost(&registry, &runtime);
    runtime.block_on(context_is_kept(&registry));
    runtime.block_on(the_watch_finds_it_too(&registry));
    runtime.block_on(telemetry.shutdown()).unwrap();

    let logs = collector.logs();
    let said: Vec<_> = logs.iter().filter(|log| log.body().starts_with("stuck:")).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    let slow = said.iter().find(|log| log.attribute("tracewell.name").unwrap() == "GET /slow").unwrap();
    assert_eq!(
        (slow.severity(), slow.trace_id(), slow.span_id()),
        ("WARN", trace.to_string(), span.to_string())
    );
    let attribute = |key: &str| slow.attribute(key).unwrap();
    assert_eq!((attribute("tracewell.route"), attribute("tracewell.stage")), ("/slow".into(), "b".into()));
    assert!(attribute("tracewell.age_ms").parse::<u64>().unwrap() >= 61_000);
    assert!(attribute("tracewell.stages").starts_with("a at 61"), "{}", attribute("tracewell.stages"));
    assert_eq!(counted(&collector, "tracewell.requests.stuck"), [("GET /slow".into(), 1), ("PUT".into(), 1)]);
    assert_eq!(counted(&collector, "tracewell.tasks.stuck"), [("email".into(), 1)]);

    let lost: Vec<_> = logs.iter().filter(|log| log.body().starts_with("context lost")).collect();
    assert_eq!(lost.len(), 1, "{:?}", lost.iter().map(|log| log.body()).collect::<Vec<_>>());
    assert_eq!(lost[0].attribute("code.line.number").unwrap(), lost_at.to_string());
    assert!(lost[0].attribute("code.file.path").unwrap().ends_with("stuck_and_lost.rs"));
}

fn counted(collector: &Collector, metric: &str) -> Vec<(String, i64)> {
    let metrics = collector.metrics();
    let metric = metrics.iter().rev().find(|record| record.name() == metric).unwrap();
    let Some(Data::Sum(sum)) = &metric.metric.data else { panic!("not a sum") };
    let points = sum.data_points.iter().map(|point| {
        let Some(tracewell::testing::proto::metrics::v1::number_data_point::Value::AsInt(count)) =
            point.value
        else {
            panic!("not a whole number")
        };
        (Attributes(&point.attributes).str("tracewell.name").unwrap().to_owned(), count)
    });
    let mut points: Vec<_> = points.collect();
    points.sort();
    points
}

fn stuck_is_said_once(registry: &Registry, (trace, span): (TraceId, SpanId)) {
    let slow = NewEntry::request("GET").with_route("/slow").with_span(trace, span, true);
    let slow = registry.start(old(slow, 61));
    slow.set_stage("a");
    slow.set_stage("b");
    let _young = registry.start(old(NewEntry::request("GET").with_route("/slow"), 59));
    let _patient = registry.start(old(NewEntry::request("GET").with_route("/report"), 100));
    let stream = registry.start(old(NewEntry::request("GET").with_route("/events"), 1000));
    stream.set_stage(STREAMING);
    let _nightly = registry.start(old(NewEntry::task("nightly"), 10_000));
    let _patient_task = registry.start(old(NewEntry::task("email"), 100));
    let task = registry.start(old(NewEntry::task("email"), 601));

    assert_eq!(registry.flag_stuck(&thresholds()), 2);
    assert_eq!(stuck(registry), ["email", "GET /slow"]);
    assert_eq!(registry.flag_stuck(&thresholds()), 0, "said once");
    drop((slow, task));
    assert!(stuck(registry).is_empty());
    let recent = registry.snapshot().recent;
    assert!(recent.iter().all(|ended| !ended.entry.stuck), "cleared at the end");
}

async fn the_watch_finds_it_too(registry: &Registry) {
    let watch = tokio::spawn(registry.watch(Thresholds::new(Duration::from_millis(20))));
    let entry = registry.start(NewEntry::request("PUT"));
    let found = async {
        while stuck(registry).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found).await.unwrap();
    assert_eq!(stuck(registry), ["PUT"]);
    watch.abort();
    drop(entry);
}

/// Two requests' contexts get mixed up, again and again, at one place; the line of that place.
fn context_is_lost(registry: &Registry, runtime: &tokio::runtime::Runtime) -> u32 {
    let tasks = tracewell::tasks::Tasks::new(
        registry.clone(),
        &opentelemetry::metrics::noop::NoopMeterProvider::new(),
    );
    let (one, other) = (tasks.start("one"), tasks.start("other"));
    let _one = one.enter();
    assert!(requests::current().is_some());
    let kept = requests::in_current(async { requests::current().is_some() });
    let mixed_up = requests::enter(other.handle());
    let mut place = 0;
    for _ in 0..10 {
        place = line!() + 1;
        assert!(requests::current().is_some());
    }
    drop(mixed_up);
    assert!(runtime.block_on(kept));
    requests::detect_lost_context(false);
    let _unseen = requests::enter(other.handle());
    assert!(requests::current().is_some());
    requests::detect_lost_context(true);
    place
}

async fn context_is_kept(registry: &Registry) {
    let guard = registry.start(NewEntry::request("GET"));
    let id = guard.handle().id();
    let is_kept = move || requests::current().map(|current| current.id()) == Some(id);
    let local = tokio::task::LocalSet::new();
    let work = async {
        let (mut set, spawned) = {
            let _entered = requests::enter(guard.handle());
            let mut set = JoinSet::new();
            set.spawn_in_current(async move { is_kept() });
            set.spawn_local_in_current(async move { is_kept() });
            set.spawn_blocking_in_current(is_kept);
            set.spawn(async move { !is_kept() });
            (set, requests::spawn_local(async move { is_kept() }))
        };
        assert_eq!(guard.handle().tasks_running(), 4);
        assert!(spawned.await.unwrap());
        while let Some(kept) = set.join_next().await {
            assert!(kept.unwrap());
        }
    };
    local.run_until(work).await;
    assert_eq!(guard.handle().tasks_running(), 0);
}
