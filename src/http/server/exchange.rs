//! One request from its arrival to its last byte: the guard that is moved call → future → body and ends once.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use http::{Request, Response, StatusCode, Version, header};
use opentelemetry::{
    Context as OtelContext, KeyValue,
    trace::{SpanKind, Status, TraceContextExt as _},
};
use opentelemetry_http::HeaderExtractor;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{body::ResponseBody, layer::Resolved};
use crate::{
    http::{
        metrics::Measured,
        route::{self, Route},
        semconv::{self, Ending, Method, Point, Scheme},
    },
    requests::{self, EndDetails, NewEntry, Outcome},
    span_seed::SpanSeed,
};

/// How an exchange can end.
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
pub(super) struct Exchange {
    shared: Arc<Resolved>,
    entry: Option<requests::Guard>,
    span: Span,
    context: OtelContext,
    started: Instant,
    started_at: SystemTime,
    method: Method,
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
    /// Span and metrics are recorded: what is left is a stream.
    recorded: bool,
    /// No span of ours carries the caller's context: it is made current itself, so that it is passed on all the same.
    attach: bool,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("status", &self.status).finish_non_exhaustive()
    }
}

/// The request's span and entry as the current ones.
pub(super) struct Entered<'a> {
    _span: tracing::span::Entered<'a>,
    _context: Option<opentelemetry::ContextGuard>,
    _entry: Option<requests::Entered<'static>>,
}

impl Exchange {
    /// Starts span, entry and gauge.
    pub(super) fn begin<B>(shared: &Arc<Resolved>, request: &Request<B>) -> Self {
        let (started, started_at) = (Instant::now(), SystemTime::now());
        let method = shared.settings.methods.find(request.method());
        let scheme = Scheme::of(request.uri());
        let template = route::template(request.extensions());
        let route = template.and_then(route::remembered);
        let unremembered = if route.is_none() { template.map(Box::from) } else { None };
        let peer = route::peer(request.extensions());

        let name = match (route, &unremembered) {
            (Some(route), _) => route.span_name(method).into(),
            (None, Some(route)) => format!("{} {route}", method.span_name()).into(),
            (None, None) => method.span_name().into(),
        };
        let mut attributes = semconv::start(request, method, scheme, route.map(|route| route.template), peer);
        if let Some(route) = &unremembered {
            attributes.extend(semconv::unremembered_route(route));
        }
        let seed =
            SpanSeed { name, kind: SpanKind::Server, start_time: started_at, attributes, links: Vec::new() };
        let (span, context, attach) = start_span(seed, request.headers());
        let entry =
            shared.registry.start(new_entry(request, method, template, &context, (started, started_at)));
        shared.instruments.add_active(method, scheme, 1);
        Self {
            shared: Arc::clone(shared),
            entry: Some(entry),
            span,
            context,
            started,
            started_at,
            method,
            scheme,
            version: request.version(),
            route,
            unremembered,
            request_size: announced_length(request.headers()),
            status: None,
            first_byte: None,
            sent: 0,
            announced: None,
            recorded: false,
            attach,
        }
    }

