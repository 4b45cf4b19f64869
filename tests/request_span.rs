//! The request's own span is cheap, and a span like any other all the same: current wherever the service's code runs,
//! seen by other layers, a parent, and at hand for `OpenTelemetrySpanExt`, whether it is sampled or not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty};
use opentelemetry::{
    Context, KeyValue,
    metrics::MeterProvider as _,
    trace::{SpanId, Status, TraceContextExt as _},
};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};
use tracewell::{
    Telemetry,
    testing::{Collector, LogRecord, SpanRecord},
};
use tracing::{Dispatch, Id, Instrument as _, Span, Subscriber, dispatcher::DefaultGuard, span::Attributes};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, layer::SubscriberExt as _, registry::LookupSpan};

const REQUEST: &str = "HTTP request";
const LONG: Duration = Duration::from_secs(30);

/// Telemetry of its own, with another layer beside its layers.
struct Observed {
    collector: Collector,
    telemetry: Telemetry,
    watched: Watched,
    runtime: tokio::runtime::Runtime,
    _default: DefaultGuard,
}

impl Observed {
    fn start(variables: &[(&str, &str)]) -> Self {
        let collector = Collector::start();
        let endpoint = collector.endpoint();
        let variables = variables.iter().copied().chain([("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint)]);
        let telemetry = Telemetry::builder().with_env(variables).with_stdout(false).build().unwrap();
        let watched = Watched::default();
        let subscriber =
            tracing_subscriber::Registry::default().with(telemetry.layers()).with(watched.clone());
        let _default = tracing::dispatcher::set_default(&Dispatch::new(subscriber));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { collector, telemetry, watched, runtime, _default }
    }

    /// Serves one request to its last byte.
    fn serve<S, B>(&self, service: S, parent: Option<&str>)
    where
        S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Infallible>,
        B: http_body::Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let request = parent.into_iter().fold(
            Request::get("/shop?page=2").header("host", "shop.example").header("user-agent", "a-test/1.0"),
            |request, parent| request.header("traceparent", parent),
        );
        let service = self.telemetry.server_layer().layer(service);
        self.runtime.block_on(async {
            let response = service.oneshot(request.body(Empty::new()).unwrap()).await.unwrap();
            let _ = response.into_body().collect().await;
        });
    }

    /// Everything that was sent.
    fn end(self) -> (Vec<SpanRecord>, Vec<LogRecord>, Collector) {
        let report = self.runtime.block_on(self.telemetry.shutdown_within(LONG)).unwrap();
        assert!(report.is_complete(), "{report:?}");
        (self.collector.spans(), self.collector.logs(), self.collector)
    }
}

/// A layer of somebody else's: counts what happens to spans, by name.
#[derive(Clone, Default)]
struct Watched(Arc<Mutex<HashMap<&'static str, Counts>>>);

/// New, entered, exited, closed.
type Counts = [usize; 4];

impl Watched {
    fn count<S: Subscriber + for<'a> LookupSpan<'a>>(
        &self,
        what: usize,
        id: &Id,
        context: &tracing_subscriber::layer::Context<'_, S>,
    ) {
        let name = context.span(id).unwrap().name();
        self.0.lock().unwrap().entry(name).or_default()[what] += 1;
    }

    fn of(&self, name: &str) -> Counts {
        self.0.lock().unwrap()[name]
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Watched {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: tracing_subscriber::layer::Context<'_, S>) {
        self.count(0, id, &context);
    }

    fn on_enter(&self, id: &Id, context: tracing_subscriber::layer::Context<'_, S>) {
        self.count(1, id, &context);
    }

    fn on_exit(&self, id: &Id, context: tracing_subscriber::layer::Context<'_, S>) {
        self.count(2, id, &context);
    }

    fn on_close(&self, id: Id, context: tracing_subscriber::layer::Context<'_, S>) {
        self.count(3, &id, &context);
    }
}

/// That the request's span is the current one, for `tracing` and for OpenTelemetry alike; its span id.
fn assert_current(place: &str) -> SpanId {
    let span = Span::current();
    assert_eq!(span.metadata().unwrap().name(), REQUEST, "{place}");
    let (by_span, current) = (span.context(), Context::current());
    assert!(current.span().span_context().is_valid(), "{place}");
    assert_eq!(by_span.span().span_context(), current.span().span_context(), "{place}");
    current.span().span_context().span_id()
}

/// A body that looks around when it is polled and when it is dropped.
struct Looking(Vec<&'static str>);

impl http_body::Body for Looking {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        assert_current("the body's poll");
        tracing::info!("frame");
        Poll::Ready(self.0.pop().map(|frame| Ok(Frame::data(Bytes::from(frame)))))
    }
}

fn looking() -> Response<Looking> {
    Response::new(Looking(vec!["b", "a"]))
}

fn named<'a>(spans: &'a [SpanRecord], name: &str) -> &'a SpanRecord {
    let mut found = spans.iter().filter(|span| span.name() == name);
    let span = found.next().unwrap_or_else(|| panic!("no span {name}"));
    assert!(found.next().is_none(), "{name} was sent twice");
    span
}

#[test]
fn it_is_current_in_the_call_in_polls_and_in_the_body_and_other_layers_see_it_entered_and_closed() {
    let observed = Observed::start(&[]);
    let service = service_fn(|_| {
        let called = assert_current("the call");
        tracing::info!("called");
        async move {
            assert_eq!(assert_current("the first poll"), called);
            tokio::task::yield_now().await;
            assert_eq!(assert_current("the second poll"), called);
            Ok::<_, Infallible>(looking())
        }
    });
    observed.serve(service, None);
    assert!(!Context::current().span().span_context().is_valid(), "nothing is left behind");
    let [new, entered, exited, closed] = observed.watched.of(REQUEST);
    assert_eq!((new, entered, exited, closed), (1, exited, entered, 1));
    assert!(entered >= 5, "call, two polls and frames: {entered}");
    let (spans, logs, _) = observed.end();
    let span = named(&spans, "GET");
    assert_eq!(logs.len(), 4);
    for log in logs {
        assert_eq!((log.trace_id(), log.span_id()), (span.trace_id(), span.span_id()), "{}", log.body());
    }
}

/// A route of axum's does nothing when it is called, and is not entered for that.
#[test]
fn behind_a_router_it_is_current_in_layers_extractors_handlers_and_in_the_body() {
    struct Extracted;
    impl<S: Sync> axum::extract::FromRequestParts<S> for Extracted {
        type Rejection = Infallible;
        async fn from_request_parts(_: &mut http::request::Parts, _: &S) -> Result<Self, Infallible> {
            assert_current("the extractor");
            Ok(Self)
        }
    }
    let observed = Observed::start(&[]);
    let handler = |_: Extracted| async {
        assert_current("the handler");
        Response::new(axum::body::Body::new(Looking(vec!["b", "a"])))
    };
    let app = axum::Router::new().route("/shop", axum::routing::get(handler)).layer(
        tower::util::MapRequestLayer::new(|request: axum::extract::Request| {
            assert_current("a layer's call");
            request
        }),
    );
    let app = app.layer(observed.telemetry.server_layer());
    let request = Request::get("/shop").body(axum::body::Body::empty()).unwrap();
    observed.runtime.block_on(async {
        let response = app.oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
    });
    assert!(!Context::current().span().span_context().is_valid(), "nothing is left behind");
    let [new, entered, exited, closed] = observed.watched.of(REQUEST);
    assert_eq!((new, entered, exited, closed), (1, exited, entered, 1));
    let (spans, logs, _) = observed.end();
    let span = named(&spans, "GET /shop");
    assert!(logs.iter().all(|log| log.span_id() == span.span_id()));
}

#[test]
fn the_extension_trait_finds_it() {
    let observed = Observed::start(&[]);
    let service = service_fn(|_| async {
        let span = Span::current();
        span.set_attribute("tenant", "blue");
        span.add_link(Context::current().span().span_context().clone());
        span.set_status(Status::error("not today"));
        assert!(span.set_parent(Context::new()).is_err(), "it has started");
        let child = tracing::info_span!("detached");
        child.set_parent(Context::new()).unwrap();
        child.in_scope(|| {});
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    observed.serve(service, None);
    let (spans, ..) = observed.end();
    let span = named(&spans, "GET");
    assert_eq!(span.attribute("tenant").as_deref(), Some("blue"));
    assert_eq!(span.span.links.len(), 1);
    assert_eq!(span.span.status.as_ref().unwrap().message, "not today");
    let detached = named(&spans, "detached");
    assert_eq!(detached.parent_span_id(), "");
    assert_ne!(detached.trace_id(), span.trace_id());
}

#[tracing::instrument]
async fn instrumented(number: u32) {
    tracing::info!("in the instrumented function");
}

#[test]
fn it_is_the_parent_of_what_is_started_in_it_named_after_it_or_carried_elsewhere() {
    let observed = Observed::start(&[("OTEL_METRICS_EXEMPLAR_FILTER", "trace_based")]);
    let counter = observed.telemetry.meter_provider().meter("m").u64_counter("carried").build();
    let service = service_fn(move |_| {
        let counter = counter.clone();
        async move {
            instrumented(7).await;
            let span = Span::current();
            Span::none().in_scope(|| {
                tracing::info_span!(parent: &span, "named").in_scope(|| {});
                tracing::info!(parent: &span, "named event");
            });
            let follower = tracing::info_span!(parent: None, "follower");
            follower.follows_from(&span);
            follower.in_scope(|| {});
            let carried = async move {
                tracing::info!("carried event");
                counter.add(1, &[KeyValue::new("k", "v")]);
                tracing::info_span!("carried").in_scope(|| {});
            };
            tokio::spawn(carried.in_current_span()).await.unwrap();
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    observed.serve(service, None);
    let (spans, logs, collector) = observed.end();
    let span = named(&spans, "GET");
    for child in ["instrumented", "named", "carried"] {
        let child = named(&spans, child);
        assert_eq!((child.trace_id(), child.parent_span_id()), (span.trace_id(), span.span_id()));
    }
    assert_eq!(named(&spans, "instrumented").attribute("number").as_deref(), Some("7"));
    let links = &named(&spans, "follower").span.links;
    assert_eq!(links.len(), 1);
    for (message, of) in
        [("in the instrumented function", "instrumented"), ("named event", "GET"), ("carried event", "GET")]
    {
        let log = logs.iter().find(|log| log.body() == message).unwrap();
        assert_eq!(log.span_id(), named(&spans, of).span_id(), "{message}");
    }
    assert_eq!(collector.exemplars("carried")[0].trace_id(), span.trace_id());
}

#[test]
fn a_handle_kept_beyond_the_request_neither_delays_nor_repeats_it() {
    let observed = Observed::start(&[]);
    let kept = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&kept);
    let service = service_fn(move |_| {
        *keep.lock().unwrap() = Some(Span::current());
        async { Ok::<_, Infallible>(looking()) }
    });
    observed.serve(service, None);
    assert_eq!(observed.watched.of(REQUEST)[3], 0, "somebody holds it");
    let span: Span = kept.lock().unwrap().take().unwrap();
    span.in_scope(|| {
        assert_current("afterwards");
        tracing::info!("afterwards");
    });
    drop(span);
    assert_eq!(observed.watched.of(REQUEST)[3], 1);
    let (spans, logs, _) = observed.end();
    let span = named(&spans, "GET");
    let late = logs.iter().find(|log| log.body() == "afterwards").unwrap();
    assert_eq!(late.span_id(), span.span_id());
    assert!(late.record.time_unix_nano > span.span.end_time_unix_nano, "it ended with the request");
}

#[test]
fn the_span_around_it_ends_as_ever() {
    let observed = Observed::start(&[]);
    let outer = tracing::info_span!("connection");
    // the request holds the last handle
    outer.in_scope(|| {
        observed.serve(service_fn(|_| async { Ok::<_, Infallible>(looking()) }), None);
    });
    let exit = std::time::SystemTime::now();
    drop(outer);
    let (spans, ..) = observed.end();
    let outer = named(&spans, "connection");
    assert_eq!(named(&spans, "GET").parent_span_id(), outer.span_id());
    let exit = exit.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    assert!(outer.span.end_time_unix_nano <= exit);
}

/// One request, and the context that a call of the handler's passes on.
fn passed_on(observed: &Observed, parent: Option<&str>) -> opentelemetry::trace::SpanContext {
    let seen = Arc::new(Mutex::new(None));
    let see = Arc::clone(&seen);
    let service = service_fn(move |_| {
        let see = Arc::clone(&see);
        async move {
            assert_current("the poll");
            tracing::info!("in the request");
            let child = tracing::info_span!("child", field = 1);
            let of_child = child.context().span().span_context().clone();
            child.in_scope(|| {
                let current = Span::current().context();
                assert_eq!(*current.span().span_context(), of_child);
                tracing::info!("in the child");
            });
            *see.lock().unwrap() = Some(of_child);
            Ok::<_, Infallible>(looking())
        }
    });
    observed.serve(service, parent);
    seen.lock().unwrap().take().unwrap()
}

#[test]
fn unsampled_it_is_current_and_passed_on_and_nothing_of_it_is_sent() {
    for (variables, parent) in [
        ([("OTEL_TRACES_SAMPLER", "always_off"), ("OTEL_TRACES_SAMPLER_ARG", "")], None),
        ([("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0")], None),
        (
            [("OTEL_TRACES_SAMPLER", "parentbased_always_on"), ("OTEL_TRACES_SAMPLER_ARG", "")],
            Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"),
        ),
    ] {
        let observed = Observed::start(&variables);
        let passed = passed_on(&observed, parent);
        assert!(passed.is_valid() && !passed.is_sampled(), "{variables:?}");
        assert!(observed.watched.of(REQUEST) != [0; 4] && observed.watched.of("child")[3] == 1);
        let (spans, logs, collector) = observed.end();
        assert!(spans.is_empty(), "{variables:?}");
        assert_eq!(collector.exemplars("http.server.request.duration").len(), 0);
        let trace = passed.trace_id().to_string();
        assert!(logs.iter().all(|log| log.trace_id() == trace && log.record.flags & 1 == 0), "{variables:?}");
        if let Some(parent) = parent {
            assert!(parent.contains(&trace));
        }
        let child = logs.iter().find(|log| log.body() == "in the child").unwrap();
        assert_eq!(child.span_id(), passed.span_id().to_string());
    }
}

/// Names of a span's attributes.
fn keys(span: &SpanRecord) -> Vec<String> {
    let mut keys: Vec<_> = span.span.attributes.iter().map(|attribute| attribute.key.clone()).collect();
    keys.sort();
    keys
}

#[test]
fn a_request_that_is_sampled_against_the_odds_has_all_its_attributes() {
    let sent = |variables: &[(&str, &str)], parent: Option<&str>, requests: usize| {
        let observed = Observed::start(variables);
        (0..requests).for_each(|_| drop(passed_on(&observed, parent)));
        observed.end().0
    };
    let expected = keys(named(&sent(&[], None, 1), "GET"));
    assert!(expected.len() > 6, "{expected:?}");
    // 64 times one in three: none at all in one of 10^11 runs
    let lucky =
        sent(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.33")], None, 64);
    let lucky: Vec<_> = lucky.iter().filter(|span| span.name() == "GET").collect();
    assert!(!lucky.is_empty());
    assert!(lucky.iter().all(|span| keys(span) == expected));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let off_but_for_parents = [("OTEL_TRACES_SAMPLER", "parentbased_always_off")];
    let continued = sent(&off_but_for_parents, Some(parent), 1);
    assert_eq!(keys(named(&continued, "GET")), expected);
    assert_eq!(named(&continued, "child").attribute("field").as_deref(), Some("1"));
}

#[test]
fn directives_about_spans_in_the_log_filter_do_not_hide_it() {
    let observed = Observed::start(&[("RUST_LOG", "warn,[child]=info")]);
    passed_on(&observed, None);
    let (spans, logs, _) = observed.end();
    assert_eq!(named(&spans, "child").parent_span_id(), named(&spans, "GET").span_id());
    let messages: Vec<_> = logs.iter().map(LogRecord::body).collect();
    assert_eq!(messages, ["in the child"]);
}

/// `tracing-subscriber` forgets what filters said of a span when something else is made in the expression of a field.
#[test]
fn spans_and_events_made_while_the_fields_of_a_span_are_evaluated_do_no_harm() {
    fn told(what: &'static str) -> &'static str {
        tracing::info!("telling {what}");
        tracing::info_span!("teller", of = what).in_scope(|| what)
    }
    let observed = Observed::start(&[]);
    let service = service_fn(|_| async {
        let span = tracing::info_span!("teller's child", field = told("field"), late = tracing::field::Empty);
        span.record("late", told("record"));
        span.in_scope(|| tracing::info!(field = told("event"), "inside"));
        Ok::<_, Infallible>(looking())
    });
    observed.serve(service, None);
    let (spans, logs, _) = observed.end();
    let (request, span) = (named(&spans, "GET"), named(&spans, "teller's child"));
    assert_eq!((span.trace_id(), span.parent_span_id()), (request.trace_id(), request.span_id()));
    assert_eq!(keys(span), ["field", "late"]);
    assert_eq!(spans.iter().filter(|span| span.name() == "teller").count(), 3);
    let inside = logs.iter().find(|log| log.body() == "inside").unwrap();
    assert_eq!(inside.span_id(), span.span_id());
    assert!(!Context::current().span().span_context().is_valid(), "nothing is left behind");
}

#[test]
fn a_message_is_its_own_whatever_its_call_site_said_before() {
    let observed = Observed::start(&[]);
    for round in 0..3 {
        for text in ["same", "same", "password=hunter2", "other"] {
            tracing::info!(round, "{text}");
        }
        tracing::info!("the same each time, api_key=abc123");
        tracing::info!("{:300}|", round);
    }
    let (_, logs, _) = observed.end();
    let messages: Vec<_> = logs.iter().map(LogRecord::body).collect();
    assert_eq!(messages.len(), 18);
    for (round, messages) in messages.chunks(6).enumerate() {
        assert_eq!(messages[..2], ["same", "same"]);
        assert_eq!(messages[3], "other");
        assert!(!messages.concat().contains("hunter2") && !messages.concat().contains("abc123"));
        assert!(messages[4].starts_with("the same each time"));
        assert_eq!(messages[5], format!("{round:300}|"));
    }
}

/// The future that a request is served by, dropped half-way.
#[test]
fn what_is_dropped_is_dropped_inside_of_it() {
    struct Dropped;
    impl Drop for Dropped {
        fn drop(&mut self) {
            assert_current("the drop");
            tracing::info!("dropped");
        }
    }
    let observed = Observed::start(&[]);
    let service = observed.telemetry.server_layer().layer(service_fn(|_| {
        let state = Dropped;
        async move {
            let _state = state;
            std::future::pending::<()>().await;
            Ok::<_, Infallible>(looking())
        }
    }));
    let mut future = Box::pin(service.oneshot(Request::new(Empty::<Bytes>::new())));
    let polled = future.as_mut().poll(&mut TaskContext::from_waker(std::task::Waker::noop()));
    assert!(polled.is_pending());
    drop(future);
    let (spans, logs, _) = observed.end();
    let log = logs.iter().find(|log| log.body() == "dropped").unwrap();
    assert_eq!(log.span_id(), named(&spans, "GET").span_id());
}
