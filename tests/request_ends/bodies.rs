//! Ends after the headers: the body, its last byte, and who stops asking for it.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{Router, body::Body, routing::any};
use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use tower::{Layer as _, ServiceExt as _};

use crate::harness::{self, Expected, Http1, World, answering, http2, until};

/// What a body does when it is asked for its next frame.
#[derive(Debug, Clone)]
enum Step {
    Data(&'static str),
    Trailers,
    Fail,
    Panic,
    Wait,
}

/// A body that does as it is told and never says by itself that it is at its end.
#[derive(Debug, Clone, Default)]
struct Script {
    steps: VecDeque<Step>,
    length: Option<u64>,
    panics_in_drop: bool,
}

impl Script {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), ..Self::default() }
    }
}

impl http_body::Body for Script {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if let Some(Step::Wait) = self.steps.front() {
            return Poll::Pending;
        }
        Poll::Ready(match self.steps.pop_front() {
            Some(Step::Wait) | None => None,
            Some(Step::Data(text)) => Some(Ok(Frame::data(Bytes::from_static(text.as_bytes())))),
            Some(Step::Trailers) => {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-checksum", "7".parse().unwrap());
                Some(Ok(Frame::trailers(trailers)))
            }
            Some(Step::Fail) => Some(Err(std::io::Error::other("broken"))),
            Some(Step::Panic) => panic!("in the body"),
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map(SizeHint::with_exact).unwrap_or_default()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if self.panics_in_drop && !std::thread::panicking() {
            self.panics_in_drop = false;
            panic!("in the body's drop");
        }
    }
}

/// Serves this response to every request, outside of any router.
fn serve<B>(
    world: &World,
    response: impl Fn() -> Response<B> + Clone + Send + Sync + 'static,
) -> std::net::SocketAddr
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display + Into<Box<dyn std::error::Error + Send + Sync>>,
{
    world.serve_service(world.layer.layer(answering(move |_| response())))
}

/// One request of HTTP/1.1 to its end; what came back.
fn fetch(world: &World, address: std::net::SocketAddr, method: &str) -> String {
    let request = format!("{method} / HTTP/1.1\r\nhost: test\r\nte: trailers\r\nconnection: close\r\n\r\n");
    world.run(async move { Http1::send(address, &request).await.rest().await })
}

#[test]
fn a_stream_to_its_last_chunk() {
    let world = World::new();
    let address = serve(&world, || Response::new(Script::new([Step::Data("a"), Step::Data("b")])));
    assert!(fetch(&world, address, "GET").ends_with("1\r\na\r\n1\r\nb\r\n0\r\n\r\n"));
    world.assert_one(&Expected::completed(200).without_route());
    assert_eq!(world.metrics().histogram(harness::RESPONSE_SIZE)[0].1.sum, Some(2.0));
}

#[test]
fn an_announced_length_after_which_nobody_asks_again() {
    // by the header, by the body's own knowledge; the body never says that it is at its end
    for header in [true, false] {
        let world = World::new();
        let address = serve(&world, move || {
            let mut script = Script::new([Step::Data("ab"), Step::Data("cd"), Step::Panic]);
            script.length = (!header).then_some(4);
            let mut response = Response::new(script);
            if header {
                response.headers_mut().insert("content-length", "4".parse().unwrap());
            }
            response
        });
        assert!(fetch(&world, address, "GET").ends_with("\r\n\r\nabcd"));
        world.assert_one(&Expected::completed(200).without_route());
    }
}

#[test]
fn nothing_announced_and_nothing_asked_for() {
    let world = World::new();
    let address = serve(&world, || {
        let mut response = Response::new(Script::new([Step::Panic]));
        response.headers_mut().insert("content-length", "0".parse().unwrap());
        response
    });
    assert!(fetch(&world, address, "GET").ends_with("\r\n\r\n"));
    world.assert_one(&Expected::completed(200).without_route());
}

#[test]
fn bodies_that_know_everything() {
    for text in ["", "text"] {
        let world = World::new();
        let address = serve(&world, move || Response::new(Full::<Bytes>::from(text)));
        let answer = fetch(&world, address, "GET");
        assert!(
            answer.contains(&format!("content-length: {}\r\n", text.len())) && answer.ends_with(text),
            "{answer}"
        );
        world.assert_one(&Expected::completed(200).without_route());
        assert_eq!(world.metrics().histogram(harness::RESPONSE_SIZE)[0].1.sum, Some(text.len() as f64));
    }
}

#[test]
fn statuses_and_methods_without_a_body_do_not_wait_for_one() {
    for (method, code) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        for media_type in ["text/plain", "text/event-stream"] {
            let world = World::new();
            let address = serve(&world, move || {
                let response = Response::builder().status(code).header("content-type", media_type);
                response.body(Script::new([Step::Panic])).unwrap()
            });
            assert!(fetch(&world, address, method).starts_with(&format!("HTTP/1.1 {code}")));
            world.assert_one(&Expected::completed(code).method(method).without_route());
        }
    }
}

