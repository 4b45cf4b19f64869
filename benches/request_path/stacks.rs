//! The services that are compared.

use std::{mem::ManuallyDrop, net::SocketAddr, time::Instant};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, MatchedPath, Path, Request},
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use http_body_util::BodyExt as _;
use opentelemetry::{
    KeyValue, global,
    metrics::Histogram,
    propagation::{TextMapCompositePropagator, TextMapPropagator},
    trace::TracerProvider as _,
};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_instrumentation_tower::http::{
    extractors::AxumMatchedPathExtractor, server as instrumentation,
};
use opentelemetry_sdk::{
    propagation::{BaggagePropagator, TraceContextPropagator},
    trace::Sampler,
};
use tower::Service as _;
use tower_http::trace::TraceLayer;
use tracewell::{Telemetry, config::ExemplarFilter};
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{EnvFilter, Registry, layer::SubscriberExt as _};

use crate::{
    Failure,
    sinks::{Providers, Watched},
};

/// What observes the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stack {
    /// Nothing.
    Bare,
    /// TraceLayer, tracing-opentelemetry, a duration histogram and the log appender, as their documentation wires them.
    HandWired,
    /// opentelemetry-instrumentation-tower and the log appender, on the SDK's processors.
    Tower,
    /// opentelemetry-instrumentation-tower with tracewell's subscriber, log, queues and meter provider.
    TowerOnTracewell,
    /// All of tracewell.
    Tracewell,
}

impl Stack {
    pub(crate) const ALL: [Self; 5] =
        [Self::Bare, Self::HandWired, Self::Tower, Self::TowerOnTracewell, Self::Tracewell];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::HandWired => "hand-wired",
            Self::Tower => "tower",
            Self::TowerOnTracewell => "tower-on-tracewell",
            Self::Tracewell => "tracewell",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self, Failure> {
        let found = Self::ALL.into_iter().find(|stack| stack.name() == name);
        Ok(found.ok_or_else(|| format!("unknown stack {name:?}; one of {:?}", Self::ALL.map(Self::name)))?)
    }
}

/// Variations of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// The caller sends a sampled trace context.
    pub(crate) parent: bool,
    /// The handler logs nothing.
    pub(crate) no_log: bool,
    /// Nothing is sampled.
    pub(crate) unsampled: bool,
    /// No exemplars.
    pub(crate) no_exemplars: bool,
    /// Another thread has a scoped `tracing` dispatcher: every dispatch in the process then takes the longer way.
    pub(crate) scoped: bool,
}

impl Flags {
    pub(crate) fn of(words: &[String]) -> Result<Self, Failure> {
        let mut flags = Self::default();
        for word in words {
            match word.as_str() {
                "--parent" => flags.parent = true,
                "--no-log" => flags.no_log = true,
                "--unsampled" => flags.unsampled = true,
                "--no-exemplars" => flags.no_exemplars = true,
                "--scoped" => flags.scoped = true,
                other => return Err(format!("unknown flag {other:?}").into()),
            }
        }
        Ok(flags)
    }

    pub(crate) fn words(self) -> impl Iterator<Item = &'static str> {
        let words = [
            (self.parent, "--parent"),
            (self.no_log, "--no-log"),
            (self.unsampled, "--unsampled"),
            (self.no_exemplars, "--no-exemplars"),
            (self.scoped, "--scoped"),
        ];
        words.into_iter().filter_map(|(set, word)| set.then_some(word))
    }
}

/// A stack that serves. What it recorded waits in its queues, and is never exported unless asked for: dropped with the
/// process.
pub(crate) struct Running {
    app: Router,
    flags: Flags,
    runtime: tokio::runtime::Runtime,
    pub(crate) telemetry: Option<ManuallyDrop<Telemetry>>,
    pub(crate) providers: Option<ManuallyDrop<Providers>>,
}

