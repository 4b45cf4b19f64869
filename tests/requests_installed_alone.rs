//! Where this crate's layers are the only ones a request's span and its caller's are made into telemetry the short way, and
//! everybody finds the same as on the long one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::mpsc::{Sender, channel},
    time::Duration,
};

use axum::{Extension, Router, body::Body, routing::get};
use http::{HeaderValue, Request};
use http_body_util::BodyExt as _;
use opentelemetry::{
    Context,
    baggage::BaggageExt as _,
    propagation::{Extractor, Injector, TextMapPropagator, text_map_propagator::FieldIter},
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use tower::ServiceExt as _;
use tracewell::{
    Telemetry,
    testing::{Collector, LogRecord, SpanRecord},
};
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const LONG: Duration = Duration::from_secs(30);
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
/// The bits that say: it is known whether the parent is in another process, and it is (OTLP, trace.proto `SpanFlags`).
const REMOTE: u32 = 0x300;

/// What a handler found.
struct Found {
    /// The request's span, and that of a child of it.
    own: SpanContext,
    child: SpanContext,
    baggage: Option<String>,
    /// The request's span.
    span: Span,
}

fn current() -> SpanContext {
    Context::current().span().span_context().clone()
}

#[tracing::instrument(fields(seen = 7))]
async fn child() -> SpanContext {
    tracing::info!("in the child");
    assert_eq!(Span::current().context().span().span_context(), &current());
    current()
}

async fn handler(Extension(tell): Extension<Sender<Found>>) -> &'static str {
    let (own, span) = (current(), Span::current());
    assert_eq!(span.metadata().unwrap().name(), "HTTP request");
    assert_eq!(*span.context().span().span_context(), own, "by the extension trait");
    span.set_attribute("said", "by the handler");
    tracing::info!("in the request");
    let carried = tokio::spawn(async { current() }.in_current_span()).await.unwrap();
    assert_eq!(carried, own, "carried to another task");
    let baggage = Context::current().baggage().get("tenant").map(ToString::to_string);
    tell.send(Found { own, child: child().await, baggage, span }).unwrap();
    "found"
}

struct Installed {
    telemetry: Telemetry,
    collector: Collector,
    runtime: tokio::runtime::Runtime,
}

