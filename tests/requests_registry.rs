//! The registry of active requests, as a server, a handler and an operator meet it.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context as Poller, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant, SystemTime},
};

use opentelemetry::{Context, SpanId, TraceId};
use serde_json::{Value, json};
use tokio::{
    runtime::Runtime,
    sync::{Notify, oneshot},
};
use tracewell::requests::{
    self, Current, EndDetails, EntryId, Guard, Kind, NewEntry, Outcome, Registry, STREAMING, Scope, Snapshot,
};

fn registry() -> Registry {
    Registry::new(1000)
}

fn get(path: &str) -> NewEntry {
    NewEntry::request("GET").with_path(path)
}

fn done() -> EndDetails {
    EndDetails::new(Duration::from_millis(5))
}

fn current_id() -> Option<EntryId> {
    requests::current().map(|current| current.id())
}

fn runtimes() -> [Runtime; 2] {
    let multi = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let single = tokio::runtime::Builder::new_current_thread().enable_all().build();
    [single.expect("a runtime"), multi.expect("a runtime")]
}

/// Polls once, without a runtime.
fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Poller::from_waker(Waker::noop()))
}

fn assert_identity(snapshot: &Snapshot) {
    let requests = snapshot.active.iter().filter(|entry| entry.kind == Kind::Request).count() as u64;
    let tasks = snapshot.active.len() as u64 - requests;
    let (totals, task_totals) = (snapshot.totals, snapshot.task_totals);
    assert_eq!(totals.started, totals.ended() + requests + snapshot.unlisted);
    assert_eq!(task_totals.started, task_totals.ended() + tasks + snapshot.unlisted_tasks);
}

#[test]
fn every_snapshot_of_a_storm_adds_up() {
    // small enough to overflow now and then
    let registry = Registry::new(200);
    let stop = AtomicBool::new(false);
    let mut snapshots = 0;
    thread::scope(|scope| {
        for seed in 0..8_usize {
            let (registry, stop) = (&registry, &stop);
            scope.spawn(move || {
                let mut kept: Vec<Guard> = Vec::new();
                let mut n = seed;
                while !stop.load(Ordering::Relaxed) {
                    n = n.wrapping_mul(31).wrapping_add(7);
                    let new = if n % 5 == 0 { NewEntry::task("t") } else { get("/") };
                    kept.push(registry.start(new));
                    if kept.len() > 40 {
                        let guard = kept.swap_remove(n % kept.len());
                        guard.set_stage(if n % 3 == 0 { STREAMING } else { "x" });
                        guard.end(Outcome::ALL[n % 5], done());
                    }
                    if n % 101 == 0 {
                        kept.clear();
                    }
                }
            });
        }
        let until = Instant::now() + Duration::from_millis(500);
        while Instant::now() < until || registry.totals(Kind::Request).started < 10_000 {
            assert_identity(&registry.snapshot());
            snapshots += 1;
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(snapshots > 10);
    assert!(registry.snapshot().overflowed > 0);
    let snapshot = registry.snapshot();
    assert_identity(&snapshot);
    assert_eq!((snapshot.active.len(), snapshot.totals.active(), registry.active_count()), (0, 0, 0));
    let mut idle = pin!(registry.idle());
    assert!(poll_once(idle.as_mut()).is_ready());
}

#[test]
fn the_way_a_guard_goes_is_the_outcome() {
    let registry = registry();
    for outcome in Outcome::ALL {
        registry.start(get("/")).end(outcome, done().with_status(200));
    }
    drop(registry.start(get("/dropped")));
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _guard = registry.start(get("/panics"));
        panic!("by intention");
    }));
    assert!(unwound.is_err());

    let totals = registry.totals(Kind::Request);
    assert_eq!((totals.started, totals.completed, totals.failed, totals.aborted), (7, 1, 1, 1));
    assert_eq!((totals.cancelled, totals.panicked, totals.active()), (2, 2, 0));
    let recent = registry.snapshot().recent;
    assert_eq!(recent.iter().filter(|ended| ended.status == Some(200)).count(), 5);
    let outcome_of = |path| recent.iter().find(|ended| ended.entry.path == path).unwrap().outcome;
    assert_eq!((outcome_of("/dropped"), outcome_of("/panics")), (Outcome::Cancelled, Outcome::Panicked));
}

