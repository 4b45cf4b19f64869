//! What is known of a request that is being served, and what is recorded when it ends.

use std::{
    sync::Arc,
    task::Context,
    thread,
    time::{Duration, SystemTime},
};

use bytes::Buf;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use http_body::Frame;
use opentelemetry::{
    Context as OtelContext, KeyValue,
    trace::{Status, TraceContextExt as _},
};
use tokio::time::Instant;
use tracing::Span;

use super::{
    exchange::End,
    extras::CancelSignal,
    layer::Resolved,
    start::{self, span_name},
};
use crate::{
    http::{
        Cause,
        metrics::Measured,
        route::{self, Route},
        semconv::{self, Ending, Method, Point, Scheme},
    },
    quietly::quietly,
    requests::{self, EndDetails, Outcome, STREAMING},
    resilience,
    rpc::Served,
    span_seed,
};

/// A request that is being served.
pub(super) struct State {
    pub(super) shared: Arc<Resolved>,
    /// `None` once the exchange has ended, and where the entry is another exchange's.
    pub(super) entry: Option<requests::Guard>,
    pub(super) ended: bool,
    /// The entry once more, to be made current without a clone per poll.
    pub(super) scope: requests::Scope,
    pub(super) span: Span,
    pub(super) context: OtelContext,
    pub(super) started: Instant,
    pub(super) started_at: SystemTime,
    pub(super) method: Method,
    /// Whether the client asked for the headers only.
    pub(super) head: bool,
    /// Whether the client asked for a tunnel.
    pub(super) connect: bool,
    pub(super) scheme: Scheme,
    pub(super) version: Version,
    pub(super) route: Option<&'static Route>,
    /// The route's own text when it is not remembered.
    pub(super) unremembered: Option<Box<str>>,
    pub(super) request_size: Option<u64>,
    pub(super) status: Option<StatusCode>,
    pub(super) first_byte: Option<Duration>,
    pub(super) sent: u64,
    pub(super) announced: Option<u64>,
    /// The duration, once span and metrics have it: what is left is a stream.
    pub(super) recorded: Option<Duration>,
    /// No span of ours carries the caller's context: it is passed on all the same, and is nobody's here to end.
    pub(super) foreign: bool,
    /// Where an operator may cancel requests.
    pub(super) cancelled: Option<CancelSignal>,
    /// Of a call of gRPC: what takes the place of HTTP's conventions.
    pub(super) call: Option<Box<Served>>,
}

/// What comes after the headers.
pub(super) enum Next {
    /// Nothing: the exchange ends.
    Nothing,
    Body,
    Tunnel,
}

/// The request's span and entry as the current ones.
pub(super) struct Entered<'a> {
    _span: span_seed::Entered<'a>,
    _context: Option<opentelemetry::ContextGuard>,
    _entry: requests::Entered<'a>,
}

impl State {
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

    /// The headers are there.
    pub(super) fn answer<B: http_body::Body>(&mut self, response: &mut Response<B>) -> Next {
        if let Some(entry) = &self.entry {
            let trace_id = self.shared.settings.trace_id_header;
            resilience::set_response_headers(entry.handle(), trace_id, response.headers_mut());
        }
        let status = response.status();
        self.status = Some(status);
        self.first_byte = Some(self.started.elapsed());
        self.learn_route();
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
            self.become_tunnel();
            return Next::Tunnel;
        }
        // a server asks for no byte more than was announced, and announces what the body knows
        let said = Said::of(response.headers());
        self.announced = said.length.or_else(|| response.body().size_hint().exact());
        let nothing_follows = self.head
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || status.is_informational()
            || self.announced == Some(0)
            || response.body().is_end_stream();
        if nothing_follows {
            return Next::Nothing;
        }
        if said.event_stream {
            self.become_stream();
        }
        Next::Body
    }

    /// The route that the service said, where nobody had said one before.
    fn learn_route(&mut self) {
        let known = self.route.is_some() || self.unremembered.is_some();
        if known || self.recorded.is_some() || self.call.is_some() {
            return;
        }
        let Some(said) = self.entry.as_ref().and_then(route::said_later) else { return };
        self.route = route::remembered(&said);
        if self.route.is_none() {
            self.unremembered = Some(Box::from(&*said));
        }
        let span = self.context.span();
        if !self.foreign && span.is_recording() {
            let name = span_name(self.method, self.route, self.unremembered.as_deref());
            quietly(|| span.update_name(name));
            quietly(|| span.set_attribute(semconv::unremembered_route(&said)));
        }
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

    /// Nothing is ever sent through a tunnel's response.
    fn become_tunnel(&mut self) {
        self.become_stream();
        if let Some(entry) = &self.entry {
            // nothing polls a tunnel's exchange
            entry.handle().forbid_cancellation();
        }
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
    pub(super) fn end_of_body(&mut self) {
        match self.announced {
            Some(announced) if self.sent < announced => {
                let message = format!("the body ended after {} of {announced} bytes", self.sent);
                self.finish(End::Error { name: "body_truncated", message: &message });
            }
            _ => self.finish(End::Delivered),
        }
    }

    /// Every part on its own, so that a panic in one (a processor or layer of the user's) costs no other.
    pub(super) fn finish(&mut self, end: End<'_>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let ending = self.ending(end);
        // one reading of the clock for the span, the histogram and the access log
        let duration = self.started.elapsed();
        if self.call.is_some() {
            return self.finish_call(end, ending, duration);
        }
        self.learn_route();
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
        // one, as a rule: to move the iterator costs more
        semconv::end(self.status, ending).for_each(|attribute| span.set_attribute(attribute));
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
        semconv::log_exception(cause.kind(), &cause.message(), cause.stacktrace().as_deref(), method, route);
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
            (End::Error { name, message }, _) => {
                semconv::log_exception(name, message, None, self.method, route)
            }
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

    pub(super) fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Gives up the span, which has ended.
    pub(super) fn release(&mut self) {
        span_seed::release(std::mem::replace(&mut self.span, Span::none()));
    }
}

/// What a response's headers say of its body.
#[derive(Default)]
struct Said {
    length: Option<u64>,
    event_stream: bool,
}

impl Said {
    /// In one pass: a header is looked at faster than a name is looked up.
    fn of(headers: &HeaderMap) -> Self {
        let mut said = Self::default();
        let (mut length, mut kind) = (None, None);
        for (name, value) in headers {
            if *name == header::CONTENT_TYPE {
                kind = kind.or(Some(value));
            } else if *name == header::CONTENT_LENGTH {
                length = length.or(Some(value));
            }
        }
        said.length = length.and_then(start::length);
        said.event_stream = kind.is_some_and(is_event_stream);
        said
    }
}

fn is_event_stream(content_type: &HeaderValue) -> bool {
    const EVENT_STREAM: &str = "text/event-stream";
    let media_type = content_type.to_str().ok();
    media_type.and_then(|media_type| media_type.split_at_checked(EVENT_STREAM.len())).is_some_and(
        |(essence, parameters)| {
            let parameters = parameters.trim_start();
            essence.eq_ignore_ascii_case(EVENT_STREAM)
                && (parameters.is_empty() || parameters.starts_with(';'))
        },
    )
}
