//! `sqlx` against a real PostgreSQL: what each operation leaves, how it ends, and what a pool tells.
//!
//! Without Debian's `postgresql` the tests are skipped with a word on stderr; with `TRACEWELL_REQUIRE_BACKENDS=1` that is a
//! failure.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a failed helper fails its test")]

mod common {
    pub(crate) mod postgres;
    pub(crate) mod program;
}

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use sqlx::{
    Connection as _, Executor as _, PgConnection, Row as _,
    postgres::{PgPoolOptions, Postgres as Driver},
};
use tracewell::{
    Telemetry,
    db::{Database, sqlx::Pool},
    health::Status,
    tasks::Tasks,
    testing::{Capture, CapturedSpan, Collector, SpanRecord},
};

use self::common::{
    postgres::{Postgres, require_or_skip},
    program::{Program, wait_until},
};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many queries sleep in the server.
const AT_WORK: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";

/// A server, a pool of its connections, and what is observed of them.
struct Shop {
    server: Postgres,
    pool: Pool<Driver>,
    capture: Capture,
    tasks: Tasks,
}

impl Shop {
    async fn open(capture: &Capture, connections: u32) -> Self {
        let server = Postgres::start();
        let options =
            PgPoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(5));
        let pool = options.connect(&server.url()).await.unwrap();
        let database = Database::of_url(&server.url()).with_meter_provider(capture.meter_provider());
        let pool = Pool::new(pool, database.with_returned_rows(true));
        let tasks = Tasks::new(capture.requests().clone(), &capture.meter_provider());
        Self { server, pool, capture: capture.clone(), tasks }
    }

    /// The one span of this name.
    #[track_caller]
    fn span(&self, name: &str) -> CapturedSpan {
        let spans = self.capture.spans();
        let mut named = spans.into_iter().filter(|span| span.name() == name);
        let span = named.next().unwrap_or_else(|| panic!("no {name} in\n{}", self.capture.tree()));
        assert_eq!(named.count(), 0, "{name} in\n{}", self.capture.tree());
        span
    }

    /// Waits until the only active task is in this stage.
    async fn wait_for_stage(&self, stage: &str) {
        let reached = async {
            loop {
                let active = self.capture.requests().snapshot().active;
                if active.iter().any(|entry| entry.stage.as_deref() == Some(stage)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await; // the pace of asking
            }
        };
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        assert!(reached.is_ok(), "{:?}", self.capture.requests().snapshot().active);
    }

    /// Every operation ended, once, and is measured once.
    #[track_caller]
    fn assert_settled(&self) {
        let (spans, open) = self.capture.read(|captured| {
            let of_database = captured.spans().iter().filter(|span| span.kind() == "client").count();
            (of_database as u64, captured.open_spans())
        });
        assert_eq!(open, 0, "{}", self.capture.tree());
        assert_eq!(self.capture.requests().active_count(), 0);
        let duration = self.capture.metric("db.client.operation.duration").unwrap();
        assert_eq!(duration.count(), spans, "{duration:?}\n{}", self.capture.tree());
    }
}

#[test]
fn every_operation_has_its_span_and_its_duration() {
    if !require_or_skip("every_operation_has_its_span_and_its_duration") {
        return;
    }
    let capture = Capture::new();
    capture.runtime().block_on(async {
        let shop = Shop::open(&capture, 4).await;
        let pool = &shop.pool;
        pool.execute("CREATE TABLE users (id INT PRIMARY KEY, name TEXT)").await.unwrap();
        let add = "INSERT INTO users VALUES (1, 'Ada''s secret'), (2, $1)";
        let added = sqlx::query(add).bind("Grace").execute(pool).await.unwrap();
        assert_eq!(added.rows_affected(), 2);
        let name: String =
            sqlx::query_scalar("SELECT name FROM users WHERE id = $1").bind(2).fetch_one(pool).await.unwrap();
        assert_eq!(name, "Grace");
        let none = sqlx::query("SELECT id FROM users WHERE id IN (7, 8)").fetch_one(pool).await;
        assert!(matches!(none, Err(sqlx::Error::RowNotFound)));
        let all = sqlx::query("TABLE users").fetch_all(pool).await.unwrap();
        let mut rows = sqlx::query("SELECT generate_series(1, 5) AS n").fetch(pool);
        let mut sum = 0;
        while let Some(row) = rows.try_next().await.unwrap() {
            sum += row.get::<i32, _>("n");
        }
        assert_eq!((all.len(), sum), (2, 15));
        drop(rows);
        let again = sqlx::query(add).bind("Grace").execute(pool).await;
        assert!(again.is_err_and(|error| error.into_database_error().is_some()));
        pool.prepare("SELECT 1").await.unwrap();
        assert_recorded(&shop);
        shop.assert_settled();
    });
}

