//! One request from its arrival to its last byte: the guard that is moved call → future → body and ends once.

pub(super) mod call;

use std::{
    borrow::Cow,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Context,
    thread,
    time::{Duration, SystemTime},
};

use bytes::Buf;
use http::{Request, Response, StatusCode, Version, header};
use http_body::Frame;
use opentelemetry::{
    Context as OtelContext, KeyValue,
    trace::{Link, SpanContext, SpanKind, Status, TraceContextExt as _},
};
use opentelemetry_http::HeaderExtractor;
use tokio::time::Instant;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{body::ResponseBody, connection::ConnectionScope, extras::CancelSignal, layer::Resolved};
use crate::{
    http::{
        Cause,
        metrics::Measured,
        route::{self, Route},
        semconv::{self, Ending, Method, Point, Scheme},
        semconv_extra,
        semconv_forwarded::scheme_used,
    },
    requests::{self, EndDetails, NewEntry, Outcome, STREAMING},
    resilience,
    rpc::Served,
    sampling::Facts,
    span_seed::{self, SpanSeed},
};

/// How an exchange can end.
#[derive(Clone, Copy)]
pub(super) enum End<'a> {
    /// The last frame was handed over, or there was nothing to send.
    Delivered,
    /// The service or the body failed.
    Error {
        name: &'static str,
        message: &'a dyn fmt::Display,
    },
    Panicked,
    /// Dropped before its end: the client left, or something outside gave up.
    Left,
}

/// A request that is being served. Dropped, it ends as [`End::Left`].
pub(crate) struct Exchange {
    shared: Arc<Resolved>,
    /// `None` once the exchange has ended, and where the entry is another exchange's.
    entry: Option<requests::Guard>,
    ended: bool,
    /// The entry once more, to be made current without a clone per poll.
    scope: requests::Scope,
    span: Span,
    context: OtelContext,
    started: Instant,
    started_at: SystemTime,
    method: Method,
    /// Whether the client asked for the headers only.
    head: bool,
    /// Whether the client asked for a tunnel.
    connect: bool,
    scheme: Scheme,
    version: Version,
    route: Option<&'static Route>,
    /// The route's own text when it is not remembered.
    unremembered: Option<Box<str>>,
    request_size: Option<u64>,
    status: Option<StatusCode>,
    first_byte: Option<Duration>,
    sent: u64,
    announced: Option<u64>,
    /// The duration, once span and metrics have it: what is left is a stream.
    recorded: Option<Duration>,
    /// No span of ours carries the caller's context: it is passed on all the same, and is nobody's here to end.
    foreign: bool,
    /// Where an operator may cancel requests.
    cancelled: Option<CancelSignal>,
    /// Of a call of gRPC: what takes the place of HTTP's conventions.
    call: Option<Box<Served>>,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("status", &self.status).finish_non_exhaustive()
    }
}

/// The request's span and entry as the current ones.
pub(super) struct Entered<'a> {
    _span: span_seed::Entered<'a>,
    _context: Option<opentelemetry::ContextGuard>,
    _entry: requests::Entered<'a>,
}

