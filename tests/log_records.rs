//! What a log record says and how its line looks: layouts, fields of spans, places in the code, and what is counted instead.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use opentelemetry::trace::TraceContextExt as _;
use serde_json::{Value, json};
use tracewell::{
    Builder, Telemetry,
    config::{LogFile, LogFormat, Sampler},
    requests::{self, NewEntry, Registry},
};
use tracing::{field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

const PATIENCE: Duration = Duration::from_secs(10);

/// Telemetry that sends nothing, and its lines.
struct Logs {
    telemetry: Telemetry,
    dispatch: tracing::Dispatch,
    path: PathBuf,
}

impl Logs {
    fn new(format: LogFormat, change: impl FnOnce(Builder) -> Builder) -> Self {
        let path = std::env::temp_dir().join(format!("tracewell-{}.log", uuid::Uuid::new_v4()));
        let none = ["TRACES", "METRICS", "LOGS"].map(|signal| (format!("OTEL_{signal}_EXPORTER"), "none"));
        let builder = Telemetry::builder()
            .with_stdout(false)
            .with_env(none)
            .with_resource_attribute("service.version", "1.2")
            .with_service_name("shop")
            .with_log_file(LogFile::new(&path).with_format(format));
        let telemetry = change(builder).build().unwrap();
        let subscriber = tracing_subscriber::Registry::default().with(telemetry.layers());
        Self { dispatch: tracing::Dispatch::new(subscriber), telemetry, path }
    }

    fn json(change: impl FnOnce(Builder) -> Builder) -> Self {
        Self::new(LogFormat::Json, change)
    }

    fn log<R>(&self, log: impl FnOnce() -> R) -> R {
        tracing::dispatcher::with_default(&self.dispatch, log)
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap_or_default()
    }

    fn end(&self) -> Vec<String> {
        self.telemetry.shutdown_blocking().unwrap();
        self.text().lines().map(str::to_owned).collect()
    }

    fn values(&self) -> Vec<Value> {
        self.end().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[test]
fn a_line_of_logfmt_reads_back_pair_by_pair() {
    let logs = Logs::new(LogFormat::Logfmt, |builder| builder);
    let ids = logs.log(|| {
        let span = info_span!("work");
        let _inside = span.enter();
        tracing::warn!(target: "shop", count = 3, ratio = 0.5, ok = true, text = "a \"b\"=\n c", plain = "d", level = "mine", "two words");
        span.context().span().span_context().clone()
    });
    let lines = logs.end();
    let (trace, span) = (ids.trace_id(), ids.span_id());
    let flags = ids.trace_flags().to_u8();
    let (time, rest) = lines[0].split_once(' ').unwrap();
    assert!(time.starts_with("ts=2") && time.ends_with('Z'), "{time}");
    let expected = format!(
        "level=warn target=shop msg=\"two words\" trace_id={trace} span_id={span} trace_flags={flags:02x} count=3 ratio=0.5 \
         ok=true text=\"a \\\"b\\\"=\\n c\" plain=d attributes.level=mine"
    );
    assert_eq!(rest, expected);
}

#[test]
fn a_line_of_ecs_has_the_fields_of_the_schema_and_labels_for_the_rest() {
    let logs = Logs::new(LogFormat::Ecs, |builder| builder);
    let (ids, root) = logs.log(|| {
        let root = info_span!("request");
        let own = root.context().span().span_context().clone();
        let new = NewEntry::request("GET").with_route("/orders/{id}").with_span(
            own.trace_id(),
            own.span_id(),
            true,
        );
        let guard = Registry::new(10).start(new);
        let _request = requests::enter(guard.handle());
        let _root = root.enter();
        let inner = info_span!("inner");
        let _inside = inner.enter();
        tracing::event!(
            name: "order.failed",
            target: "shop",
            tracing::Level::ERROR,
            exception.type = "Broken",
            exception.message = "broken",
            exception.stacktrace = "at a\nat b",
            order.id = 7,
            "no order"
        );
        (inner.context().span().span_context().clone(), own)
    });
    let lines = logs.end();
    assert!(
        lines[0].starts_with("{\"@timestamp\":\"2"),
        "the time, the level and the message come first: {}",
        lines[0]
    );
    let after_time = lines[0].split_once(',').unwrap().1;
    assert!(
        after_time.starts_with("\"log.level\":\"ERROR\",\"message\":\"no order\",\"ecs.version\":\"9."),
        "{after_time}"
    );
    let mut line: Value = serde_json::from_str(&lines[0]).unwrap();
    let line = line.as_object_mut().unwrap();
    for field in ["@timestamp", "ecs.version", "service.node.name"] {
        line.remove(field);
    }
    line["labels"].as_object_mut().unwrap().remove("request_id").unwrap();
    let expected = json!({
        "log.level": "ERROR",
        "message": "no order",
        "log.logger": "shop",
        "service.name": "shop",
        "service.version": "1.2",
        "event.action": "order.failed",
        "trace.id": ids.trace_id().to_string(),
        "span.id": ids.span_id().to_string(),
        "transaction.id": root.span_id().to_string(),
        "error.type": "Broken",
        "error.message": "broken",
        "error.stack_trace": "at a\nat b",
        "labels": { "order_id": 7, "request_method": "GET", "request_route": "/orders/{id}" },
    });
    assert_eq!(Value::Object(line.clone()), expected);
}

#[test]
fn allowed_fields_of_the_spans_around_are_on_the_record_the_nearest_first_and_those_set_later_too() {
    let logs = Logs::json(|builder| builder.with_log_span_fields(["tenant", "order", "password", "late"]));
    logs.log(|| {
        let outer = info_span!(
            "outer",
            tenant = "acme",
            order = 1,
            secret_plan = "x",
            password = "hunter2",
            late = Empty
        );
        let _outer = outer.enter();
        let inner = info_span!("inner", order = 2);
        let _inner = inner.enter();
        tracing::info!("before");
        outer.record("late", true);
        inner.record("order", 3);
        tracing::info!(tenant = "own", "after");
        tracing::info!(parent: &outer, "by name");
    });
    let attributes: Vec<Value> = logs.values().into_iter().map(|line| line["attributes"].clone()).collect();
    let hidden = "REDACTED";
    assert_eq!(attributes[0], json!({ "order": 2, "tenant": "acme", "password": hidden }));
    assert_eq!(attributes[1], json!({ "tenant": "own", "order": 3, "password": hidden, "late": true }));
    assert_eq!(attributes[2], json!({ "tenant": "acme", "order": 1, "password": hidden, "late": true }));
}

#[test]
fn debug_is_logged_inside_of_a_sampled_trace_only() {
    for (sampler, expected) in
        [(Sampler::AlwaysOn, &["inside", "named", "info"][..]), (Sampler::AlwaysOff, &["info"])]
    {
        let logs = Logs::json(|builder| builder.with_sampler(sampler).with_log_sampled("debug"));
        logs.log(|| {
            tracing::debug!("outside");
            let span = info_span!("work");
            span.in_scope(|| {
                tracing::debug!("inside");
                tracing::trace!("below");
            });
            tracing::debug!(parent: &span, "named");
            tracing::info!("info");
        });
        let messages: Vec<_> = logs.values().into_iter().map(|line| line["message"].clone()).collect();
        assert_eq!(messages, expected);
    }
}

#[test]
fn records_say_where_they_were_made_if_asked_and_name_events_only_if_a_person_did() {
    let logs = Logs::new(LogFormat::Ecs, |builder| builder.with_log_code(true));
    let line = logs.log(|| {
        tracing::info!(name: "given", "one");
        tracing::info!("two");
        line!() - 1
    });
    let lines = logs.values();
    assert_eq!(lines[0]["event.action"], "given");
    assert_eq!(lines[1].get("event.action"), None);
    assert_eq!(lines[1]["log.origin.file.name"], file!());
    assert_eq!(lines[1]["log.origin.file.line"], line);

    let plain = Logs::json(|builder| builder);
    plain.log(|| tracing::info!("three"));
    assert_eq!(plain.values()[0]["attributes"], json!({}));
}

#[test]
fn an_error_in_an_event_is_an_exception_of_the_conventions() {
    #[derive(Debug)]
    struct Outer(std::io::Error);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("no order")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    #[tracing::instrument(err)]
    fn fails() -> Result<(), String> {
        Err("instrumented".to_owned())
    }
    let logs = Logs::json(|builder| builder);
    logs.log(|| {
        let error = Outer(std::io::Error::other("disk"));
        tracing::error!(error = &error as &dyn std::error::Error, "it failed");
        fails().unwrap_err();
    });
    let lines = logs.values();
    let attributes = |at: usize| lines[at]["attributes"].clone();
    assert_eq!(attributes(0), json!({ "error": "no order: disk", "exception.message": "no order" }));
    assert_eq!(attributes(1), json!({ "error": "instrumented", "exception.message": "instrumented" }));
}

/// Ends where nobody listens any more.
struct Endless;

impl std::fmt::Display for Endless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        loop {
            f.write_str("and so on, ")?;
        }
    }
}

#[test]
fn a_message_is_formatted_only_as_far_as_it_is_kept() {
    let logs = Logs::json(|builder| builder);
    logs.log(|| (0..2).for_each(|_| tracing::info!("{Endless}")));
    for line in logs.values() {
        let message = line["message"].as_str().unwrap();
        assert!(message.starts_with("and so on, and") && message.len() < 64 * 1024, "{}", message.len());
    }
}

#[test]
fn a_line_of_a_task_names_the_task_and_no_request() {
    for (format, expected) in [
        (LogFormat::Json, ",\"task\":{\"id\":\"{id}\",\"name\":\"sweep\"}}"),
        (LogFormat::Logfmt, " task.id={id} task.name=sweep"),
        (LogFormat::Ecs, "{\"task_id\":\"{id}\",\"task_name\":\"sweep\"}}"),
    ] {
        let logs = Logs::new(format, |builder| builder);
        let guard = Registry::new(10).start(NewEntry::task("sweep"));
        logs.log(|| {
            let _task = requests::enter(guard.handle());
            tracing::info!("swept");
        });
        let lines = logs.end();
        let expected = expected.replace("{id}", &guard.handle().id().to_string());
        assert!(lines[0].ends_with(&expected) && !lines[0].contains("request"), "{}", lines[0]);
    }
}

#[test]
fn what_is_said_again_is_counted_and_the_number_is_told_in_time_and_at_the_end() {
    let logs = Logs::json(|builder| builder.with_log_repeats(Duration::from_secs(1)));
    let warn = |disk: &str| tracing::warn!(disk, "disk is slow");
    logs.log(|| {
        // in different traces: the same all the same
        (0..5).for_each(|_| info_span!("request").in_scope(|| warn("a")));
        warn("b");
    });
    let until = Instant::now() + PATIENCE;
    while logs.text().lines().count() < 3 {
        assert!(Instant::now() < until, "the number is told without another record: {}", logs.text());
        std::thread::yield_now();
    }
    logs.log(|| (0..3).for_each(|_| warn("a")));
    let lines = logs.values();
    let said: Vec<_> = lines
        .iter()
        .map(|line| {
            let attributes = &line["attributes"];
            (
                line["message"].as_str().unwrap(),
                attributes["disk"].as_str().unwrap(),
                attributes["tracewell.log.repeated"].as_i64(),
            )
        })
        .collect();
    let expected = [
        ("disk is slow", "a", None),
        ("disk is slow", "b", None),
        ("disk is slow (repeated 4 times)", "a", Some(4)),
        ("disk is slow", "a", None),
        ("disk is slow (repeated 2 times)", "a", Some(2)),
    ];
    assert_eq!(said, expected);
}

#[test]
fn what_is_said_after_the_end_is_logged_since_no_number_would_be_told_any_more() {
    // however long the window is, and with a limit that is reached at once
    for change in [(|builder| builder.with_log_repeats(Duration::MAX)) as fn(Builder) -> Builder, |builder| {
        builder.with_log_rate(1)
    }] {
        let logs = Logs::json(change);
        let warn = || (0..3).for_each(|_| tracing::warn!("disk is slow"));
        logs.log(warn);
        assert_eq!(logs.end().len(), 2, "one, and the number of the others");
        logs.log(warn);
        assert_eq!(logs.end().len(), 5);
    }
}

#[test]
fn a_place_in_the_code_logs_so_many_records_a_second_and_the_rest_is_counted() {
    let logs = Logs::json(|builder| builder.with_log_rate(10));
    logs.log(|| {
        for number in 0..1000 {
            tracing::info!(number, "much");
            if number % 500 == 0 {
                tracing::info!(number, "little");
            }
            // what the crate says itself has limits of its own
            if number < 20 {
                tracing::info!(target: "tracewell::http", number, "completed");
            }
        }
    });
    let lines = logs.values();
    let count = |message: &str| lines.iter().filter(|line| line["message"] == message).count();
    let told = lines.iter().filter_map(|line| line["attributes"]["tracewell.log.left_out"].as_u64());
    let (logged, told) = (count("much") as u64, told.collect::<Vec<_>>());
    // the thousand may fall into two seconds
    assert!((10..=20).contains(&logged) && !told.is_empty(), "{logged} {told:?}");
    assert_eq!(logged + told.iter().sum::<u64>(), 1000);
    assert_eq!((count("little"), count("completed")), (2, 20));
    let summary = lines.iter().find(|line| !line["attributes"]["tracewell.log.left_out"].is_null()).unwrap();
    assert_eq!(summary["attributes"]["code.file.path"], file!());
}
