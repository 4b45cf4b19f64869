//! Ends before the headers: the handler, the layers around it, the client.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, routing::any};
use http::{Response, StatusCode};
use tower::{Layer as _, Service as _, ServiceBuilder, ServiceExt as _};
use tracewell::requests::Outcome;

use crate::harness::{self, Expected, Http1, World, http2, until};

fn app<F, R>(handler: F) -> Router
where
    F: Fn() -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    Router::new().route("/", any(handler))
}

fn waiting() -> Router {
    app(pending)
}

fn status(code: u16) -> Router {
    app(move || async move { Response::builder().status(code).body("text".into()).unwrap() })
}

/// One request of HTTP/1.1 to its whole response, headers included.
fn answer_to(world: &World, address: std::net::SocketAddr, request: &str) -> String {
    let request = request.replace("\r\n\r\n", "\r\nhost: test\r\nconnection: close\r\n\r\n");
    world.run(async move { Http1::send(address, &request).await.rest().await })
}

#[test]
fn answered_below_500_is_completed_and_from_500_on_failed() {
    for code in [200, 404, 499, 500, 503] {
        let world = World::new();
        let address = world.serve_app(status(code));
        let answer = answer_to(&world, address, "GET / HTTP/1.1\r\n\r\n");
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")) && answer.ends_with("text"), "{answer}");
        world.assert_one(&if code < 500 { Expected::completed(code) } else { Expected::failed(code) });
    }
}

#[test]
fn http_1_0_and_http_2_are_told_apart() {
    let world = World::new();
    let address = world.serve_app(status(200));
    assert!(answer_to(&world, address, "GET / HTTP/1.0\r\n\r\n").ends_with("text"));
    world.assert_one(&Expected::completed(200).version("1.0"));

    let world = World::new();
    let address = world.serve_app(status(200));
    world.run(async move {
        let (response, _) = http2(address).await.send_request(harness::get(address, "/"), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "text");
    });
    world.assert_one(&Expected::completed(200).version("2"));
}

#[test]
fn the_client_leaves_http_1_before_the_first_byte() {
    let world = World::new();
    let (address, registry) = (world.serve_app(waiting()), world.registry.clone());
    world.run(async move {
        let client = Http1::get(address, "/").await;
        until("it is active", || registry.active_count() == 1).await;
        drop(client);
    });
    world.assert_one(&Expected::cancelled());
}

#[test]
fn the_client_resets_a_stream_of_http_2_before_the_first_byte() {
    let world = World::new();
    let (address, registry) = (world.serve_app(waiting()), world.registry.clone());
    world.run(async move {
        let mut client = http2(address).await;
        let (response, mut stream) = client.send_request(harness::get(address, "/"), false).unwrap();
        until("it is active", || registry.active_count() == 1).await;
        stream.send_reset(h2::Reason::CANCEL);
        until("it has ended", || registry.active_count() == 0).await;
        drop(response);
    });
    world.assert_one(&Expected::cancelled().version("2"));
}

#[test]
fn the_client_closes_a_connection_of_http_2_before_the_first_byte() {
    let world = World::new();
    let (address, registry) = (world.serve_app(waiting()), world.registry.clone());
    world.run(async move {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let (response, _) =
            client.ready().await.unwrap().send_request(harness::get(address, "/"), true).unwrap();
        until("it is active", || registry.active_count() == 1).await;
        connection.abort();
        let _ = response.await;
    });
    world.assert_one(&Expected::cancelled().version("2"));
}

