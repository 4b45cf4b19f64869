//! A capture sees the telemetry of its own test: all of it, and nothing else's.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, http::StatusCode, routing::get};
use http::Request;
use opentelemetry::KeyValue;
use tower::ServiceExt as _;
use tracewell::{View, requests, testing::Capture};
use tracing::Instrument as _;

const REMOTE_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const REMOTE_SPAN: &str = "00f067aa0ba902b7";
const LONG: Duration = Duration::from_secs(20);

fn request(path: &str, remote: bool) -> Request<Body> {
    let mut request = Request::get(path);
    if remote {
        request = request.header("traceparent", format!("00-{REMOTE_TRACE}-{REMOTE_SPAN}-01"));
    }
    request.body(Body::empty()).unwrap()
}

/// Reads the body to its end: only then has the request ended.
async fn serve(app: Router, request: Request<Body>) -> StatusCode {
    let response = app.oneshot(request).await.unwrap();
    let status = response.status();
    http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
    status
}

#[test]
fn captures_side_by_side_neither_see_each_other_nor_lose_their_own() {
    const ROUNDS: usize = 50;
    let together = Barrier::new(3);
    let busy = |name: &'static str, debug: bool| {
        for round in 0..ROUNDS {
            together.wait();
            // one that wants more than the other: what both want must not become what each gets
            let filter = if debug { "debug" } else { "info" };
            let capture = Capture::builder().with_log_filter(filter).build();
            let _guard = capture.set_default();
            together.wait();
            tracing::info_span!("outer", name).in_scope(|| {
                tracing::debug!(name, round, "detail");
                tracing::info_span!("inner", name).in_scope(|| tracing::info!(name, round, "work"));
                capture.meter("m").u64_counter("done").build().add(1, &[KeyValue::new("name", name)]);
            });
            let detail = format!("\n  DEBUG detail name={name} round={round}");
            let detail = if debug { &*detail } else { "" };
            assert_eq!(
                capture.tree(),
                format!("outer{detail}\n  inner\n    INFO work name={name} round={round}")
            );
            let metric = capture.metric("done").unwrap();
            assert_eq!((metric.points().len(), metric.value()), (1, 1.0));
            assert_eq!(metric.exemplars()[0].trace_id(), capture.span("outer").unwrap().trace_id());
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| busy("a", true));
        scope.spawn(|| busy("b", false));
        // the same callsites on a thread that has no capture at all
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                together.wait();
                together.wait();
                tracing::info_span!("outer", name = "nobody").in_scope(|| tracing::info!("nobody's"));
            }
        });
    });
}

#[test]
fn a_callers_trace_is_continued_without_globals_even_inside_of_another_span() {
    let capture = Capture::new();
    let app = Router::new()
        .route("/users/{id}", get(|| async { tracing::info!("loaded") }))
        .layer(capture.server_layer());
    let runtime = capture.runtime();
    runtime.block_on(async {
        let ambient = tracing::info_span!("ambient");
        assert_eq!(serve(app.clone(), request("/users/1", true)).instrument(ambient).await, 200);
    });
    let server = capture.span("GET /users/{id}").unwrap();
    assert_eq!((server.trace_id(), server.parent_span_id()), (REMOTE_TRACE, REMOTE_SPAN));
    assert!(server.has_remote_parent());
    assert_eq!(capture.log("loaded").unwrap().span_id(), server.span_id());
    assert_eq!(capture.tree(), "ambient\nGET /users/{id} [server] 200\n  INFO loaded");

    capture.clear();
    runtime.block_on(serve(app.clone(), request("/users/2", false)));
    let server = capture.span("GET /users/{id}").unwrap();
    assert!(server.is_root() && server.trace_id() != REMOTE_TRACE);
    assert_eq!(capture.requests().active_count(), 0);
    assert_eq!(capture.metric("http.server.request.duration").unwrap().count(), 2);
    assert_eq!(capture.metric("http.server.active_requests").unwrap().value(), 0.0);
}

#[test]
fn no_propagator_means_no_continuation() {
    let capture = Capture::builder().with_env([("OTEL_PROPAGATORS", "none")]).build();
    let app = Router::new().route("/", get(|| async {})).layer(capture.server_layer());
    capture.runtime().block_on(serve(app, request("/", true)));
    assert!(capture.span("GET /").unwrap().is_root());
}

async fn work_elsewhere() {
    let job = async { tracing::info_span!("job").in_scope(|| tracing::info!("in a task")) };
    requests::spawn(job).await.unwrap();
    requests::spawn_blocking(|| tracing::info!("on a blocking thread")).await.unwrap();
    tracing::info!("back");
}

#[tokio::test]
async fn spawned_work_is_captured_on_a_runtime_that_knows_nothing_of_it() {
    let capture = Capture::new();
    let app = Router::new().route("/", get(work_elsewhere)).layer(capture.server_layer());
    let (status, ()) = tokio::join!(capture.run(serve(app, request("/", false))), async {
        // polled between the other's polls, outside of the capture
        tokio::task::yield_now().await;
        tracing::info!("not in the capture");
    });
    assert_eq!(status, 200);
    let expected = "GET / [server] 200\n  job\n    INFO in a task\n  INFO on a blocking thread\n  INFO back";
    assert_eq!(capture.tree(), expected);
}

async fn fails() -> StatusCode {
    panic!("on purpose")
}

