//! Headers of strangers through the server layer, and what is passed on from there.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    future::{Ready, ready},
    sync::LazyLock,
    task::{Context as TaskContext, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::Empty;
use opentelemetry::{
    Context, KeyValue,
    baggage::BaggageExt as _,
    propagation::TextMapPropagator as _,
    trace::{SpanContext, TraceContextExt as _},
};
use opentelemetry_http::HeaderExtractor;
use tower_layer::Layer as _;
use tower_service::Service;

use super::{Propagation, propagator};
use crate::{
    config::Propagator,
    http::{ServerLayer, ServerService},
    requests::Registry,
};

/// What may be chosen by `OTEL_PROPAGATORS`.
const CHOICES: [&[Propagator]; 4] = [
    &[Propagator::TraceContext, Propagator::Baggage],
    &[Propagator::B3],
    &[Propagator::B3Multi],
    &[Propagator::Baggage, Propagator::B3Multi, Propagator::B3, Propagator::TraceContext],
];

/// A byte that chooses the propagators, then a line a header: `name:value`.
pub fn propagation(data: &[u8]) {
    let Some((choice, lines)) = data.split_first() else { return };
    let choice = usize::from(*choice) % CHOICES.len();
    let headers = headers(lines);
    let context = served(choice, headers);
    check(&propagator(CHOICES[choice]), &context);
}

/// Lines of a `baggage` header, which are also read as a message's, and as what a program puts in by itself.
pub fn baggage(data: &[u8]) {
    let propagator = propagator(CHOICES[0]);
    let mut map = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            map.append("baggage", value);
        }
    }
    check(&propagator, &served(0, map));
    let text = String::from_utf8_lossy(data).into_owned();
    let message = HashMap::from([("baggage".to_owned(), text.clone())]);
    check(&propagator, &propagator.extract_with_context(&Context::new(), &message));
    let pairs = text.split('\n').filter_map(|line| line.split_once('='));
    let own = pairs.map(|(key, value)| KeyValue::new(key.to_owned(), value.to_owned()));
    check(&propagator, &Context::new().with_baggage(own));
}

fn headers(lines: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let value = HeaderValue::from_bytes(&line[colon + 1..]);
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..colon]), value) {
            map.append(name, value);
        }
    }
    map
}

/// What must hold of a context that came from outside, and of what is passed on.
fn check(propagator: &Propagation, context: &Context) {
    let span = context.span().span_context().clone();
    assert_eq!(context.has_active_span(), span.is_valid());
    assert!(!span.is_valid() || span.is_remote());
    let state = span.trace_state().header();
    assert!(state.len() <= 512 && state.split(',').count() <= 32, "{state}");
    assert!(context.baggage().len() <= 64);

    let passed_on = injected(propagator, context);
    let again = propagator.extract_with_context(&Context::new(), &HeaderExtractor(&passed_on));
    let same = again.span().span_context().clone();
    let ids = |span: &SpanContext| (span.trace_id(), span.span_id(), span.is_sampled());
    assert_eq!(ids(&span), ids(&same));
    let (before, after) = (members(context), members(&again));
    assert!(after.iter().all(|(key, value)| before.get(key) == Some(value)), "{before:?} {after:?}");
    let size: usize =
        before.iter().map(|(key, (value, data))| key.len() + 3 * value.len() + data.len() + 2).sum();
    assert!(size > 8192 || before.len() == after.len(), "{before:?} {after:?}");
}

/// What another service receives: only what can stand in a header.
fn injected(propagator: &Propagation, context: &Context) -> HeaderMap {
    let mut carrier = HashMap::new();
    propagator.inject_context(context, &mut carrier);
    let mut map = HeaderMap::new();
    for (name, value) in carrier {
        assert!(value.len() <= 8192, "{name}: {} bytes", value.len());
        assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{name}: {value:?}");
        let value = HeaderValue::from_str(&value).expect("visible ASCII");
        map.insert(HeaderName::from_bytes(name.as_bytes()).expect("a name of ours"), value);
    }
    map
}

fn members(context: &Context) -> BTreeMap<String, (String, String)> {
    let members = context.baggage().iter();
    members.map(|(key, (value, data))| (key.to_string(), (value.to_string(), data.to_string()))).collect()
}

thread_local! {
    static SEEN: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// A handler that keeps the context it is called in.
#[derive(Debug, Clone)]
struct Handler;

impl Service<Request<()>> for Handler {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        SEEN.set(Some(Context::current()));
        ready(Ok(Response::default()))
    }
}

/// The context in which a handler sees a request with these headers.
fn served(choice: usize, headers: HeaderMap) -> Context {
    static SERVERS: LazyLock<[ServerService<Handler>; CHOICES.len()]> = LazyLock::new(|| {
        CHOICES.map(|propagators| {
            let layer = ServerLayer::new()
                .with_propagator(propagator(propagators))
                .with_meter_provider(opentelemetry_sdk::metrics::SdkMeterProvider::default())
                .with_registry(Registry::new(1));
            layer.layer(Handler)
        })
    });
    let mut request = Request::new(());
    *request.headers_mut() = headers;
    let answer = std::pin::pin!(SERVERS[choice].clone().call(request));
    assert!(answer.poll(&mut TaskContext::from_waker(Waker::noop())).is_ready());
    SEEN.take().expect("the handler was called")
}
