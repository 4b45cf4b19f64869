//! A telemetry of its own per test, real servers on loopback, and one assertion over every signal of a request.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use axum::Router;
use http::{Request, Response};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::oneshot,
    task::JoinHandle,
};
use tower::{Service, ServiceExt as _};
use tracewell::{
    Telemetry,
    http::ServerLayer,
    otel::{
        AddProcessors as _,
        sdk::trace::{SpanData, SpanProcessor},
    },
    requests::{Kind, Outcome, Registry, Totals},
    shutdown::{ServeError, Served},
    testing::{
        Attributes, Collector, MetricRecord,
        proto::metrics::v1::{HistogramDataPoint, metric::Data, number_data_point},
    },
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const DURATION: &str = "http.server.request.duration";
pub(crate) const FIRST_BYTE: &str = "tracewell.http.server.time_to_first_byte";
pub(crate) const RESPONSE_SIZE: &str = "http.server.response.body.size";
const ACTIVE: &str = "http.server.active_requests";

/// Telemetry of one test, and the runtime its servers and clients live on.
pub(crate) struct World {
    telemetry: Option<Telemetry>,
    pub(crate) registry: Registry,
    pub(crate) layer: ServerLayer,
    spans: Spans,
    collector: Collector,
    runtime: Option<Runtime>,
}

#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Spans {
    fn on_start(&self, _: &mut tracewell::otel::sdk::trace::Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().unwrap().push(span);
    }

    fn force_flush(&self) -> tracewell::otel::sdk::error::OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> tracewell::otel::sdk::error::OTelSdkResult {
        Ok(())
    }
}

