//! A call of gRPC, as an exchange: the same guard, in the words of the RPC conventions.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Request, Response};
use opentelemetry::{
    KeyValue,
    trace::{SpanKind, TraceContextExt as _},
};

use super::{
    exchange::{End, Exchange},
    layer::Resolved,
    start::{facts, new_entry, start_span},
    state::{Next, State},
};
use crate::{
    http::semconv::{self, Ending, forwarded::scheme_used},
    quietly::quietly,
    requests::{self, Current, EndDetails, Kind},
    rpc::{Served, Serving},
    span_seed::{self, SpanSeed},
    trace_parent::Sent,
};

/// Begins a call. Inside of an exchange with the same request, it shares that one's entry and is a child of its span.
pub(crate) fn begin_call<B>(
    shared: &Arc<Resolved>,
    serving: &Arc<Serving>,
    request: &Request<B>,
) -> Exchange {
    Exchange::of(State::begin_call(shared, serving, request))
}

impl State {
    fn begin_call<B>(shared: &Arc<Resolved>, serving: &Arc<Serving>, request: &Request<B>) -> Self {
        let started = (tokio::time::Instant::now(), std::time::SystemTime::now());
        let method = shared.settings.methods.find(request.method());
        let outer = requests::peek().filter(|outer| is_entry_of(outer, request));
        let peer = crate::http::route::peer(request.extensions());
        let origin = shared.settings.proxies.origin(peer, request.headers());
        let called = Serving::called(request.uri());
        let extras = shared.extras.as_deref();
        let attributes = || {
            let mut attributes = serving.attributes(&called, (request.uri(), request.headers()), peer);
            if let Some(origin) = &origin {
                origin.apply(&mut attributes);
            }
            attributes
        };
        let (name, kind) = (called.span_name(), SpanKind::Server);
        let seed = |attributes, links| SpanSeed { name, kind, start_time: started.1, attributes, links };
        let make = || tracing::info_span!(target: "tracewell::rpc", "gRPC call");
        let method_name = Some(called.text()).filter(|name| !name.is_empty());
        let facts = |names: &[String]| facts(request, method_name, names);
        // inside of another span of the same request the caller's has been found already
        let none = HeaderMap::new();
        let headers = if outer.is_some() { &none } else { request.headers() };
        let sent = (&Sent::of(headers), headers);
        let (span, context, foreign) = start_span(seed, make, (attributes, facts), shared, sent);
        let entry = outer.is_none().then(|| {
            let mut new = new_entry(method, semconv::path(request.uri()), (&span, &context), started);
            new.cancellable = extras.is_some_and(|extras| extras.cancellable);
            new.name = called.span_name();
            new.route = called.route();
            shared.registry.start(new)
        });
        let handle = entry.as_ref().map(|entry| entry.handle().clone()).or(outer);
        let served =
            handle.clone().map(|entry| serving.served(called, entry, request.uri(), request.headers()));
        Self {
            cancelled: entry.as_ref().and_then(|entry| extras?.cancel_signal(entry.handle())),
            shared: Arc::clone(shared),
            scope: requests::Scope::new(handle),
            entry,
            ended: false,
            span,
            context,
            started: started.0,
            started_at: started.1,
            method,
            head: false,
            connect: false,
            scheme: scheme_used(origin.as_ref(), request.uri()),
            version: request.version(),
            route: None,
            unremembered: None,
            request_size: None,
            status: None,
            first_byte: None,
            sent: 0,
            announced: None,
            recorded: None,
            foreign,
            call: served.map(Box::new),
        }
    }

    /// The headers are there: a call ends here when no body follows. What its body announces is no measure: trailers follow.
    pub(super) fn answer_call<B: http_body::Body>(&mut self, response: &Response<B>) -> Next {
        if let Some(call) = &mut self.call {
            quietly(|| call.headers(response.status(), response.headers(), &self.context));
        }
        if response.body().is_end_stream() { Next::Nothing } else { Next::Body }
    }

    /// As of every exchange: each part on its own.
    pub(super) fn finish_call(&mut self, end: End<'_>, ending: Ending, duration: Duration) {
        let Some(call) = self.call.take() else { return };
        let ending = call.ending(ending);
        let conclusion = call.conclude(ending, self.status, duration);
        quietly(|| {
            let _current = self.context.clone().attach();
            let own = self.shared.extras.as_deref().map(|extras| extras.of_metrics(call.entry()));
            call.measure(conclusion, duration, own.unwrap_or_default());
        });
        quietly(|| {
            let mut scope = std::mem::take(&mut self.scope);
            let _entry = scope.enter();
            let _context = self.context.has_active_span().then(|| self.context.clone().attach());
            let _span = span_seed::Entered::new(&self.span);
            let error = match &end {
                End::Error { name, message } => Some((*name, *message)),
                _ => None,
            };
            call.log(error, ending, &conclusion, self.shared.settings.access_log, duration);
        });
        quietly(|| {
            let span = self.context.span();
            if self.foreign || !span.is_recording() {
                return;
            }
            call.describe(&conclusion, &self.context);
            span.set_attributes(self.said_more(ending));
            span.end_with_timestamp(self.started_at + duration);
        });
        quietly(|| call.annotate(&conclusion));
        // an entry that another exchange has made ends with that
        if let Some(entry) = self.entry.take() {
            entry.end(Served::outcome(ending, &conclusion), EndDetails::new(duration));
        }
    }

    /// What the program and its operator said about the call.
    fn said_more(&self, ending: Ending) -> Vec<KeyValue> {
        let entry = self.entry.as_ref().map(requests::Guard::handle).filter(|entry| entry.has_more_to_say());
        let Some(entry) = entry else { return Vec::new() };
        let mut more = entry.attributes();
        if matches!(ending, Ending::Cancelled | Ending::Aborted) {
            more.extend(entry.end_reason());
        }
        more
    }
}

/// Whether it is this request that has the entry: a layer around the call's has made it.
fn is_entry_of<B>(entry: &Current, request: &Request<B>) -> bool {
    entry.kind() == Kind::Request
        && entry.is_active()
        && entry.method() == Some(request.method().as_str())
        && entry.path() == &*semconv::path(request.uri())
}