impl Exchange {
    /// Starts span, gauge and entry, in this order: what can panic (propagators, samplers and layers of the user's) comes
    /// before what must be taken back.
    pub(super) fn begin<B>(shared: &Arc<Resolved>, request: &Request<B>) -> Self {
        let (started, started_at) = (Instant::now(), SystemTime::now());
        let method = shared.settings.methods.find(request.method());
        let peer = route::peer(request.extensions());
        let origin = shared.settings.proxies.origin(peer, request.headers());
        let scheme = scheme_used(origin.as_ref(), request.uri());
        let template = route::template(request.extensions());
        let route = template.and_then(route::remembered);
        let unremembered = if route.is_none() { template.map(Box::from) } else { None };
        let request_size = announced_length(request.headers());

        let (name, kind) = (span_name(method, route, unremembered.as_deref()), SpanKind::Server);
        let extras = shared.extras.as_deref();
        let attributes = || {
            let mut attributes =
                semconv::start(request, method, scheme, route.map(|route| route.template), peer);
            attributes.extend(unremembered.as_deref().map(semconv::unremembered_route));
            if let Some(origin) = &origin {
                origin.apply(&mut attributes);
            }
            if let Some(extras) = extras {
                attributes.extend(extras.of_request(request.headers()));
            }
            attributes
        };
        let seed = |attributes, links| SpanSeed { name, kind, start_time: started_at, attributes, links };
        let facts = |headers: &[String]| facts(request, template, headers);
        let (span, context, foreign) =
            start_span(seed, new_span, (attributes, facts), shared, request.headers());
        let mut new = new_entry(request, method, &context, (started, started_at));
        (new.tracing_id, new.cancellable) =
            (tracing_id(&span), extras.is_some_and(|extras| extras.cancellable));
        shared.instruments.add_active(method, scheme, 1);
        let entry = shared.registry.start(match (route, &unremembered) {
            (Some(route), _) => new.with_route(Arc::clone(&route.shared)),
            (None, Some(route)) => new.with_route(&**route),
            (None, None) => new,
        });
        Self {
            cancelled: extras.and_then(|extras| extras.cancel_signal(entry.handle())),
            shared: Arc::clone(shared),
            scope: requests::Scope::new(Some(entry.handle().clone())),
            entry: Some(entry),
            ended: false,
            span,
            context,
            started,
            started_at,
            method,
            head: request.method() == http::Method::HEAD,
            connect: request.method() == http::Method::CONNECT,
            scheme,
            version: request.version(),
            route,
            unremembered,
            request_size,
            status: None,
            first_byte: None,
            sent: 0,
            announced: None,
            recorded: None,
            foreign,
            call: None,
        }
    }

