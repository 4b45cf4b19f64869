//! Cancelled requests leave nothing: no entry, no count and not one byte, however many there were.
//!
//! A million of them: `cargo test --release --test soak_cancelled -- --ignored`
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    convert::Infallible,
    future::{Pending, pending},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tower::{Layer as _, Service, ServiceExt as _};
use tracewell::{
    Telemetry, admin,
    requests::{self, Kind, Registry},
};
use tracing_subscriber::layer::SubscriberExt as _;

/// A handler that is never done, and what it does until then.
#[derive(Clone)]
struct Never;

struct Waiting {
    begun: bool,
    never: Pending<Result<Response<Body>, Infallible>>,
}

impl Service<Request<Body>> for Never {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Waiting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Waiting {
        Waiting { begun: false, never: pending() }
    }
}

impl Future for Waiting {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.begun {
            self.begun = true;
            tracing::info!(order = 17, "waiting for the database");
            let current = requests::current().unwrap();
            current.set_stage("database");
            current.annotate("order", 17);
        }
        Pin::new(&mut self.never).poll(context)
    }
}

fn request(number: usize) -> Request<Body> {
    let request = Request::get(["/orders/17", "/orders/18?x=1"][number % 2]).header("user-agent", "soak");
    let request = match number % 3 {
        0 => request.header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        1 => request.header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"),
        _ => request,
    };
    request.body(Body::empty()).unwrap()
}

/// A request called, and polled never, once or twice, before it is dropped.
fn cancel(service: &mut (impl Service<Request<Body>> + Clone), count: usize) {
    let mut context = Context::from_waker(Waker::noop());
    for number in 0..count {
        let mut future = Box::pin(service.call(request(number)));
        for _ in 0..number % 3 {
            assert!(future.as_mut().poll(&mut context).is_pending());
        }
    }
}

/// The sum over all series of a metric on `/metrics`.
fn scraped(telemetry: &Telemetry, metric: &str) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let page = runtime.block_on(async {
        let mut request = Request::get("/metrics").body(Body::empty()).unwrap();
        let peer = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
        let answer = admin::router(telemetry).oneshot(request).await.unwrap();
        answer.into_body().collect().await.unwrap().to_bytes()
    });
    let page = String::from_utf8(page.to_vec()).unwrap();
    let lines = page.lines().filter(|line| line.split('{').next() == Some(metric));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

fn leave_nothing(count: usize) {
    let registry = Registry::new(Registry::DEFAULT_CAPACITY);
    let variables =
        [("OTEL_TRACES_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none")];
    let builder = Telemetry::builder().with_env(variables).with_stdout(false).with_registry(registry.clone());
    let telemetry = builder.build().unwrap();
    let subscriber = tracing_subscriber::Registry::default().with(telemetry.layers());
    tracing::subscriber::with_default(subscriber, || {
        let mut service = telemetry.server_layer().layer(Never);
        // a multiple of the requests' period, so that both halves are the same
        let half = (count / 2).next_multiple_of(6);
        for round in 1..=2 {
            let held = allocation_counter::measure(|| cancel(&mut service, half));
            if round == 2 {
                assert_eq!(held.bytes_current, 0, "{held:?}");
                assert_eq!(held.count_current, 0, "{held:?}");
            }
            assert_eq!(registry.active_count(), 0);
            let (totals, all) = (registry.totals(Kind::Request), (round * half) as u64);
            assert_eq!((totals.started, totals.cancelled), (all, all), "{totals:?}");
            assert_eq!(scraped(&telemetry, "http_server_request_duration_seconds_count"), all as f64);
            assert_eq!(scraped(&telemetry, "http_server_active_requests"), 0.0);
        }
    });
}

#[test]
fn cancelled_requests_leave_nothing() {
    leave_nothing(12_000);
}

#[test]
#[ignore = "some seconds, built for release"]
fn a_million_cancelled_requests_leave_nothing() {
    leave_nothing(1_000_000);
}