#[test]
fn a_timeout_layer_outside_cancels() {
    let world = World::new();
    let observed = world.layer.layer(waiting());
    let timed = tower::timeout::Timeout::new(observed, Duration::from_millis(20));
    let service = tower::service_fn(move |request: Request| {
        let timed = timed.clone();
        async move {
            Ok::<_, std::convert::Infallible>(match timed.oneshot(request).await {
                Ok(response) => response.map(Body::new),
                Err(_) => Response::builder().status(504).body(Body::empty()).unwrap(),
            })
        }
    });
    let address = world.serve_service(service);
    assert!(answer_to(&world, address, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 504"));
    // the layer is outside of the router, which alone knows routes
    world.assert_one(&Expected::cancelled().without_route());
}

#[test]
fn a_timeout_layer_inside_is_the_answer_it_gives() {
    let world = World::new();
    let timeout = tower::timeout::TimeoutLayer::new(Duration::from_millis(20));
    let handled = axum::error_handling::HandleErrorLayer::new(|_: tower::BoxError| async {
        StatusCode::GATEWAY_TIMEOUT
    });
    let address = world.serve_app(waiting().layer(ServiceBuilder::new().layer(handled).layer(timeout)));
    assert!(answer_to(&world, address, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 504"));
    world.assert_one(&Expected::failed(504));
}

#[test]
fn an_error_of_the_inner_service_fails() {
    let world = World::new();
    let service = tower::service_fn(|_: Request| async { Err::<Response<Body>, _>(std::fmt::Error) });
    let address = world.serve_service(world.layer.layer(service));
    assert_eq!(answer_to(&world, address, "GET / HTTP/1.1\r\n\r\n"), "");
    world.assert_one(&Expected::error(std::any::type_name::<std::fmt::Error>()).without_route());
}

#[test]
fn a_boxed_error_is_one_as_well() {
    let world = World::new();
    let service =
        tower::service_fn(|_: Request| async { Err::<Response<Body>, tower::BoxError>("no".into()) });
    let address = world.serve_service(world.layer.layer(service));
    assert_eq!(answer_to(&world, address, "GET / HTTP/1.1\r\n\r\n"), "");
    world.assert_one(&Expected::error(std::any::type_name::<tower::BoxError>()).without_route());
}

#[test]
fn what_a_layer_outside_sheds_was_never_here() {
    let world = World::new();
    let limited = ServiceBuilder::new().load_shed().concurrency_limit(1).layer(world.layer.clone());
    let limited = limited.service(waiting());
    let registry = world.registry.clone();
    world.run(async move {
        let (mut first, second) = (limited.clone(), limited);
        let _: &mut _ = tower::ServiceExt::<Request>::ready(&mut first).await.unwrap();
        let running = tokio::spawn(first.call(Request::new(Body::empty())));
        until("it is active", || registry.active_count() == 1).await;
        assert!(second.oneshot(Request::new(Body::empty())).await.is_err());
        running.abort();
    });
    world.assert_one(&Expected::cancelled().without_route());
}

#[test]
fn a_panic_in_the_handler() {
    let world = World::new();
    let address = world.serve_app(app(|| async { panic!("in the handler") }));
    assert_eq!(answer_to(&world, address, "GET / HTTP/1.1\r\n\r\n"), "");
    world.assert_one(&Expected::panicked(None));
}

#[test]
fn a_panic_in_the_handler_on_http_2() {
    let world = World::new();
    let address = world.serve_app(app(|| async {
        tokio::task::yield_now().await;
        panic!("in a later poll")
    }));
    world.run(async move {
        let (response, _) = http2(address).await.send_request(harness::get(address, "/"), true).unwrap();
        assert!(response.await.unwrap_err().is_reset());
    });
    world.assert_one(&Expected::panicked(None).version("2"));
}

#[test]
fn a_panic_in_call_before_there_is_a_future() {
    let world = World::new();
    let service = harness::answering(|_| -> Response<Body> { panic!("in call") });
    let address = world.serve_service(world.layer.layer(service));
    assert_eq!(answer_to(&world, address, "GET / HTTP/1.1\r\n\r\n"), "");
    world.assert_one(&Expected::panicked(None).without_route());
}

#[test]
fn a_panic_that_an_outer_layer_catches_is_a_panic_still() {
    let world = World::new();
    let observed = world.layer.layer(app(|| async { panic!("caught outside") }));
    let service = tower::service_fn(move |request: Request| {
        let caught = tokio::spawn(observed.clone().oneshot(request));
        async move {
            Ok::<_, std::convert::Infallible>(match caught.await {
                Ok(Ok(response)) => response.map(Body::new),
                _ => Response::builder().status(500).body(Body::empty()).unwrap(),
            })
        }
    });
    let address = world.serve_service(service);
    assert!(answer_to(&world, address, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 500"));
    world.assert_one(&Expected::panicked(None).without_route());
}

/// Panics when it is dropped, unless its thread panics already.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in a drop");
        }
    }
}

#[test]
fn a_panic_in_a_drop_of_the_handler_that_is_left() {
    let world = World::new();
    let (address, registry) = (
        world.serve_app(app(|| async {
            let _bomb = Bomb;
            pending().await
        })),
        world.registry.clone(),
    );
    world.run(async move {
        let client = Http1::get(address, "/").await;
        until("it is active", || registry.active_count() == 1).await;
        drop(client);
    });
    world.assert_one(&Expected::panicked(None));
}

#[test]
fn a_panic_in_the_drop_of_a_future_that_is_ready() {
    struct Ready {
        _bomb: Bomb,
    }
    impl Future for Ready {
        type Output = Result<Response<Body>, std::convert::Infallible>;
        fn poll(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Self::Output> {
            std::task::Poll::Ready(Ok(Response::new(Body::from("never seen"))))
        }
    }
    let world = World::new();
    let address =
        world.serve_service(world.layer.layer(tower::service_fn(|_: Request| Ready { _bomb: Bomb })));
    assert_eq!(answer_to(&world, address, "GET / HTTP/1.1\r\n\r\n"), "");
    world.assert_one(&Expected::panicked(None).without_route());
}

#[test]
fn a_panic_outside_takes_the_request_with_it() {
    let world = World::new();
    let observed = world.layer.layer(waiting());
    let registry = world.registry.clone();
    world.run(async move {
        let task = tokio::spawn(async move {
            let mut response = std::pin::pin!(observed.oneshot(Request::new(Body::empty())));
            let _ = futures_util::poll!(&mut response);
            assert_eq!(registry.active_count(), 1);
            // the future is dropped while its thread unwinds; this panic is no log of the request's
            std::panic::resume_unwind(Box::new("outside"));
        });
        assert!(task.await.unwrap_err().is_panic());
    });
    world.assert_one(&Expected::panicked(None).without_route().unlogged());
}

/// Ways to give up on a future without asking it.
#[test]
fn aborted_by_its_join_handle_or_by_select() {
    for by_select in [false, true] {
        let world = World::new();
        let response = world.layer.layer(waiting()).oneshot(Request::new(Body::empty()));
        let registry = world.registry.clone();
        world.run(async move {
            if by_select {
                tokio::select! {
                    biased;
                    _ = response => unreachable!(),
                    () = tokio::task::yield_now() => {}
                }
            } else {
                let task = tokio::spawn(response);
                until("it is active", || registry.active_count() == 1).await;
                task.abort();
                assert!(task.await.unwrap_err().is_cancelled());
            }
        });
        world.assert_one(&Expected::cancelled().without_route());
    }
}

#[test]
fn the_runtime_ends() {
    let mut world = World::new();
    let (address, registry) = (world.serve_app(waiting()), world.registry.clone());
    let client = world.run(async move {
        let client = Http1::get(address, "/").await;
        until("it is active", || registry.active_count() == 1).await;
        client
    });
    world.end_runtime();
    world.assert_one(&Expected::cancelled());
    drop(client);
}

#[test]
fn dropped_on_a_thread_that_knows_nothing() {
    let world = World::new();
    let response = world.layer.layer(waiting()).oneshot(Request::new(Body::empty()));
    world.run(async move {
        let mut response = Box::pin(response);
        assert!(futures_util::poll!(&mut response).is_pending());
        std::thread::spawn(move || drop(response)).join().unwrap();
    });
    // events go to the thread's subscriber, and this one has only the process's
    world.assert_one(&Expected::cancelled().without_route().unlogged());
}

#[test]
fn never_polled_is_cancelled_too() {
    let world = World::new();
    let mut service = world.layer.layer(waiting());
    world.run(async move { drop(service.call(Request::new(Body::empty()))) });
    world.assert_one(&Expected::cancelled().without_route());
}

#[test]
fn polled_after_its_end_it_counts_nothing_twice() {
    let world = World::new();
    let mut service = world.layer.layer(status(204));
    world.run(async move {
        let mut response = Box::pin(service.call(Request::new(Body::empty())));
        assert_eq!((&mut response).await.unwrap().status(), 204);
        assert!(futures_util::poll!(&mut response).is_pending());
    });
    world.assert_one(&Expected::completed(204).without_route());
}

/// Every part of the end is on its own: a panic in a subscriber's layer costs neither the request nor another signal.
#[test]
fn a_subscriber_that_panics_at_the_end_costs_nothing_else() {
    struct Broken;
    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Broken {
        fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
            assert_ne!(event.metadata().target(), "tracewell::http", "a broken layer");
        }
    }
    let world = World::new();
    let response = world.layer.layer(waiting()).oneshot(Request::new(Body::empty()));
    let layers = world.layers();
    world.run(async move {
        use tracing_subscriber::layer::SubscriberExt as _;
        let subscriber = tracing_subscriber::Registry::default().with(layers).with(Broken);
        let _broken = tracing::subscriber::set_default(subscriber);
        let mut response = Box::pin(response);
        assert!(futures_util::poll!(&mut response).is_pending());
    });
    world.idle();
    assert_eq!((world.totals().cancelled, world.server_spans().len()), (1, 1));
    let metrics = world.metrics();
    assert_eq!((metrics.count(harness::DURATION), metrics.active()), (1, 0));
}

/// What a layer of the program's is told of a request's span: it panics at one of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Enter,
    Exit,
    Close,
}

struct Moody(At, Arc<AtomicBool>);

impl Moody {
    fn panic_at<S>(&self, at: At, id: &tracing::Id, context: &tracing_subscriber::layer::Context<'_, S>)
    where
        S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
    {
        let ours = context.metadata(id).is_some_and(|metadata| metadata.target() == "tracewell::http");
        assert!(!ours || at != self.0 || !self.1.load(Ordering::SeqCst), "a moody layer");
    }
}

impl<S> tracing_subscriber::Layer<S> for Moody
where
    S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
{
    fn on_enter(&self, id: &tracing::Id, context: tracing_subscriber::layer::Context<'_, S>) {
        self.panic_at(At::Enter, id, &context);
    }

    fn on_exit(&self, id: &tracing::Id, context: tracing_subscriber::layer::Context<'_, S>) {
        self.panic_at(At::Exit, id, &context);
    }

    fn on_close(&self, id: tracing::Id, context: tracing_subscriber::layer::Context<'_, S>) {
        self.panic_at(At::Close, &id, &context);
    }
}

/// Two panics that meet would end the process, and this test with it.
#[test]
fn a_layer_that_panics_around_a_panic_or_a_drop_ends_one_request_and_no_process() {
    for at in [At::Enter, At::Exit, At::Close] {
        for panics in [true, false] {
            let world = World::new();
            let panicking = || app(|| async { panic!("in the handler") });
            let mut service = world.layer.layer(if panics { panicking() } else { waiting() });
            let layers = world.layers();
            world.run(async move {
                use tracing_subscriber::layer::SubscriberExt as _;
                let moody = Arc::new(AtomicBool::new(false));
                let broken = Moody(at, Arc::clone(&moody));
                let subscriber = tracing_subscriber::Registry::default().with(layers).with(broken);
                let _broken = tracing::subscriber::set_default(subscriber);
                let mut request = Some(Box::pin(service.call(Request::new(Body::empty()))));
                if !panics {
                    assert!(futures_util::poll!(request.as_mut().unwrap()).is_pending());
                }
                moody.store(true, Ordering::SeqCst);
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let mut request = request.take().unwrap();
                    if panics {
                        let waker = std::task::Waker::noop();
                        let _ = request.as_mut().poll(&mut std::task::Context::from_waker(waker));
                    } else {
                        // dropped while its task unwinds
                        let _request = request;
                        panic!("around the request");
                    }
                }));
                assert!(ended.is_err());
                moody.store(false, Ordering::SeqCst);
            });
            world.idle();
            assert_eq!(world.totals().panicked, 1, "{at:?}, {panics}: {:?}", world.totals());
            assert_eq!(world.metrics().active(), 0, "{at:?}, {panics}");
        }
    }
}