    /// Makes span and entry current, for a poll.
    pub(super) fn enter(&mut self) -> Entered<'_> {
        let entry = self.scope.enter();
        let context = self.context.has_active_span().then(|| self.context.clone().attach());
        Entered { _span: span_seed::Entered::new(&self.span), _context: context, _entry: entry }
    }

    /// Whether an operator wants it gone; its task is woken then.
    pub(super) fn is_cancelled(&mut self, cx: &mut Context<'_>) -> bool {
        self.cancelled.as_mut().is_some_and(|cancelled| cancelled.as_mut().poll(cx).is_ready())
    }

    /// The headers are there: the exchange ends here when nothing follows, and moves into the body otherwise.
    pub(super) fn answer<B: http_body::Body>(
        mut self,
        mut response: Response<B>,
    ) -> Response<ResponseBody<B>> {
        if let Some(entry) = &self.entry {
            let trace_id = self.shared.settings.trace_id_header;
            resilience::set_response_headers(entry.handle(), trace_id, response.headers_mut());
        }
        let status = response.status();
        self.status = Some(status);
        self.first_byte = Some(self.started.elapsed());
        if self.call.is_some() {
            return self.answer_call(response);
        }
        if let Some(extras) = &self.shared.extras {
            quietly(|| self.context.span().set_attributes(extras.of_response(response.headers())));
        }
        if status.is_server_error() {
            if let Some(entry) = &self.entry {
                entry.handle().fail_log();
            }
            if let Some(cause) = response.extensions_mut().remove::<Cause>() {
                quietly(|| self.log_cause(&cause));
            }
        }
        if status == StatusCode::SWITCHING_PROTOCOLS || self.connect && status.is_success() {
            return self.tunnel(response);
        }
        // a server asks for no byte more than was announced, and announces what the body knows
        self.announced = announced_length(response.headers()).or_else(|| response.body().size_hint().exact());
        let nothing_follows = self.head
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || status.is_informational()
            || self.announced == Some(0)
            || response.body().is_end_stream();
        if nothing_follows {
            self.end(End::Delivered);
            return response.map(ResponseBody::unobserved);
        }
        if is_event_stream(&response) {
            self.become_stream();
        }
        response.map(|body| ResponseBody::observed(body, self))
    }

    /// A stream's span and duration end at the headers; the request stays active until the stream's own end.
    fn become_stream(&mut self) {
        let duration = self.started.elapsed();
        // its size is not known yet
        quietly(|| self.measure(Ending::Answered, duration, None));
        quietly(|| self.end_span(Ending::Answered, duration));
        self.recorded = Some(duration);
        if let Some(entry) = &self.entry {
            entry.set_stage(STREAMING);
        }
    }

    /// The connection, or the stream of HTTP/2, becomes a tunnel: it carries the exchange, where the server said which one
    /// that is. Nothing is ever sent through this response's body.
    fn tunnel<B>(mut self, response: Response<B>) -> Response<ResponseBody<B>> {
        self.become_stream();
        if let Some(entry) = &self.entry {
            // nothing polls a tunnel's exchange
            entry.handle().forbid_cancellation();
        }
        match ConnectionScope::current() {
            Some(connection) => connection.keep(self),
            None => self.end(End::Delivered),
        }
        response.map(ResponseBody::unobserved)
    }

    /// A frame is handed over.
    pub(super) fn passed<D: Buf>(&mut self, frame: &Frame<D>) {
        if let Some(call) = &mut self.call {
            quietly(|| call.frame(frame, &self.context));
        }
        let bytes = frame.data_ref().map_or(0, |data| data.remaining() as u64);
        self.sent = self.sent.saturating_add(bytes);
    }

    /// Whether everything that the headers announced was handed over.
    pub(super) fn is_complete(&self) -> bool {
        self.announced.is_some_and(|announced| self.sent >= announced)
    }

    /// The body has ended by itself. That is too early for a client to whom more was announced.
    pub(super) fn end_of_body(self) {
        match self.announced {
            Some(announced) if self.sent < announced => {
                let message = format!("the body ended after {} of {announced} bytes", self.sent);
                self.end(End::Error { name: "body_truncated", message: &message });
            }
            _ => self.end(End::Delivered),
        }
    }

    /// Ends the exchange.
    pub(super) fn end(mut self, end: End<'_>) {
        self.finish(end);
    }

    /// Every part on its own, so that a panic in one (a processor or layer of the user's) costs no other.
    fn finish(&mut self, end: End<'_>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let ending = self.ending(end);
        // one reading of the clock for the span, the histogram and the access log
        let duration = self.started.elapsed();
        if self.call.is_some() {
            return self.finish_call(end, ending, duration);
        }
        let streamed = self.recorded;
        if streamed.is_none() {
            let size = self.status.map(|_| self.sent);
            quietly(|| self.measure(ending, duration, size));
        }
        quietly(|| self.log(end, ending, streamed.unwrap_or(duration)));
        if streamed.is_none() {
            quietly(|| self.end_span(ending, duration));
        }
        quietly(|| self.shared.instruments.add_active(self.method, self.scheme, -1));
        let status = self.status.map(|status| status.as_u16());
        if let Some(entry) = self.entry.take() {
            entry.end(self.outcome(ending), EndDetails { status, duration });
        }
    }

    fn ending(&self, end: End<'_>) -> Ending {
        match (end, self.status) {
            (End::Delivered, _) => Ending::Answered,
            (End::Panicked, _) => Ending::Panicked,
            // dropped by a panic somewhere around it
            (End::Left, _) if thread::panicking() => Ending::Panicked,
            (End::Error { name, .. }, None) => Ending::Error(name),
            (End::Error { name, .. }, Some(_)) => Ending::BodyError(name),
            (End::Left, None) => Ending::Cancelled,
            (End::Left, Some(_)) => Ending::Aborted,
        }
    }

    fn outcome(&self, ending: Ending) -> Outcome {
        match ending {
            Ending::Answered if self.status.is_some_and(|status| status.is_server_error()) => Outcome::Failed,
            Ending::Answered => Outcome::Completed,
            Ending::Error(_) => Outcome::Failed,
            Ending::Panicked => Outcome::Panicked,
            Ending::Cancelled => Outcome::Cancelled,
            Ending::Aborted | Ending::BodyError(_) => Outcome::Aborted,
        }
    }

    /// The metrics, in the request's context: that is what makes the exemplar.
    fn measure(&self, ending: Ending, duration: Duration, response_size: Option<u64>) {
        let _current = self.context.clone().attach();
        let Self { method, scheme, version, status, .. } = *self;
        let point = Point { method, scheme, version, route: self.route_text(), status, ending };
        let measured = Measured {
            duration,
            first_byte: self.first_byte,
            request_size: self.request_size,
            response_size,
        };
        let instruments = &self.shared.instruments;
        match self.own_attributes() {
            Some(own) => instruments.record_with(&point, &measured, own),
            None => instruments.record(self.route, &point, &measured),
        }
    }

    /// What the program gave the request for its metrics, if anything.
    fn own_attributes(&self) -> Option<Vec<KeyValue>> {
        let (extras, entry) = (self.shared.extras.as_deref()?, self.entry.as_ref()?);
        Some(extras.of_metrics(entry.handle())).filter(|own| !own.is_empty())
    }

    fn end_span(&self, ending: Ending, duration: Duration) {
        let span = self.context.span();
        if self.foreign || !span.is_recording() {
            return;
        }
        span.set_attributes(semconv::end(self.status, ending));
        if let Some(entry) = self.entry.as_ref().map(requests::Guard::handle).filter(|e| e.has_more_to_say())
        {
            span.set_attributes(entry.attributes());
            if matches!(ending, Ending::Cancelled | Ending::Aborted) {
                span.set_attributes(entry.end_reason());
            }
        }
        if semconv::error_type(self.status, ending).is_some() {
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(self.started_at + duration);
    }

    /// The error behind a 5xx, inside the request's span and entry.
    fn log_cause(&mut self, cause: &Cause) {
        let (method, route) = (self.method, self.route.map(|route| route.template));
        let unremembered = self.unremembered.clone();
        let route = route.or(unremembered.as_deref()).unwrap_or("");
        let _entered = self.enter();
        semconv_extra::log_cause(
            cause.kind(),
            &cause.message(),
            cause.stacktrace().as_deref(),
            method,
            route,
        );
    }

    /// What a person should read about the end, inside the request's span and entry.
    fn log(&mut self, end: End<'_>, ending: Ending, duration: Duration) {
        let access = self.shared.settings.access_log;
        if access.is_none() && matches!(end, End::Delivered | End::Panicked) {
            return;
        }
        let mut scope = std::mem::take(&mut self.scope);
        let _entry = scope.enter();
        let _context = self.context.has_active_span().then(|| self.context.clone().attach());
        let _span = span_seed::Entered::new(&self.span);
        let (route, outcome) = (self.route_text().unwrap_or(""), self.outcome(ending).as_str());
        match (end, ending) {
            (End::Error { name, message }, _) => semconv::log_exception(name, message, self.method, route),
            (_, Ending::Cancelled | Ending::Aborted) => semconv::log_left(outcome),
            _ => {}
        }
        if let Some(wanted) = access {
            semconv::log_access(wanted, self.method, route, self.status, outcome, duration);
        }
    }

    fn route_text(&self) -> Option<&str> {
        self.route.map(|route| route.template).or(self.unremembered.as_deref())
    }
}

