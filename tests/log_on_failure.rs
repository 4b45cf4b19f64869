//! The DEBUG of a request that fails is logged, whatever it fails by, and nobody else's.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::Path as Param, http::StatusCode, response::Response, routing::get};
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;
use tracewell::{
    Telemetry,
    requests::{self, Current, EndDetails, NewEntry, Outcome, Registry},
    testing::{Collector, LogRecord},
};
use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::layer::SubscriberExt as _;

const PATIENCE: Duration = Duration::from_secs(20);

/// A file of lines that is gone with the test.
struct Lines(PathBuf);

impl Lines {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("tracewell-{}.log", uuid::Uuid::new_v4())))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn read(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        // the last one may be on its way
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

struct Service {
    collector: Collector,
    telemetry: Telemetry,
    dispatch: tracing::Dispatch,
    lines: Lines,
}

impl Service {
    fn new(variables: &[(&str, &str)]) -> Self {
        let (collector, lines) = (Collector::start(), Lines::new());
        let mut all = vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
            ("OTEL_METRICS_EXPORTER", "none".to_owned()),
            ("TRACEWELL_LOG_ON_FAILURE", "debug".to_owned()),
            ("TRACEWELL_LOG_FILE", lines.path().display().to_string()),
        ];
        all.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let telemetry = Telemetry::builder()
            .with_env(all)
            .with_stdout(false)
            .with_registry(Registry::new(1000))
            .build()
            .unwrap();
        let subscriber = tracing_subscriber::Registry::default().with(telemetry.layers());
        Self { collector, dispatch: tracing::Dispatch::new(subscriber), telemetry, lines }
    }

    /// A request, until its end.
    async fn serve(&self, app: Router, path: &str) -> Option<StatusCode> {
        let app = app.layer(self.telemetry.server_layer());
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = async {
            let response = app.oneshot(request).await.unwrap();
            let status = response.status();
            // a body that fails is an end too
            let _ = response.into_body().collect().await;
            status
        };
        let caught = tokio::spawn(response.with_subscriber(self.dispatch.clone())).await;
        caught.ok()
    }

    /// Ends telemetry; every record of the collector's, and every line.
    async fn end(&self) -> (Vec<LogRecord>, Vec<Value>) {
        self.telemetry.shutdown().await.unwrap();
        (self.collector.logs(), self.lines.read())
    }
}

async fn step(Param(end): Param<String>) -> Response {
    for number in 1..=3 {
        tracing::debug!(number, "{end}: step");
    }
    tracing::trace!("{end}: below");
    tracing::info!("{end}: said");
    match &*end {
        "status" => Response::builder().status(500).body(Body::from("no")).unwrap(),
        "panic" => panic!("on purpose"),
        "error" => {
            tracing::error!("error: logged");
            tracing::debug!("error: and then");
            Response::new(Body::empty())
        }
        "cancelled" => std::future::pending().await,
        "aborted" => {
            let broken = futures_util::stream::iter([Ok("a"), Err(std::io::Error::other("broken"))]);
            Response::new(Body::from_stream(broken))
        }
        _ => Response::new(Body::from("fine")),
    }
}

fn app() -> Router {
    Router::new().route("/{end}", get(step))
}

fn messages<'a>(records: &'a [Value], end: &str) -> Vec<&'a str> {
    let messages = records.iter().map(|line| line["message"].as_str().unwrap());
    messages.filter(|message| message.starts_with(&format!("{end}: "))).collect()
}

