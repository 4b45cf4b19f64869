//! Tasks, as a producer, a consumer and an operator meet them: each counted once, each ended once, apart from requests.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::HashMap,
    future::{Future, pending},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context as Poller, Poll, Waker},
    thread,
    time::Duration,
};

use opentelemetry::{
    baggage::BaggageExt as _, propagation::TextMapCompositePropagator, trace::TraceContextExt as _,
};
use serde_json::Value;
use tokio::time::sleep;
use tracewell::{
    Telemetry,
    otel::sdk::propagation::{BaggagePropagator, TraceContextPropagator},
    requests::{self, Cancelled, Kind, NewEntry, Registry},
    tasks::{State, Tasks},
    testing::{
        Collector,
        proto::{metrics::v1::metric::Data, trace::v1::span::SpanKind},
    },
};
use tracing_subscriber::layer::SubscriberExt as _;

/// Telemetry of its own, tasks that record into it, and a collector that receives it.
struct Bench {
    telemetry: Telemetry,
    collector: Collector,
    registry: Registry,
    tasks: Tasks,
}

fn bench() -> Bench {
    opentelemetry::global::set_text_map_propagator(TextMapCompositePropagator::new(vec![
        Box::new(TraceContextPropagator::new()),
        Box::new(BaggagePropagator::new()),
    ]));
    let collector = Collector::start();
    let registry = Registry::new(1000);
    let telemetry = Telemetry::builder()
        .with_env([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
            ("TRACEWELL_PRESET", "test".to_owned()),
        ])
        .with_registry(registry.clone())
        .with_stdout(false)
        .build()
        .unwrap();
    let tasks = Tasks::new(registry.clone(), &telemetry.meter_provider());
    Bench { collector, telemetry, registry, tasks }
}

impl Bench {
    /// Runs `work` with this telemetry's subscriber, on a runtime whose clock moves when nothing else does.
    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let subscriber = tracing_subscriber::Registry::default().with(self.telemetry.layers());
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        tracing::subscriber::with_default(subscriber, || runtime.block_on(work))
    }

    fn flush(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.telemetry.shutdown()).unwrap();
    }

    /// The last exported sum of `tracewell.tasks`, by state.
    fn exported(&self, name: &str) -> HashMap<String, u64> {
        let metrics = self.collector.metrics();
        let metric = metrics.iter().rev().find(|metric| metric.name() == "tracewell.tasks").unwrap();
        let Some(Data::Sum(sum)) = &metric.metric.data else { panic!("not a sum") };
        let mut by_state = HashMap::new();
        for point in &sum.data_points {
            let attributes = tracewell::testing::Attributes(&point.attributes);
            if attributes.str("tracewell.task.name") == Some(name) {
                let state = attributes.str("tracewell.task.state").unwrap().to_owned();
                let Some(tracewell::testing::proto::metrics::v1::number_data_point::Value::AsInt(count)) =
                    point.value
                else {
                    panic!("not a whole number")
                };
                by_state.insert(state, u64::try_from(count).unwrap());
            }
        }
        by_state
    }

    fn counts(&self, name: &str) -> Vec<(&'static str, u64)> {
        counts(&self.tasks, name)
    }
}

/// The states of a task's name that are not 0, in the order of a task's life.
fn counts(tasks: &Tasks, name: &str) -> Vec<(&'static str, u64)> {
    let all = tasks.counts();
    let Some(counts) = all.iter().find(|counts| counts.name == name) else { return Vec::new() };
    let states = State::ALL.into_iter().map(|state| (state.as_str(), counts.of(state)));
    states.filter(|(_, count)| *count > 0).collect()
}

fn nothing() -> HashMap<String, String> {
    HashMap::new()
}

type Outcome = Result<(), &'static str>;