#[test]
fn a_panic_or_an_abort_of_a_task_ends_its_entry() {
    for runtime in runtimes() {
        let registry = registry();
        runtime.block_on(async {
            let guard = registry.start(get("/"));
            let panicking = tokio::spawn(async move {
                tokio::task::yield_now().await;
                assert!(!guard.handle().is_active(), "by intention");
            });
            assert!(panicking.await.unwrap_err().is_panic());
            let guard = registry.start(get("/"));
            let aborted = tokio::spawn(async move {
                let _guard = guard;
                std::future::pending::<()>().await;
            });
            tokio::task::yield_now().await;
            aborted.abort();
            assert!(aborted.await.unwrap_err().is_cancelled());
        });
        let totals = registry.totals(Kind::Request);
        assert_eq!((totals.panicked, totals.cancelled, totals.active()), (1, 1, 0));
    }
}

#[test]
fn a_guard_may_end_on_another_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<Guard>();
    assert_send::<Current>();
    let registry = registry();
    let (guard, kept) = (registry.start(get("/")), registry.start(get("/kept")));
    thread::spawn(move || guard.end(Outcome::Completed, done())).join().unwrap();
    assert_eq!((registry.totals(Kind::Request).completed, registry.active_count()), (1, 1));
    drop(kept);
}

#[test]
fn current_is_the_innermost_that_is_left() {
    let registry = registry();
    let guards = [registry.start(get("/a")), registry.start(get("/b"))];
    let [a, b] = guards.each_ref().map(|guard| guard.handle().id());
    assert_eq!(current_id(), None);
    let outer = requests::enter(guards[0].handle());
    assert_eq!(current_id(), Some(a));
    {
        let _inner = requests::enter(guards[1].handle());
        assert_eq!(current_id(), Some(b));
        let mut none = Scope::default();
        let _masked = none.enter();
        assert_eq!(current_id(), None);
    }
    assert_eq!(current_id(), Some(a));

    // out of order
    let inner = requests::enter(guards[1].handle());
    drop(outer);
    assert_eq!(current_id(), Some(b));
    drop(inner);
    assert_eq!(current_id(), None);
}

#[test]
fn a_scope_gets_its_entry_back_also_after_a_panic() {
    let registry = registry();
    let guard = registry.start(get("/"));
    let mut scope = Scope::new(Some(guard.handle().clone()));
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _entered = scope.enter();
        assert_eq!(current_id(), None, "by intention");
    }));
    assert!(unwound.is_err());
    assert_eq!(current_id(), None);
    assert_eq!(scope.entry().map(Current::id), Some(guard.handle().id()));
}

#[test]
fn two_requests_on_one_thread_do_not_mix() {
    let registry = registry();
    let runtime = &runtimes()[0];
    let handle = |path: &str| {
        let guard = registry.start(get(path));
        let entered = requests::enter(guard.handle());
        let own = current_id();
        let work = requests::in_current(async move {
            for _ in 0..10 {
                assert_eq!(current_id(), own);
                tokio::task::yield_now().await;
            }
            drop(guard);
        });
        drop(entered);
        work
    };
    let (a, b) = (handle("/a"), handle("/b"));
    runtime.block_on(async {
        tokio::join!(a, b);
        assert_eq!(current_id(), None);
    });
    assert_eq!(registry.active_count(), 0);
}

#[derive(Debug, PartialEq, Clone, Copy)]
struct Tenant(u32);

/// What is current: the entry, a value of the OpenTelemetry context, the span.
fn surroundings() -> (Option<EntryId>, Option<Tenant>, Option<tracing::span::Id>) {
    (current_id(), Context::current().get::<Tenant>().copied(), tracing::Span::current().id())
}

/// Reports what is current when it is dropped.
struct OnDrop(mpsc::Sender<Option<EntryId>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(current_id());
    }
}

#[test]
fn spawned_work_keeps_entry_span_and_context() {
    // the only test here with a subscriber
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
    let registry = registry();
    for runtime in runtimes() {
        let guard = registry.start(get("/"));
        let span = tracing::info_span!("work");
        let expected = (Some(guard.handle().id()), Some(Tenant(7)), span.id());
        assert!(span.id().is_some());
        let (spawned, blocking, carried) = {
            let _entry = requests::enter(guard.handle());
            let _span = span.enter();
            let _context = Context::current_with_value(Tenant(7)).attach();
            let _runtime = runtime.enter();
            let spawned = requests::spawn(async {
                let first = surroundings();
                tokio::task::yield_now().await;
                // tasks of tasks as well
                let inner = requests::spawn(async { surroundings() }).await.unwrap();
                (first, inner, surroundings())
            });
            let blocking = requests::spawn_blocking(surroundings);
            (spawned, blocking, requests::in_current(async { surroundings() }))
        };
        runtime.block_on(async {
            assert_eq!(surroundings(), (None, None, None));
            assert_eq!(spawned.await.unwrap(), (expected.clone(), expected.clone(), expected.clone()));
            assert_eq!(blocking.await.unwrap(), expected);
            assert_eq!(carried.await, expected);
            assert_eq!(surroundings(), (None, None, None));
        });
        assert_eq!(guard.handle().tasks_running(), 0);
    }
}