/// Starts a stack for the whole process. `watched` is told what is exported in the end, where somebody wants to know.
pub(crate) fn start(stack: Stack, flags: Flags, watched: Option<&Watched>) -> Result<Running, Failure> {
    let app = Router::new();
    let app = if flags.no_log {
        app.route("/users/{id}", get(async |Path(id): Path<u64>| if id == 7 { "a user" } else { "none" }))
    } else {
        app.route("/users/{id}", get(user))
    };
    let (mut telemetry, mut providers) = (None, None);
    let app = match stack {
        Stack::Bare => app,
        Stack::HandWired => {
            providers = Some(sdk(flags, watched)?);
            hand_wired(app)
        }
        Stack::Tower => {
            providers = Some(sdk(flags, watched)?);
            app.layer(tower_instrumentation()?)
        }
        Stack::TowerOnTracewell => {
            telemetry = Some(tracewell(flags, watched)?);
            app.layer(tower_instrumentation()?)
        }
        Stack::Tracewell => {
            telemetry = Some(tracewell(flags, watched)?);
            app.layer(tracewell::http::ServerLayer::new())
        }
    };
    if flags.scoped {
        let (told, ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _scoped = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
            let _ = told.send(());
            std::thread::park();
        });
        ready.recv()?;
    }
    Ok(Running {
        app: app.with_state(()),
        flags,
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        telemetry: telemetry.map(ManuallyDrop::new),
        providers: providers.map(ManuallyDrop::new),
    })
}

impl Running {
    /// Serves so many requests, one after the other, to the last byte.
    #[inline(never)]
    pub(crate) fn drive(&self, requests: u64) -> Result<(), Failure> {
        let mut app = self.app.clone();
        self.runtime.block_on(async {
            for _ in 0..requests {
                let response = app.call(request(self.flags.parent)?).await?;
                let body = response.into_body().collect().await?.to_bytes();
                if body.as_ref() != b"a user" {
                    return Err("another answer than expected".into());
                }
            }
            Ok(())
        })
    }

    pub(crate) fn runtime(&self) -> &tokio::runtime::Runtime {
        &self.runtime
    }
}

fn request(parent: bool) -> Result<Request, http::Error> {
    let mut request = Request::get("/users/7?page=2")
        .header("host", "shop.example:8080")
        .header("user-agent", "request-path/1.0")
        .header("accept", "*/*")
        .extension(ConnectInfo(SocketAddr::from(([192, 0, 2, 7], 51742))));
    if parent {
        request = request.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    }
    request.body(Body::empty())
}

async fn user(Path(id): Path<u64>) -> &'static str {
    tracing::info!(user.id = id, "user shown");
    if id == 7 { "a user" } else { "none" }
}

/// tracewell as `tracewell::init` sets it up, but for the queues' sizes, the delays and stdout.
fn tracewell(flags: Flags, watched: Option<&Watched>) -> Result<Telemetry, Failure> {
    let endpoint = watched.map_or_else(|| "http://127.0.0.1:9".to_owned(), Watched::endpoint);
    let mut telemetry = Telemetry::builder()
        .with_env([
            ("OTEL_SERVICE_NAME", "request-path"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_TRACES_SAMPLER", if flags.unsampled { "always_off" } else { "parentbased_always_on" }),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "4096"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096"),
            ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
            ("OTEL_BLRP_MAX_QUEUE_SIZE", "4096"),
            ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "4096"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "3600000"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "3600000"),
        ])
        .with_stdout(false);
    if flags.no_exemplars {
        telemetry = telemetry.with_exemplar_filter(ExemplarFilter::AlwaysOff);
    }
    Ok(telemetry.install()?)
}

/// The SDK's providers, and the bridges from `tracing` with the defaults they come with.
fn sdk(flags: Flags, watched: Option<&Watched>) -> Result<Providers, Failure> {
    let sampler =
        if flags.unsampled { Sampler::AlwaysOff } else { Sampler::ParentBased(Box::new(Sampler::AlwaysOn)) };
    let providers = Providers::start(sampler, watched);
    let propagators: Vec<Box<dyn TextMapPropagator + Send + Sync>> =
        vec![Box::new(TraceContextPropagator::new()), Box::new(BaggagePropagator::new())];
    global::set_text_map_propagator(TextMapCompositePropagator::new(propagators));
    global::set_tracer_provider(providers.tracers.clone());
    global::set_meter_provider(providers.meters.clone());
    let subscriber = Registry::default()
        .with(EnvFilter::try_new("info")?)
        .with(tracing_opentelemetry::layer().with_tracer(providers.tracers.tracer("service")))
        .with(OpenTelemetryTracingBridge::new(&providers.loggers));
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(providers)
}

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
