//! Capture of spans, log records and metrics with exemplars, for one test.

mod assertions;
mod builder;
mod ids;
mod metric;
mod record;
mod runtime;
mod sink;
mod wait;

use std::{
    fmt,
    sync::{Arc, MutexGuard},
};

use opentelemetry::{
    InstrumentationScope,
    metrics::{Meter, MeterProvider as _},
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use tracing::{
    Dispatch,
    dispatcher::DefaultGuard,
    instrument::{WithDispatch, WithSubscriber as _},
};

pub(super) use self::sink::OpenSpan;
use self::sink::Sink;
pub use self::{
    builder::CaptureBuilder,
    metric::{CapturedMetric, CapturedPoint},
    record::{CapturedLog, CapturedSpan},
    runtime::CaptureRuntime,
    sink::Captured,
};
use crate::{
    Telemetry,
    http::{ClientLayer, ServerLayer},
    pipeline::Take,
    requests::{self, Registry},
};

/// The telemetry of one test: its own subscriber, meters and registry of active requests, kept in memory.
///
/// It changes nothing global, so tests run in parallel, each with its own. Code under test records into it where the
/// capture's subscriber is the current one and through the [`server_layer`](Self::server_layer) and
/// [`meter`](Self::meter) it hands out:
///
/// | the test | is captured with |
/// |---|---|
/// | has no runtime | [`set_default`](Self::set_default): this thread, until the guard is dropped |
/// | is `async` | [`run`](Self::run): this future, wherever it is polled |
/// | spawns tasks or blocking work | [`runtime`](Self::runtime): everything that runs on it |
///
/// `tracing` keeps subscribers per thread: what `tokio::spawn` starts inside of [`run`](Self::run) is lost, unless the
/// task is made with [`requests::spawn`](crate::requests::spawn), which carries the subscriber along, or with
/// `tracing::instrument::WithSubscriber`. Instruments of `opentelemetry::global::meter` go to the global provider, which
/// is none of a capture's.
///
/// Captured is what a service would export with the default configuration: spans and events up to INFO, every trace,
/// exemplars of sampled measurements. The process's environment is not read. Everything is kept until
/// [`clear`](Self::clear). Clones share one capture.
///
/// ```
/// use tracewell::testing::Capture;
///
/// let capture = Capture::new();
/// let guard = capture.set_default();
/// tracing::info_span!("checkout").in_scope(|| tracing::info!(items = 2, "paid"));
/// drop(guard);
/// tracing::info!("not captured any more");
///
/// assert_eq!(capture.tree(), "checkout\n  INFO paid items=2");
/// assert_eq!(capture.logs()[0].trace_id(), capture.spans()[0].trace_id());
/// ```
#[derive(Clone)]
pub struct Capture {
    inner: Arc<Inner>,
}

struct Inner {
    telemetry: Telemetry,
    sink: Sink,
    dispatch: Dispatch,
    _carried: requests::CarriedSubscribers,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("captured", &*self.inner.sink.lock()).finish_non_exhaustive()
    }
}

impl Default for Capture {
    fn default() -> Self {
        Self::new()
    }
}

impl Capture {
    /// A capture with the default configuration.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A capture with another configuration.
    pub fn builder() -> CaptureBuilder {
        CaptureBuilder::new()
    }

    /// Makes the capture's subscriber this thread's until the guard is dropped.
    #[must_use = "nothing is captured once the guard is dropped"]
    pub fn set_default(&self) -> DefaultGuard {
        tracing::dispatcher::set_default(&self.inner.dispatch)
    }

    /// Makes the capture's subscriber the current one whenever `future` is polled, on any runtime.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let capture = tracewell::testing::Capture::new();
    /// let sum = capture
    ///     .run(async {
    ///         tracing::info!("adding");
    ///         // carries the subscriber; tokio::spawn would not
    ///         tracewell::requests::spawn(async { tracing::info!("in a task") }).await.unwrap();
    ///         1 + 1
    ///     })
    ///     .await;
    /// assert_eq!(sum, 2);
    /// assert_eq!(capture.tree(), "INFO adding\nINFO in a task");
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the result drops `future`.
    pub fn run<F: Future>(&self, future: F) -> WithDispatch<F> {
        future.with_subscriber(self.dispatch())
    }

    /// A multi-thread runtime all of whose threads record into this capture.
    ///
    /// # Panics
    ///
    /// When no threads can be had.
    #[must_use]
    pub fn runtime(&self) -> CaptureRuntime {
        CaptureRuntime::new(self.clone())
    }