#[test]
fn a_carried_future_is_dropped_where_it_belongs() {
    let registry = registry();
    let guard = registry.start(get("/"));
    let (sender, seen) = mpsc::channel();
    let entered = requests::enter(guard.handle());
    let on_drop = OnDrop(sender);
    let mut future = Box::pin(requests::in_current(async move {
        let _on_drop = on_drop;
        std::future::pending::<()>().await;
    }));
    drop(entered);
    assert!(poll_once(future.as_mut()).is_pending());
    drop(future);
    assert_eq!(seen.recv().unwrap(), Some(guard.handle().id()));
    assert_eq!(current_id(), None);
}

#[test]
fn an_ended_entry_says_how_many_tasks_run_on() {
    for runtime in runtimes() {
        let registry = registry();
        runtime.block_on(async {
            let guard = registry.start(get("/"));
            let handle = guard.handle().clone();
            let (release, released) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (unblock, blocked) = mpsc::channel::<()>();
            let (waiting, blocking, panicking) = {
                let _entry = requests::enter(&handle);
                let (release, released) = (Arc::clone(&release), Arc::clone(&released));
                let waiting = requests::spawn(async move {
                    release.notified().await;
                    released.notify_one();
                });
                let blocking = requests::spawn_blocking(move || blocked.recv());
                (waiting, blocking, requests::spawn(async { std::panic::resume_unwind(Box::new(())) }))
            };
            assert!(panicking.await.is_err());
            guard.end(Outcome::Completed, done());
            let recent = registry.snapshot().recent;
            assert_eq!((recent[0].tasks_at_end, recent[0].entry.tasks_running), (2, 2));

            release.notify_one();
            unblock.send(()).unwrap();
            waiting.await.unwrap();
            blocking.await.unwrap().unwrap();
            let recent = registry.snapshot().recent;
            assert_eq!((recent[0].tasks_at_end, recent[0].entry.tasks_running), (2, 0));
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_requests_and_names_those_that_stay() {
    let registry = registry();
    let task = registry.start(NewEntry::task("sweeper"));
    assert!(registry.drain(Duration::ZERO).await.is_clean());

    let stream = registry.start(get("/events"));
    stream.set_stage(STREAMING);
    let request = registry.start(get("/slow"));
    let report = registry.drain(Duration::from_secs(5)).await;
    assert!(!report.is_clean());
    assert_eq!((report.left.len(), report.streams.len()), (1, 1));
    assert_eq!((&*report.left[0].path, &*report.streams[0].path), ("/slow", "/events"));
    let line = report.left[0].to_string();
    assert!(
        line.starts_with(&format!("request {} GET path=/slow started_at=", request.handle().id())),
        "{line}"
    );

    let ends = async {
        tokio::task::yield_now().await;
        request.end(Outcome::Completed, done());
    };
    let (report, ()) = tokio::join!(registry.drain(Duration::from_secs(3600)), ends);
    assert!(report.is_clean());
    assert_eq!(report.streams.len(), 1);
    drop((task, stream));
}

#[tokio::test(start_paused = true)]
async fn becoming_a_stream_ends_the_wait_and_going_back_begins_it() {
    let registry = registry();
    let guard = registry.start(get("/"));
    let mut idle = Box::pin(registry.idle_except_streams());
    assert!(poll_fn(|poller| Poll::Ready(idle.as_mut().poll(poller))).await.is_pending());
    let (woken, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(60), idle), async {
        guard.set_stage(STREAMING);
    });
    woken.unwrap();
    let mut strict = Box::pin(registry.idle());
    assert!(poll_once(strict.as_mut()).is_pending());
    guard.set_stage("finish");
    assert!(poll_once(pin!(registry.idle_except_streams())).is_pending());
    guard.set_stage(STREAMING);
    drop(guard);
    assert!(poll_once(strict.as_mut()).is_ready());
    // an ended entry no longer becomes anything
    let handle = registry.start(get("/")).handle().clone();
    handle.set_stage(STREAMING);
    let _open = registry.start(get("/"));
    assert!(poll_once(pin!(registry.idle_except_streams())).is_pending());
}

/// Asks the registry and the entry, as an executor that logs might.
struct CuriousWaker(Registry, Current, mpsc::Sender<usize>);

impl Wake for CuriousWaker {
    fn wake(self: Arc<Self>) {
        assert_eq!(self.1.stage().as_deref(), Some(STREAMING));
        let _ = self.2.send(self.0.snapshot().active.len());
    }
}

#[test]
fn wakers_run_outside_of_the_locks() {
    let registry = registry();
    let (sender, seen) = mpsc::channel();
    // on a thread of its own: a lock taken twice would hang it, not the test
    thread::spawn(move || {
        let guard = registry.start(get("/"));
        let mut idle = pin!(registry.idle_except_streams());
        let waker = Waker::from(Arc::new(CuriousWaker(registry.clone(), guard.handle().clone(), sender)));
        assert!(idle.as_mut().poll(&mut Poller::from_waker(&waker)).is_pending());
        guard.set_stage(STREAMING);
        assert!(idle.as_mut().poll(&mut Poller::from_waker(&waker)).is_ready());
        let mut idle = pin!(registry.idle());
        assert!(idle.as_mut().poll(&mut Poller::from_waker(&waker)).is_pending());
        drop(guard);
    });
    let timeout = Duration::from_secs(20);
    assert_eq!((seen.recv_timeout(timeout), seen.recv_timeout(timeout)), (Ok(1), Ok(0)));
}

#[test]
fn an_idle_wait_may_be_dropped_and_no_end_is_missed() {
    let [_, runtime] = runtimes();
    let registry = registry();
    runtime.block_on(async {
        let open = registry.start(get("/"));
        assert!(poll_once(pin!(registry.idle())).is_pending());
        drop(open);
        for round in 0..2000 {
            let guards: Vec<_> = (0..4).map(|_| registry.start(get("/"))).collect();
            let (go, gone) = oneshot::channel::<()>();
            let ends = tokio::spawn(async move {
                let _ = gone.await;
                drop(guards);
            });
            let waiting = {
                let registry = registry.clone();
                tokio::spawn(async move { registry.idle().await })
            };
            let _ = go.send(());
            let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
            assert!(waited.is_ok(), "round {round} never became idle");
            ends.await.unwrap();
            assert_eq!(registry.active_count(), 0);
        }
    });
}

#[test]
fn stages_and_annotations_are_bounded() {
    let registry = registry();
    let guard = registry.start(get(&"/ä".repeat(2000)));
    let current = guard.handle();
    for n in 0..20 {
        current.set_stage(format!("s{n}"));
        current.set_stage(format!("s{n}"));
    }
    for n in 0..40 {
        current.annotate(format!("k{n}"), "ä".repeat(200));
    }
    current.annotate("k0", 1);
    current.annotate_sensitive("k1", "secret");
    current.annotate("k".repeat(100), "not kept");
    let entry = registry.snapshot().active.remove(0);
    assert!(entry.path.len() <= 2048 && entry.path.ends_with('/'));
    let names: Vec<_> = entry.stages.iter().map(|stage| &*stage.name).collect();
    assert_eq!(names[..5], ["s0", "s1", "s2", "s3", "s8"]);
    assert_eq!((names.len(), entry.stages_dropped, entry.stage.as_deref()), (16, 4, Some("s19")));
    assert!(entry.stages.windows(2).all(|pair| pair[0].at <= pair[1].at));
    assert_eq!((entry.annotations.len(), entry.annotations_dropped), (32, 9));
    assert_eq!((entry.annotations[0].shown(), entry.annotations[2].shown()), ("1", &*"ä".repeat(128)));
    assert_eq!((entry.annotations[1].shown(), entry.annotations[1].reveal()), ("[redacted]", "secret"));
    assert!(!format!("{entry:?}").contains("secret"));
}

#[test]
fn an_ended_entry_stays_as_it_was() {
    let registry = registry();
    let guard = registry.start(get("/"));
    let handle = guard.handle().clone();
    handle.set_stage("working");
    guard.end(Outcome::Completed, done());
    handle.set_stage("late");
    handle.annotate("late", true);
    handle.set_route("/late".into());
    let recent = registry.snapshot().recent.remove(0);
    assert_eq!((recent.entry.stage.as_deref(), recent.entry.route), (Some("working"), None));
    assert!(recent.entry.annotations.is_empty());
}

#[test]
fn the_oldest_active_and_the_latest_ended_come_first() {
    let registry = registry();
    let (wall, now) = (SystemTime::now(), Instant::now());
    let at = |seconds| get("/").with_start(wall, now + Duration::from_secs(seconds));
    let guards: Vec<_> = [3, 1, 2].map(|seconds| registry.start(at(seconds))).into();
    let ids = |order: [usize; 3]| order.map(|n| guards[n].handle().id()).to_vec();
    let active: Vec<_> = registry.snapshot().active.iter().map(|entry| entry.id).collect();
    assert_eq!(active, ids([1, 2, 0]));
    let latest_first = ids([0, 2, 1]);
    guards.into_iter().for_each(|guard| guard.end(Outcome::Completed, done()));
    let recent: Vec<_> = registry.snapshot().recent.iter().map(|ended| ended.entry.id).collect();
    assert_eq!(recent, latest_first);
}

#[test]
fn json_is_the_contract() {
    let registry = registry();
    let wall = SystemTime::UNIX_EPOCH + Duration::from_micros(1_709_164_800_000_001);
    let trace = TraceId::from_hex("0af7651916cd43dd8448eb211c80319c").unwrap();
    let span = SpanId::from_hex("00f067aa0ba902b7").unwrap();
    let request = registry.start(
        NewEntry::request("GET")
            .with_path("/users/7")
            .with_span(trace, span, true)
            .with_start(wall, Instant::now()),
    );
    request.set_route("/users/{id}".into());
    request.set_stage("waiting");
    request.handle().annotate("tenant", "a\"b");
    request.handle().annotate_sensitive("token", "hunter2");
    let id = request.handle().id().to_string();
    let later = Instant::now();
    let task =
        registry.start(NewEntry::task("sweep").with_parent(request.handle().id()).with_start(wall, later));
    task.handle().set_stuck(true);

    let mut text = serde_json::to_value(registry.snapshot()).unwrap();
    for entry in text["active"].as_array_mut().unwrap() {
        assert!(entry["age_ms"].is_u64());
        entry["age_ms"] = json!(0);
    }
    let nothing =
        json!({"started": 1, "completed": 0, "failed": 0, "cancelled": 0, "panicked": 0, "aborted": 0});
    let expected = json!({
        "active": [
            {"id": id, "kind": "request", "name": "GET /users/{id}", "method": "GET", "route": "/users/{id}",
             "path": "/users/7", "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "00f067aa0ba902b7",
             "sampled": true, "started_at": "2024-02-29T00:00:00.000001Z", "age_ms": 0, "stage": "waiting",
             "annotations": {"tenant": "a\"b", "token": "[redacted]"}, "parent_id": null, "stuck": false},
            {"id": task.handle().id().to_string(), "kind": "task", "name": "sweep", "method": null, "route": null,
             "path": "", "trace_id": null, "span_id": null, "sampled": false,
             "started_at": "2024-02-29T00:00:00.000001Z", "age_ms": 0, "stage": null,
             "annotations": {}, "parent_id": id, "stuck": true},
        ],
        "totals": nothing, "task_totals": nothing, "recent": [],
    });
    assert_eq!(text, expected);

    request.end(Outcome::Failed, done().with_status(503));
    let text = serde_json::to_value(registry.snapshot()).unwrap();
    let recent: &Value = &text["recent"][0];
    assert_eq!(
        (&recent["id"], &recent["outcome"], &recent["status"]),
        (&json!(id), &json!("failed"), &json!(503))
    );
    assert_eq!((&recent["duration_ms"], &recent["stages"][0]["stage"]), (&json!(5.0), &json!("waiting")));
    assert_eq!(text["totals"]["failed"], 1);
    assert!(!text.to_string().contains("hunter2"));
}

#[test]
fn what_did_not_fit_is_shown() {
    let registry = Registry::new(1);
    let guards = [registry.start(get("/")), registry.start(get("/")), registry.start(NewEntry::task("t"))];
    let text = serde_json::to_value(registry.snapshot()).unwrap();
    assert_eq!(text["active"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&text["unlisted"], &text["unlisted_tasks"], &text["overflowed"]),
        (&json!(1), &json!(1), &json!(2))
    );
    // unlisted requests are waited for and reported like the others
    assert!(poll_once(pin!(registry.idle())).is_pending());
    assert_identity(&registry.snapshot());
    drop(guards);
    assert!(poll_once(pin!(registry.idle())).is_ready());
}

#[test]
fn the_global_registry_is_one() {
    let guard = Registry::global().start(get("/global"));
    let listed = requests::active().active;
    assert!(listed.iter().any(|entry| entry.id == guard.handle().id()));
}
