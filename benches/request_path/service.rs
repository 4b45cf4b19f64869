//! The service that every stack observes, and the two stacks that are no peer: nothing, and tracewell.

use std::{mem::ManuallyDrop, net::SocketAddr, time::Duration};

use axum::{
    Extension, Router,
    body::Body,
    extract::{ConnectInfo, Path, Request},
    http::StatusCode,
    routing::get,
};
use http_body_util::BodyExt as _;
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use tower::Service as _;
use tracewell::{
    Telemetry,
    config::ExemplarFilter,
    requests::NewEntry,
    testing::{Collector, Signal},
};

use crate::Failure;

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
    /// Log records are written to stdout as well.
    pub(crate) stdout: bool,
    /// Requests' own spans are kept from tracing-opentelemetry.
    pub(crate) lean: bool,
    /// The router has ten thousand routes, and requests of all of them came before.
    pub(crate) routes: bool,
    /// A hundred thousand other requests are active.
    pub(crate) active: bool,
    /// The collector has been away for so long that the queues are full.
    pub(crate) full: bool,
    /// Everything is exported meanwhile, with the usual delays and queues.
    pub(crate) live: bool,
    /// The console's store keeps everything.
    pub(crate) console: bool,
    /// Another thread has a scoped `tracing` dispatcher: every dispatch in the process then takes the longer way.
    pub(crate) scoped: bool,
    /// No two requests are alike: four routes, new ids in paths and queries, two programs of clients, every second one from
    /// a traced caller, one in twenty failed; each with a child span by `#[instrument]`.
    pub(crate) mix: bool,
}

pub(crate) const DEFAULT: Flags = Flags {
    parent: false,
    no_log: false,
    unsampled: false,
    no_exemplars: false,
    stdout: false,
    lean: false,
    routes: false,
    active: false,
    full: false,
    live: false,
    console: false,
    scoped: false,
    mix: false,
};

/// Longest time an export may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Routes and active requests of the flags of these names.
const ROUTES: u64 = 10_000;
const ACTIVE: usize = 100_000;

impl Flags {
    pub(crate) fn of(words: &[String]) -> Result<Self, Failure> {
        let mut flags = Self::default();
        for word in words {
            match word.as_str() {
                "--parent" => flags.parent = true,
                "--no-log" => flags.no_log = true,
                "--unsampled" => flags.unsampled = true,
                "--no-exemplars" => flags.no_exemplars = true,
                "--stdout" => flags.stdout = true,
                "--lean" => flags.lean = true,
                "--routes" => flags.routes = true,
                "--active" => flags.active = true,
                "--full" => flags.full = true,
                "--live" => flags.live = true,
                "--console" => flags.console = true,
                "--scoped" => flags.scoped = true,
                "--mix" => flags.mix = true,
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
            (self.stdout, "--stdout"),
            (self.lean, "--lean"),
            (self.routes, "--routes"),
            (self.active, "--active"),
            (self.full, "--full"),
            (self.live, "--live"),
            (self.console, "--console"),
            (self.scoped, "--scoped"),
            (self.mix, "--mix"),
        ];
        words.into_iter().filter_map(|(set, word)| set.then_some(word))
    }
}

/// What observes the requests.
pub(crate) struct Stack {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What it records.
    pub(crate) records: Records,
    /// Its queues, delays and endpoint come from the environment of the process.
    pub(crate) by_environment: bool,
    /// Puts it around the service. What it records is kept by what is returned, and exported, to the collector at this
    /// endpoint if to any, when that is ended.
    pub(crate) start: fn(Router, Flags, Option<&str>) -> Result<Started, Failure>,
}

/// Which signals a stack records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Records {
    pub(crate) spans: bool,
    pub(crate) logs: bool,
    pub(crate) durations: bool,
    pub(crate) exemplars: bool,
}

/// A stack around a service.
pub(crate) struct Started {
    pub(crate) app: Router,
    pub(crate) end: End,
}

/// Exports everything, and says what it was; `None` where only the collector knows.
type End = Box<dyn FnOnce() -> Result<Option<Recorded>, Failure>>;

/// What was exported.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) spans: u64,
    pub(crate) logs: u64,
    pub(crate) durations: u64,
    pub(crate) exemplars: bool,
}

/// Nothing.
pub(crate) const BARE: Stack = Stack {
    name: "bare",
    records: Records { spans: false, logs: false, durations: false, exemplars: false },
    by_environment: false,
    start: |app, _, _| Ok(Started { app, end: Box::new(|| Ok(Some(Recorded::default()))) }),
};

/// Records everything.
pub(crate) const ALL: Records = Records { spans: true, logs: true, durations: true, exemplars: true };

/// All of tracewell.
pub(crate) const TRACEWELL: Stack = Stack {
    name: "tracewell",
    records: ALL,
    by_environment: false,
    start: |app, flags, endpoint| {
        on_tracewell(flags, endpoint, || Ok(app.layer(tracewell::http::ServerLayer::new())))
    },
};