#[test]
fn failed_requests_and_what_is_not_over_show_in_the_tree() {
    let capture = Capture::new();
    let app = Router::new()
        .route("/broken", get(|| async { StatusCode::BAD_GATEWAY }))
        .route("/stuck", get(std::future::pending::<()>))
        .route("/panic", get(fails))
        .layer(capture.server_layer());
    let runtime = capture.runtime();
    runtime.block_on(serve(app.clone(), request("/broken", false)));
    assert!(runtime.block_on(runtime.spawn(serve(app.clone(), request("/panic", false)))).is_err());
    let stuck = runtime.spawn(serve(app, request("/stuck", false)));
    assert!(capture.wait_for(LONG, |captured| captured.open_spans() == 1));
    let ended = "GET /broken [server] 502 error\nGET /panic [server] error=panic\n";
    assert_eq!(capture.tree(), format!("{ended}GET /stuck (open)"));
    stuck.abort();
    assert!(capture.wait_for(LONG, |captured| captured.open_spans() == 0));
    assert_eq!(capture.tree(), format!("{ended}GET /stuck [server]"));
}

#[test]
fn what_a_view_drops_from_the_point_stays_in_its_exemplar() {
    let view = View::new("job.duration").with_attribute_keys(["queue"]).with_boundaries([1.0]);
    let capture = Capture::builder().with_view(view).build();
    let _guard = capture.set_default();
    let jobs = capture.meter("jobs").f64_histogram("job.duration").build();
    let attributes = |queue: &'static str, user| [KeyValue::new("queue", queue), KeyValue::new("user", user)];
    tracing::info_span!("job").in_scope(|| {
        jobs.record(0.5, &attributes("mail", "anna"));
        jobs.record(2.0, &attributes("mail", "bert"));
        jobs.bind(&attributes("bulk", "carl")).record(0.7);
    });

    let metric = capture.metric("job.duration").unwrap();
    assert_eq!(metric.points().len(), 2, "series differ by queue only");
    for (queue, users) in [("mail", &["anna", "bert"][..]), ("bulk", &["carl"])] {
        let point = metric.point(&[("queue", queue)]).unwrap();
        assert_eq!(point.attributes().keys().collect::<Vec<_>>(), ["queue"]);
        assert_eq!(point.count(), users.len() as u64);
        let kept: Vec<_> = point.exemplars().iter().map(|e| e.filtered_attributes().text("user")).collect();
        assert_eq!(kept, users.iter().map(|user| Some((*user).to_owned())).collect::<Vec<_>>());
        let all_filtered = |keys: Vec<&str>| keys == ["user"];
        assert!(point.exemplars().iter().all(|e| all_filtered(e.filtered_attributes().keys().collect())));
    }
}

#[test]
fn exemplars_come_sorted_by_value_whatever_order_they_were_measured_in() {
    // an exponential histogram keeps them in no order of its own
    let aggregation = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
    let capture = Capture::builder().with_env([(aggregation, "base2_exponential_bucket_histogram")]).build();
    let _guard = capture.set_default();
    let sizes = capture.meter("m").f64_histogram("size").build();
    tracing::info_span!("work").in_scope(|| [9.0, 3.0, 7.0, 5.0].map(|size| sizes.record(size, &[])));
    let values: Vec<_> = capture.metric("size").unwrap().exemplars().iter().map(|e| e.value()).collect();
    assert_eq!(values, [3.0, 5.0, 7.0, 9.0]);
}

#[test]
fn the_exemplar_filter_decides_which_measurements_have_one() {
    // filter, sampler, then: has one in a span, has one outside
    for (filter, sampler, inside, outside) in [
        ("always_off", "always_on", false, false),
        ("trace_based", "always_on", true, false),
        ("trace_based", "always_off", false, false),
        ("always_on", "always_on", true, true),
        ("always_on", "always_off", true, true),
    ] {
        let env = [("OTEL_METRICS_EXEMPLAR_FILTER", filter), ("OTEL_TRACES_SAMPLER", sampler)];
        let capture = Capture::builder().with_env(env).build();
        let _guard = capture.set_default();
        let meter = capture.meter("m");
        let (one, other) = (meter.u64_counter("inside").build(), meter.u64_counter("outside").build());
        tracing::info_span!("work").in_scope(|| one.add(1, &[]));
        other.add(1, &[]);

        let of = |name| capture.metric(name).unwrap().exemplars();
        assert_eq!((of("inside").len(), of("outside").len()), (inside.into(), outside.into()), "{env:?}");
        assert!(of("outside").iter().all(|exemplar| exemplar.trace_id().is_empty()));
        for exemplar in of("inside") {
            let span = capture.span("work");
            assert!(span.is_none_or(|span| span.trace_id() == exemplar.trace_id()), "{env:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_the_condition_or_with_the_time() {
    let capture = Capture::new();
    let (dispatch, together) = (capture.dispatch(), std::sync::Arc::new(Barrier::new(2)));
    let other = std::sync::Arc::clone(&together);
    let thread = thread::spawn(move || {
        other.wait();
        tracing::dispatcher::with_default(&dispatch, || tracing::info!("done"));
    });
    let done = capture.wait_for_async(LONG, |captured| captured.log("done").is_some());
    together.wait();
    assert!(done.await, "a paused clock must not end the wait early");
    thread.join().unwrap();

    let started = Instant::now();
    let limit = Duration::from_millis(30);
    assert!(!capture.wait_for_async(limit, |captured| captured.log("never").is_some()).await);
    assert!(!capture.wait_for(limit, |captured| captured.log("never").is_some()));
    assert!(started.elapsed() >= limit * 2 && started.elapsed() < LONG);
}