/// What the operations of the test above left.
fn assert_recorded(shop: &Shop) {
    let insert = shop.capture.spans().into_iter().find(|span| span.name() == "INSERT users").unwrap();
    let attributes = insert.attributes();
    let folder = shop.server.folder().display().to_string();
    for (key, value) in [
        ("db.system.name", "postgresql"),
        ("db.namespace", "postgres"),
        ("db.query.summary", "INSERT users"),
        ("db.query.text", "INSERT INTO users VALUES (?, ?), (?, $1)"),
        ("server.address", &folder),
    ] {
        assert_eq!(attributes.str(key), Some(value), "{key}");
    }
    assert_eq!(attributes.get("server.port"), None, "the usual one");
    let failed = shop.capture.spans().into_iter().rfind(|span| span.name() == "INSERT users").unwrap();
    assert!(failed.is_error());
    for key in ["db.response.status_code", "error.type"] {
        assert_eq!(failed.attributes().str(key), Some("23505"), "{key}");
    }
    let spans = shop.capture.spans();
    let selects: Vec<_> = spans.iter().filter(|span| span.name() == "SELECT users").collect();
    assert_eq!(selects[0].attributes().i64("db.response.returned_rows"), Some(1));
    assert_eq!(selects[1].attributes().i64("db.response.returned_rows"), Some(0));
    assert!(!selects[1].is_error(), "no row is an answer too");
    assert_eq!(shop.span("SELECT").attributes().i64("db.response.returned_rows"), Some(5));
    shop.span("PREPARE SELECT");

    let duration = shop.capture.metric("db.client.operation.duration").unwrap();
    let point = duration.point(&[("error.type", "23505")]).unwrap();
    assert_eq!(point.attributes().str("db.query.summary"), Some("INSERT users"));
    let exemplar = &point.exemplars()[0];
    assert_eq!(
        (exemplar.trace_id().as_str(), exemplar.span_id().as_str()),
        (failed.trace_id(), failed.span_id())
    );
    assert_eq!(exemplar.value(), failed.duration().as_secs_f64(), "one reading of the clock");
}

#[test]
fn a_transaction_is_seen_from_begin_to_its_end() {
    if !require_or_skip("a_transaction_is_seen_from_begin_to_its_end") {
        return;
    }
    let capture = Capture::new();
    capture.runtime().block_on(async {
        let shop = Shop::open(&capture, 2).await;
        let pool = &shop.pool;
        let work = async {
            let mut outer = pool.begin().await?;
            outer.execute("CREATE TEMPORARY TABLE t (a INT)").await?;
            let mut inner = outer.begin().await?;
            sqlx::query("INSERT INTO t VALUES (1)").execute(&mut *inner).await?;
            inner.rollback().await?;
            let inner = outer.begin().await?;
            inner.commit().await?;
            let left: i64 = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut *outer).await?;
            assert_eq!(left, 0);
            outer.commit().await?;
            drop(pool.begin().await?);
            let mut connection = pool.acquire().await?;
            sqlx::query("SELECT 1").execute(&mut *connection).await?;
            Ok::<_, sqlx::Error>(())
        };
        shop.tasks.run("order", work).await.unwrap();
        assert_eq!(
            shop.capture.tree(),
            "order\n  BEGIN\n  CREATE TABLE t\n  SAVEPOINT\n  INSERT t\n  ROLLBACK TO SAVEPOINT\n  SAVEPOINT\n  \
             RELEASE SAVEPOINT\n  SELECT t\n  COMMIT\n  BEGIN\n  SELECT"
                .replace('\n', " [client]\n")
                .replacen(" [client]", "", 1)
                + " [client]"
        );
        shop.assert_settled();
    });
}

