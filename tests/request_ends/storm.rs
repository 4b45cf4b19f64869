//! Everything at once: the numbers agree to the unit.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, extract::Request, routing::any};
use bytes::Bytes;
use http::{Response, StatusCode};
use tower::ServiceExt as _;

use crate::harness::{DURATION, Http1, World, get, http2};

const CLIENTS: u64 = 32;
const REQUESTS: u64 = 60;
const PATHS: [&str; 9] =
    ["/ok", "/ok", "/error", "/slow", "/panic", "/stream", "/events", "/broken", "/abort"];

/// xorshift64*: the clients do the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    async fn pause(&mut self) {
        tokio::time::sleep(Duration::from_micros(self.below(6000))).await;
    }
}

/// A chunk a millisecond, and perhaps an error in the end.
fn chunks(count: usize, fails: bool) -> Body {
    let chunks = futures_util::stream::unfold(0, move |sent| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        match sent {
            _ if sent < count => Some((Ok(Bytes::from_static(b"data: x\n\n")), sent + 1)),
            _ if sent == count && fails => Some((Err(std::io::Error::other("broken")), sent + 1)),
            _ => None,
        }
    });
    Body::from_stream(chunks)
}

fn app() -> Router {
    let slow = || tokio::time::sleep(Duration::from_millis(3));
    let panic = || async {
        tokio::task::yield_now().await;
        assert_eq!(std::hint::black_box(1), 2, "storm");
    };
    let events = || async { ([("content-type", "text/event-stream")], chunks(10, false)) };
    Router::new()
        .route("/ok", any(|| async { "ok" }))
        .route("/error", any(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/slow", any(slow))
        .route("/abort", any(slow))
        .route("/panic", any(panic))
        .route("/stream", any(|| async { chunks(4, false) }))
        .route("/broken", any(|| async { chunks(1, true) }))
        .route("/events", any(events))
}

/// Around the observed router: a timeout, and a task that is aborted.
fn serve(world: &World) -> SocketAddr {
    let observed = app().layer(world.layer.clone());
    world.serve_service(tower::service_fn(move |request: Request| {
        let aborted = request.uri().path() == "/abort";
        let response = observed.clone().oneshot(request);
        async move {
            let limit = Duration::from_millis(if aborted { 1 } else { 2000 });
            let mut task = tokio::spawn(response);
            let answer = match tokio::time::timeout(limit, &mut task).await {
                Ok(Ok(Ok(response))) => response,
                _ => Response::builder().status(504).body(Body::empty()).unwrap(),
            };
            task.abort();
            Ok::<_, Infallible>(answer)
        }
    }))
}

/// Requests of HTTP/1.1 on one connection, until it has been left.
async fn http1_client(address: SocketAddr, mut dice: Dice) {
    let mut client = Http1::open(address).await;
    for _ in 0..REQUESTS {
        let path = PATHS[dice.below(9) as usize];
        client.write(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
        let leaves = match dice.below(4) {
            0 => true,
            1 => {
                dice.pause().await;
                true
            }
            2 => {
                client.find("\r\n\r\n").await;
                true
            }
            _ => client.skip_response().await,
        };
        if leaves {
            client = Http1::open(address).await;
        }
    }
}

/// Streams of HTTP/2, several at a time; now and then the whole connection goes.
async fn http2_client(address: SocketAddr, mut dice: Dice) {
    let mut client = http2(address).await;
    let mut running = Vec::new();
    for _ in 0..REQUESTS {
        let path = PATHS[dice.below(9) as usize];
        let (response, mut stream) = client.send_request(get(address, path), path != "/ok").unwrap();
        match dice.below(5) {
            0 => stream.send_reset(h2::Reason::CANCEL),
            1 => {
                dice.pause().await;
                drop(response);
            }
            2 => {
                if let Ok(response) = response.await {
                    let _ = response.into_body().data().await;
                }
            }
            3 => running.push(response),
            _ => {
                if let Ok(response) = response.await {
                    let mut body = response.into_body();
                    while let Some(Ok(data)) = body.data().await {
                        let _ = body.flow_control().release_capacity(data.len());
                    }
                }
            }
        }
        if dice.below(12) == 0 {
            running.clear();
            client = http2(address).await;
        }
        client = client.ready().await.unwrap();
    }
}

#[test]
fn after_a_storm_every_number_agrees() {
    let world = World::with(&[("TRACEWELL_ACCESS_LOG", "all")]);
    let address = serve(&world);
    world.run(async move {
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..CLIENTS {
            let dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (number + 1));
            if number % 2 == 0 {
                clients.spawn(http1_client(address, dice));
            } else {
                clients.spawn(http2_client(address, dice));
            }
        }
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
    });
    world.idle();
    let totals = world.totals();
    println!("{totals:?}");
    let outcomes = [totals.completed, totals.failed, totals.cancelled, totals.panicked, totals.aborted];
    assert_eq!(totals.started, outcomes.iter().sum::<u64>());
    assert!(outcomes.iter().all(|count| *count > 10), "not much of a storm: {totals:?}");
    assert_eq!(world.registry.active_count(), 0);

    let metrics = world.metrics();
    assert_eq!(metrics.count(DURATION), totals.started);
    assert_eq!(metrics.active(), 0);
    let of = |key: &str, value: &str| -> u64 {
        let points = metrics.histogram(DURATION).into_iter();
        let matching = points.filter(|(attributes, _)| attributes.get(key).is_some_and(|own| own == value));
        matching.map(|(_, point)| point.count).sum()
    };
    assert_eq!(of("tracewell.outcome", "cancelled"), totals.cancelled);
    assert_eq!(of("error.type", "panic"), totals.panicked);
    assert_eq!(of("error.type", "500"), totals.failed);

    assert_eq!(world.server_spans().len() as u64, totals.started);
    assert_eq!(world.exported_spans(), totals.started);
    assert_eq!(world.access_records().len() as u64, totals.started);
}