/// Telemetry about a request is not worth a panic in it: whatever was called has had its say in the panic hook.
fn quietly(record: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(record));
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.finish(End::Left);
        span_seed::release(std::mem::replace(&mut self.span, Span::none()));
    }
}

fn new_span() -> Span {
    tracing::info_span!(target: "tracewell::http", "HTTP request")
}

/// The request's span, continuing the caller's trace, and its context; `true` when no layer made it a span. `make` makes
/// the span that the seed is for.
///
/// Where the span will hardly be recorded, its attributes are made only if it is recorded after all.
fn start_span(
    seed: impl FnOnce(Vec<KeyValue>, Vec<Link>) -> SpanSeed,
    make: impl FnOnce() -> Span,
    (attributes, facts): (impl Fn() -> Vec<KeyValue>, impl FnOnce(&[String]) -> Facts),
    shared: &Resolved,
    headers: &http::HeaderMap,
) -> (Span, OtelContext, bool) {
    let mut parent = shared.propagated(|propagator| {
        // most callers send nothing, and an extraction that finds nothing is not free
        let named = |field: &str| headers.keys().any(|name| name.as_str().eq_ignore_ascii_case(field));
        let sent = propagator.fields().any(named);
        sent.then(|| propagator.extract(&HeaderExtractor(headers)))
    });
    let mut links = Vec::new();
    if shared.settings.public_endpoint {
        // a stranger's trace is linked to and not joined, and its baggage stays outside
        let stranger = parent.take().map(|parent| parent.span().span_context().clone());
        links.extend(stranger.filter(SpanContext::is_valid).map(Link::with_context));
    }
    let _parent = parent.clone().map(OtelContext::attach);
    let sampler = shared.settings.sampler();
    let facts = sampler.as_ref().filter(|sampler| sampler.rules).map(|sampler| facts(&sampler.headers));
    let expected = shared.settings.attributes_count
        || sampler.as_ref().is_none_or(|sampler| sampler.expects_recording(facts.as_ref()));
    drop(sampler);
    let seed = seed(if expected { attributes() } else { Vec::new() }, links);
    let start = || {
        let span = make();
        // starts the span now: its ids are needed before it is entered
        let context = span.context();
        (span, context)
    };
    let (span, context) = match facts {
        Some(facts) => facts.around(|| seed.around(start)),
        None => seed.around(start),
    };
    if !expected && context.span().is_recording() {
        context.span().set_attributes(attributes());
    }
    match parent {
        Some(parent) if !context.has_active_span() => (span, parent, true),
        _ => (span, context, false),
    }
}