#[test]
fn who_gives_up_is_seen_waiting_and_then_cancelled() {
    if !require_or_skip("who_gives_up_is_seen_waiting_and_then_cancelled") {
        return;
    }
    let capture = Capture::new();
    capture.runtime().block_on(async {
        let shop = Shop::open(&capture, 2).await;
        let pool = shop.pool.clone();
        let sleep = async move { sqlx::query("SELECT pg_sleep(60)").execute(&pool).await.map(drop) };
        let sleeping = tokio::spawn(shop.tasks.run("report", sleep));
        shop.wait_for_stage("waiting for postgresql").await;
        sleeping.abort();
        assert!(sleeping.await.unwrap_err().is_cancelled());
        let span = shop.span("SELECT");
        assert_eq!(span.attributes().str("tracewell.outcome"), Some("cancelled"));
        assert!(!span.is_error());

        let mut rows = sqlx::query("SELECT generate_series(1, 9) FROM pg_class").fetch(&shop.pool);
        rows.next().await.unwrap().unwrap();
        drop(rows);
        let span = shop.span("SELECT pg_class");
        assert_eq!(span.attributes().str("tracewell.outcome"), Some("aborted"));
        shop.assert_settled();
    });
}

#[test]
fn a_pool_tells_who_waits_for_it() {
    if !require_or_skip("a_pool_tells_who_waits_for_it") {
        return;
    }
    let capture = Capture::new();
    capture.runtime().block_on(async {
        let server = Postgres::start();
        let options = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_millis(1500));
        let pool = options.connect(&server.url()).await.unwrap();
        let database = Database::of_url(&server.url()).with_meter_provider(capture.meter_provider());
        let pool = Pool::new(pool, database);
        let value = |metric: &str, state: &str| {
            let metric = capture.metric(metric).unwrap();
            let with: &[(&str, &str)] = &[("db.client.connection.state", state)];
            let point = metric.point(if state.is_empty() { &[] } else { with }).unwrap().clone();
            let name = format!("{}/postgres", server.folder().display());
            assert_eq!(point.attributes().str("db.client.connection.pool.name"), Some(name.as_str()));
            point.value()
        };
        let count = "db.client.connection.count";
        assert_eq!((value(count, "idle"), value(count, "used")), (1.0, 0.0));
        assert_eq!(value("db.client.connection.max", ""), 1.0);

        let held = pool.acquire().await.unwrap();
        assert_eq!((value(count, "idle"), value(count, "used")), (0.0, 1.0));
        let tasks = Tasks::new(capture.requests().clone(), &capture.meter_provider());
        let mut waiting = Box::pin(tasks.run("report", async { pool.execute("SELECT 1").await }));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let stage = capture.requests().snapshot().active[0].stage.clone();
        assert_eq!(stage.as_deref(), Some("waiting for a connection"));
        assert_eq!(value("db.client.connection.pending_requests", ""), 1.0);
        let error = waiting.await.unwrap_err();
        assert!(matches!(error, sqlx::Error::PoolTimedOut), "{error}");
        assert_eq!(value("db.client.connection.pending_requests", ""), 0.0);
        assert_eq!(capture.span("SELECT").unwrap().attributes().str("error.type"), Some("pool_timeout"));
        assert!(sqlx::query("SELECT 1").fetch(&pool).next().await.unwrap().is_err());
        assert_eq!(value("db.client.connection.timeouts", ""), 2.0);
        drop(held);
        pool.execute("SELECT 1").await.unwrap();
        let wait_time = capture.metric("db.client.connection.wait_time").unwrap();
        assert_eq!(wait_time.count(), 2, "who got one");
        assert_eq!(capture.metric("db.client.connection.use_time").unwrap().count(), 1);

        let inner = pool.inner().clone();
        drop(pool);
        inner.close().await;
        assert!(capture.metric(count).is_none_or(|count| count.points().is_empty()), "the pool is no more");
    });
}

/// Waits until the only check has this result.
async fn reports(telemetry: &Telemetry, status: Status) {
    let reached = async { while telemetry.health().report().await.results[0].status != status {} };
    tokio::time::timeout(PATIENCE, reached).await.unwrap();
}