#[test]
fn head_with_the_length_of_what_is_not_sent() {
    let world = World::new();
    let address = world.serve_app(Router::new().route("/", axum::routing::get(|| async { "text" })));
    let answer = fetch(&world, address, "HEAD");
    assert!(answer.contains("content-length: 4\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    world.assert_one(&Expected::completed(200).method("HEAD"));
}

#[test]
fn head_is_head_also_where_it_is_no_known_method() {
    let world = World::with(&[("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "GET")]);
    let address = serve(&world, || Response::new(Script::new([Step::Panic])));
    assert!(fetch(&world, address, "HEAD").starts_with("HTTP/1.1 200"));
    world.assert_one(&Expected::completed(200).method("_OTHER").without_route());
}

#[test]
fn trailers_arrive_and_are_the_end() {
    let world = World::new();
    let response = || {
        let mut response = Response::new(Script::new([Step::Data("a"), Step::Trailers, Step::Panic]));
        response.headers_mut().insert("trailer", "x-checksum".parse().unwrap());
        response
    };
    let address = serve(&world, response);
    let answer = fetch(&world, address, "GET");
    assert!(answer.ends_with("a\r\n0\r\nx-checksum: 7\r\n\r\n"), "{answer}");
    world.assert_one(&Expected::completed(200).without_route());

    let world = World::new();
    let address = serve(&world, response);
    world.run(async move {
        let (response, _) = http2(address).await.send_request(harness::get(address, "/"), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "a");
        assert_eq!(body.trailers().await.unwrap().unwrap()["x-checksum"], "7");
    });
    world.assert_one(&Expected::completed(200).version("2").without_route());
}

#[test]
fn the_client_leaves_http_1_in_the_middle() {
    let world = World::new();
    let address = serve(&world, || Response::new(Script::new([Step::Data("a"), Step::Wait])));
    world.run(async move {
        Http1::get(address, "/").await.read_until("1\r\na\r\n").await;
    });
    world.assert_one(&Expected::aborted(200).without_route());
    assert_eq!(world.metrics().histogram(harness::RESPONSE_SIZE)[0].1.sum, Some(1.0));
}

#[test]
fn the_client_resets_a_stream_of_http_2_in_the_middle() {
    let world = World::new();
    let address = serve(&world, || Response::new(Script::new([Step::Data("a"), Step::Wait])));
    let registry = world.registry.clone();
    world.run(async move {
        let mut client = http2(address).await;
        let (response, stream) = client.send_request(harness::get(address, "/"), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "a");
        assert_eq!(registry.active_count(), 1);
        drop((body, stream));
        until("it has ended", || registry.active_count() == 0).await;
    });
    world.assert_one(&Expected::aborted(200).version("2").without_route());
}

#[test]
fn a_5xx_that_is_not_delivered_is_an_error_all_the_same() {
    let world = World::new();
    let address = serve(&world, || {
        Response::builder().status(500).body(Script::new([Step::Data("a"), Step::Wait])).unwrap()
    });
    world.run(async move {
        Http1::get(address, "/").await.read_until("1\r\na\r\n").await;
    });
    world.assert_one(&Expected::aborted(500).with_error("500").without_route());
}

#[test]
fn a_body_that_fails() {
    let world = World::new();
    let address = serve(&world, || Response::new(Script::new([Step::Data("a"), Step::Fail])));
    assert!(!fetch(&world, address, "GET").ends_with("0\r\n\r\n"));
    world.assert_one(&Expected::broken(200, std::any::type_name::<std::io::Error>()).without_route());
}

#[test]
fn a_body_that_ends_before_the_length_it_announced() {
    let world = World::new();
    let address = serve(&world, || {
        let mut response = Response::new(Script::new([Step::Data("ab")]));
        response.headers_mut().insert("content-length", "4".parse().unwrap());
        response
    });
    assert!(!fetch(&world, address, "GET").ends_with("abcd"));
    world.assert_one(&Expected::broken(200, "body_truncated").without_route());
}

#[test]
fn a_body_that_panics() {
    let world = World::new();
    let address = serve(&world, || Response::new(Script::new([Step::Data("a"), Step::Panic])));
    assert!(!fetch(&world, address, "GET").ends_with("0\r\n\r\n"));
    world.assert_one(&Expected::panicked(Some(200)).without_route());
}

#[test]
fn a_body_that_panics_when_it_is_dropped() {
    let world = World::new();
    let address = serve(&world, || {
        let mut script = Script::new([Step::Data("a"), Step::Wait]);
        script.panics_in_drop = true;
        Response::new(script)
    });
    world.run(async move {
        Http1::get(address, "/").await.read_until("1\r\na\r\n").await;
    });
    world.assert_one(&Expected::panicked(Some(200)).without_route());
}

#[test]
fn a_body_that_is_never_polled_or_dropped_unread() {
    let world = World::new();
    let response = world
        .layer
        .layer(answering(|_| Response::new(Script::new([Step::Data("a"), Step::Data("b")]))))
        .oneshot(http::Request::new(Body::empty()));
    world.run(async move {
        let response = response.await.unwrap();
        // on another thread
        tokio::task::spawn_blocking(move || drop(response)).await.unwrap();
    });
    world.assert_one(&Expected::aborted(200).without_route());
}

#[test]
fn a_layer_outside_that_answers_something_else() {
    let world = World::new();
    let observed = world.layer.layer(answering(|_| Response::new(Script::new([Step::Data("a")]))));
    let address = world.serve_service(observed.map_response(|_| Response::new(Full::<Bytes>::from("other"))));
    assert!(fetch(&world, address, "GET").ends_with("other"));
    world.assert_one(&Expected::aborted(200).without_route());
}

#[test]
fn the_body_is_what_it_wraps() {
    use http_body::Body as _;
    let world = World::new();
    let response = world.layer.layer(answering(|_| Response::new(Full::<Bytes>::from("text"))));
    world.run(async move {
        let mut body = response.oneshot(http::Request::new(Body::empty())).await.unwrap().into_body();
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(4), false));
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), "text");
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
        for _ in 0..2 {
            assert!(std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.is_none());
        }
    });
    world.assert_one(&Expected::completed(200).without_route());
}

#[test]
fn everything_in_a_request_has_its_context() {
    let world = World::new();
    let app = Router::new().route(
        "/",
        any(|| async {
            let here = || tracewell::requests::current().map(|request| request.span_id());
            let handler = here().unwrap();
            let stream = futures_util::stream::poll_fn(move |_| {
                assert_eq!(here(), Some(handler));
                tracing::info!(target: "user", "in the body");
                Poll::Ready(None::<Result<Bytes, std::io::Error>>)
            });
            Body::from_stream(stream)
        }),
    );
    let address = world.serve_app(app);
    fetch(&world, address, "GET");
    world.assert_one(&Expected::completed(200));
    let trace_id = world.server_spans()[0].span_context.trace_id().to_string();
    assert_eq!(world.trace_ids_of("in the body"), [trace_id]);
}