/// The panic hook, which is the process's; its records go to the thread's own telemetry.
fn install_panic_hook() {
    static HOOK: OnceLock<Telemetry> = OnceLock::new();
    HOOK.get_or_init(|| {
        let disabled = [("OTEL_SDK_DISABLED", "true")];
        Telemetry::builder().with_env(disabled).with_stdout(false).install().unwrap()
    });
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(environment: &[(&str, &str)]) -> Self {
        install_panic_hook();
        let (collector, spans) = (Collector::start(), Spans::default());
        let registry = Registry::new(Registry::DEFAULT_CAPACITY);
        let defaults = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
            ("OTEL_METRIC_EXPORT_INTERVAL", "3600000".to_owned()),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100000".to_owned()),
            ("OTEL_BLRP_MAX_QUEUE_SIZE", "100000".to_owned()),
            ("RUST_LOG", "info,tracewell=debug".to_owned()),
            ("TRACEWELL_DRAIN_MS", "500".to_owned()),
        ];
        let given = environment.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let variables: BTreeMap<_, _> = defaults.into_iter().chain(given).collect();
        let telemetry = Telemetry::builder()
            .with_env(variables)
            .with_stdout(false)
            .with_registry(registry.clone())
            .with_span_processor(spans.clone())
            .build()
            .unwrap();
        let subscriber = tracing_subscriber::layer::SubscriberExt::with(
            tracing_subscriber::Registry::default(),
            telemetry.layers(),
        );
        let dispatch = tracing::Dispatch::new(subscriber);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .on_thread_start(move || subscribe(&dispatch))
            .build()
            .unwrap();
        let layer = telemetry.server_layer();
        Self { telemetry: Some(telemetry), registry, layer, spans, collector, runtime: Some(runtime) }
    }

    pub(crate) fn layers(
        &self,
    ) -> Box<dyn tracing_subscriber::Layer<tracing_subscriber::Registry> + Send + Sync> {
        self.telemetry.as_ref().unwrap().layers()
    }

    /// Runs on a thread of the runtime, so that everything has this world's subscriber.
    pub(crate) fn run<T: Send + 'static>(&self, test: impl Future<Output = T> + Send + 'static) -> T {
        let runtime = self.runtime.as_ref().unwrap();
        let test = runtime.spawn(async { tokio::time::timeout(PATIENCE * 2, test).await.unwrap() });
        runtime.block_on(test).unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
    }

    /// Drops the runtime with everything that runs on it.
    pub(crate) fn end_runtime(&mut self) {
        self.runtime.take().unwrap().shutdown_timeout(PATIENCE);
    }

    /// A router behind the layer, on a plain hyper server.
    pub(crate) fn serve_app(&self, app: Router) -> SocketAddr {
        self.serve_service(app.layer(self.layer.clone()))
    }

    /// Any service on a plain hyper server: HTTP/1.1 and HTTP/2 on one port.
    pub(crate) fn serve_service<S, B>(&self, service: S) -> SocketAddr
    where
        S: Service<Request<axum::body::Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        S::Future: Send,
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (listener, address) = self.listener();
        self.runtime.as_ref().unwrap().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, service.clone()));
            }
        });
        address
    }

    fn listener(&self) -> (TcpListener, SocketAddr) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let _entered = self.runtime.as_ref().unwrap().enter();
        (TcpListener::from_std(listener).unwrap(), address)
    }

    /// The same behind `Telemetry::serve`, which ends the telemetry with itself.
    pub(crate) fn serve_to_the_end(&mut self, app: Router) -> Server {
        let (listener, address) = self.listener();
        let telemetry = self.telemetry.take().unwrap();
        let health = telemetry.health().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = telemetry.serve(listener, app.layer(self.layer.clone())).until(async {
            let _ = stopped.await;
        });
        let task = self.runtime.as_ref().unwrap().spawn(serve.into_future());
        Server { address, health, stop: Some(stop), task }
    }

    pub(crate) fn totals(&self) -> Totals {
        self.registry.totals(Kind::Request)
    }

    /// Waits until no request is active.
    pub(crate) fn idle(&self) {
        let idle = async { tokio::time::timeout(PATIENCE, self.registry.idle()).await };
        // the test's own small runtime: the world's may be gone
        let timer = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        timer.block_on(idle).expect("a request never ended");
    }

    /// Every server span that ended.
    pub(crate) fn server_spans(&self) -> Vec<SpanData> {
        let spans = self.spans.0.lock().unwrap();
        spans
            .iter()
            .filter(|span| span.span_kind == opentelemetry::trace::SpanKind::Server)
            .cloned()
            .collect()
    }

    /// The last export of every metric, after everything was sent.
    pub(crate) fn metrics(&self) -> Metrics {
        if let Some(telemetry) = &self.telemetry {
            let timer = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            timer.block_on(telemetry.flush(PATIENCE));
        }
        let all = self.collector.metrics().into_iter();
        Metrics(all.map(|metric| (metric.name().to_owned(), metric)).collect())
    }

    /// Spans that the collector has taken, after everything was sent.
    pub(crate) fn exported_spans(&self) -> u64 {
        self.metrics();
        self.collector.accepted_items(tracewell::testing::Signal::Traces)
    }

    /// What was logged about ends: level, event name, trace id.
    pub(crate) fn logs(&self) -> Vec<(String, String, String)> {
        let about_ends = |name: &str| !name.is_empty() && name != "tracewell.access";
        let logs = self.collector.logs();
        let logs = logs.iter().filter_map(|log| {
            let name = match log.attribute("tracewell.outcome") {
                Some(outcome) if log.record.event_name.is_empty() => outcome,
                _ => log.record.event_name.clone(),
            };
            // a panic outside of any request has no trace
            (about_ends(&name) && !log.trace_id().is_empty())
                .then(|| (log.severity().to_owned(), name, log.trace_id()))
        });
        logs.collect()
    }

    /// The trace ids of the records with this message.
    pub(crate) fn trace_ids_of(&self, message: &str) -> Vec<String> {
        let logs = self.collector.logs();
        logs.iter().filter(|log| log.body() == message).map(|log| log.trace_id()).collect()
    }

    /// The telemetry, for a test that ends it itself.
    pub(crate) fn take_telemetry(&mut self) -> Telemetry {
        self.telemetry.take().unwrap()
    }

    /// The admin endpoints of this world.
    pub(crate) fn admin(&self) -> Router {
        tracewell::admin::router(self.telemetry.as_ref().unwrap())
    }

    /// The exported records of a level, after everything was sent.
    pub(crate) fn records_at(&self, level: &str) -> Vec<tracewell::testing::LogRecord> {
        self.metrics();
        let mut logs = self.collector.logs();
        logs.retain(|log| log.severity() == level);
        logs
    }

    /// The exported records with this message, after everything was sent.
    pub(crate) fn records_of(&self, message: &str) -> Vec<tracewell::testing::LogRecord> {
        self.metrics();
        let mut logs = self.collector.logs();
        logs.retain(|log| log.body() == message);
        logs
    }

    /// The access records.
    pub(crate) fn access_records(&self) -> Vec<tracewell::testing::LogRecord> {
        let mut logs = self.collector.logs();
        logs.retain(|log| log.record.event_name == "tracewell.access");
        logs
    }

    /// One request has ended, as `expected`, in every signal.
    pub(crate) fn assert_one(&self, expected: &Expected) {
        self.idle();
        let totals = self.totals();
        assert_eq!(totals.started, 1, "{totals:?}");
        assert_eq!(count(&totals, expected.outcome), 1, "{totals:?}, not {}", expected.outcome);
        let snapshot = self.registry.snapshot();
        let recent = &snapshot.recent[0];
        assert!(snapshot.active.is_empty());
        assert_eq!((recent.outcome, recent.status), (expected.outcome, expected.code));

        let spans = self.server_spans();
        assert_eq!(spans.len(), 1);
        expected.check_span(&spans[0]);
        let length = spans[0].end_time.duration_since(spans[0].start_time).unwrap();
        if expected.stream {
            assert!(recent.duration >= length);
        } else {
            assert_eq!(recent.duration, length);
        }

        let metrics = self.metrics();
        let points = metrics.histogram(DURATION);
        assert_eq!(points.len(), 1, "one series of the duration");
        let (attributes, point) = &points[0];
        assert_eq!(*attributes, expected.point());
        assert_eq!(point.count, 1);
        assert_eq!(point.sum, Some(length.as_secs_f64()), "span and histogram have one duration");
        let trace_id = spans[0].span_context.trace_id().to_string();
        let exemplars = self.collector.exemplars(DURATION);
        let exemplars: Vec<_> = exemplars.iter().map(|each| (each.trace_id(), each.value())).collect();
        assert_eq!(exemplars, [(trace_id.clone(), length.as_secs_f64())]);
        assert_eq!(metrics.count(FIRST_BYTE), u64::from(expected.code.is_some()));
        let sized = expected.code.is_some() && !expected.stream;
        assert_eq!(metrics.count(RESPONSE_SIZE), u64::from(sized));
        assert_eq!(metrics.active(), 0);

        let logs: Vec<_> = expected
            .logs
            .iter()
            .map(|(level, name)| ((*level).to_owned(), (*name).to_owned(), trace_id.clone()))
            .collect();
        // a panic's record is made on a thread of its own, for which nobody waits long: on a busy machine it comes later
        let start = Instant::now();
        while self.logs().len() < logs.len() && start.elapsed() < PATIENCE {
            self.metrics();
        }
        assert_eq!(self.logs(), logs);
    }
}