    /// Makes span and entry current, for a poll.
    pub(super) fn enter(&self) -> Entered<'_> {
        let entry = self.entry.as_ref().map(|entry| requests::enter(entry.handle()));
        let context = self.attach.then(|| self.context.clone().attach());
        Entered { _span: self.span.enter(), _context: context, _entry: entry }
    }

    /// The headers are there: the exchange ends here when nothing follows, and moves into the body otherwise.
    pub(super) fn answer<B: http_body::Body>(mut self, response: Response<B>) -> Response<ResponseBody<B>> {
        let status = response.status();
        self.status = Some(status);
        self.first_byte = Some(self.started.elapsed());
        self.announced = announced_length(response.headers());
        if status == StatusCode::SWITCHING_PROTOCOLS || is_event_stream(&response) {
            return self.stream(response);
        }
        let nothing_follows = self.method.name() == "HEAD"
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || status.is_informational()
            || response.body().is_end_stream();
        if nothing_follows {
            self.end(End::Delivered);
            return response.map(ResponseBody::unobserved);
        }
        response.map(|body| ResponseBody::observed(body, self))
    }

    /// A stream's span and duration end at the headers; the request stays active until the stream's own end.
    fn stream<B>(mut self, response: Response<B>) -> Response<ResponseBody<B>> {
        self.record(Ending::Answered, self.started.elapsed());
        if let Some(entry) = &self.entry {
            entry.handle().set_stage("streaming");
        }
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return response.map(|body| ResponseBody::observed(body, self));
        }
        // the body of a 101 is empty: the connection carries the exchange, where the server said which one that is
        let connection = self.entry.as_ref().and_then(|_| CONNECTION.try_with(Clone::clone).ok());
        match connection {
            Some(connection) => connection.upgraded(self),
            None => self.end(End::Delivered),
        }
        response.map(ResponseBody::unobserved)
    }

    pub(super) fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// Whether everything that the headers announced was handed over.
    pub(super) fn is_complete(&self) -> bool {
        self.announced.is_some_and(|announced| self.sent >= announced)
    }

    /// Ends the exchange.
    pub(super) fn end(mut self, end: End<'_>) {
        self.finish(&end);
    }

    fn finish(&mut self, end: &End<'_>) {
        let Some(entry) = self.entry.take() else { return };
        let ending = self.ending(end);
        // one reading of the clock for the span, the histogram and the access log
        let duration = self.started.elapsed();
        if !self.recorded {
            self.span.in_scope(|| self.log(end, ending, duration));
            self.record(ending, duration);
        }
        self.shared.instruments.add_active(self.method, self.scheme, -1);
        let status = self.status.map(|status| status.as_u16());
        entry.end(self.outcome(ending), EndDetails { status, duration });
    }

    fn ending(&self, end: &End<'_>) -> Ending {
        match (end, self.status) {
            (End::Delivered, _) => Ending::Answered,
            (End::Panicked, _) => Ending::Panicked,
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

    /// Span and metrics, in the request's context: that is what makes the exemplar.
    fn record(&mut self, ending: Ending, duration: Duration) {
        self.recorded = true;
        let _current = self.context.clone().attach();
        let route = self.route.map(|route| route.template).or(self.unremembered.as_deref());
        let Self { method, scheme, version, status, .. } = *self;
        let point = Point { method, scheme, version, route, status, ending };
        let measured = Measured {
            duration,
            first_byte: self.first_byte,
            request_size: self.request_size,
            response_size: status.is_some().then_some(self.sent),
        };
        self.shared.instruments.record(self.route, &point, &measured);

        let span = self.context.span();
        if span.is_recording() {
            let mut attributes: Vec<KeyValue> = Vec::with_capacity(3);
            semconv::end(status, ending, &mut attributes);
            span.set_attributes(attributes);
            if semconv::error_type(status, ending).is_some() {
                span.set_status(Status::error(""));
            }
            span.end_with_timestamp(self.started_at + duration);
        }
    }

    /// What a person should read about the end, inside the request's span.
    fn log(&self, end: &End<'_>, ending: Ending, duration: Duration) {
        let route = self.route.map(|route| route.template).or(self.unremembered.as_deref()).unwrap_or("");
        match (end, ending) {
            (End::Error { name, message }, _) => semconv::log_exception(name, message, self.method, route),
            (_, Ending::Cancelled | Ending::Aborted) => {
                semconv::log_left(self.outcome(ending).as_str());
            }
            _ => {}
        }
        if let Some(wanted) = self.shared.settings.access_log {
            let outcome = self.outcome(ending);
            semconv::log_access(wanted, self.method, route, self.status, outcome.as_str(), duration);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.finish(&End::Left);
    }
}

/// The request's span, continuing the caller's trace, and its context; `true` when no layer made it a span.
fn start_span(seed: SpanSeed, headers: &http::HeaderMap) -> (Span, OtelContext, bool) {
    let parent = opentelemetry::global::get_text_map_propagator(|propagator| {
        // most callers send nothing, and an extraction that finds nothing is not free
        let sent = propagator.fields().any(|field| headers.contains_key(field));
        sent.then(|| propagator.extract(&HeaderExtractor(headers)))
    });
    let _parent = parent.clone().map(OtelContext::attach);
    seed.around(|| {
        let span = tracing::info_span!(target: "tracewell::http", "HTTP request");
        // starts the span now: its ids are needed before it is entered
        let context = span.context();
        match parent {
            Some(parent) if !context.has_active_span() => (span, parent, true),
            _ => (span, context, false),
        }
    })
}

fn new_entry<B>(
    request: &Request<B>,
    method: Method,
    route: Option<&str>,
    context: &OtelContext,
    (started, started_at): (Instant, SystemTime),
) -> NewEntry {
    let span = context.span();
    let ids = span.span_context();
    let mut entry = NewEntry::request(method.name())
        .with_path(semconv::clip(request.uri().path(), 1024))
        .with_span(ids.trace_id(), ids.span_id(), ids.is_sampled())
        .with_start(started_at, started);
    if let Some(route) = route {
        entry = entry.with_route(route);
    }
    entry
}

fn announced_length(headers: &http::HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_event_stream<B>(response: &Response<B>) -> bool {
    let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type.is_some_and(|media_type| {
        let essence = media_type.split(';').next().unwrap_or(media_type).trim();
        essence.eq_ignore_ascii_case("text/event-stream")
    })
}

tokio::task_local! {
    static CONNECTION: ConnectionScope;
}

/// The life of one connection, for requests that become something else: an upgraded request stays among the active ones
/// until its connection ends.
///
/// `Telemetry::serve` keeps one per connection. For another server: serve the connection inside
/// [`scope`](Self::scope), and drop the last clone with the connection's stream.
#[derive(Debug, Clone, Default)]
pub struct ConnectionScope(Arc<Mutex<Vec<Exchange>>>);

impl ConnectionScope {
    /// A scope of one connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves a connection; cancel safe if `connection` is.
    pub async fn scope<F: Future>(&self, connection: F) -> F::Output {
        CONNECTION.scope(self.clone(), connection).await
    }

    /// The connection has ended: so have the requests that it was upgraded for.
    pub fn end(&self) {
        let ended = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for exchange in ended {
            exchange.end(End::Delivered);
        }
    }

    fn upgraded(&self, exchange: Exchange) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
    }
}
