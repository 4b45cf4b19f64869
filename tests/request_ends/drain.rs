//! The way out: readiness, the deadline, who is left, and what closes.

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, routing::any};
use tokio::{net::TcpStream, sync::Notify};
use tracewell::{Telemetry, health::Phase, requests::STREAMING};

use crate::harness::{self, DURATION, Expected, Http1, World, http2, until};

fn app(finish: &Arc<Notify>) -> Router {
    let finish = Arc::clone(finish);
    let events = || async {
        let first = tokio_stream::iter([Ok::<_, std::io::Error>("data: 1\n\n")]);
        let forever = tokio_stream::StreamExt::chain(first, tokio_stream::pending());
        ([("content-type", "text/event-stream")], Body::from_stream(forever))
    };
    Router::new()
        .route(
            "/slow",
            any(move || async move {
                finish.notified().await;
                "done"
            }),
        )
        .route("/stuck", any(pending::<()>))
        .route("/events", any(events))
}

#[test]
fn a_running_request_finishes_and_a_stream_is_not_waited_for() {
    let mut world = World::with(&[("TRACEWELL_DRAIN_MS", "20000")]);
    let finish = Arc::new(Notify::new());
    let mut server = world.serve_to_the_end(app(&finish));
    let (address, registry) = (server.address, world.registry.clone());
    let served = world.run(async move {
        let health = server.health.clone();
        until("it is ready", || health.phase() == Phase::Ready).await;
        let mut slow = Http1::get(address, "/slow").await;
        let mut events = Http1::get(address, "/events").await;
        events.read_until("data: 1\n\n").await;
        until("both are active", || registry.active_count() == 2).await;
        server.stop();
        until("it is unready", || health.phase() == Phase::Draining).await;
        until_refused(address).await;
        assert_eq!(registry.active_count(), 2, "readiness and listener go first");
        finish.notify_one();
        assert!(slow.rest().await.ends_with("done"));
        events.rest().await;
        server.task.await.unwrap().unwrap()
    });
    assert!(served.drain.is_clean());
    assert_eq!(served.drain.streams.len(), 1);
    assert_eq!(served.drain.streams[0].stage.as_deref(), Some(STREAMING));
    assert!(served.drain.waited < Duration::from_secs(20));
    assert!(served.telemetry.is_complete(), "{:?}", served.telemetry);
    let totals = world.totals();
    assert_eq!((totals.started, totals.completed, totals.aborted), (2, 1, 1));
    let metrics = world.metrics();
    assert_eq!((metrics.count(DURATION), metrics.active()), (2, 0));
}

#[test]
fn a_stuck_request_is_reported_and_cancelled_at_the_deadline() {
    for http_2 in [false, true] {
        let mut world = World::with(&[("TRACEWELL_DRAIN_MS", "300")]);
        let mut server = world.serve_to_the_end(app(&Arc::default()));
        let (address, registry) = (server.address, world.registry.clone());
        let (served, elapsed) = world.run(async move {
            let h1 = if http_2 { None } else { Some(Http1::get(address, "/stuck").await) };
            let h2 = if http_2 {
                let mut client = http2(address).await;
                let stream = client.send_request(harness::get(address, "/stuck"), true).unwrap();
                Some((client, stream))
            } else {
                None
            };
            until("it is active", || registry.active_count() == 1).await;
            let start = Instant::now();
            server.stop();
            let served = server.task.await.unwrap().unwrap();
            drop((h1, h2));
            (served, start.elapsed())
        });
        assert_eq!(served.drain.left.len(), 1);
        assert_eq!(served.drain.left[0].path, "/stuck");
        assert!((300..5000).contains(&elapsed.as_millis()), "{elapsed:?}");
        let version = if http_2 { "2" } else { "1.1" };
        world.assert_one(&Expected::cancelled().route("/stuck").version(version));
        let span = &world.server_spans()[0];
        let reason = span.attributes.iter().find(|said| said.key.as_str() == "tracewell.cancel.reason");
        assert_eq!(reason.map(|said| said.value.to_string()).as_deref(), Some("shutdown"));
        let said = world.records_at("WARN");
        assert_eq!(said.len(), 1);
        assert!(said[0].body().contains("interrupted by the shutdown") && said[0].body().contains("/stuck"));
        assert_eq!(said[0].trace_id(), span.span_context.trace_id().to_string());
    }
}

#[test]
fn what_another_server_still_holds_at_the_end_keeps_its_trace() {
    let mut world = World::new();
    let (layer, telemetry) = (world.layer.clone(), world.take_telemetry());
    let (report, shutdown, held) = world.run(async move {
        let mut service = Router::new().route("/", any(pending::<()>)).layer(layer);
        let request = http::Request::get("/").body(Body::empty()).unwrap();
        let mut held = Box::pin(tower::Service::call(&mut service, request));
        let waits = std::future::poll_fn(|cx| std::task::Poll::Ready(held.as_mut().poll(cx).is_pending()));
        assert!(waits.await);
        let report = telemetry.drain(Duration::ZERO).await;
        assert_eq!(telemetry.health().phase(), Phase::Draining);
        (report, telemetry.shutdown().await, held)
    });
    assert_eq!((report.left.len(), shutdown.unwrap().is_complete()), (1, true));
    assert_eq!(world.exported_spans(), 1, "its trace is whole");
    assert_eq!(world.totals().active(), 1, "it is nobody's business to end it");
    drop(held);
    let totals = world.totals();
    assert_eq!((totals.started, totals.cancelled), (1, 1));
    let spans = world.server_spans();
    assert_eq!(spans.len(), 1, "once");
    let said = |key: &str| {
        let found = spans[0].attributes.iter().find(|said| said.key.as_str() == key);
        found.map(|said| said.value.to_string())
    };
    assert_eq!(said("tracewell.outcome").as_deref(), Some("interrupted"));
    assert_eq!(said("tracewell.cancel.reason").as_deref(), Some("shutdown"));
}