#[test]
fn a_server_killed_in_the_middle_leaves_errors_and_nothing_else() {
    if !require_or_skip("a_server_killed_in_the_middle_leaves_errors_and_nothing_else") {
        return;
    }
    let capture = Capture::new();
    capture.runtime().block_on(async {
        let mut shop = Shop::open(&capture, 4).await;
        let telemetry = Telemetry::builder().with_env([("OTEL_SDK_DISABLED", "true")]).build().unwrap();
        let check = shop.pool.check().with_success_cache(None).with_failure_cache(None);
        telemetry.health().register("database", check);
        reports(&telemetry, Status::Pass).await;

        let (one, other) = (shop.pool.clone(), shop.pool.clone());
        let query = async move { sqlx::query("SELECT pg_sleep(60)").execute(&one).await.map(drop) };
        let query = tokio::spawn(shop.tasks.run("query", query));
        let stream = async move {
            let mut rows =
                sqlx::query("SELECT n, pg_sleep(n / 2) FROM generate_series(1, 9) n").fetch(&other);
            while rows.try_next().await?.is_some() {}
            Ok::<_, sqlx::Error>(())
        };
        let stream = tokio::spawn(shop.tasks.run("stream", stream));
        // both have reached the server
        while sqlx::query_scalar::<_, i64>(AT_WORK).fetch_one(shop.pool.inner()).await.unwrap() < 2 {}
        shop.server.kill();
        let lost = |result: Result<_, sqlx::Error>| matches!(result.unwrap_err(), sqlx::Error::Io(_));
        assert!(lost(query.await.unwrap()) && lost(stream.await.unwrap()));
        for name in ["SELECT", "SELECT generate_series"] {
            let span = shop.span(name);
            assert_eq!(span.attributes().str("error.type"), Some("connection_lost"), "{span:?}");
            assert!(span.is_error());
        }
        let refused = shop.pool.execute("SELECT 2 FROM gone").await;
        assert!(refused.is_err());
        reports(&telemetry, Status::Fail).await;
        shop.assert_settled();

        shop.server.restart();
        shop.pool.execute("SELECT 3").await.unwrap();
        reports(&telemetry, Status::Pass).await;
        shop.assert_settled();
    });
}

/// Waits until a query that takes its time has reached the server.
fn wait_for_query(url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asking = async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        while sqlx::query_scalar::<_, i64>(AT_WORK).fetch_one(&mut connection).await.unwrap() < 1 {}
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, asking).await }).unwrap();
}

#[test]
fn the_example_tells_a_request_by_its_queries_and_outlives_its_database() {
    if !require_or_skip("the_example_tells_a_request_by_its_queries_and_outlives_its_database") {
        return;
    }
    let (mut server, collector) = (Postgres::start(), Collector::start());
    let program = Program::start(
        "postgres",
        &[
            ("ADDR", "127.0.0.1:0"),
            ("DATABASE_URL", &server.url()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()),
            ("TRACEWELL_ADMIN_ADDR", "127.0.0.1:0"),
        ],
    );
    assert_eq!(program.get("", "/users/7").0, 404);
    let ready = || program.get("admin ", "/ready").0;
    assert_eq!(wait_until(|| Some(ready()).filter(|status| *status == 200)), Some(200));
    let metrics = program.get("admin ", "/metrics").1;
    for series in ["db_client_connection_count{", "db_client_operation_duration_seconds_count{"] {
        assert!(metrics.contains(series), "{metrics}");
    }
    std::thread::scope(|scope| {
        let sleeping = scope.spawn(|| program.get("", "/sleep").0);
        let active = || program.get("admin ", "/debug/requests?format=json").1;
        let waits = || active().contains("\"stage\":\"waiting for postgresql\"").then_some(());
        assert!(wait_until(waits).is_some(), "{}", active());
        wait_for_query(&server.url());
        server.kill();
        assert_eq!(sleeping.join().unwrap(), 500);
    });
    assert_eq!(wait_until(|| Some(ready()).filter(|status| *status == 503)), Some(503));
    let (_, requests) = program.get("admin ", "/debug/requests?format=json");
    let requests: serde_json::Value = serde_json::from_str(&requests).unwrap();
    assert_eq!(requests["active"].as_array().map(Vec::len), Some(0), "{requests}");
    program.stop();

    let spans = collector.spans();
    let span = |name: &str| spans.iter().find(|span| span.name() == name).unwrap();
    let child_of = |parent: &SpanRecord| -> &SpanRecord {
        let mut children = spans.iter().filter(|span| span.parent_span_id() == parent.span_id());
        children.next().unwrap()
    };
    let query = child_of(span("GET /users/{id}"));
    assert_eq!(query.name(), "SELECT users");
    assert_eq!(query.attributes().str("db.query.text"), Some("SELECT name FROM users WHERE id = $1"));
    let cut = child_of(span("GET /sleep"));
    assert_eq!(cut.attributes().str("error.type"), Some("connection_lost"));
    let exemplars = collector.exemplars("db.client.operation.duration");
    assert!(exemplars.iter().any(|exemplar| exemplar.span_id() == query.span_id()), "{exemplars:?}");
}