    /// A runtime of one thread that records into this capture and whose clock stands still: it moves by
    /// `tokio::time::advance`, by [`CaptureRuntime::advance`], and to the next timer whenever everything waits.
    ///
    /// What is measured follows it: durations of spans, requests, calls and tasks, ages, what counts as stuck, windows
    /// and pauses of breakers and retries, caches of checks, sampling at so many a second; what does not is listed in
    /// [testing](crate::guide::testing#after-61-seconds). So a test says "after 61 s" without waiting for it, and
    /// durations are exact. Times of day (a span's start, a log record's time) stay the wall's. Each runtime has a clock of
    /// its own: tests beside this one are not affected.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tracewell::requests::Thresholds;
    ///
    /// let capture = tracewell::testing::Capture::new();
    /// let runtime = capture.paused_runtime();
    /// runtime.block_on(async {
    ///     let report = tracewell::requests::NewEntry::task("report");
    ///     let _report = capture.requests().start(report);
    ///     tokio::time::advance(Duration::from_secs(61)).await;
    ///
    ///     assert_eq!(capture.requests().snapshot().active[0].age, Duration::from_secs(61));
    ///     assert_eq!(capture.requests().flag_stuck(&Thresholds::new(Duration::from_secs(60))), 1);
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// When the system has nothing to wait with for a runtime (file descriptors, as a rule).
    #[must_use]
    pub fn paused_runtime(&self) -> CaptureRuntime {
        CaptureRuntime::paused(self.clone())
    }

    /// The capture's subscriber, for whatever else runs the code under test.
    ///
    /// ```
    /// let capture = tracewell::testing::Capture::new();
    /// let dispatch = capture.dispatch();
    /// std::thread::spawn(move || {
    ///     tracing::dispatcher::with_default(&dispatch, || tracing::info!("on a thread"));
    /// })
    /// .join()
    /// .unwrap();
    /// assert_eq!(capture.tree(), "INFO on a thread");
    /// ```
    #[must_use]
    pub fn dispatch(&self) -> Dispatch {
        self.inner.dispatch.clone()
    }

    /// A server layer that records into this capture and its registry. `traceparent` headers are understood.
    #[must_use]
    pub fn server_layer(&self) -> ServerLayer {
        self.inner.telemetry.server_layer()
    }

    /// The same for calls of gRPC.
    #[must_use]
    pub fn rpc_server_layer(&self) -> crate::rpc::ServerLayer {
        self.inner.telemetry.rpc_server_layer()
    }

    /// [`client_layer`](Self::client_layer) for calls of gRPC.
    #[must_use]
    pub fn rpc_client_layer(&self) -> crate::rpc::ClientLayer {
        self.inner.telemetry.rpc_client_layer()
    }

    /// A client layer that records into this capture.
    #[must_use]
    pub fn client_layer(&self) -> ClientLayer {
        self.inner.telemetry.client_layer()
    }

    /// A meter of this capture, by the name of its scope.
    ///
    /// ```
    /// let capture = tracewell::testing::Capture::new();
    /// capture.meter("shop").u64_counter("logins").build().add(2, &[]);
    /// assert_eq!(capture.metric("logins").unwrap().value(), 2.0);
    /// ```
    #[must_use]
    pub fn meter(&self, scope: impl Into<String>) -> Meter {
        let scope = InstrumentationScope::builder(scope.into()).build();
        self.inner.telemetry.inner().pipeline.meter_provider.meter_with_scope(scope)
    }

    /// The telemetry behind the capture, for code that is given one, for its health checks and its meter provider. Its end
    /// is the capture's: do not shut it down.
    ///
    /// ```
    /// use tracewell::tasks::Tasks;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let capture = tracewell::testing::Capture::new();
    /// let tasks = Tasks::new(capture.requests().clone(), &capture.telemetry().meter_provider());
    /// capture.run(async { tasks.run("report", async { tracing::info!("written") }).await }).await;
    /// assert_eq!(capture.tree(), "report\n  INFO written");
    /// capture.assert_metric("tracewell.task.duration").has("tracewell.task.name", "report").exemplar_of("report");
    /// # }
    /// ```
    pub fn telemetry(&self) -> &Telemetry {
        &self.inner.telemetry
    }

