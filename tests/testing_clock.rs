//! With a clock that stands still, what the crate measures is exact, and "after 61 s" takes no time.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, routing::get};
use http::Request;
use tower::ServiceExt as _;
use tracewell::{
    config::SamplingRule,
    health::Check,
    requests::Thresholds,
    resilience::{Breaker, State},
    tasks::Tasks,
    testing::Capture,
};
use tracing::Instrument as _;

const MINUTE: Duration = Duration::from_secs(60);

async fn ask(app: &Router, path: &str) {
    let response = app.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
}

fn app(capture: &Capture, pause: Duration) -> Router {
    let slow = move || async move { tokio::time::sleep(pause).await };
    Router::new().route("/slow", get(slow)).layer(capture.server_layer())
}

#[test]
fn durations_of_requests_and_tasks_are_exact() {
    let begun = Instant::now();
    let capture = Capture::new();
    let app = app(&capture, 90 * MINUTE);
    let runtime = capture.paused_runtime();
    runtime.block_on(async {
        ask(&app, "/slow").await;
        let tasks = Tasks::new(capture.requests().clone(), &capture.telemetry().meter_provider());
        tasks.run("report", async { tokio::time::sleep(MINUTE).await }).await;
        tokio::time::sleep(MINUTE).instrument(tracing::info_span!("waiting")).await;
    });
    capture.assert_metric("http.server.request.duration").count(1).value(5400.0).exemplar_of("GET /slow");
    assert_eq!(capture.assert_span("GET /slow").get().duration(), 90 * MINUTE);
    assert_eq!(capture.assert_span("waiting").get().duration(), MINUTE);
    capture.assert_metric("tracewell.task.duration").count(1).value(60.0);
    capture.assert_nothing_active();
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn ages_and_stuck_requests_follow_the_clock_of_their_own_test() {
    let (capture, other) = (Capture::new(), Capture::new());
    let app = app(&capture, 10 * MINUTE);
    let runtime = capture.paused_runtime();
    let request = runtime.spawn(async move { ask(&app, "/slow").await });
    runtime.advance(Duration::ZERO);
    let thresholds = Thresholds::new(MINUTE);
    // advancing by parts: what is due on the way is not due yet
    runtime.advance(MINUTE - Duration::from_millis(1));
    runtime.block_on(async {
        assert_eq!(capture.requests().flag_stuck(&thresholds), 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(capture.requests().snapshot().active[0].age, MINUTE);
        // another test's clock goes on as it did
        let beside = thread::spawn(move || {
            let _task = other.requests().start(tracewell::requests::NewEntry::task("beside"));
            other.requests().snapshot().active[0].age
        });
        assert!(beside.join().unwrap() < Duration::from_secs(10));
        assert_eq!(capture.requests().flag_stuck(&thresholds), 1);
    });
    capture.assert_log(capture.logs()[0].message()).level("WARN").within("GET /slow");
    runtime.block_on(request).unwrap();
    capture.assert_nothing_active();
}

#[test]
fn so_many_a_second_are_sampled_by_the_seconds_of_the_test() {
    let rules = [SamplingRule::per_second(2.0)];
    let capture = Capture::builder().with_telemetry(|builder| builder.with_sampling_rules(rules)).build();
    capture.paused_runtime().block_on(async {
        for (after, kept) in [(Duration::ZERO, 2), (Duration::from_millis(499), 2), (MINUTE, 4)] {
            tokio::time::advance(after).await;
            for _ in 0..5 {
                tracing::info_span!("order").in_scope(|| ());
            }
            assert_eq!(capture.spans().len(), kept, "{after:?} later");
        }
    });
}

#[test]
fn a_breaker_lets_one_try_through_when_its_time_is_over() {
    let capture = Capture::new();
    capture.paused_runtime().block_on(async {
        let breaker = Breaker::builder("payments").with_min_calls(2).with_open_for(MINUTE).build();
        for _ in 0..2 {
            breaker.acquire().unwrap().failed();
        }
        assert_eq!(breaker.state(), State::Open);
        tokio::time::advance(MINUTE - Duration::from_millis(1)).await;
        assert!(breaker.acquire().is_err());
        tokio::time::advance(Duration::from_millis(1)).await;
        breaker.acquire().unwrap().succeeded();
    });
}

#[test]
fn a_checks_answer_is_held_as_long_as_it_says() {
    let capture = Capture::new();
    capture.paused_runtime().block_on(async {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let health = capture.telemetry().health();
        let check = Check::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, String>(()) }
        });
        health.register("database", check.with_success_cache(Some(MINUTE)));
        for (after, expected) in [(Duration::ZERO, 1), (MINUTE / 2, 1), (MINUTE, 2)] {
            tokio::time::advance(after).await;
            health.report().await;
            assert_eq!(runs.load(Ordering::Relaxed), expected, "{after:?}");
        }
    });
}
