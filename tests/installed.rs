//! `install()`: what is global in a process works with everything that knows only the globals.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    panic::Location,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, http::StatusCode, routing::get};
use http::Request;
use opentelemetry::KeyValue;
use tower::ServiceExt as _;
use tracewell::{
    InitError, Telemetry,
    testing::{Collector, LogRecord, Recorded},
};

const LONG: Duration = Duration::from_secs(20);
const OURS: &str = "a panic on purpose";
const REMOTE_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// How often the hook that was set before `install` heard of a panic on purpose.
static HEARD: AtomicUsize = AtomicUsize::new(0);

struct Service {
    collector: Collector,
    telemetry: Telemetry,
    installed_at: &'static Location<'static>,
}

/// The one installed service of this process.
fn service() -> &'static Service {
    static SERVICE: OnceLock<Service> = OnceLock::new();
    SERVICE.get_or_init(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload().downcast_ref::<&str>() == Some(&OURS) {
                HEARD.fetch_add(1, Ordering::SeqCst);
            } else {
                before(panic);
            }
        }));
        let collector = Collector::start();
        let builder = Telemetry::builder().with_stdout(false).with_env([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
            ("OTEL_SERVICE_NAME", "installed".to_owned()),
        ]);
        let (telemetry, installed_at) = install(builder);
        Service { collector, telemetry: telemetry.unwrap(), installed_at }
    })
}

/// Installs, and says where.
#[track_caller]
fn install(builder: tracewell::Builder) -> (Result<Telemetry, InitError>, &'static Location<'static>) {
    (builder.install(), Location::caller())
}

impl Service {
    /// Sends what waits and looks until it is there.
    fn arrives(&self, what: &str, mut arrived: impl FnMut(&Recorded) -> bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.telemetry.flush(LONG));
        assert!(self.collector.wait_for(LONG, &mut arrived), "{what} did not arrive");
    }

    fn logs(&self, wanted: impl Fn(&LogRecord) -> bool) -> Vec<LogRecord> {
        self.collector.logs().into_iter().filter(wanted).collect()
    }
}

async fn serve(app: Router, path: &str) -> StatusCode {
    let traceparent = format!("00-{REMOTE_TRACE}-00f067aa0ba902b7-01");
    let request = Request::get(path).header("traceparent", traceparent).body(Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    let status = response.status();
    http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
    status
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn a_foreign_crates_instrument_made_after_install_has_exemplars() {
    let service = service();
    async fn login() {
        // what a library does that has never heard of tracewell
        let meter = opentelemetry::global::meter("foreign");
        meter.u64_counter("logins").build().add(1, &[KeyValue::new("kind", "password")]);
        meter.f64_histogram("login.cost").build().bind(&[]).record(0.5);
    }
    let app = Router::new().route("/login", get(login)).layer(tracewell::http::ServerLayer::new());
    assert_eq!(block_on(serve(app, "/login")), 200);

    let of_route = |span: &tracewell::testing::SpanRecord| span.name() == "GET /login";
    service.arrives("the span", |recorded| recorded.spans().iter().any(of_route));
    service.arrives("the exemplar", |recorded| !recorded.exemplars("login.cost").is_empty());
    let span = service.collector.spans().into_iter().find(of_route).unwrap();
    assert_eq!(span.trace_id(), REMOTE_TRACE, "the global propagator continues the caller's trace");
    for metric in ["logins", "login.cost"] {
        let exemplars = service.collector.exemplars(metric);
        assert_eq!(exemplars.len(), 1, "{metric}");
        let ids = (exemplars[0].trace_id(), exemplars[0].span_id());
        assert_eq!(ids, (span.trace_id(), span.span_id()), "{metric}");
    }
}

#[test]
fn a_record_of_the_log_crate_becomes_a_log_record_of_its_span() {
    let service = service();
    tracing::info_span!("legacy").in_scope(|| log::warn!(target: "old::library", "from the log crate"));
    let ours = |record: &LogRecord| record.body() == "from the log crate";
    service.arrives("the record", |recorded| {
        recorded.logs().iter().any(ours) && recorded.spans().iter().any(|span| span.name() == "legacy")
    });
    let records = service.logs(ours);
    let span = service.collector.spans().into_iter().find(|span| span.name() == "legacy").unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].severity(), "WARN");
    assert_eq!((records[0].trace_id(), records[0].span_id()), (span.trace_id(), span.span_id()));
    assert_eq!(records[0].scope.name, "old::library");
    let keys: Vec<_> = records[0].attributes().keys().collect();
    assert!(!keys.iter().any(|key| key.starts_with("log.")), "{keys:?}");
}

#[test]
fn a_second_install_is_refused_and_names_the_first_place() {
    let service = service();
    let (second, _) = install(Telemetry::builder());
    match second.unwrap_err() {
        error @ InitError::AlreadyInstalled { .. } => {
            let InitError::AlreadyInstalled { at } = &error else { unreachable!() };
            assert_eq!(at.file(), service.installed_at.file());
            assert!(error.to_string().contains("tests/installed.rs"), "{error}");
            assert_eq!(format!("{error:?}"), error.to_string(), "what a main that returns it prints");
        }
        other => panic!("{other}"),
    }
    // the first one is not disturbed
    tracing::info!("after the refusal");
    service.arrives("the record", |recorded| {
        recorded.logs().iter().any(|record| record.body() == "after the refusal")
    });
}

#[test]
fn a_panic_in_a_handler_is_logged_once_in_its_request_and_the_earlier_hook_still_runs() {
    async fn handler() -> StatusCode {
        std::panic::panic_any(OURS)
    }
    let place = line!() - 2;
    let service = service();
    let heard = HEARD.load(Ordering::SeqCst);
    let app = Router::new().route("/panic", get(handler)).layer(tracewell::http::ServerLayer::new());
    let panicked = block_on(async { tokio::spawn(serve(app, "/panic")).await });
    assert!(panicked.unwrap_err().is_panic(), "the panic goes on");
    assert_eq!(HEARD.load(Ordering::SeqCst), heard + 1);

    let ours = |record: &LogRecord| record.attribute("exception.message").as_deref() == Some(OURS);
    let of_route = |span: &tracewell::testing::SpanRecord| span.name() == "GET /panic";
    service.arrives("record and span", |recorded| {
        recorded.logs().iter().any(ours) && recorded.spans().iter().any(of_route)
    });
    let records = service.logs(ours);
    assert_eq!(records.len(), 1);
    let (record, span) = (&records[0], service.collector.spans().into_iter().find(of_route).unwrap());
    assert_eq!((record.trace_id(), record.span_id()), (span.trace_id(), span.span_id()));
    assert_eq!((record.severity(), record.record.event_name.as_str()), ("ERROR", "exception"));
    assert!(record.attribute("code.file.path").unwrap().ends_with("tests/installed.rs"));
    assert_eq!(record.attributes().i64("code.line.number"), Some(i64::from(place)));
    assert_eq!(span.attribute("error.type").as_deref(), Some("panic"));
}
