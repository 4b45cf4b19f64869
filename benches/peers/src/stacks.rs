//! The peers, each as its documentation has it.

use std::{net::SocketAddr, time::Instant};

use axum::{
    Router,
    extract::{ConnectInfo, MatchedPath, Request},
    middleware::{self, Next},
    response::Response,
};
use axum_tracing_opentelemetry::middleware::OtelAxumLayer;
use init_tracing_opentelemetry::TracingConfig;
use opentelemetry::{InstrumentationScope, KeyValue, global, metrics::Histogram};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_instrumentation_tower::http::{
    extractors::AxumMatchedPathExtractor, server as instrumentation,
};
use opentelemetry_sdk::Resource;
use tower_http::trace::TraceLayer;
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::{
    Failure,
    sdk::Providers,
    service::{self, Records, Stack, Started},
};

const NO_EXEMPLARS: Records = Records { exemplars: false, ..service::ALL };
const NO_METRICS: Records = Records { durations: false, ..NO_EXEMPLARS };

/// TraceLayer, tracing-opentelemetry, a duration histogram and the log appender.
pub(crate) const HAND_WIRED: Stack = Stack {
    name: "hand-wired",
    records: NO_EXEMPLARS,
    by_environment: false,
    start: |app, flags, _| {
        let providers = Providers::install(flags, "info", true)?;
        Ok(Started { app: hand_wired(app), end: Box::new(|| providers.recorded()) })
    },
};

/// axum-tracing-opentelemetry: spans only.
pub(crate) const AXUM_TRACING: Stack = Stack {
    name: "axum-tracing",
    records: NO_METRICS,
    by_environment: false,
    start: |app, flags, _| {
        let providers = Providers::install(flags, "info,otel::tracing=trace", true)?;
        Ok(Started { app: app.layer(OtelAxumLayer::default()), end: Box::new(|| providers.recorded()) })
    },
};

/// init-tracing-opentelemetry's production set-up with its middleware: spans and logs, and each line on stdout as JSON.
pub(crate) const INIT_TRACING: Stack = Stack {
    name: "init-tracing",
    records: NO_METRICS,
    by_environment: true,
    start: |app, flags, _| {
        if flags.unsampled {
            return Err("it has no sampler to choose".into());
        }
        let guard = TracingConfig::production().with_logs(true).with_metrics(false).init_subscriber()?;
        let end = move || {
            drop(guard);
            Ok(None)
        };
        Ok(Started { app: app.layer(OtelAxumLayer::default()), end: Box::new(end) })
    },
};

/// opentelemetry-instrumentation-tower and the log appender, on the SDK's processors.
pub(crate) const TOWER: Stack = Stack {
    name: "tower",
    records: NO_EXEMPLARS,
    by_environment: false,
    start: |app, flags, _| {
        let providers = Providers::install(flags, "info", false)?;
        Ok(Started { app: app.layer(tower_instrumentation()?), end: Box::new(|| providers.recorded()) })
    },
};

/// opentelemetry-instrumentation-tower with tracewell's subscriber, log, queues and meter provider, whose exemplars it then
/// has as well.
pub(crate) const TOWER_ON_TRACEWELL: Stack = Stack {
    name: "tower-on-tracewell",
    records: service::ALL,
    by_environment: false,
    start: |app, flags, endpoint| {
        service::on_tracewell(flags, endpoint, || Ok(app.layer(tower_instrumentation()?)))
    },
};

/// fastrace-axum with fastrace-opentelemetry: its own collector thread, spans only. The log record is the appender's and
/// has no ids.
pub(crate) const FASTRACE: Stack = Stack {
    name: "fastrace",
    records: NO_METRICS,
    by_environment: false,
    start: |app, flags, _| {
        let providers = Providers::install(flags, "info", false)?;
        let reporter = fastrace_opentelemetry::OpenTelemetryReporter::new(
            providers.span_exporter(),
            std::borrow::Cow::Owned(Resource::builder().build()),
            InstrumentationScope::builder("service").build(),
        );
        let config = fastrace::collector::Config::default().report_interval(crate::sdk::LATER);
        fastrace::set_reporter(reporter, config);
        let end = || {
            fastrace::flush();
            providers.recorded()
        };
        Ok(Started { app: app.layer(fastrace_axum::FastraceLayer::default()), end: Box::new(end) })
    },
};

fn tower_instrumentation() -> Result<instrumentation::Layer<AxumMatchedPathExtractor>, Failure> {
    Ok(instrumentation::LayerBuilder::builder().build()?)
}

/// A span with the conventions' attributes, its parent from the headers, and the duration histogram around it.
fn hand_wired(app: Router) -> Router {
    let duration = global::meter("service")
        .f64_histogram("http.server.request.duration")
        .with_unit("s")
        .with_boundaries(vec![
            0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
        ])
        .build();
    let traced = TraceLayer::new_for_http()
        .make_span_with(|request: &Request| {
            let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
            let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
            let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
            let span = tracing::info_span!(
                "HTTP request",
                otel.name = %format_args!("{} {route}", request.method()),
                otel.kind = "server",
                otel.status_code = Empty,
                http.request.method = %request.method(),
                http.route = route,
                http.response.status_code = Empty,
                url.path = request.uri().path(),
                url.query = request.uri().query(),
                url.scheme = request.uri().scheme_str().unwrap_or("http"),
                network.protocol.version = "1.1",
                network.peer.address = peer.map(|peer| tracing::field::display(peer.ip())),
                network.peer.port = peer.map(|peer| peer.port()),
                client.address = peer.map(|peer| tracing::field::display(peer.ip())),
                server.address = header("host"),
                user_agent.original = header("user-agent"),
            );
            let parent = global::get_text_map_propagator(|propagator| {
                propagator.extract(&HeaderExtractor(request.headers()))
            });
            let _ = span.set_parent(parent);
            span
        })
        .on_response(|response: &Response, _, span: &Span| {
            span.record("http.response.status_code", response.status().as_u16());
        });
    app.layer(middleware::from_fn(move |request, next| measured(duration.clone(), request, next)))
        .layer(traced)
}

async fn measured(duration: Histogram<f64>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().to_string();
    let route =
        request.extensions().get::<MatchedPath>().map_or_else(String::new, |path| path.as_str().into());
    let response = next.run(request).await;
    let attributes = [
        KeyValue::new("http.request.method", method),
        KeyValue::new("http.route", route),
        KeyValue::new("http.response.status_code", i64::from(response.status().as_u16())),
        KeyValue::new("url.scheme", "http"),
    ];
    duration.record(started.elapsed().as_secs_f64(), &attributes);
    response
}