/// What rules of sampling look at.
fn facts<B>(request: &Request<B>, route: Option<&str>, names: &[String]) -> Facts {
    let values = |name: &String| {
        let values = request.headers().get_all(name.as_str()).into_iter();
        let name = name.clone();
        values.map(move |value| (name.clone(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
    };
    Facts {
        method: request.method().as_str().to_owned(),
        path: request.uri().path().to_owned(),
        route: route.map(str::to_owned),
        headers: names.iter().flat_map(values).collect(),
    }
}

fn new_entry<B>(
    request: &Request<B>,
    method: Method,
    context: &OtelContext,
    (started, started_at): (Instant, SystemTime),
) -> NewEntry {
    let span = context.span();
    let ids = span.span_context();
    NewEntry::request(method.name())
        .with_path(semconv::clip(request.uri().path(), 1024))
        .with_span(ids.trace_id(), ids.span_id(), ids.is_sampled())
        .with_start(started_at, started.into_std())
}

/// Method and route, as far as there is one.
fn span_name(method: Method, route: Option<&'static Route>, unremembered: Option<&str>) -> Cow<'static, str> {
    match (route, unremembered) {
        (Some(route), _) => route.span_name(method).into(),
        (None, Some(route)) => format!("{} {route}", method.span_name()).into(),
        (None, None) => method.span_name().into(),
    }
}

/// 0 = none.
fn tracing_id(span: &Span) -> u64 {
    span.id().map_or(0, |id| id.into_u64())
}

fn announced_length(headers: &http::HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_event_stream<B>(response: &Response<B>) -> bool {
    const EVENT_STREAM: &str = "text/event-stream";
    let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type.and_then(|media_type| media_type.split_at_checked(EVENT_STREAM.len())).is_some_and(
        |(essence, parameters)| {
            let parameters = parameters.trim_start();
            essence.eq_ignore_ascii_case(EVENT_STREAM)
                && (parameters.is_empty() || parameters.starts_with(';'))
        },
    )
}
