//! How a request begins: its span, its place in the gauge and the registry.

use std::{borrow::Cow, sync::Arc, time::SystemTime};

use http::{HeaderValue, Request};
use opentelemetry::{
    Context as OtelContext, KeyValue,
    propagation::Extractor,
    trace::{Link, SpanContext, SpanKind, TraceContextExt as _},
};
use tokio::time::Instant;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{layer::Resolved, state::State};
use crate::{
    http::{
        route::{self, Route},
        semconv::{self, Method, forwarded::scheme_used},
    },
    requests::{self, NewEntry},
    sampling::Facts,
    span_seed::{self, SpanSeed},
    trace_parent::Sent,
};

impl State {
    /// Starts span, gauge and entry, in this order: what can panic (propagators, samplers and layers of the user's) comes
    /// before what must be taken back.
    pub(super) fn begin<B>(shared: &Arc<Resolved>, request: &Request<B>) -> Self {
        let (started, started_at) = (Instant::now(), SystemTime::now());
        let (sent, method) = (Sent::of(request.headers()), shared.settings.methods.find(request.method()));
        let peer = route::peer(request.extensions());
        let origin = shared.settings.proxies.origin(peer, request.headers());
        let template = route::template(request.extensions());
        let route = template.and_then(route::remembered);
        let unremembered = if route.is_none() { template.map(Box::from) } else { None };
        let (scheme, path) = (scheme_used(origin.as_ref(), request.uri()), semconv::path(request.uri()));
        let name = span_name(method, route, unremembered.as_deref());
        let extras = shared.extras.as_deref();
        let attributes = || {
            let template = route.map(|route| route.template);
            let mut attributes =
                semconv::start((request, &sent), method, scheme, template, peer, Arc::clone(&path));
            attributes.extend(unremembered.as_deref().map(semconv::unremembered_route));
            origin.iter().for_each(|origin| origin.apply(&mut attributes));
            if let Some(extras) = extras {
                attributes.extend(extras.of_request(request.headers()));
            }
            attributes
        };
        let (kind, start_time) = (SpanKind::Server, started_at);
        let seed = |attributes, links| SpanSeed { name, kind, start_time, attributes, links };
        let (by, facts) = ((&sent, request.headers()), |names: &[String]| facts(request, template, names));
        let (span, context, foreign) = start_span(seed, new_span, (attributes, facts), shared, by);
        let mut new = new_entry(method, path, (&span, &context), (started, started_at));
        new.cancellable = extras.is_some_and(|extras| extras.cancellable);
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
            request_size: sent.content_length.and_then(length),
            status: None,
            first_byte: None,
            sent: 0,
            announced: None,
            recorded: None,
            foreign,
            call: None,
        }
    }
}

/// The headers as propagators see them. Looked through for each field: a request has few, and making a name that the map
/// can be asked for costs more.
struct Headers<'a>(&'a http::HeaderMap);

impl<'a> Headers<'a> {
    fn named(&self, field: &str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(name, _)| name.as_str().eq_ignore_ascii_case(field));
        named.filter_map(|(_, value)| value.to_str().ok())
    }
}

impl Extractor for Headers<'_> {
    fn get(&self, field: &str) -> Option<&str> {
        self.named(field).next()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }

    fn get_all(&self, field: &str) -> Option<Vec<&str>> {
        let mut named = self.named(field);
        let first = named.next()?;
        let mut all = vec![first];
        all.extend(named);
        Some(all)
    }
}

/// What a request's caller says of itself.
#[derive(Default)]
enum Caller {
    #[default]
    None,
    Context(OtelContext),
    /// Its span, where that is all there is to know.
    Span(SpanContext),
}

impl Caller {
    fn find(shared: &Resolved, sent: &Sent<'_>, headers: &http::HeaderMap) -> Self {
        shared.propagated(|propagator| {
            if shared.finds_parents_only(propagator) && !sent.has_baggage() {
                return sent.parent(headers).map_or(Self::None, Self::Span);
            }
            // most callers send nothing, and an extraction that finds nothing is not free
            let named = |field: &str| headers.keys().any(|name| name.as_str().eq_ignore_ascii_case(field));
            match propagator.fields().any(named) {
                true => Self::Context(propagator.extract(&Headers(headers))),
                false => Self::None,
            }
        })
    }