#[test]
fn a_propagator_that_panics_costs_the_observation_and_not_the_request() {
    #[derive(Debug)]
    struct Broken;
    impl opentelemetry::propagation::TextMapPropagator for Broken {
        fn inject_context(
            &self,
            _: &opentelemetry::Context,
            _: &mut dyn opentelemetry::propagation::Injector,
        ) {
        }
        fn extract_with_context(
            &self,
            _: &opentelemetry::Context,
            _: &dyn opentelemetry::propagation::Extractor,
        ) -> opentelemetry::Context {
            panic!("a broken propagator")
        }
        fn fields(&self) -> opentelemetry::propagation::text_map_propagator::FieldIter<'_> {
            panic!("a broken propagator")
        }
    }
    let mut world = World::new();
    world.layer = world.layer.clone().with_propagator(Broken);
    let address = world.serve_app(status(200));
    assert!(answer_to(&world, address, "GET / HTTP/1.1\r\n\r\n").ends_with("text"));
    let metrics = world.metrics();
    assert_eq!((world.totals().started, metrics.count(harness::DURATION), metrics.active()), (0, 0, 0));
}

#[test]
fn requests_that_share_a_connection_are_each_their_own() {
    let world = World::new();
    let app = Router::new()
        .route("/ok", any(|| async { "ok" }))
        .route("/error", any(|| async { StatusCode::INTERNAL_SERVER_ERROR }));
    let address = world.serve_app(app);
    world.run(async move {
        // three at once, then one on the connection that was kept
        let request = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
        let three = ["/ok", "/error", "/ok"].map(request).concat();
        let mut client = Http1::send(address, &three).await;
        for code in ["200", "500", "200"] {
            assert!(client.head().await.starts_with(&format!("HTTP/1.1 {code}")));
            if code == "200" {
                assert_eq!(client.read_until("ok").await, "ok");
            }
        }
        client.write(request("/ok")).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200"));
    });
    world.idle();
    let totals = world.totals();
    assert_eq!((totals.started, totals.completed, totals.failed), (4, 3, 1));
    let metrics = world.metrics();
    assert_eq!((metrics.count(harness::DURATION), metrics.active()), (4, 0));
    assert_eq!(metrics.histogram(harness::DURATION).len(), 2);
    assert_eq!(world.server_spans().len(), 4);
}