/// A guard per thread: `set_default` holds for the thread that called it.
fn subscribe(dispatch: &tracing::Dispatch) {
    thread_local! {
        static GUARD: RefCell<Option<tracing::dispatcher::DefaultGuard>> = const { RefCell::new(None) };
    }
    let guard = tracing::dispatcher::set_default(dispatch);
    GUARD.with(|own| *own.borrow_mut() = Some(guard));
}

async fn connection<S, B>(stream: TcpStream, service: S)
where
    S: Service<Request<axum::body::Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new());
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        service.clone().oneshot(request.map(axum::body::Body::new))
    });
    let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

/// A running `Telemetry::serve`.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) health: tracewell::health::Health,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) task: JoinHandle<Result<Served, ServeError>>,
}

impl Server {
    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }
}

/// How one request should have ended.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    outcome: Outcome,
    code: Option<u16>,
    error: Option<String>,
    logs: Vec<(&'static str, &'static str)>,
    method: &'static str,
    version: &'static str,
    route: Option<&'static str>,
    stream: bool,
}

impl Expected {
    fn new(outcome: Outcome, code: Option<u16>) -> Self {
        let (method, version) = ("GET", "1.1");
        Self {
            outcome,
            code,
            error: None,
            logs: Vec::new(),
            method,
            version,
            route: Some("/"),
            stream: false,
        }
    }

    pub(crate) fn completed(code: u16) -> Self {
        Self::new(Outcome::Completed, Some(code))
    }

    pub(crate) fn failed(code: u16) -> Self {
        Self { error: Some(code.to_string()), ..Self::new(Outcome::Failed, Some(code)) }
    }

    /// The service returned an error.
    pub(crate) fn error(type_name: &str) -> Self {
        let logs = vec![("ERROR", "http.server.request.exception")];
        Self { error: Some(type_name.to_owned()), logs, ..Self::new(Outcome::Failed, None) }
    }