#[tokio::test]
async fn whatever_ends_it_a_failed_request_has_its_debug_with_its_own_times_and_ids() {
    let service = Service::new(&[]);
    for end in ["fine", "status", "panic", "error", "aborted"] {
        service.serve(app(), &format!("/{end}")).await;
    }
    let cancelled = tokio::time::timeout(Duration::from_millis(50), async {
        let app = app().layer(service.telemetry.server_layer());
        let request = Request::get("/cancelled").body(Body::empty()).unwrap();
        app.oneshot(request).with_subscriber(service.dispatch.clone()).await
    });
    assert!(cancelled.await.is_err());
    let (records, lines) = service.end().await;

    let of = |end: &str| messages(&lines, end);
    assert_eq!(of("fine"), ["fine: said"], "nobody wants the DEBUG of a request that went well");
    for end in ["status", "panic", "cancelled", "aborted"] {
        let (step, said) = (format!("{end}: step"), format!("{end}: said"));
        // what was kept back comes after what was logged at once
        assert_eq!(of(end), [&*said, &*step, &*step, &*step]);
    }
    let expected =
        ["said", "step", "step", "step", "logged", "and then"].map(|what| format!("error: {what}"));
    assert_eq!(of("error"), expected, "an error has before it what led to it, and the rest at once");

    for end in ["status", "panic", "cancelled", "aborted", "error"] {
        let own = |record: &&LogRecord| record.body().starts_with(&format!("{end}: "));
        let records: Vec<&LogRecord> = records.iter().filter(own).collect();
        assert_eq!(records.len(), of(end).len(), "{end}: the same over OTLP");
        let said = records.iter().find(|record| record.body().ends_with("said")).unwrap();
        let steps = records.iter().filter(|record| record.body().ends_with("step"));
        for (number, step) in steps.enumerate() {
            assert_eq!(step.trace_id(), said.trace_id(), "{end}");
            assert_eq!(step.span_id(), said.span_id(), "{end}");
            assert_eq!(step.attribute("number"), Some((number + 1).to_string()), "{end}: in order");
        }
        let times: Vec<&str> = lines
            .iter()
            .filter(|line| line["message"] == format!("{end}: step"))
            .chain(lines.iter().filter(|line| line["message"] == format!("{end}: said")))
            .map(|line| line["timestamp"].as_str().unwrap())
            .collect();
        assert!(times.is_sorted(), "{end}: with their own times, not that of the end: {times:?}");
        let line = lines.iter().find(|line| line["message"] == format!("{end}: step")).unwrap();
        assert_eq!(line["trace_id"], said.trace_id(), "{end}: the line and the record agree");
        assert_eq!(line["request"]["route"], "/{end}", "{end}: the line names its request");
    }
}

#[tokio::test]
async fn a_failure_is_one_at_its_headers_and_when_the_program_says_so_for_tasks_too() {
    let service = Service::new(&[]);
    let hangs = async || {
        tracing::debug!("headers: step");
        let body = Body::from_stream(futures_util::stream::pending::<Result<&str, std::io::Error>>());
        Response::builder().status(503).body(body).unwrap()
    };
    let app = Router::new().route("/", get(hangs)).layer(service.telemetry.server_layer());
    let request = Request::get("/").body(Body::empty()).unwrap();
    let response = app.oneshot(request).with_subscriber(service.dispatch.clone()).await.unwrap();
    eventually("a body that never ends", || messages(&service.lines.read(), "headers").len() == 1);

    let registry = Registry::new(10);
    tracing::dispatcher::with_default(&service.dispatch, || {
        let task = |work: &dyn Fn(&Current), outcome| {
            let guard = registry.start(NewEntry::task("job"));
            {
                let _inside = requests::enter(guard.handle());
                work(guard.handle());
            }
            guard.end(outcome, EndDetails::new(Duration::ZERO));
        };
        task(&|_| tracing::debug!("task: failed"), Outcome::Failed);
        task(&|_| tracing::debug!("task: went well"), Outcome::Completed);
        let said = |task: &Current| {
            tracing::debug!("task: said so");
            task.fail_log();
            tracing::debug!("task: and then");
        };
        task(&said, Outcome::Completed);
    });
    drop(response);
    let (_, lines) = service.end().await;
    assert_eq!(messages(&lines, "task"), ["task: failed", "task: said so", "task: and then"]);
}