/// Tracewell as `tracewell::init` sets it up, but for the queues' sizes, the delays and stdout; then the layer.
pub(crate) fn on_tracewell(
    flags: Flags,
    endpoint: Option<&str>,
    layered: impl FnOnce() -> Result<Router, Failure>,
) -> Result<Started, Failure> {
    // room for all requests of a run, or for fewer than come first
    let room = match (flags.full, flags.routes, flags.mix) {
        (true, ..) => "512",
        (false, true, _) => "16384",
        // two spans a request
        (false, false, true) => "8192",
        (false, false, false) => "4096",
    };
    let chosen = [
        ("OTEL_SERVICE_NAME", "request-path"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.unwrap_or("http://127.0.0.1:9")),
        ("OTEL_TRACES_SAMPLER", if flags.unsampled { "always_off" } else { "parentbased_always_on" }),
        ("TRACEWELL_CONSOLE", if flags.console { "true" } else { "false" }),
        // full before the first request that counts: what comes then takes the place of something
        ("TRACEWELL_CONSOLE_MAX_BYTES", "3145728"),
    ];
    let later = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", room),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", room),
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", room),
        ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", room),
        ("OTEL_BLRP_SCHEDULE_DELAY", "3600000"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "3600000"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "600000"),
        ("OTEL_BLRP_EXPORT_TIMEOUT", "600000"),
    ];
    let mut telemetry = Telemetry::builder()
        .with_env(chosen.into_iter().chain(later.into_iter().filter(|_| !flags.live)))
        .with_stdout(flags.stdout)
        .with_lean_spans(flags.lean);
    if flags.no_exemplars {
        telemetry = telemetry.with_exemplar_filter(ExemplarFilter::AlwaysOff);
    }
    let telemetry = telemetry.install()?;
    let end = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // under valgrind everything takes its time
        runtime.block_on(telemetry.shutdown_within(PATIENCE))?;
        Ok(None)
    };
    Ok(Started { app: layered()?, end: Box::new(end) })
}

/// What a collector has received.
pub(crate) fn received(collector: &Collector) -> Recorded {
    let metrics = collector.metrics();
    let last = metrics.iter().rfind(|metric| metric.name() == "http.server.request.duration");
    let durations = match last.and_then(|metric| metric.metric.data.as_ref()) {
        Some(Data::Histogram(histogram)) => histogram.data_points.iter().map(|point| point.count).sum(),
        _ => 0,
    };
    Recorded {
        spans: collector.accepted_items(Signal::Traces),
        logs: collector.accepted_items(Signal::Logs),
        durations,
        exemplars: !collector.exemplars("http.server.request.duration").is_empty(),
    }
}

/// A stack that serves. What it recorded waits in its queues, and is never exported unless asked for: dropped with the
/// process.
pub(crate) struct Running {
    app: Router,
    flags: Flags,
    runtime: tokio::runtime::Runtime,
    end: ManuallyDrop<End>,
}

impl Running {
    /// Starts a stack for the whole process.
    pub(crate) fn start(stack: &Stack, flags: Flags, endpoint: Option<&str>) -> Result<Self, Failure> {
        let app = Router::new();
        let app = if flags.no_log {
            app.route("/users/{id}", get(silent))
        } else {
            app.route("/users/{id}", get(user))
        };
        let app = if flags.mix { mixed(app) } else { app };
        let routes = if flags.routes { ROUTES } else { 0 };
        let app = (0..routes).fold(app, |app, route| {
            app.route(&format!("/route-{route}/{{id}}"), if flags.no_log { get(silent) } else { get(user) })
        });
        let started = (stack.start)(app, flags, endpoint)?;
        if flags.active {
            let registry = tracewell::requests::Registry::global();
            let others = (0..ACTIVE).map(|_| registry.start(NewEntry::request("GET"))).collect::<Vec<_>>();
            let _ = ManuallyDrop::new(others);
        }
        if flags.scoped {
            let (told, ready) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                let _scoped = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
                let _ = told.send(());
                std::thread::park();
            });
            ready.recv()?;
        }
        let running = Self {
            app: started.app.with_state(()),
            flags,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            end: ManuallyDrop::new(started.end),
        };
        running.drive(routes)?;
        Ok(running)
    }

    /// Serves so many requests, one after the other, to the last byte.
    #[inline(never)]
    pub(crate) fn drive(&self, requests: u64) -> Result<(), Failure> {
        let mut app = self.app.clone();
        self.runtime.block_on(async {
            for number in 0..requests {
                let response = app.call(self.request(number)?).await?;
                let body = response.into_body().collect().await?.to_bytes();
                if body.as_ref() != b"a user" {
                    return Err("another answer than expected".into());
                }
            }
            Ok(())
        })
    }

    /// The service.
    pub(crate) fn app(&self) -> Router {
        self.app.clone()
    }

    /// Exports everything.
    pub(crate) fn end(self) -> Result<Option<Recorded>, Failure> {
        ManuallyDrop::into_inner(self.end)()
    }

    fn request(&self, number: u64) -> Result<Request, http::Error> {
        if self.flags.mix {
            return mixed_request(number);
        }
        let mut request = if self.flags.routes {
            // a number that has nothing in common with theirs: neighbours are no routes that were used lately
            Request::get(format!("/route-{}/7?page=2", number * 7919 % ROUTES))
        } else {
            Request::get("/users/7?page=2")
        };
        request = request
            .header("host", "shop.example:8080")
            .header("user-agent", "request-path/1.0")
            .header("accept", "*/*")
            .extension(ConnectInfo(SocketAddr::from(([192, 0, 2, 7], 51742))));
        if self.flags.parent {
            request =
                request.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        }
        request.body(Body::empty())
    }
}