#[test]
fn each_state_is_counted_once_under_redelivery_and_concurrency() {
    const IDS: u32 = 300;
    const DELIVERIES: u64 = 8 * 3 * IDS as u64;
    let bench = bench();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for id in (0..3).flat_map(|_| 0..IDS) {
                    bench.tasks.sent("email", id);
                    let work = bench.tasks.receive("email", id, &nothing()).run(async { Outcome::Ok(()) });
                    assert!(poll_once(&mut Box::pin(work)).is_ready());
                }
            });
        }
    });
    let once = u64::from(IDS);
    let expected = [("sent", once), ("received", once), ("started", once), ("succeeded", once)];
    assert_eq!(bench.counts("email"), expected);
    let snapshot = bench.registry.snapshot();
    assert_eq!((snapshot.task_totals.started, snapshot.task_totals.completed), (DELIVERIES, DELIVERIES));
    assert_eq!(snapshot.totals.started, 0, "tasks are no requests");
    bench.flush();
    assert_eq!(bench.exported("email"), expected.map(|(state, count)| (state.to_owned(), count)).into());
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Poller::from_waker(Waker::noop()))
}

#[test]
fn a_task_that_is_delivered_until_it_succeeds_is_retried_once() {
    let tasks = Tasks::new(Registry::new(10), &opentelemetry::metrics::noop::NoopMeterProvider::new());
    let deliver = |result: Outcome| {
        let work = tasks.receive("email", 7, &nothing()).run(async move { result });
        assert!(poll_once(&mut Box::pin(work)).is_ready());
    };
    deliver(Err("no route"));
    assert_eq!(counts(&tasks, "email"), [("received", 1), ("started", 1), ("failed", 1)]);
    // the broker restarts in mid-flight: the connection and with it the work is dropped, then delivered again
    let mut lost = Box::pin(tasks.receive("email", 7, &nothing()).run(pending::<Outcome>()));
    assert!(poll_once(&mut lost).is_pending());
    drop(lost);
    deliver(Err("no route"));
    assert!(!tasks.receive("email", 7, &nothing()).has_succeeded());
    deliver(Ok(()));
    // late redeliveries of what is done are no retries
    assert!(tasks.receive("email", 7, &nothing()).has_succeeded());
    deliver(Ok(()));
    let expected =
        [("received", 1), ("started", 1), ("retried", 1), ("succeeded", 1), ("failed", 1), ("cancelled", 1)];
    assert_eq!(counts(&tasks, "email"), expected);
    // a delivery that this process knows nothing about, and the broker does
    let again = tasks.receive("email", 8, &nothing()).with_attempt(2);
    assert!(!again.is_redelivery());
    again.start().succeed();
    let retried = tasks.counts().into_iter().map(|counts| counts.of(State::Retried)).sum::<u64>();
    assert_eq!(retried, 2);
}

#[test]
fn every_end_of_the_work_is_recorded_once() {
    let bench = bench();
    bench.run(async {
        bench.tasks.run("good", async {}).await;
        bench.tasks.run("bad", async { Outcome::Err("no paper") }).await.unwrap_err();
        let panicked =
            tokio::spawn(bench.tasks.run("panics", async { assert!(bench_is_down(), "oh") })).await;
        assert!(panicked.unwrap_err().is_panic());
        let dropped = tokio::time::timeout(Duration::from_secs(1), bench.tasks.run("late", pending::<()>()));
        dropped.await.unwrap_err();
        let aborted = tokio::spawn(bench.tasks.run("aborted", pending::<()>()));
        tokio::task::yield_now().await;
        aborted.abort();
        assert!(aborted.await.unwrap_err().is_cancelled());
        // never polled
        drop(bench.tasks.run("unpolled", async {}));
        let by_hand = catch_unwind(AssertUnwindSafe(|| {
            let _task = bench.tasks.start("by hand");
            panic!("oh");
        }));
        assert!(by_hand.is_err());
    });
    let ends = |name| bench.counts(name).pop().unwrap();
    assert_eq!(ends("good"), ("succeeded", 1));
    assert_eq!(ends("bad"), ("failed", 1));
    assert_eq!((ends("panics"), ends("by hand")), (("panicked", 1), ("panicked", 1)));
    for name in ["late", "aborted", "unpolled"] {
        assert_eq!(ends(name), ("cancelled", 1), "{name}");
    }
    let totals = bench.registry.snapshot().task_totals;
    assert_eq!((totals.started, totals.active()), (7, 0));
    assert_eq!((totals.completed, totals.failed, totals.cancelled, totals.panicked), (1, 1, 3, 2));
    bench.flush();
    let spans = bench.collector.spans();
    assert_eq!(spans.len(), 7);
    let outcome = |name: &str| {
        let span = spans.iter().find(|span| span.name() == name).unwrap();
        (span.attribute("tracewell.outcome").unwrap(), span.attribute("error.type"))
    };
    assert_eq!(outcome("bad"), ("failed".into(), Some("&str".into())));
    assert_eq!(outcome("panics"), ("panicked".into(), Some("panic".into())));
    assert_eq!(outcome("late"), ("cancelled".into(), None));
    let logs = bench.collector.logs();
    let failure = logs.iter().find(|log| log.body().contains("no paper")).unwrap();
    let bad = spans.iter().find(|span| span.name() == "bad").unwrap();
    assert_eq!((failure.severity(), failure.span_id()), ("ERROR", bad.span_id()));
    let exemplars = bench.collector.exemplars("tracewell.task.duration");
    assert!(exemplars.iter().any(|exemplar| exemplar.span_id() == bad.span_id()));
}

