//! One call from its first byte to its last: the guard that is moved call → future → body and ends once.

use std::{borrow::Cow, cell::Cell, error::Error, fmt, net::SocketAddr, sync::Arc, time::SystemTime};

use bytes::Buf;
use http::{HeaderMap, Method as HttpMethod, Request, Response, StatusCode, Uri, Version};
use http_body::Frame;
use opentelemetry::{
    Context as OtelContext, KeyValue,
    baggage::BaggageExt as _,
    trace::{SpanKind, Status, TraceContextExt as _},
};
use opentelemetry_http::HeaderInjector;
use tokio::time::Instant;
use tracing::Span;

use super::{ResendCount, UrlTemplate, body::CallBody, instruments::Point, layer::Shared};
use crate::{
    http::semconv::{
        Method,
        client::{self as semconv, Ending, Target},
    },
    owned_span::{Entered, OwnedSpan},
    quietly::quietly,
    requests::{self, Waiting},
    rpc::Made,
    span_seed::SpanSeed,
};

/// A call that is under way. Dropped, it ends as cancelled or aborted, or as failed when the thread is panicking.
pub(crate) struct Call {
    shared: Arc<Shared>,
    span: OwnedSpan,
    started: Instant,
    started_at: SystemTime,
    method: Method,
    target: Target,
    template: Option<&'static str>,
    answer: Option<(StatusCode, Version)>,
    peer: Option<SocketAddr>,
    waiting: Option<Waiting>,
    ended: bool,
    /// Of a call of gRPC: what takes the place of HTTP's conventions.
    made: Option<Box<Made>>,
}

/// What tells one kind of call from the other when it starts.
struct Start<'a> {
    uri: &'a Uri,
    name: Cow<'static, str>,
    attributes: Vec<KeyValue>,
    method: Method,
    target: Target,
    template: Option<&'static str>,
    made: Option<Box<Made>>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("answer", &self.answer).finish_non_exhaustive()
    }
}

/// What is about to be sent, whichever client does it.
pub(super) struct Asked<'a> {
    pub(super) method: &'a HttpMethod,
    pub(super) uri: &'a Uri,
    pub(super) template: Option<&'static str>,
    pub(super) resend_count: u32,
}

impl<'a> Asked<'a> {
    pub(super) fn of<B>(request: &'a Request<B>) -> Self {
        let extensions = request.extensions();
        Self {
            method: request.method(),
            uri: request.uri(),
            template: extensions.get::<UrlTemplate>().map(|template| template.0),
            resend_count: extensions.get::<ResendCount>().map_or(0, |count| count.0),
        }
    }
}

/// The context that travels with a request, if it may.
pub(crate) struct Sent(Option<OtelContext>);

impl Sent {
    pub(crate) fn write(&self, shared: &Shared, headers: &mut HeaderMap) {
        if let Some(context) = &self.0 {
            shared.propagator(|propagator| {
                propagator.inject_context(context, &mut HeaderInjector(headers));
            });
        }
    }
}

impl Call {
    /// Starts the span and shows the call as the request's stage; what is returned with it goes into the headers.
    pub(super) fn begin(shared: &Arc<Shared>, asked: &Asked<'_>) -> (Self, Sent) {
        let clocks = (Instant::now(), SystemTime::now());
        let &Asked { template, resend_count, uri, .. } = asked;
        let method = shared.resolved().settings.methods.find(asked.method);
        let target = Target::of(uri);
        let name = match template {
            Some(template) => [method.span_name(), " ", template].concat().into(),
            None => method.span_name().into(),
        };
        let attributes = semconv::start((asked.method, uri), method, &target, template, resend_count);
        let start = Start { uri, name, attributes, method, target, template, made: None };
        Self::start(shared, clocks, start, || tracing::info_span!(target: "tracewell::http", "HTTP call"))
    }

    /// The same for a call of gRPC.
    pub(crate) fn begin_rpc(
        shared: &Arc<Shared>,
        made: Made,
        method: &HttpMethod,
        (uri, attributes): (&Uri, Vec<KeyValue>),
    ) -> (Self, Sent) {
        let clocks = (Instant::now(), SystemTime::now());
        let method = shared.resolved().settings.methods.find(method);
        let (name, target) = (made.span_name(), made.target().clone());
        let made = Some(Box::new(made));
        let start = Start { uri, name, attributes, method, target, template: None, made };
        Self::start(shared, clocks, start, || tracing::info_span!(target: "tracewell::rpc", "gRPC call out"))
    }

    fn start(
        shared: &Arc<Shared>,
        (started, started_at): (Instant, SystemTime),
        start: Start<'_>,
        make: impl FnOnce() -> Span,
    ) -> (Self, Sent) {
        let Start { uri, name, attributes, method, target, template, made } = start;
        let outer = OtelContext::current();
        let kind = SpanKind::Client;
        let seed = SpanSeed { name, kind, start_time: started_at, attributes, links: Vec::new() };
        let span = OwnedSpan::start(seed, make);
        let sent = Sent(shared.trusts(uri).then(|| sent_context(&outer, span.context())));
        let shown = || made.as_ref().map_or_else(|| target.shown(), |made| made.shown());
        let waiting = requests::current().map(|entry| entry.wait_for(format!("calling {}", shown())));
        let call = Self {
            shared: Arc::clone(shared),
            span,
            started,
            started_at,
            method,
            target,
            template,
            answer: None,
            peer: None,
            waiting,
            ended: false,
            made,
        };
        (call, sent)
    }