impl Installed {
    fn new() -> Self {
        let collector = Collector::start();
        let builder = Telemetry::builder()
            .with_stdout(false)
            .with_env([("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.endpoint())]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { telemetry: builder.install().unwrap(), collector, runtime }
    }

    fn serve(&self, path: &'static str, headers: &[(&'static str, &'static str)]) -> Found {
        let (tell, found) = channel();
        let app = Router::new()
            .route(path, get(handler))
            .layer(tracewell::http::ServerLayer::new())
            .layer(Extension(tell));
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        self.runtime.block_on(async {
            app.oneshot(request).await.unwrap().into_body().collect().await.unwrap();
        });
        found.recv().unwrap()
    }

    /// What arrived about a request by now: its span and its child's, and its log records.
    fn arrived(&self, path: &str, found: &Found) -> (Vec<SpanRecord>, Vec<LogRecord>) {
        self.runtime.block_on(self.telemetry.flush(LONG));
        let trace = found.own.trace_id().to_string();
        let mut spans = self.collector.spans();
        spans.retain(|span| span.trace_id() == trace);
        spans.sort_by_key(|span| span.name() != format!("GET {path}"));
        let mut logs = self.collector.logs();
        logs.retain(|log| log.trace_id() == trace);
        (spans, logs)
    }
}

/// Two events, once each, with the ids of the spans they were in.
fn assert_logged(logs: &[LogRecord], found: &Found) {
    let [request, child] = logs else { panic!("{} records", logs.len()) };
    assert_eq!(
        (request.body(), request.span_id()),
        ("in the request".into(), found.own.span_id().to_string())
    );
    assert_eq!((child.body(), child.span_id()), ("in the child".into(), found.child.span_id().to_string()));
}

fn assert_sent(installed: &Installed, path: &'static str, found: &Found, parent: &str, flags: u32) {
    let (spans, logs) = installed.arrived(path, found);
    let [span, child] = &spans[..] else { panic!("{path}: {} spans", spans.len()) };
    assert_eq!((span.span_id(), span.parent_span_id()), (found.own.span_id().to_string(), parent.to_owned()));
    assert_eq!(span.span.flags & REMOTE, flags, "{path}");
    assert_eq!(span.attribute("said").as_deref(), Some("by the handler"));
    assert_eq!(
        (child.span_id(), child.parent_span_id()),
        (found.child.span_id().to_string(), span.span_id())
    );
    assert_eq!(child.attribute("seen").as_deref(), Some("7"));
    assert_logged(&logs, found);
}

fn assert_unsampled(installed: &Installed, path: &'static str, found: &Found) {
    for context in [&found.own, &found.child] {
        assert!(context.is_valid() && !context.is_sampled() && !context.is_remote());
    }
    assert_ne!(found.own.span_id(), found.child.span_id());
    // somebody holds it longer than the request lasts
    found.span.in_scope(|| assert_eq!(current(), found.own, "{path}"));
    let (spans, logs) = installed.arrived(path, found);
    assert!(spans.is_empty(), "{path}");
    assert_logged(&logs[logs.len() - 2..], found);
}

/// A propagator that no configuration knows.
#[derive(Debug)]
struct Foreign(Vec<String>);

impl TextMapPropagator for Foreign {
    fn inject_context(&self, _: &Context, _: &mut dyn Injector) {}

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        let Some(id) = extractor.get(&self.0[0]) else { return context.clone() };
        let (trace, span) = (TraceId::from_hex(id).unwrap(), SpanId::from(9));
        context.with_remote_span_context(SpanContext::new(
            trace,
            span,
            TraceFlags::SAMPLED,
            true,
            TraceState::NONE,
        ))
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&self.0)
    }
}

#[test]
fn the_short_way_leads_to_the_same_place() {
    let installed = Installed::new();
    let parent = SpanId::from_hex(&SAMPLED[36..52]).unwrap().to_string();

    let found = installed.serve("/root", &[]);
    assert!(found.own.is_sampled() && found.own.trace_flags().to_u8() == 3, "its id is random");
    assert_sent(&installed, "/root", &found, "", 0x100);

    let found =
        installed.serve("/remote", &[("traceparent", SAMPLED), ("tracestate", "a=1"), ("tracestate", "b=2")]);
    assert!(SAMPLED.contains(&found.own.trace_id().to_string()) && !found.own.is_remote());
    assert_eq!((found.own.trace_state().header().as_str(), found.baggage.as_deref()), ("a=1,b=2", None));
    assert_sent(&installed, "/remote", &found, &parent, REMOTE);
    let exemplars = installed.collector.exemplars("http.server.request.duration");
    assert!(exemplars.iter().any(|exemplar| SAMPLED.contains(&exemplar.trace_id())));

    assert!(!current().is_valid(), "nothing is left behind");

    let two = installed.serve("/two", &[("traceparent", SAMPLED), ("traceparent", UNSAMPLED)]);
    assert_sent(&installed, "/two", &two, "", 0x100);

    let found = installed.serve("/unsampled", &[("traceparent", UNSAMPLED)]);
    assert!(UNSAMPLED.contains(&found.own.trace_id().to_string()));
    assert_unsampled(&installed, "/unsampled", &found);

    let found = installed.serve("/baggage", &[("traceparent", UNSAMPLED), ("baggage", "tenant=blue")]);
    assert_eq!(found.baggage.as_deref(), Some("blue"));
    assert_unsampled(&installed, "/baggage", &found);

    let outer = tracing::info_span!("outer");
    let around = outer.context().span().span_context().clone();
    let found = outer.in_scope(|| installed.serve("/inside", &[]));
    drop(outer);
    assert_eq!(found.own.trace_id(), around.trace_id());
    let (spans, _) = installed.arrived("/inside", &found);
    assert_eq!(spans[0].parent_span_id(), around.span_id().to_string());

    opentelemetry::global::set_text_map_propagator(Foreign(vec!["x-foreign".to_owned()]));
    let id = "11111111111111111111111111111111";
    let found = installed.serve("/foreign", &[("traceparent", SAMPLED), ("x-foreign", id)]);
    assert_eq!(found.own.trace_id().to_string(), id);
    assert_sent(&installed, "/foreign", &found, "0000000000000009", REMOTE);
}