/// For stacks that are set up by it: the same room and delays as the others have.
pub(crate) fn environment(endpoint: &str) -> [(&'static str, String); 10] {
    let (room, later) = ("4096", "3600000");
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", room),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", room),
        ("OTEL_BSP_SCHEDULE_DELAY", later),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", room),
        ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", room),
        ("OTEL_BLRP_SCHEDULE_DELAY", later),
        ("OTEL_METRIC_EXPORT_INTERVAL", later),
        ("RUST_LOG", "info"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
}

/// Serves `requests` and compares what was exported with what should have been.
pub(crate) fn check(stack: &Stack, flags: Flags, requests: u64) -> Result<Recorded, Failure> {
    let collector = Collector::start();
    if flags.full {
        return Ok(Recorded::default()); // it is there to lose what comes
    }
    let recorded = if stack.by_environment {
        // an environment is given to a process
        let mut exporting = std::process::Command::new(std::env::current_exe()?);
        exporting.args(["export", stack.name, &requests.to_string()]).args(flags.words());
        let exported = exporting.envs(environment(&collector.endpoint())).output()?;
        exported.status.success().then(|| received(&collector)).ok_or("it did not export")?
    } else {
        let running = Running::start(stack, flags, Some(&collector.endpoint()))?;
        running.drive(requests)?;
        running.end()?.unwrap_or_else(|| received(&collector))
    };
    let requests = requests + if flags.routes { ROUTES } else { 0 };
    let records = stack.records;
    let expected = Recorded {
        spans: match records.spans && !flags.unsampled {
            true if flags.mix => 2 * requests,
            true => requests,
            false => 0,
        },
        logs: if records.logs && !flags.no_log { requests } else { 0 },
        durations: if records.durations { requests } else { 0 },
        exemplars: records.exemplars && !flags.unsampled && !flags.no_exemplars,
    };
    if recorded != expected {
        return Err(format!("{recorded:?}, not {expected:?}").into());
    }
    Ok(recorded)
}

async fn user(Path(id): Path<u64>) -> &'static str {
    tracing::info!(user.id = id, "user shown");
    if id == 7 { "a user" } else { "none" }
}

async fn silent(Path(id): Path<u64>) -> &'static str {
    if id == 7 { "a user" } else { "none" }
}

#[derive(Clone, Copy)]
struct Number(u64);

fn mixed(app: Router) -> Router {
    app.route("/users/{id}/profile", get(varied))
        .route("/orders/{order}/items/{item}", get(varied))
        .route("/search", get(varied))
        .route("/products/{id}", get(varied))
}

fn mixed_request(number: u64) -> Result<Request, http::Error> {
    let path = match number % 4 {
        0 => format!("/users/{}/profile?page={}", 10_000 + number, number % 10),
        1 => format!("/orders/{}/items/{}", 50_000 + number, number % 100),
        2 => format!("/search?q=word{number}&limit=20"),
        _ => format!("/products/{}", 20_000 + number),
    };
    let agent =
        if number % 3 == 0 { "request-path/1.0" } else { "Mozilla/5.0 (X11; Linux x86_64) request-path/2.1" };
    let mut request = Request::get(path)
        .header("host", "shop.example:8080")
        .header("user-agent", agent)
        .header("accept", "*/*")
        .extension(ConnectInfo(SocketAddr::from(([192, 0, 2, 7], 51742))))
        .extension(Number(number));
    if number / 4 % 2 == 1 {
        let parent = format!("00-0af7651916cd43dd8448eb21{:08x}-b7ad6b71{:08x}-01", number + 1, number + 1);
        request = request.header("traceparent", parent);
    }
    request.body(Body::empty())
}

async fn varied(Extension(Number(number)): Extension<Number>) -> (StatusCode, &'static str) {
    tracing::info!(number, "shown");
    looked_up(number).await;
    (if number % 20 == 19 { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }, "a user")
}

#[tracing::instrument]
async fn looked_up(number: u64) {
    std::future::ready(number).await;
}

/// Measures a histogram in so many series, as a service does with attributes of its own, and exports them if there is
/// somewhere to.
pub(crate) fn points(series: u64, endpoint: Option<&str>) -> Result<(), Failure> {
    let started = on_tracewell(DEFAULT, endpoint, || Ok(Router::new()))?;
    let histogram = opentelemetry::global::meter("points").f64_histogram("points").build();
    for number in 0..series {
        histogram.record(0.5, &[KeyValue::new("number", i64::try_from(number)?)]);
    }
    if endpoint.is_some() {
        (started.end)()?;
    } else {
        let _ = ManuallyDrop::new(started.end);
    }
    Ok(())
}