#[test]
fn a_message_carries_its_context_and_both_spans_are_linked() {
    let bench = bench();
    bench.run(async {
        let mut message = HashMap::new();
        let context =
            opentelemetry::Context::current().with_baggage([opentelemetry::KeyValue::new("tenant", "blue")]);
        let sending = {
            let _baggage = context.attach();
            let sending = bench.tasks.send("email", "m1").with_system("kafka").with_destination("emails");
            let mut sending = Box::pin(sending.run(|headers| {
                message = headers;
                async { Outcome::Ok(()) }
            }));
            poll_once(&mut sending)
        };
        assert!(sending.is_ready());
        let extracted = tracewell::tasks::extract(&message);
        assert!(extracted.span().span_context().is_remote());

        let incoming = bench.tasks.receive("email", "m1", &message).with_system("kafka");
        let incoming = incoming.with_destination("emails").with_consumer_group("mailers");
        incoming
            .run(async {
                let baggage = opentelemetry::Context::map_current(|context| {
                    context.baggage().get("tenant").map(ToString::to_string)
                });
                assert_eq!(baggage.as_deref(), Some("blue"));
                let entry = requests::current().unwrap();
                assert_eq!((entry.kind(), &*entry.name()), (Kind::Task, "email"));
                Outcome::Ok(())
            })
            .await
            .unwrap();
        let joined = bench.tasks.receive("email", "m1", &message).continuing_trace();
        joined.run(async { Outcome::Ok(()) }).await.unwrap();
    });
    assert_eq!(bench.counts("email")[0], ("sent", 1));
    bench.flush();
    let spans = bench.collector.spans();
    let named = |name: &str| spans.iter().find(|span| span.name() == name).unwrap();
    let (producer, consumer, joined) =
        (named("send emails"), named("process emails"), named("process email"));
    assert_eq!(producer.span.kind(), SpanKind::Producer);
    assert_eq!(consumer.span.kind(), SpanKind::Consumer);
    for (span, operation) in [(producer, "send"), (consumer, "process")] {
        let attribute = |key: &str| span.attribute(key).unwrap();
        assert_eq!(attribute("messaging.operation.type"), operation);
        assert_eq!(attribute("messaging.operation.name"), operation);
        assert_eq!(attribute("messaging.system"), "kafka");
        assert_eq!(attribute("messaging.destination.name"), "emails");
        assert_eq!(attribute("messaging.message.id"), "m1");
    }
    assert_eq!(consumer.attribute("messaging.consumer.group.name").unwrap(), "mailers");
    assert_ne!(consumer.trace_id(), producer.trace_id());
    for span in [consumer, joined] {
        let link = &span.span.links[0];
        assert_eq!((&link.trace_id, &link.span_id), (&producer.span.trace_id, &producer.span.span_id));
    }
    assert_eq!(joined.parent_span_id(), producer.span_id());
}