    fn context(&self) -> Option<&OtelContext> {
        if let Self::Context(context) = self { Some(context) } else { None }
    }

    fn remote(&self) -> Option<&SpanContext> {
        if let Self::Span(span) = self { Some(span) } else { None }
    }

    fn into_span(self) -> Option<SpanContext> {
        match self {
            Self::None => None,
            Self::Context(context) => {
                Some(context.span().span_context().clone()).filter(SpanContext::is_valid)
            }
            Self::Span(span) => Some(span),
        }
    }
}

fn new_span() -> Span {
    tracing::info_span!(target: "tracewell::http", "HTTP request")
}

/// The request's span, continuing the caller's trace, and its context; `true` when no layer made it a span. `make` makes
/// the span that the seed is for.
///
/// Where the span will hardly be recorded, its attributes are made only if it is recorded after all.
pub(super) fn start_span(
    seed: impl FnOnce(Vec<KeyValue>, Vec<Link>) -> SpanSeed,
    make: impl FnOnce() -> Span,
    (attributes, facts): (impl Fn() -> Vec<KeyValue>, impl FnOnce(&[String]) -> Facts),
    shared: &Resolved,
    (sent, headers): (&Sent<'_>, &http::HeaderMap),
) -> (Span, OtelContext, bool) {
    let mut caller = Caller::find(shared, sent, headers);
    let mut links = Vec::new();
    if shared.settings.public_endpoint {
        // a stranger's trace is linked to and not joined, and its baggage stays outside
        links.extend(std::mem::take(&mut caller).into_span().map(Link::with_context));
    }
    let _parent = caller.context().cloned().map(OtelContext::attach);
    let remote = caller.remote();
    let settings = &shared.settings;
    let likely = settings.sampler_in_use().and_then(|sampler| sampler.expects_recording(remote));
    // asked about rules only where there may be some
    let sampler = if likely.is_some() { None } else { settings.sampler() };
    let facts = sampler.as_ref().filter(|sampler| sampler.rules).map(|sampler| facts(&sampler.headers));
    let known = || sampler.as_ref().is_none_or(|sampler| sampler.expects_recording(facts.as_ref(), remote));
    let expected = settings.attributes_count || likely.unwrap_or_else(known);
    drop(sampler);
    let seed = seed(if expected { attributes() } else { Vec::new() }, links);
    let start = || {
        let span = make();
        // starts the span now: its ids are needed before it is entered
        let context = span_seed::take_started().unwrap_or_else(|| span.context());
        (span, context)
    };
    let (span, context) = match facts {
        Some(facts) => facts.around(|| seed.around_below(remote.cloned(), start)),
        None => seed.around_below(remote.cloned(), start),
    };
    if !expected && context.span().is_recording() {
        context.span().set_attributes(attributes());
    }
    if context.has_active_span() {
        return (span, context, false);
    }
    match caller {
        Caller::None => (span, context, false),
        Caller::Context(parent) => (span, parent, true),
        Caller::Span(parent) => (span, OtelContext::current().with_remote_span_context(parent), true),
    }
}

/// What rules of sampling look at.
pub(super) fn facts<B>(request: &Request<B>, route: Option<&str>, names: &[String]) -> Facts {
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

pub(super) fn new_entry(
    method: Method,
    path: Arc<str>,
    (own, context): (&Span, &OtelContext),
    (started, started_at): (Instant, SystemTime),
) -> NewEntry {
    let mut new = NewEntry::request(method.name())
        .with_path(path)
        .with_span_context(context.span().span_context())
        .with_start(started_at, started.into_std());
    new.tracing_id = tracing_id(own);
    new
}

/// Method and route, as far as there is one.
pub(super) fn span_name(
    method: Method,
    route: Option<&'static Route>,
    unremembered: Option<&str>,
) -> Cow<'static, str> {
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

/// The length that a header says.
pub(super) fn length(header: &HeaderValue) -> Option<u64> {
    header.to_str().ok()?.parse().ok()
}