#[test]
fn a_request_body_that_waits_for_100_continue() {
    let world = World::new();
    let echo = |body: String| async move { body };
    let address = world.serve_app(Router::new().route("/", any(echo)));
    world.run(async move {
        let request = "POST / HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
        let mut client = Http1::send(address, request).await;
        assert!(client.head().await.starts_with("HTTP/1.1 100"));
        client.write("body").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200"));
        assert_eq!(client.read_until("body").await, "body");
    });
    world.assert_one(&Expected::completed(200).method("POST"));
    let sizes = world.metrics().histogram("http.server.request.body.size");
    assert_eq!(sizes[0].1.sum, Some(4.0));
}

#[test]
fn the_access_record_has_the_outcome_and_the_one_duration() {
    for (path, outcome) in [("/", Outcome::Completed), ("/events", Outcome::Aborted)] {
        let world = World::with(&[("TRACEWELL_ACCESS_LOG", "all")]);
        let events = || async {
            let first = futures_util::stream::iter([Ok::<_, std::io::Error>("data: 1\n\n")]);
            let forever = futures_util::StreamExt::chain(first, futures_util::stream::pending());
            ([("content-type", "text/event-stream")], Body::from_stream(forever))
        };
        let app = Router::new().route("/", any(|| async { "ok" })).route("/events", any(events));
        let address = world.serve_app(app);
        world.run(async move {
            let mut client = Http1::get(address, path).await;
            assert!(client.head().await.starts_with("HTTP/1.1 200"));
        });
        world.idle();
        let durations = world.metrics().histogram(harness::DURATION);
        let records = world.access_records();
        let span = &world.server_spans()[0];
        assert_eq!(records.len(), 1);
        let record = &records[0];
        assert_eq!(record.attribute("tracewell.outcome").unwrap(), outcome.as_str());
        assert_eq!(record.attributes().f64("duration"), durations[0].1.sum);
        assert_eq!(record.trace_id(), span.span_context.trace_id().to_string());
    }
}
