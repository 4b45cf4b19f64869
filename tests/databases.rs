//! Any database's client, wrapped: what each end of an operation leaves in span, metric and registry.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
};

use tracewell::{
    db::{Database, Failure, QueryText},
    tasks::Tasks,
    testing::{Capture, CapturedSpan},
};

#[derive(Debug)]
struct Refused(&'static str);

fn code(error: &Refused) -> Failure {
    Failure::code(error.0)
}

fn shop(capture: &Capture) -> Database {
    Database::of_url("mysql://app:hunter2@db.internal:3307/shop")
        .with_meter_provider(capture.meter_provider())
}

#[track_caller]
fn assert_says(span: &CapturedSpan, expected: &[(&str, &str)]) {
    for (key, value) in expected {
        assert_eq!(span.attributes().text(key).as_deref(), Some(*value), "{key} of {span:?}");
    }
}

#[test]
fn an_operation_ends_once_however_it_ends() {
    let capture = Capture::new();
    let tasks = Tasks::new(capture.requests().clone(), &capture.meter_provider());
    let stage = || capture.requests().snapshot().active[0].stage.clone().unwrap_or_default().into_owned();
    let work = async {
        let shop = shop(&capture);
        let select = || shop.query("SELECT name FROM users WHERE id = 7");
        let answered = select().run(async {
            assert_eq!(stage(), "waiting for mysql");
            Ok::<_, Refused>(tracing::info_span!("the driver's own").in_scope(|| 7))
        });
        assert_eq!(answered.await.unwrap(), 7);
        assert_eq!(stage(), "", "it waits no more");
        let refused = select().run_with(async { Err::<(), _>(Refused("1062")) }, code);
        refused.await.unwrap_err();
        select().run(async { Err::<(), _>(Refused("")) }).await.unwrap_err();
        let mut left = Box::pin(select().run(pending::<Result<(), Refused>>()));
        assert!(futures_util::poll!(&mut left).is_pending());
        drop(left);
        let mut rows = select().start();
        rows.add_rows(2);
        drop(rows);
        let panics =
            select().run(async { if stage().is_empty() { Ok::<_, Refused>(()) } else { panic!("bug") } });
        let mut panics = Box::pin(panics);
        let mut poller = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(catch_unwind(AssertUnwindSafe(|| panics.as_mut().poll(&mut poller))).is_err());
        assert_eq!(stage(), "");
    };
    capture.runtime().block_on(async { tasks.run("report", work).await });

    assert_ends(&capture);
    assert_eq!(capture.read(|captured| captured.open_spans()), 0);
    assert_eq!(capture.requests().active_count(), 0);
}

fn assert_ends(capture: &Capture) {
    let spans = capture.spans();
    let report = capture.span("report").unwrap();
    let operations: Vec<_> = spans.iter().filter(|span| span.name() == "SELECT users").collect();
    let own = capture.span("the driver's own").unwrap();
    assert_eq!(own.parent_span_id(), operations[0].span_id());
    let kind = std::any::type_name::<Refused>();
    for (index, (key, value, is_error)) in [
        ("db.query.text", "SELECT name FROM users WHERE id = ?", false),
        ("db.response.status_code", "1062", true),
        ("error.type", kind, true),
        ("tracewell.outcome", "cancelled", false),
        ("tracewell.outcome", "aborted", false),
        ("error.type", "panic", true),
    ]
    .into_iter()
    .enumerate()
    {
        let span = operations[index];
        assert_says(
            span,
            &[
                (key, value),
                ("db.system.name", "mysql"),
                ("db.namespace", "shop"),
                ("server.address", "db.internal"),
                ("server.port", "3307"),
            ],
        );
        assert_eq!((span.kind(), span.is_error()), ("client", is_error), "{span:?}");
        assert_eq!(span.parent_span_id(), report.span_id());
        assert!(!format!("{span:?}").contains("hunter2"));
    }
    let duration = capture.metric("db.client.operation.duration").unwrap();
    assert_eq!((duration.count(), duration.points().len(), duration.unit()), (6, 6, "s"));
    for span in &operations {
        let exemplars = duration.exemplars();
        let its = exemplars.iter().find(|exemplar| exemplar.span_id() == span.span_id()).unwrap();
        assert_eq!(its.value(), span.duration().as_secs_f64(), "one reading of the clock");
        assert_eq!(its.point_attributes().get("db.query.text"), None, "a text is no attribute of a metric");
        assert_eq!(its.point_attributes().str("db.query.summary"), Some("SELECT users"));
    }
}

#[test]
fn a_span_is_named_by_what_is_known() {
    let capture = Capture::new();
    let _current = capture.set_default();
    let nothing = Database::new("redis").with_meter_provider(capture.meter_provider());
    let at = nothing.clone().with_address("cache").with_port(6379);
    let shop = shop(&capture);
    shop.operation("findAndModify").with_collection("users").start().succeed();
    shop.operation("PING").start().succeed();
    at.operation("PING").start().succeed();
    nothing.operation("PING").start().succeed();
    nothing.query("hunter2 is no SQL").start().succeed();
    shop.query("CALL f()").with_summary("get user by id").with_stored_procedure("f").start().succeed();
    shop.query("INSERT INTO t VALUES (1)").with_batch_size(3).start().succeed();
    shop.query("INSERT INTO t VALUES (1)").with_batch_size(1).start().succeed();
    let spans = capture.spans();
    let names: Vec<_> = spans.iter().map(CapturedSpan::name).collect();
    assert_eq!(
        names,
        [
            "findAndModify users",
            "PING shop",
            "PING cache:6379",
            "PING",
            "redis",
            "get user by id",
            "BATCH INSERT t",
            "INSERT t"
        ]
    );
    assert_says(&spans[0], &[("db.operation.name", "findAndModify"), ("db.collection.name", "users")]);
    assert_eq!(spans[2].attributes().get("server.port"), None, "the usual one");
    assert_says(&spans[5], &[("db.stored_procedure.name", "f")]);
    assert_says(&spans[6], &[("db.operation.batch.size", "3")]);
    assert_eq!(spans[7].attributes().get("db.operation.batch.size"), None, "one alone is no batch");
}

#[test]
fn what_is_shown_of_a_query_is_a_choice() {
    let capture = Capture::new();
    let _current = capture.set_default();
    let shop = shop(&capture);
    for text in [QueryText::Sanitized, QueryText::Whole, QueryText::Off] {
        shop.clone().with_query_text(text).query("SELECT 'a' FROM t").start().succeed();
    }
    let texts: Vec<_> = capture.spans().iter().map(|span| span.attributes().text("db.query.text")).collect();
    assert_eq!(texts, [Some("SELECT ? FROM t".into()), Some("SELECT 'a' FROM t".into()), None]);
}

#[test]
fn without_telemetry_the_work_is_done_and_nobody_elses_span_ends() {
    let capture = Capture::new();
    let runtime = capture.runtime();
    runtime.block_on(async {
        let outer = tracing::info_span!("outer");
        let shop = shop(&capture);
        let query = async { shop.query("SELECT 1").run(async { Ok::<_, Refused>(1) }).await };
        // a subscriber that knows nothing of OpenTelemetry
        let nobody = tracing::Dispatch::none();
        let query = tracing::instrument::WithSubscriber::with_subscriber(query, nobody);
        assert_eq!(tracing::Instrument::instrument(query, outer.clone()).await.unwrap(), 1);
        drop(outer);
    });
    let spans = capture.spans();
    assert_eq!(spans.len(), 1, "{}", capture.tree());
    assert_eq!(spans[0].attributes().get("db.system.name"), None);
    assert_eq!(
        capture.metric("db.client.operation.duration").unwrap().count(),
        1,
        "it is measured all the same"
    );
}
