//! Answers of a hostile collector through the real reading, and what is made of them.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use tower_service::Service;

use super::{
    Accepted, SendError, SendErrorKind, Transport, grpc, grpc_status::Checked, http as http_wire,
    retry::MAX_ELAPSED,
};
use crate::{
    config::{Config, DropPolicy, Signal, Source},
    pipeline::{
        batches::{InFlight, Lane},
        queue::{Item, Queue},
        signal_status::{AccountSource, SignalStatus},
    },
};

/// Items of the batch that is answered.
const BATCH: usize = 7;

/// A byte for signal and encoding, two for the status, then headers as lines, an empty line, and the body.
///
/// # Panics
/// When something does not hold.
pub fn otlp_http(data: &[u8]) {
    let [choice, high, low, rest @ ..] = data else { return };
    let status = StatusCode::from_u16(u16::from_be_bytes([*high, *low]) % 1000).unwrap_or_default();
    let (headers, body) = head(rest);
    let mut response = Response::new(frames(body, HeaderMap::new()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    let read = now(http_wire::read(signal(*choice), choice & 4 != 0, response));
    assert!(read.is_err() || status.is_success(), "{status}");
    made_of(signal(*choice), read);
}

/// A byte for the signal, then headers, an empty line, trailers, an empty line, and the body's bytes with their framing.
pub fn otlp_grpc(data: &[u8]) {
    let [choice, rest @ ..] = data else { return };
    let (headers, rest) = head(rest);
    let (trailers, body) = head(rest);
    let mut response = Response::new(frames(body, trailers));
    *response.headers_mut() = headers;
    let client = tonic::client::Grpc::new(Checked(Answering(Some(response))))
        .accept_compressed(tonic::codec::CompressionEncoding::Gzip);
    let read = now(grpc::unary(signal(*choice), client, tonic::Request::new(Bytes::from_static(b"sent"))));
    made_of(signal(*choice), read);
}

fn signal(choice: u8) -> Signal {
    [Signal::Traces, Signal::Metrics, Signal::Logs][usize::from(choice & 3) % 3]
}

/// Lines `name:value` up to an empty one, and the rest.
fn head(data: &[u8]) -> (HeaderMap, &[u8]) {
    let (mut map, mut rest) = (HeaderMap::new(), data);
    loop {
        let (line, after) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, &[][..]),
        };
        rest = after;
        if line.is_empty() {
            return (map, rest);
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let value = HeaderValue::from_bytes(&line[colon + 1..]);
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..colon]), value) {
            map.append(name, value);
        }
    }
}

/// What the queue and the retry make of an answer.
fn made_of(signal: Signal, read: Result<Accepted, SendError>) {
    if let Err(SendError { kind: SendErrorKind::Retryable(after), .. }) = &read {
        waited(*after);
    }
    let said = match &read {
        Ok(accepted) => &accepted.message,
        Err(error) => &error.cause,
    };
    assert!(said.chars().count() < 1024, "{said}");
    assert!(!said.contains(char::is_control), "{said:?}");
    settled(signal, read);
}

/// No answer makes a batch wait longer than batches are kept.
fn waited(after: Option<Duration>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without a thread").block_on(async {
        let began = tokio::time::Instant::now();
        let patience = super::Patience::default();
        let again = patience.attempts(None).again(after).await;
        assert!(began.elapsed() <= MAX_ELAPSED && (again || after.is_some()), "{after:?}");
    });
}

#[derive(Debug)]
struct Nothing;

impl Item for Nothing {
    fn is_kept_first(&self) -> bool {
        false
    }
}

/// Whatever the answer says, every item is accounted for once.
fn settled(signal: Signal, read: Result<Accepted, SendError>) {
    let (config, _) = Config::resolve(&Source::from_pairs::<&str, &str>([]));
    let queue = Arc::new(Queue::new(BATCH, BATCH, DropPolicy::Newest));
    (0..BATCH).for_each(|_| queue.push(Nothing));
    let account: Arc<dyn AccountSource> = Arc::<Queue<Nothing>>::clone(&queue);
    let status = SignalStatus::new(None, account);
    let transport = Transport::new(signal, &[], &config.traces.otlp, status).expect("it has no wire");
    let lane = Lane { signal, queue, transport, schedule_delay: Duration::ZERO };
    let batch = lane.queue.take();
    let in_flight = InFlight::new(&lane, batch.len());
    let positive = read.is_ok();
    in_flight.settle(read);
    let account = lane.queue.account();
    assert_eq!((account.emitted, account.queued), (BATCH as u64, 0));
    assert_eq!(account.exported + account.failed, BATCH as u64, "{account:?}");
    assert!(account.exported == 0 || positive, "{account:?}");
}

/// A collector that gives one answer.
struct Answering(Option<Response<Frames>>);

impl Service<Request<tonic::body::Body>> for Answering {
    type Response = Response<Frames>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<tonic::body::Body>) -> Self::Future {
        ready(Ok(self.0.take().expect("one call")))
    }
}

/// A body in two pieces, and its trailers.
struct Frames(VecDeque<Frame<Bytes>>);

fn frames(body: &[u8], trailers: HeaderMap) -> Frames {
    let (first, second) = body.split_at(body.len() / 2);
    let pieces = [first, second].map(|piece| Frame::data(Bytes::copy_from_slice(piece)));
    let trailers = (!trailers.is_empty()).then(|| Frame::trailers(trailers));
    Frames(pieces.into_iter().chain(trailers).collect())
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

/// The output of a future that has nothing to wait for.
fn now<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..100 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("it waits although everything is there");
}