    pub(crate) fn cancelled() -> Self {
        Self { logs: vec![("DEBUG", "cancelled")], ..Self::new(Outcome::Cancelled, None) }
    }

    pub(crate) fn panicked(code: Option<u16>) -> Self {
        let logs = vec![("ERROR", "exception")];
        Self { error: Some("panic".into()), logs, ..Self::new(Outcome::Panicked, code) }
    }

    pub(crate) fn aborted(code: u16) -> Self {
        Self { logs: vec![("DEBUG", "aborted")], ..Self::new(Outcome::Aborted, Some(code)) }
    }

    /// The body failed.
    pub(crate) fn broken(code: u16, type_name: &str) -> Self {
        let logs = vec![("ERROR", "http.server.request.exception")];
        Self { error: Some(type_name.to_owned()), logs, ..Self::new(Outcome::Aborted, Some(code)) }
    }

    pub(crate) fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    pub(crate) fn version(self, version: &'static str) -> Self {
        Self { version, ..self }
    }

    pub(crate) fn route(self, route: &'static str) -> Self {
        Self { route: Some(route), ..self }
    }

    pub(crate) fn without_route(self) -> Self {
        Self { route: None, ..self }
    }

    pub(crate) fn with_error(self, error: &str) -> Self {
        Self { error: Some(error.to_owned()), ..self }
    }

    /// The error behind it was given.
    pub(crate) fn logged(self) -> Self {
        Self { logs: vec![("ERROR", "http.server.request.exception")], ..self }
    }

    pub(crate) fn unlogged(self) -> Self {
        Self { logs: Vec::new(), ..self }
    }

    /// Span and duration ended at the headers.
    pub(crate) fn stream(self) -> Self {
        Self { stream: true, ..self }
    }

    /// What span and duration say of the end.
    fn end(&self) -> BTreeMap<String, String> {
        let mut attributes = BTreeMap::new();
        let mut add = |key: &str, value: Option<String>| {
            value.map(|value| attributes.insert(key.to_owned(), value));
        };
        add("http.response.status_code", self.code.map(|code| code.to_string()));
        add("error.type", self.error.clone().filter(|_| !self.stream));
        let said = matches!(self.outcome, Outcome::Cancelled | Outcome::Aborted) && !self.stream;
        add("tracewell.outcome", said.then(|| self.outcome.to_string()));
        attributes
    }

    fn point(&self) -> BTreeMap<String, String> {
        let mut attributes = self.end();
        let mut add = |key: &str, value: &str| attributes.insert(key.to_owned(), value.to_owned());
        add("http.request.method", self.method);
        add("url.scheme", "http");
        add("network.protocol.version", self.version);
        if let Some(route) = self.route {
            add("http.route", route);
        }
        attributes
    }

    fn check_span(&self, span: &SpanData) {
        let attributes: BTreeMap<String, String> = span
            .attributes
            .iter()
            .map(|attribute| (attribute.key.to_string(), attribute.value.to_string()))
            .collect();
        let expected = self.point();
        for key in
            expected.keys().map(String::as_str).chain(["error.type", "tracewell.outcome", "http.route"])
        {
            assert_eq!(attributes.get(key), expected.get(key), "{key} of the span");
        }
        let error = self.error.is_some() && !self.stream;
        let status = if error { opentelemetry::trace::Status::error("") } else { Default::default() };
        assert_eq!(span.status, status);
        let name = if self.method == "_OTHER" { "HTTP" } else { self.method };
        let name = self.route.map_or_else(|| name.to_owned(), |route| format!("{name} {route}"));
        assert_eq!(span.name, name);
    }
}

pub(crate) fn count(totals: &Totals, outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Completed => totals.completed,
        Outcome::Failed => totals.failed,
        Outcome::Cancelled => totals.cancelled,
        Outcome::Panicked => totals.panicked,
        Outcome::Aborted => totals.aborted,
    }
}

/// The last export of each metric by name.
pub(crate) struct Metrics(BTreeMap<String, MetricRecord>);