    pub(crate) fn enter(&self) -> Entered<'_> {
        self.span.enter()
    }

    /// The headers are there: the call ends here when nothing follows, and moves into the body otherwise.
    pub(super) fn answered<B: http_body::Body>(mut self, response: Response<B>) -> Response<CallBody<B>> {
        self.answer = Some((response.status(), response.version()));
        if let Some(made) = &mut self.made {
            made.headers(response.headers(), &self.span);
        }
        self.peer = peer(response.extensions());
        if response.status().is_informational() || response.body().is_end_stream() {
            self.delivered();
            return response.map(CallBody::unobserved);
        }
        response.map(|body| CallBody::observed(body, self))
    }

    /// A frame was read.
    pub(super) fn passed<D: Buf>(&mut self, frame: &Frame<D>) {
        if let Some(made) = &mut self.made {
            made.frame(frame, &self.span);
        }
    }

    /// Everything was read.
    pub(super) fn delivered(mut self) {
        self.end(Ending::Answered);
    }

    /// The call or its body failed; `name` is the error's type, for what is of no known kind.
    pub(super) fn failed(mut self, error: &(dyn Error + 'static), name: &'static str) {
        let kind = semconv::failure(error).unwrap_or(name);
        if let Some(made) = &mut self.made {
            made.failed(error);
        }
        self.end(Ending::Failed(kind));
    }

    /// The client panicked.
    pub(super) fn panicked(mut self) {
        self.end(Ending::Failed("panic"));
    }

    /// Each part on its own: a panic in a processor of the program's costs that part, and no other.
    fn end(&mut self, ending: Ending) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        // one reading of the clock for the span and the histogram
        let duration = self.started.elapsed();
        let ended_at = self.started_at + duration;
        self.waiting = None;
        let _current = self.span.context().clone().attach();
        let mut attributes: Vec<KeyValue> = Vec::new();
        semconv::peer(self.peer, &mut attributes);
        let Self { method, template, answer, .. } = *self;
        let status = answer.map(|(status, _)| status);
        if let Some(made) = self.made.take() {
            let conclusion = made.conclude(ending, status, duration);
            quietly(|| made.measure(conclusion, duration));
            return quietly(|| {
                self.span.end(ended_at, |span| {
                    span.set_attributes(attributes);
                    made.describe(&conclusion, span);
                });
            });
        }
        let point = Point { method, target: &self.target, template, answer, ending };
        quietly(|| self.shared.resolved().instruments.record(&point, duration));
        quietly(|| {
            self.span.end(ended_at, |span| {
                semconv::end(answer, ending, &mut attributes);
                span.set_attributes(attributes);
                if semconv::error_type(status, ending).is_some() {
                    span.set_status(Status::error(""));
                }
            });
        });
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let ending = match (given_up(), self.answer) {
            _ if std::thread::panicking() => Ending::Failed("panic"),
            (Some(reason), _) => Ending::Failed(reason),
            (None, None) => Ending::Cancelled,
            (None, Some(_)) => Ending::Aborted,
        };
        self.end(ending);
    }
}

/// Who answered, if the client says so: hyper-util's does, and reqwest, which is built on it.
#[cfg(any(feature = "otlp-http", feature = "otlp-grpc", feature = "reqwest"))]
fn peer(extensions: &http::Extensions) -> Option<SocketAddr> {
    extensions.get::<hyper_util::client::legacy::connect::HttpInfo>().map(|info| info.remote_addr())
}

/// Without hyper-util's client nobody says so.
#[cfg(not(any(feature = "otlp-http", feature = "otlp-grpc", feature = "reqwest")))]
fn peer(_: &http::Extensions) -> Option<SocketAddr> {
    None
}

/// The span of this call, and the baggage: that of the code around it, which may have added to its request's.
fn sent_context(outer: &OtelContext, call: &OtelContext) -> OtelContext {
    let ids = call.span().span_context().clone();
    if !ids.is_valid() {
        // without a pipeline, what came in is passed on all the same
        return outer.clone();
    }
    if outer.baggage().is_empty() { call.clone() } else { outer.with_remote_span_context(ids) }
}

thread_local! {
    static GIVEN_UP: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Why the future that is being dropped on this thread is given up, if somebody said so: see [`giving_up_on`].
pub(crate) fn given_up() -> Option<&'static str> {
    GIVEN_UP.try_with(Cell::get).ok().flatten()
}

/// Runs `drop_it`, which drops a future: the calls in it end as failed for this `reason`, not as cancelled.
pub(crate) fn giving_up_on<T>(reason: &'static str, drop_it: impl FnOnce() -> T) -> T {
    struct Restored(Option<&'static str>);
    impl Drop for Restored {
        fn drop(&mut self) {
            let _ = GIVEN_UP.try_with(|given_up| given_up.set(self.0));
        }
    }
    let _restored = Restored(GIVEN_UP.try_with(|given_up| given_up.replace(Some(reason))).ok().flatten());
    drop_it()
}
