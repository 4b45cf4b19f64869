//! Checks that hang, panic, block and flap; storms; the start.

use std::sync::{Mutex, atomic::AtomicUsize};

use super::*;

fn health(disabled: &[&str]) -> Health {
    let checks_disabled = disabled.iter().map(|name| (*name).to_owned()).collect();
    Health::new(&AdminConfig { checks_disabled, ..AdminConfig::default() })
}

fn stalling(stall: Duration) -> Health {
    Health::new(&AdminConfig { liveness_stall: Some(stall), ..AdminConfig::default() })
}

#[test]
fn a_drain_is_final() {
    let health = health(&[]);
    assert_eq!(health.phase(), Phase::Starting);
    health.set_ready();
    assert_eq!(health.phase(), Phase::Ready);
    health.set_draining();
    health.set_ready();
    assert_eq!(health.phase(), Phase::Draining);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_falls_silent_is_stalled_after_the_limit() {
    let (limited, unlimited) = (stalling(Duration::ZERO), health(&[]));
    assert!(!limited.is_stalled(), "without a heartbeat nothing is known");
    for health in [&limited, &unlimited] {
        let _ = tokio::time::timeout(Duration::from_millis(1), health.clone().beat()).await;
    }
    let since = Instant::now();
    while since.elapsed() < Duration::from_millis(5) {
        std::hint::spin_loop();
    }
    assert!(limited.is_stalled());
    assert!(!unlimited.is_stalled(), "no limit, no stall");
}

fn fails_while(switch: &Arc<AtomicBool>) -> Check {
    let switch = Arc::clone(switch);
    Check::new(move || {
        let fails = switch.load(Ordering::SeqCst);
        async move { if fails { Err("refused") } else { Ok(()) } }
    })
    .with_success_cache(None)
    .with_failure_cache(None)
}

async fn only(health: &Health) -> (Status, String) {
    let mut report = health.report().await;
    assert_eq!(report.results.len(), 1);
    let result = report.results.remove(0);
    (result.status, result.message)
}

#[tokio::test]
async fn panics_errors_and_timeouts_are_the_checks_own_failures_and_all_are_reported() {
    let health = health(&["off"]);
    health.register("fine", Check::new(async || Verdict::pass("3 connections").with_data("connections", 3)));
    health.register("refused", Check::new(async || Err::<(), _>("connection refused")));
    // its backtrace may take a while to be printed
    let panics = Check::new(async || -> () { panic!("no pool") }).with_timeout(Duration::from_secs(1));
    health.register("panics", panics);
    health.register("hangs", Check::new(std::future::pending::<()>).with_timeout(Duration::from_millis(20)));
    health.register("off", Check::new(async || Verdict::fail("disabled by name")));
    let report = health.report().await;
    let said: Vec<_> =
        report.results.iter().map(|r| (r.name.as_str(), r.status, r.message.as_str())).collect();
    let expected = [
        ("fine", Status::Pass, "3 connections"),
        ("refused", Status::Fail, "connection refused"),
        ("panics", Status::Fail, "panicked: no pool"),
        ("hangs", Status::Fail, "no answer within 20 ms"),
    ];
    assert_eq!(said, expected);
    assert_eq!((report.status, &report.results[0].data["connections"]), (Status::Fail, &Value::from(3)));
}

#[tokio::test]
async fn hanging_checks_are_waited_for_together() {
    let health = health(&[]);
    for index in 0..20 {
        health.register(index.to_string(), Check::new(std::future::pending::<()>));
    }
    let begun = Instant::now();
    let report = health.report().await;
    assert!(report.results.iter().all(|result| result.status == Status::Fail));
    assert!(begun.elapsed() < Duration::from_secs(3), "20 × 300 ms one after the other are 6 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_runs_a_check_once_and_shares_the_answer() {
    let health = health(&[]);
    let (runs, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let (counted, opened) = (Arc::clone(&runs), Arc::clone(&gate));
    let check = Check::new(move || {
        let (counted, opened) = (Arc::clone(&counted), Arc::clone(&opened));
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            opened.acquire().await.map(drop)
        }
    });
    health.register("slow", check.with_timeout(Duration::from_secs(1)));
    let askers: Vec<_> = (0..1000)
        .map(|_| {
            let health = health.clone();
            tokio::spawn(async move { health.report().await.status })
        })
        .collect();
    gate.add_permits(1);
    for asker in askers {
        assert_eq!(asker.await.unwrap(), Status::Pass);
    }
    let after = health.report().await;
    assert!(after.results[0].cached);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn successes_and_failures_are_held_for_as_long_as_was_said() {
    let health = health(&[]);
    let (fails, runs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (failing, counted) = (Arc::clone(&fails), Arc::clone(&runs));
    let check = Check::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let fails = failing.load(Ordering::SeqCst);
        async move { if fails { Err("refused") } else { Ok(()) } }
    });
    health
        .register("database", check.clone().with_success_cache(None).with_failure_cache(Some(LONGEST * 60)));
    assert!(!health.report().await.results[0].cached && !health.report().await.results[0].cached);
    fails.store(true, Ordering::SeqCst);
    assert_eq!(health.report().await.results[0].status, Status::Fail);
    fails.store(false, Ordering::SeqCst);
    let held = health.report().await;
    assert_eq!((held.results[0].status, held.results[0].cached), (Status::Fail, true));
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    // registered anew it starts from nothing
    health.register("database", check);
    assert_eq!(health.report().await.results[0].status, Status::Pass);
}

#[tokio::test]
async fn a_flapping_check_changes_its_state_at_the_thresholds_only() {
    let health = health(&[]);
    let fails = Arc::new(AtomicBool::new(false));
    health.register("flaps", fails_while(&fails).with_thresholds(3, 2));
    assert_eq!(only(&health).await.0, Status::Pass);
    fails.store(true, Ordering::SeqCst);
    assert_eq!(only(&health).await, (Status::Warn, "refused (failure 1 of 3)".to_owned()));
    fails.store(false, Ordering::SeqCst);
    assert_eq!(only(&health).await.0, Status::Pass, "one success and the count begins anew");
    fails.store(true, Ordering::SeqCst);
    for expected in [Status::Warn, Status::Warn, Status::Fail] {
        assert_eq!(only(&health).await.0, expected);
    }
    fails.store(false, Ordering::SeqCst);
    for expected in [Status::Fail, Status::Pass] {
        assert_eq!(only(&health).await.0, expected);
    }
}

#[tokio::test]
async fn what_is_not_critical_warns_and_groups_are_asked_apart() {
    let health = health(&[]);
    health.register("cache", Check::new(async || Err::<(), _>("gone")).non_critical());
    health.register("schema", Check::new(async || Err::<(), _>("old")).with_group(STARTUP));
    let ready = health.report_of(READY).await;
    assert_eq!((ready.status, ready.results.len(), ready.results[0].status), (Status::Warn, 1, Status::Fail));
    assert_eq!(health.report_of(STARTUP).await.status, Status::Fail);
    assert_eq!(health.report().await.results.len(), 2);
}

/// The admin server's place: another runtime asks while the service's only worker is blocked.
#[test]
fn a_check_that_blocks_its_worker_keeps_nobody_waiting_and_is_not_run_again_meanwhile() {
    let service = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let health = health(&[]);
    service.block_on(async {
        let (counted, blocked) = (Arc::clone(&runs), Arc::new(Mutex::new(blocked)));
        let check = Check::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = blocked.lock().unwrap().recv_timeout(Duration::from_secs(20));
            async {}
        });
        health.register("blocks", check.with_failure_cache(None).with_timeout(Duration::from_millis(50)));
    });
    let prober = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begun = Instant::now();
    for _ in 0..3 {
        let (status, message) = prober.block_on(only(&health));
        assert_eq!((status, message.as_str()), (Status::Fail, "no answer within 50 ms"));
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    release.send(()).unwrap();
    drop(service);
    let (status, message) = prober.block_on(only(&health));
    assert_eq!((status, message.as_str()), (Status::Fail, "its runtime has ended"));
}

#[derive(Debug, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Events {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        self.0.lock().unwrap().push(format!("span {}", attributes.metadata().name()));
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        self.0.lock().unwrap().push(format!("{} {}", event.metadata().level(), event.metadata().target()));
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn a_changed_state_is_one_record_and_a_checks_own_are_none() {
    let events = Events::default();
    let heard = Arc::clone(&events.0);
    let _guard = tracing::subscriber::set_default(events);
    let health = health(&[]);
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let check = Check::new(move || {
        let fails = failing.load(Ordering::SeqCst);
        async move {
            tracing::info_span!("query").in_scope(|| tracing::error!("own"));
            tokio::task::yield_now().await;
            tracing::error!("own, later");
            assert!(opentelemetry::Context::is_current_telemetry_suppressed());
            if fails { Err("refused") } else { Ok(()) }
        }
    });
    health.register("database", check.with_success_cache(None).with_failure_cache(None));
    for failing in [false, false, true, true, true, false, false] {
        fails.store(failing, Ordering::SeqCst);
        let expected = if failing { Status::Fail } else { Status::Pass };
        assert_eq!(only(&health).await.0, expected);
    }
    assert_eq!(*heard.lock().unwrap(), ["WARN tracewell::health", "INFO tracewell::health"]);
}

#[test]
fn phases_are_timed_from_the_process_start_and_the_start_is_over_when_none_runs() {
    let health = health(&[]);
    let migrations = startup::phase("migrations");
    let warmup = startup::phase("warm-up");
    health.set_ready();
    assert!(!health.is_started(), "two phases run");
    migrations.end();
    assert!(!health.is_started(), "one runs");
    let phases = startup::phases();
    let phase = |name: &str| phases.iter().find(|phase| phase.name == name).unwrap();
    // the kernel counts in hundredths of a second: of a young process the first phases begin at 0
    assert!(phase("migrations").ended >= Some(phase("migrations").begun));
    assert!(phase("warm-up").begun >= phase("migrations").begun);
    assert_eq!(phase("warm-up").ended, None);
    drop(warmup);
    assert!(health.is_started());
    let _late = startup::phase("reload");
    assert!(health.is_started(), "it stays so");
}