    /// The meter provider of this capture, for what takes one: `Tasks::new`, `Database::with_meter_provider`.
    ///
    /// ```
    /// use tracewell::db::Database;
    ///
    /// let capture = tracewell::testing::Capture::new();
    /// let shop = Database::new("postgresql").with_meter_provider(capture.meter_provider());
    /// # drop(shop);
    /// ```
    #[must_use]
    pub fn meter_provider(
        &self,
    ) -> impl opentelemetry::metrics::MeterProvider + Clone + fmt::Debug + Send + Sync + use<> {
        self.inner.telemetry.meter_provider()
    }

    /// The requests and tasks that are active in this capture.
    ///
    /// ```
    /// let capture = tracewell::testing::Capture::new();
    /// assert_eq!(capture.requests().active_count(), 0);
    /// ```
    #[must_use]
    pub fn requests(&self) -> &Registry {
        self.inner.telemetry.requests()
    }

    /// The spans that have ended, in the order of their ends.
    #[must_use]
    pub fn spans(&self) -> Vec<CapturedSpan> {
        self.read(|captured| captured.spans().to_vec())
    }

    /// The first span of this name that has ended.
    ///
    /// ```
    /// let capture = tracewell::testing::Capture::new();
    /// let guard = capture.set_default();
    /// tracing::info_span!("select", table = "users").in_scope(|| ());
    /// assert_eq!(capture.span("select").unwrap().attributes().str("table"), Some("users"));
    /// assert!(capture.span("insert").is_none());
    /// ```
    #[must_use]
    pub fn span(&self, name: &str) -> Option<CapturedSpan> {
        self.read(|captured| captured.span(name).cloned())
    }

    /// The log records, in the order they were made.
    #[must_use]
    pub fn logs(&self) -> Vec<CapturedLog> {
        self.read(|captured| captured.logs().to_vec())
    }

    /// The first log record with this message.
    #[must_use]
    pub fn log(&self, message: &str) -> Option<CapturedLog> {
        self.read(|captured| captured.log(message).cloned())
    }

    /// A metric as it is now; `None` when nothing was measured. Runs the callbacks of observable instruments.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<CapturedMetric> {
        CapturedMetric::find(self.collect(), name)
    }

    /// The names of all metrics that were measured, sorted; those of the process and its runtime are among them.
    ///
    /// ```
    /// let capture = tracewell::testing::Capture::new();
    /// capture.meter("shop").f64_gauge("temperature").build().record(21.5, &[]);
    /// assert!(capture.metric_names().contains(&"temperature".to_owned()));
    /// ```
    #[must_use]
    pub fn metric_names(&self) -> Vec<String> {
        CapturedMetric::names(&self.collect())
    }

    fn collect(&self) -> ExportMetricsServiceRequest {
        // fails only after a shutdown, which the capture's own drop is
        self.inner.telemetry.inner().pipeline.scrape.collect(Take::Latest).unwrap_or_default()
    }

    /// Spans and log records as text without ids and times: each span's line, and under it, indented, what started or
    /// was logged in it, in that order. Compare it whole.
    ///
    /// A span's line is its name, `[kind]` unless internal, the HTTP status code, `error` with its `error.type`, and
    /// `(open)` as long as it has not ended. A log record's line is its level, its event's name, its message and its
    /// fields. What has no parent here, because there is none or it is in another process, stands at the margin.
    ///
    /// ```
    /// let capture = tracewell::testing::Capture::new();
    /// let guard = capture.set_default();
    /// tracing::info_span!("order").in_scope(|| {
    ///     tracing::info_span!("select users").in_scope(|| tracing::warn!(n = 3, "slow"));
    ///     tracing::error!(name: "order.refused", reason = "no stock", "refused");
    /// });
    /// let open = tracing::info_span!("ship").entered();
    /// assert_eq!(
    ///     capture.tree(),
    ///     "order\n  select users\n    WARN slow n=3\n  ERROR order.refused refused reason=no stock\nship (open)"
    /// );
    /// ```
    #[must_use]
    pub fn tree(&self) -> String {
        self.read(Captured::tree)
    }

    /// Reads what was captured in one consistent state. The closure runs under the capture's lock: it must neither call
    /// the capture nor log.
    pub fn read<T>(&self, read: impl FnOnce(&Captured) -> T) -> T {
        let captured: MutexGuard<'_, Captured> = self.inner.sink.lock();
        read(&captured)
    }

    /// Forgets spans and log records. Metrics go on: they are totals.
    ///
    /// ```
    /// let capture = tracewell::testing::Capture::new();
    /// let guard = capture.set_default();
    /// tracing::info!("set up");
    /// capture.clear();
    /// assert_eq!(capture.tree(), "");
    /// ```
    pub fn clear(&self) {
        self.inner.sink.clear();
    }
}