#[test]
fn the_time_before_the_drain_belongs_to_the_requests_too() {
    let mut world = World::with(&[("TRACEWELL_PRESTOP_MS", "200"), ("TRACEWELL_DRAIN_MS", "20000")]);
    let finish = Arc::new(Notify::new());
    let mut server = world.serve_to_the_end(app(&finish));
    let address = server.address;
    world.run(async move {
        let health = server.health.clone();
        until("it is ready", || health.phase() == Phase::Ready).await;
        let start = Instant::now();
        server.stop();
        until("it is unready", || health.phase() == Phase::Draining).await;
        // a load balancer that has not noticed yet
        let mut late = Http1::get(address, "/slow").await;
        finish.notify_one();
        assert!(late.head().await.starts_with("HTTP/1.1 200"));
        server.task.await.unwrap().unwrap();
        assert!(start.elapsed() >= Duration::from_millis(200));
    });
    world.assert_one(&Expected::completed(200).route("/slow"));
}

#[test]
fn requests_that_nobody_observes_have_the_deadline_too() {
    let mut world = World::with(&[("TRACEWELL_DRAIN_MS", "20000")]);
    world.layer = world.layer.clone().with_unobserved(|_, uri| uri.path() == "/slow");
    let (finish, entered) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (finished, entering) = (Arc::clone(&finish), Arc::clone(&entered));
    let slow = any(move || async move {
        entering.notify_one();
        finished.notified().await;
        "done"
    });
    let mut server = world.serve_to_the_end(Router::new().route("/slow", slow));
    let address = server.address;
    world.run(async move {
        let mut client = Http1::get(address, "/slow").await;
        entered.notified().await;
        server.stop();
        until_refused(address).await;
        // longer than what a last frame gets to be written out
        tokio::time::sleep(Duration::from_millis(700)).await;
        finish.notify_one();
        assert!(client.rest().await.ends_with("done"));
        server.task.await.unwrap().unwrap();
    });
    assert_eq!(world.totals().started, 0);
}

#[test]
fn idle_connections_do_not_hold_it_up() {
    let mut world = World::with(&[("TRACEWELL_DRAIN_MS", "20000")]);
    let mut server = world.serve_to_the_end(Router::new().route("/", any(|| async { "ok" })));
    let address = server.address;
    world.run(async move {
        let mut used = Http1::get(address, "/").await;
        used.read_until("ok").await;
        let (unused, other) = (Http1::open(address).await, http2(address).await);
        let start = Instant::now();
        server.stop();
        let served = server.task.await.unwrap().unwrap();
        assert!(served.drain.is_clean() && start.elapsed() < Duration::from_secs(5));
        drop((used, unused, other));
    });
}

#[test]
fn tunnels_are_closed_in_the_end() {
    let mut world = World::with(&[("TRACEWELL_DRAIN_MS", "20000")]);
    let mut server = world.serve_to_the_end(crate::streams::tunnels());
    let address = server.address;
    let served = world.run(async move {
        let mut client = Http1::send(address, crate::streams::UPGRADE).await;
        client.head().await;
        client.write("hello").await;
        client.read_until("hello").await;
        server.stop();
        assert_eq!(client.rest().await, "");
        server.task.await.unwrap().unwrap()
    });
    assert_eq!(served.drain.streams.len(), 1);
    world.assert_one(&Expected::completed(101).stream());
}

#[test]
fn dropped_early_it_closes_everything() {
    let mut world = World::new();
    let server = world.serve_to_the_end(app(&Arc::default()));
    let (address, registry) = (server.address, world.registry.clone());
    world.run(async move {
        let mut client = Http1::get(address, "/stuck").await;
        until("it is active", || registry.active_count() == 1).await;
        server.task.abort();
        assert!(server.task.await.unwrap_err().is_cancelled());
        assert_eq!(client.rest().await, "");
        until_refused(address).await;
        until("it has ended", || registry.active_count() == 0).await;
    });
    assert_eq!(world.totals().cancelled, 1);
}

async fn until_refused(address: std::net::SocketAddr) {
    let start = Instant::now();
    // one that is taken by the backlog is closed with it
    while TcpStream::connect(address).await.is_ok() {
        assert!(start.elapsed() < harness::PATIENCE, "the listener is still open");
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_deadline_that_never_comes_is_one() {
    let off = [("OTEL_SDK_DISABLED", "true")];
    let telemetry = Telemetry::builder()
        .with_env(off)
        .with_stdout(false)
        .with_drain_deadline(Duration::MAX)
        .with_shutdown_deadline(Duration::MAX)
        .build()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let served = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        telemetry.serve(listener, Router::new()).until(async {}).await.unwrap()
    });
    assert!(served.drain.is_clean());
}