#[tokio::test]
async fn what_a_request_and_all_of_them_keep_is_bounded_and_what_was_not_kept_is_counted() {
    let service = Service::new(&[
        ("TRACEWELL_LOG_ON_FAILURE_BYTES", "20000"),
        ("TRACEWELL_LOG_ON_FAILURE_TOTAL_BYTES", "50000"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "10000"),
    ]);
    const MANY: usize = 500;
    let many = |name: &'static str, status: u16| {
        let handler = move || async move {
            for number in 1..=MANY {
                tracing::debug!(number, padding = "x".repeat(100), "{name}");
            }
            tokio::task::yield_now().await;
            Response::builder().status(status).body(Body::empty()).unwrap()
        };
        Router::new().route("/", get(handler))
    };
    service.serve(many("alone", 500), "/").await;
    // held at the same time by others, who fill what all have in common, and who end well
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let app = Router::new().route(
                "/",
                get(async || {
                    for _ in 0..MANY {
                        tracing::debug!(padding = "x".repeat(100), "waiting");
                    }
                    std::future::pending::<()>().await;
                }),
            );
            let app = app.layer(service.telemetry.server_layer());
            let request = Request::get("/").body(Body::empty()).unwrap();
            let mut served = Box::pin(app.oneshot(request).with_subscriber(service.dispatch.clone()));
            assert!(futures_util::FutureExt::now_or_never(&mut served).is_none());
            served
        })
        .collect();
    service.serve(many("crowded", 500), "/").await;
    drop(waiting);
    service.serve(many("after", 500), "/").await;
    let (records, _) = service.end().await;
    let of = |name: &str| -> Vec<LogRecord> {
        records.iter().filter(|record| record.body() == name).cloned().collect()
    };
    for name in ["alone", "after"] {
        let kept = of(name);
        assert!(kept.len() > 10 && kept.len() < 20_000 / 100, "{name}: {} kept", kept.len());
        let numbers: Vec<usize> =
            kept.iter().map(|record| record.attribute("number").unwrap().parse().unwrap()).collect();
        let last: Vec<usize> = (MANY - kept.len() + 1..=MANY).collect();
        assert_eq!(numbers, last, "{name}: the last ones are kept, in order");
        let not_kept: usize = kept[0].attribute("tracewell.log.not_kept").unwrap().parse().unwrap();
        assert_eq!(not_kept + kept.len(), MANY, "{name}: every one is accounted for");
    }
    let all = of("waiting").len() * 100;
    assert!(all < 50_000, "what all of them keep is bounded too: {all} bytes");
    assert!(of("crowded").len() < of("alone").len(), "there is no room beyond it");
}

/// What makes this test play the service that is killed.
const ROLE: &str = "LOG_ON_FAILURE_ROLE";

fn started(role: &str, lines: &Lines) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_service_that_is_killed_in_mid_failure_leaves_the_debug_of_it", "--nocapture"])
        .env(ROLE, role)
        .env("OTEL_SDK_DISABLED", "true")
        .env("TRACEWELL_LOG_ON_FAILURE", "debug")
        .env("TRACEWELL_LOG_STDOUT", "off")
        .env("TRACEWELL_LOG_FILE", lines.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = said.find_map(|line| line.unwrap().strip_prefix("listening on ").map(str::to_owned));
    // read on, or its stdout would be closed
    std::thread::spawn(move || said.for_each(drop));
    (child, address.unwrap())
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::yield_now();
    }
}

fn get_without_answer(address: &str) -> std::net::TcpStream {
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    connection.write_all(b"GET /hang HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    connection
}

#[test]
fn a_service_that_is_killed_in_mid_failure_leaves_the_debug_of_it() {
    if let Ok(role) = std::env::var(ROLE) {
        return serve_until_killed(&role);
    }
    // without any notice, after an error
    let lines = Lines::new();
    let (mut child, address) = started("error", &lines);
    let _connection = get_without_answer(&address);
    let (seen, until) = (|| messages(&lines.read(), "hang").len(), 4);
    eventually("the error and what led to it are in the file while the request goes on", || seen() >= until);
    child.kill().unwrap();
    child.wait().unwrap();
    let left = lines.read();
    assert_eq!(messages(&left, "hang"), ["hang: step", "hang: step", "hang: step", "hang: failed"]);
    assert_eq!(left[0]["level"], "DEBUG");

    // told to stop, while nothing but DEBUG was said
    let lines = Lines::new();
    let (mut child, address) = started("quiet", &lines);
    let _connection = get_without_answer(&address);
    eventually("the request runs", || messages(&lines.read(), "hang").len() == 1);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    child.wait().unwrap();
    let left = lines.read();
    assert_eq!(messages(&left, "hang"), ["hang: runs", "hang: step", "hang: step", "hang: step"]);
}

fn serve_until_killed(role: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let role = role.to_owned();
    runtime.block_on(async move {
        let telemetry = Telemetry::builder().with_drain_deadline(Duration::ZERO).install().unwrap();
        let hang = async move || {
            for _ in 0..3 {
                tracing::debug!("hang: step");
            }
            if role == "error" {
                tracing::error!("hang: failed");
            } else {
                tracing::info!("hang: runs");
            }
            std::future::pending::<()>().await;
        };
        let app = Router::new().route("/hang", get(hang)).layer(tracewell::http::ServerLayer::new());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let line = format!("listening on {}\n", listener.local_addr().unwrap());
        std::io::stdout().write_all(line.as_bytes()).unwrap();
        telemetry.serve(listener, app).await.unwrap();
    });
}