impl Metrics {
    pub(crate) fn histogram(&self, name: &str) -> Vec<(BTreeMap<String, String>, HistogramDataPoint)> {
        let Some(Data::Histogram(data)) = self.0.get(name).and_then(|metric| metric.metric.data.clone())
        else {
            return Vec::new();
        };
        let texts = |point: &HistogramDataPoint| {
            let attributes = Attributes(&point.attributes);
            attributes.keys().map(|key| (key.to_owned(), attributes.text(key).unwrap())).collect()
        };
        data.data_points.into_iter().map(|point| (texts(&point), point)).collect()
    }

    /// Measurements over all series.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.histogram(name).iter().map(|(_, point)| point.count).sum()
    }

    /// The gauge over all series; each of them must be what the sum is when that is 0.
    pub(crate) fn active(&self) -> i64 {
        let Some(Data::Sum(data)) = self.0.get(ACTIVE).and_then(|metric| metric.metric.data.clone()) else {
            return 0;
        };
        let values = data.data_points.iter().map(|point| match point.value {
            Some(number_data_point::Value::AsInt(value)) => value,
            other => panic!("{other:?}"),
        });
        let values: Vec<i64> = values.collect();
        assert!(values.iter().all(|value| *value >= 0), "{values:?}");
        values.iter().sum()
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A raw HTTP/1 connection.
pub(crate) struct Http1(TcpStream, Vec<u8>);

impl Http1 {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap(), Vec::new())
    }

    pub(crate) async fn send(address: SocketAddr, request: &str) -> Self {
        let mut client = Self::open(address).await;
        client.write(request).await;
        client
    }

    pub(crate) async fn get(address: SocketAddr, path: &str) -> Self {
        Self::send(address, &format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await
    }

    pub(crate) async fn write(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.unwrap();
    }

    /// Reads until `end` has come; what is behind it stays for the next call.
    pub(crate) async fn read_until(&mut self, end: &str) -> String {
        match self.find(end).await {
            Some(text) => text,
            None => panic!("closed before {end:?}: {}", String::from_utf8_lossy(&self.1)),
        }
    }

    pub(crate) async fn find(&mut self, end: &str) -> Option<String> {
        loop {
            let found = self.1.windows(end.len()).position(|window| window == end.as_bytes());
            if let Some(at) = found {
                let rest = self.1.split_off(at + end.len());
                return Some(String::from_utf8_lossy(&std::mem::replace(&mut self.1, rest)).into_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Reads some more; false at the end.
    async fn more(&mut self) -> bool {
        let mut chunk = [0; 4096];
        // a reset is an end as well
        let read = tokio::time::timeout(PATIENCE, self.0.read(&mut chunk)).await.unwrap().unwrap_or(0);
        self.1.extend_from_slice(&chunk[..read]);
        read > 0
    }

    /// The headers of the next response.
    pub(crate) async fn head(&mut self) -> String {
        self.read_until("\r\n\r\n").await
    }

    /// The whole next response, if the server keeps the connection; whether it is of no more use.
    pub(crate) async fn skip_response(&mut self) -> bool {
        let head = self.find("\r\n\r\n").await;
        let Some(head) = head.map(|head| head.to_ascii_lowercase()) else { return true };
        if head.contains("transfer-encoding") {
            return self.find("0\r\n\r\n").await.is_none();
        }
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while self.1.len() < length {
            if !self.more().await {
                return true;
            }
        }
        self.1.drain(..length);
        false
    }

    /// Everything until the server closes.
    pub(crate) async fn rest(&mut self) -> String {
        // a reset is an end as well
        let _ = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut self.1)).await.unwrap();
        String::from_utf8_lossy(&std::mem::take(&mut self.1)).into_owned()
    }
}

/// A client of HTTP/2, down to its frames.
pub(crate) async fn http2(address: SocketAddr) -> h2::client::SendRequest<bytes::Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
    });
    client.ready().await.unwrap()
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Request<()> {
    Request::get(format!("http://{address}{path}")).body(()).unwrap()
}

/// A service out of a closure.
pub(crate) fn answering<F, B>(
    answer: F,
) -> impl Service<
    Request<axum::body::Body>,
    Response = Response<B>,
    Error = Infallible,
    Future = std::future::Ready<Result<Response<B>, Infallible>>,
> + Clone
+ Send
+ Sync
+ 'static
where
    F: Fn(Request<axum::body::Body>) -> Response<B> + Clone + Send + Sync + 'static,
    B: 'static,
{
    tower::service_fn(move |request| std::future::ready(Ok(answer(request))))
}
