//! Lean spans: a request's own span is none of tracing-opentelemetry's, and a span like any other all the same, whether
//! it is sampled or not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{convert::Infallible, time::Duration};

use axum::{Router, body::Body, routing::get};
use http::Request;
use http_body_util::BodyExt as _;
use opentelemetry::{
    Context, KeyValue,
    metrics::MeterProvider as _,
    trace::{SpanContext, TraceContextExt as _},
};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracewell::{
    Telemetry,
    testing::{Collector, SpanRecord},
};
use tracing::{Dispatch, Instrument as _, Span, dispatcher::DefaultGuard};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

const LONG: Duration = Duration::from_secs(30);

struct Observed {
    collector: Collector,
    telemetry: Telemetry,
    runtime: tokio::runtime::Runtime,
    _default: DefaultGuard,
}

fn observed(lean: &str, sampler: &str) -> Observed {
    let collector = Collector::start();
    let telemetry = Telemetry::builder()
        .with_env([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.endpoint()),
            ("TRACEWELL_LEAN_SPANS", lean),
            ("OTEL_TRACES_SAMPLER", sampler),
        ])
        .with_stdout(false)
        .build()
        .unwrap();
    let subscriber = tracing_subscriber::Registry::default().with(telemetry.layers());
    let _default = tracing::dispatcher::set_default(&Dispatch::new(subscriber));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Observed { collector, telemetry, runtime, _default }
}

fn current() -> SpanContext {
    Context::current().span().span_context().clone()
}

/// Everything a program does with the span it runs in, but for what lean spans give up; its own context.
async fn used(carried: impl Fn()) -> SpanContext {
    let own = current();
    assert_eq!(Span::current().metadata().unwrap().name(), "HTTP request");
    tracing::info!("in the request");
    let span = Span::current();
    Span::none().in_scope(|| {
        tracing::info_span!(parent: &span, "named").in_scope(|| tracing::info!("in the named"));
        tracing::info!(parent: &span, "named event");
    });
    let follower = tracing::info_span!(parent: None, "follower");
    follower.follows_from(&span);
    follower.in_scope(|| {});
    let child = tracing::info_span!("child", field = 1);
    child.set_attribute("by", "the extension trait");
    let of_child = child.context().span().span_context().clone();
    child.in_scope(|| assert_eq!(current(), of_child));
    let (_, in_task) = (carried(), tokio::spawn(async { current() }.in_current_span()).await.unwrap());
    assert_eq!(in_task, own, "carried to another task");
    let detached = tokio::spawn(async { current() }).await.unwrap();
    assert!(!detached.is_valid(), "nothing is left behind on the thread");
    assert_eq!(current(), own);
    own
}

fn serve(observed: &Observed, parent: Option<&str>) -> SpanContext {
    let counter = observed.telemetry.meter_provider().meter("m").u64_counter("counted").build();
    let (tell, told) = std::sync::mpsc::channel();
    let service = observed.telemetry.server_layer().layer(service_fn(move |_: Request<Body>| {
        let (counter, tell) = (counter.clone(), tell.clone());
        async move {
            tell.send(used(|| counter.add(1, &[KeyValue::new("k", "v")])).await).unwrap();
            Ok::<_, Infallible>(http::Response::new(Body::from("body")))
        }
    }));
    let request = parent.into_iter().fold(Request::get("/shop?page=2"), |r, p| r.header("traceparent", p));
    observed.runtime.block_on(async {
        let response = service.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        response.into_body().collect().await.unwrap();
    });
    assert!(!current().is_valid(), "nothing is left behind");
    told.recv().unwrap()
}

impl Observed {
    fn end(self) -> Collector {
        let report = self.runtime.block_on(self.telemetry.shutdown_within(LONG)).unwrap();
        assert!(report.is_complete(), "{report:?}");
        self.collector
    }
}

fn named<'a>(spans: &'a [SpanRecord], name: &str) -> &'a SpanRecord {
    let mut found = spans.iter().filter(|span| span.name() == name);
    let span = found.next().unwrap_or_else(|| panic!("no span {name}"));
    assert!(found.next().is_none(), "{name} was sent twice");
    span
}

#[test]
fn a_lean_span_is_sent_and_used_as_any_other() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let sent = ["false", "true"].map(|lean| {
        let observed = observed(lean, "parentbased_always_on");
        let own = serve(&observed, Some(parent));
        let collector = observed.end();
        let (spans, logs) = (collector.spans(), collector.logs());
        let span = named(&spans, "GET");
        assert_eq!(
            (span.trace_id(), span.span_id()),
            (own.trace_id().to_string(), own.span_id().to_string())
        );
        assert!(parent.contains(&span.trace_id()) && parent.contains(&span.parent_span_id()));
        for child in ["named", "child"] {
            let child = named(&spans, child);
            assert_eq!((child.trace_id(), child.parent_span_id()), (span.trace_id(), span.span_id()));
        }
        assert_eq!(named(&spans, "child").attribute("by").as_deref(), Some("the extension trait"));
        let link = &named(&spans, "follower").span.links[0];
        assert_eq!(link.span_id, own.span_id().to_bytes());
        for (message, of) in [("in the request", "GET"), ("in the named", "named"), ("named event", "GET")] {
            let log = logs.iter().find(|log| log.body() == message).unwrap();
            assert_eq!(log.span_id(), named(&spans, of).span_id(), "{message}");
        }
        for name in ["counted", "http.server.request.duration"] {
            assert_eq!(collector.exemplars(name)[0].trace_id(), span.trace_id(), "{name}");
        }
        let mut keys: Vec<_> = span.span.attributes.iter().map(|a| a.key.clone()).collect();
        keys.sort();
        (keys, span.span.kind, span.span.flags)
    });
    assert_eq!(sent[0], sent[1], "the same is known of both");
}

#[test]
fn unsampled_it_is_passed_on_and_nothing_is_sent() {
    for (sampler, parent) in [
        ("always_off", None),
        ("parentbased_always_on", Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")),
    ] {
        let observed = observed("true", sampler);
        let own = serve(&observed, parent);
        assert!(own.is_valid() && !own.is_sampled() && !own.is_remote());
        assert!(parent.is_none_or(|parent| parent.contains(&own.trace_id().to_string())));
        let collector = observed.end();
        // that one is the root of a trace of its own
        assert!(collector.spans().iter().all(|span| span.name() == "follower"));
        let log = collector.logs().into_iter().find(|log| log.body() == "named event").unwrap();
        assert_eq!((log.trace_id(), log.span_id()), (own.trace_id().to_string(), own.span_id().to_string()));
        assert_eq!(collector.exemplars("http.server.request.duration").len(), 0);
    }
}

#[test]
fn what_it_gives_up_is_the_extension_trait_at_this_one_span() {
    for (lean, found) in [("true", false), ("false", true)] {
        let observed = observed(lean, "parentbased_always_on");
        let handler = move || async move {
            assert_eq!(Span::current().context().span().span_context().is_valid(), found);
            assert!(current().is_valid());
        };
        let app = Router::new().route("/", get(handler)).layer(observed.telemetry.server_layer());
        let answered = app.oneshot(Request::get("/").body(Body::empty()).unwrap());
        assert!(observed.runtime.block_on(answered).unwrap().status().is_success());
        named(&observed.end().spans(), "GET /");
    }
}