#[test]
fn what_the_broker_refuses_was_not_sent() {
    let bench = bench();
    bench.run(async {
        bench.tasks.send("email", 1).run(|_| async { Outcome::Err("down") }).await.unwrap_err();
        let late = bench.tasks.send("email", 2).run(|_| pending::<Outcome>());
        tokio::time::timeout(Duration::from_secs(1), late).await.unwrap_err();
    });
    assert!(bench.counts("email").is_empty());
    bench.flush();
    let spans = bench.collector.spans();
    assert_eq!(spans.len(), 2);
    let refused = spans.iter().find(|span| span.attribute("error.type").is_some()).unwrap();
    assert_eq!((refused.name(), refused.attribute("error.type").unwrap()), ("send email", "&str".into()));
}

#[test]
fn an_operator_cancels_what_allows_it() {
    let bench = bench();
    bench.run(async {
        let stuck = bench.tasks.receive("email", 1, &nothing()).run_cancellable(pending::<Outcome>());
        let stuck = tokio::spawn(stuck);
        let firm = tokio::spawn(bench.tasks.run("firm", pending::<()>()));
        tokio::task::yield_now().await;
        let active = bench.registry.snapshot().active;
        let id = |name: &str| active.iter().find(|entry| entry.name == name).unwrap().id;
        assert!(!bench.registry.cancel(id("firm")));
        assert!(bench.registry.cancel_by_text(&id("email").to_string()));
        assert_eq!(stuck.await.unwrap(), Err(Cancelled));
        assert!(!bench.registry.cancel(id("email")), "it has ended");
        firm.abort();
    });
    assert_eq!(bench.counts("email"), [("received", 1), ("started", 1), ("cancelled", 1)]);
    let recent = bench.registry.snapshot().recent;
    let email = recent.iter().find(|ended| ended.entry.name == "email").unwrap();
    assert_eq!(email.outcome, requests::Outcome::Cancelled);
    assert!(email.entry.annotations.iter().any(|fact| fact.key == "cancelled_by"));
}

#[test]
fn a_cancellation_is_never_missed() {
    let registry = Registry::new(1000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for _ in 0..500 {
        let guard = registry.start(NewEntry::request("GET").with_cancellation());
        let id = guard.handle().id();
        let dropped = Arc::new(());
        let held = Arc::clone(&dropped);
        let work = requests::Cancellable::new(guard.handle(), async move {
            let _held = held;
            pending::<()>().await;
        });
        let canceller = thread::spawn({
            let registry = registry.clone();
            move || registry.cancel(id)
        });
        let result = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), work).await });
        assert_eq!(result.unwrap(), Err(Cancelled));
        assert_eq!(Arc::strong_count(&dropped), 1);
        assert!(canceller.join().unwrap());
    }
    // asked before the work was polled, and the work never is
    let guard = registry.start(NewEntry::request("GET").with_cancellation());
    assert!(registry.cancel(guard.handle().id()));
    let work = requests::Cancellable::new(guard.handle(), async { unreachable!("polled") as () });
    assert_eq!(runtime.block_on(work), Err(Cancelled));
}

#[test]
fn periodic_runs_never_pile_up() {
    let bench = bench();
    bench.run(async {
        // run 0 takes 3.5 intervals, run 1 fails, run 2 panics, the others are quick
        let runs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        let periodic = bench.tasks.periodic("sweep", Duration::from_secs(10), move || {
            let run = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                match run {
                    0 => sleep(Duration::from_secs(35)).await,
                    1 => return Outcome::Err("no broom"),
                    2 => panic!("oh"),
                    _ => {}
                }
                Ok(())
            }
        });
        assert_eq!(bench.tasks.jobs().len(), 1);
        let task = tokio::spawn(periodic);
        let job = || bench.tasks.jobs().remove(0);
        let after = |seconds| sleep(Duration::from_secs(seconds));
        after(5).await;
        let first = job();
        assert!(first.running && !first.overrun && first.last_run.is_some() && first.last_error.is_none());
        assert_eq!(bench.registry.snapshot().active[0].name, "sweep");
        after(10).await;
        assert!(job().overrun, "the next run is due while this one is under way");
        after(24).await;
        // at 39 s: the first run ended at 35 s, those of 10, 20 and 30 s are left out
        let late = job();
        assert_eq!((late.running, late.overrun, late.overruns, late.runs), (false, true, 3, 1));
        assert_eq!(late.last_duration.map(|duration| duration.as_secs()), Some(35));
        after(2).await;
        let failed = job();
        assert_eq!((failed.runs, failed.failures, failed.overrun), (2, 1, false));
        assert_eq!(failed.last_error.as_deref(), Some("no broom"));
        after(10).await;
        assert_eq!((job().runs, job().last_error.as_deref()), (3, Some("panicked")));
        after(10).await;
        assert_eq!((job().runs, job().failures, job().last_error), (4, 2, None));
        assert!(job().next_run > job().last_run.unwrap());
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(bench.tasks.jobs().is_empty());
        assert_eq!(runs.load(Ordering::SeqCst), 4);
    });
    assert_eq!(bench.counts("sweep"), [("started", 4), ("succeeded", 2), ("failed", 1), ("panicked", 1)]);
}

#[test]
fn a_periodic_task_dropped_in_a_run_ends_that_run() {
    let bench = bench();
    bench.run(async {
        let periodic = bench.tasks.periodic("sweep", Duration::from_secs(10), pending::<()>);
        tokio::time::timeout(Duration::from_secs(1), periodic).await.unwrap_err();
    });
    assert_eq!(bench.counts("sweep"), [("started", 1), ("cancelled", 1)]);
    assert_eq!(bench.registry.snapshot().active.len(), 0);
}

#[test]
fn a_periodic_task_may_have_an_interval_that_is_never_over() {
    let bench = bench();
    bench.run(async {
        let periodic = bench.tasks.periodic("once", Duration::MAX, || async {});
        tokio::time::timeout(Duration::from_secs(1), periodic).await.unwrap_err();
    });
    assert_eq!(bench.counts("once"), [("started", 1), ("succeeded", 1)]);
}

#[test]
fn json_shows_tasks_apart_from_requests() {
    let bench = bench();
    let request = bench.registry.start(NewEntry::request("GET"));
    let _entered = requests::enter(request.handle());
    let task = bench.tasks.receive("email", 1, &nothing()).start();
    task.handle().set_stage("rendering");
    bench.tasks.start("done").succeed();
    let periodic = bench.tasks.periodic("sweep", Duration::from_secs(10), || async {});
    let seen: Value = serde_json::to_value(bench.registry.snapshot()).unwrap();
    let active = seen["active"].as_array().unwrap();
    assert_eq!((&active[0]["kind"], &active[1]["kind"]), (&"request".into(), &"task".into()));
    assert_eq!(active[1]["name"], "email");
    assert_eq!(active[1]["method"], Value::Null);
    assert_eq!(active[1]["stage"], "rendering");
    assert_eq!(active[1]["parent_id"], active[0]["id"]);
    assert_eq!((&seen["totals"]["started"], &seen["task_totals"]["started"]), (&1.into(), &2.into()));
    assert_eq!((&seen["totals"]["completed"], &seen["task_totals"]["completed"]), (&0.into(), &1.into()));
    let counts = serde_json::to_value(bench.tasks.counts()).unwrap();
    assert_eq!((&counts[1]["name"], &counts[1]["received"]), (&"email".into(), &1.into()));
    let job = serde_json::to_value(periodic.job()).unwrap();
    assert_eq!(
        (&job["name"], &job["last_run"], &job["overrun"]),
        (&"sweep".into(), &Value::Null, &false.into())
    );
}

fn bench_is_down() -> bool {
    false
}
