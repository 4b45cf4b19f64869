//! `/debug/requests` at three in the morning: what hangs, what was slow, what it did, and the tasks beside it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/admin.rs"]
mod admin_endpoints;

use std::{
    future::pending,
    time::{Duration, Instant},
};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tracewell::{
    Telemetry,
    requests::{self, EndDetails, NewEntry, Outcome, Registry, Thresholds},
    tasks,
};

use self::admin_endpoints::{LOCAL, send, telemetry};

async fn ask(
    telemetry: &Telemetry,
    method: Method,
    uri: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, String) {
    let app = tracewell::admin::router(telemetry);
    let answer = send(app, method, LOCAL, uri, headers, "").await;
    (answer.status, answer.body)
}

async fn get(telemetry: &Telemetry, uri: &str) -> Value {
    let (status, body) = ask(telemetry, Method::GET, uri, &[]).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// One that ended so, after so long.
fn ended(registry: &Registry, route: &'static str, millis: u64, outcome: Outcome) -> String {
    let took = Duration::from_millis(millis);
    let begun = (std::time::SystemTime::now() - took, Instant::now().checked_sub(took).unwrap());
    let guard = registry.start(NewEntry::request("GET").with_route(route).with_start(begun.0, begun.1));
    let id = guard.handle().id().to_string();
    guard.end(outcome, EndDetails::new(took).with_status(200));
    id
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap()).collect()
}

fn group<'a>(body: &'a Value, name: &str) -> &'a Value {
    body["groups"].as_array().unwrap().iter().find(|group| group["name"] == name).unwrap()
}

#[tokio::test]
async fn the_last_ten_of_each_latency_are_kept_under_whatever_traffic_follows() {
    let telemetry = telemetry(&[]);
    let registry = telemetry.requests();
    let slow: Vec<String> =
        (0..12).map(|n| ended(registry, "/report", 600 + n, Outcome::Completed)).collect();
    let very_slow = ended(registry, "/report", 150_000, Outcome::Completed);
    let failed = ended(registry, "/report", 1, Outcome::Failed);
    let panicked = ended(registry, "/report", 120, Outcome::Panicked);
    let left = ended(registry, "/report", 3, Outcome::Cancelled);
    for _ in 0..50_000 {
        ended(registry, "/busy", 1, Outcome::Completed);
    }
    let _active = registry.start(NewEntry::request("GET").with_route("/report"));
    let body = get(&telemetry, "/debug/requests").await;
    let report = group(&body, "/report");
    let band = |from: u64| {
        let bands = report["latencies"].as_array().unwrap();
        ids(&bands.iter().find(|band| band["min_ms"] == from).unwrap()["recent"])
    };
    assert_eq!(report["active"], 1);
    assert_eq!((band(100_000), band(10_000)), (vec![&*very_slow], vec![&*very_slow]));
    let mut latest: Vec<&str> = slow.iter().rev().map(String::as_str).take(9).collect();
    assert_eq!(band(1000), [&*very_slow]);
    latest.insert(0, &very_slow);
    assert_eq!(band(500), latest, "ten, latest first; a band has no upper end");
    assert_eq!(band(200), latest);
    let mut hundred: Vec<&str> = latest.clone();
    hundred.insert(0, &panicked);
    assert_eq!(band(100), hundred[..10]);
    assert_eq!(
        (ids(&report["errors"]), ids(&report["cancelled"])),
        (vec![&*panicked, &*failed], vec![&*left])
    );
    assert_eq!(band(0).len(), 10);
    assert_eq!(ids(&group(&body, "/busy")["latencies"][0]["recent"]).len(), 10);
    // what is listed can be looked at, long after it has left the list of recent ones
    assert!(!ids(&body["recent"]).contains(&&*slow[5]));
    let detail = get(&telemetry, &format!("/debug/requests/{}", slow[5])).await;
    assert_eq!(
        (&detail["active"], &detail["route"], &detail["outcome"]),
        (&json!(false), &json!("/report"), &json!("completed"))
    );
    let filtered = get(&telemetry, "/debug/requests?route=/busy").await;
    assert_eq!(filtered["groups"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_requests_detail_has_its_stages_and_last_log_lines() {
    let telemetry = telemetry(&[("TRACEWELL_REQUEST_LOG_LINES", "2")]);
    let subscriber = tracing_subscriber::layer::SubscriberExt::with(
        tracing_subscriber::Registry::default(),
        telemetry.layers(),
    );
    let _guard = tracing::subscriber::set_default(subscriber);
    let entry = telemetry.requests().start(NewEntry::request("GET").with_path("/a"));
    tracing::info!("outside");
    {
        let _entered = requests::enter(entry.handle());
        entry.set_stage("reading");
        entry.set_stage("writing");
        for step in 1..=3 {
            tracing::warn!(step, password = "hunter2", "a step <b>{}", "x".repeat(10_000));
        }
    }
    let path = format!("/debug/requests/{}", entry.handle().id());
    let check = async |active: bool| {
        let detail = get(&telemetry, &path).await;
        assert_eq!(detail["active"], active);
        let stages: Vec<_> =
            detail["stages"].as_array().unwrap().iter().map(|stage| &stage["stage"]).collect();
        assert_eq!(stages, ["reading", "writing"]);
        let log = detail["log"].as_array().unwrap();
        assert_eq!(log.len(), 2, "the last ones: {detail}");
        assert_eq!(log[0]["level"], "WARN");
        let line = log[0]["line"].as_str().unwrap();
        assert!(line.starts_with("admin_requests: a step <b>xxx") && line.len() <= 512, "{line}");
        assert!(!detail.to_string().contains("hunter2"));
        let page = ask(&telemetry, Method::GET, &path, &[("accept", "text/html")]).await.1;
        assert!(page.contains("writing") && page.contains("a step &lt;b&gt;xxx") && !page.contains("<b>x"));
    };
    check(true).await;
    entry.end(Outcome::Completed, EndDetails::new(Duration::from_millis(5)));
    check(false).await;
    assert!(tracewell::admin::is_own_path(&Method::GET, &path.parse().unwrap()), "in nobody's telemetry");
    for unknown in ["/debug/requests/0", "/debug/requests/xyz", "/debug/requests/ffffffffffff"] {
        assert_eq!(ask(&telemetry, Method::GET, unknown, &[]).await.0, StatusCode::NOT_FOUND, "{unknown}");
    }
}

#[tokio::test]
async fn without_being_asked_no_line_is_kept() {
    let telemetry = telemetry(&[]);
    let subscriber = tracing_subscriber::layer::SubscriberExt::with(
        tracing_subscriber::Registry::default(),
        telemetry.layers(),
    );
    let _guard = tracing::subscriber::set_default(subscriber);
    let entry = telemetry.requests().start(NewEntry::request("GET"));
    {
        let _entered = requests::enter(entry.handle());
        tracing::info!("a line");
    }
    let detail = get(&telemetry, &format!("/debug/requests/{}", entry.handle().id())).await;
    assert_eq!(detail["log"], json!([]));
}

#[tokio::test]
async fn sensitive_annotations_are_for_whoever_has_the_token() {
    let telemetry = telemetry(&[("TRACEWELL_ADMIN_TOKEN", "s3cret")]);
    let entry = telemetry.requests().start(NewEntry::request("GET"));
    entry.handle().annotate_sensitive("customer", "ada");
    entry.handle().annotate("api_key", "hunter2");
    let token = ("authorization", "Bearer s3cret");
    let detail = format!("/debug/requests/{}", entry.handle().id());
    for path in ["/debug/requests", &detail] {
        for format in ["application/json", "text/html"] {
            let (_, without) = ask(&telemetry, Method::GET, path, &[("accept", format)]).await;
            assert!(!without.contains("ada") && without.contains("[redacted]"), "{without}");
            let (_, with) = ask(&telemetry, Method::GET, path, &[("accept", format), token]).await;
            assert!(with.contains("ada"), "{with}");
            assert!(!with.contains("hunter2"), "a secret is nobody's business: {with}");
        }
    }
}

#[tokio::test]
async fn filters_narrow_both_lists_and_say_what_they_accept() {
    let telemetry = telemetry(&[]);
    let registry = telemetry.requests();
    ended(registry, "/a", 1, Outcome::Failed);
    ended(registry, "/b", 1, Outcome::Completed);
    let old = NewEntry::request("GET").with_route("/a");
    let stuck = registry.start(old.with_start(std::time::SystemTime::now(), Instant::now()));
    stuck.set_stage("waiting");
    let _other = registry.start(NewEntry::task("nightly"));
    assert_eq!(registry.flag_stuck(&Thresholds::new(Duration::ZERO).with_tasks(None)), 1);
    for (query, active, recent) in [
        ("", 2, 2),
        ("?stuck=true", 1, 2),
        ("?stage=waiting", 1, 2),
        ("?name=nightly", 1, 0),
        ("?outcome=failed", 2, 1),
        ("?route=/a&outcome=completed", 1, 0),
        ("?trace_id=00000000000000000000000000000001", 0, 0),
    ] {
        let body = get(&telemetry, &format!("/debug/requests{query}")).await;
        let of = |key: &str| body[key].as_array().unwrap().len();
        assert_eq!((of("active"), of("recent")), (active, recent), "{query}: {body}");
        assert_eq!(body["totals"]["started"], 3, "totals stay what they are");
    }
    for (query, accepted) in [
        ("?outcome=lost", "cancelled, panicked"),
        ("?kind=job", "request and task"),
        ("?format=xml", "json and html"),
    ] {
        let (status, body) = ask(&telemetry, Method::GET, &format!("/debug/requests{query}"), &[]).await;
        assert!(status == StatusCode::BAD_REQUEST && body.contains(accepted), "{body}");
    }
    assert_eq!(
        ask(&telemetry, Method::GET, "/debug/requests?min_age_ms=x", &[]).await.0,
        StatusCode::BAD_REQUEST
    );
}

/// The only test of this file that uses the process's own tasks.
#[tokio::test]
async fn tasks_are_apart_from_requests_and_periodic_ones_say_when_and_how() {
    let telemetry = telemetry(&[("TRACEWELL_ADMIN_TOKEN", "s3cret"), ("TRACEWELL_ADMIN_CANCEL", "true")]);
    let own = tasks::Tasks::new(telemetry.requests().clone(), &telemetry.meter_provider());
    let long = tokio::spawn(own.run_cancellable("reindex", pending::<()>()));
    tasks::run("done", async {}).await;
    let mut runs = 0;
    let nightly = tasks::periodic("nightly", Duration::from_secs(3600), move || {
        runs += 1;
        async move { Err::<(), _>(format!("failure <{runs}>")) }
    });
    let nightly = tokio::spawn(nightly);
    let deadline = Instant::now() + Duration::from_secs(20);
    while tasks::jobs().iter().all(|job| job.failures == 0)
        || telemetry.requests().snapshot().active.is_empty()
    {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    let body = get(&telemetry, "/debug/requests").await;
    let job = &body["jobs"][0];
    assert_eq!(
        (&job["name"], &job["last_error"], &job["runs"]),
        (&json!("nightly"), &json!("failure <1>"), &json!(1))
    );
    assert!(job["last_run"].is_string() && job["next_run"].is_string() && job["overrun"] == false);
    let done = body["task_counts"].as_array().unwrap().iter().find(|task| task["name"] == "done").unwrap();
    assert_eq!((&done["started"], &done["succeeded"]), (&json!(1), &json!(1)));
    assert_eq!((&body["active"][0]["kind"], &body["active"][0]["name"]), (&json!("task"), &json!("reindex")));
    assert_eq!(body["totals"]["started"], 0);
    let page = ask(&telemetry, Method::GET, "/debug/requests", &[("accept", "text/html")]).await.1;
    assert!(page.contains("failure &lt;1&gt;") && page.contains("reindex"), "{page}");
    // and an operator ends what hangs
    let path = format!("/debug/requests/{}", body["active"][0]["id"].as_str().unwrap());
    assert_eq!(ask(&telemetry, Method::DELETE, &path, &[]).await.0, StatusCode::FORBIDDEN);
    let token = [("authorization", "Bearer s3cret")];
    assert_eq!(ask(&telemetry, Method::DELETE, &path, &token).await.0, StatusCode::ACCEPTED);
    assert_eq!(long.await.unwrap(), Err(requests::Cancelled));
    assert_eq!(telemetry.requests().snapshot().task_totals.cancelled, 1);
    nightly.abort();
}

#[tokio::test]
async fn periodic_tasks_are_metrics_too() {
    let telemetry = telemetry(&[]);
    let own = tasks::Tasks::new(telemetry.requests().clone(), &telemetry.meter_provider());
    let job = tokio::spawn(own.periodic("nightly", Duration::from_secs(3600), async || Err::<(), _>("no")));
    let deadline = Instant::now() + Duration::from_secs(20);
    while own.jobs().iter().all(|job| job.failures == 0) {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    let page = ask(&telemetry, Method::GET, "/metrics", &[]).await.1;
    let value = |name: &str| -> f64 {
        let found = page.lines().find(|line| line.starts_with(name) && line.contains("\"nightly\""));
        found.unwrap_or_else(|| panic!("no {name}: {page}")).rsplit(' ').next().unwrap().parse().unwrap()
    };
    let (last, next) = (
        value("tracewell_task_periodic_last_run_seconds"),
        value("tracewell_task_periodic_next_run_seconds"),
    );
    assert!((3599.0..3601.0).contains(&(next - last)), "{last} {next}");
    assert_eq!(value("tracewell_task_periodic_failing"), 1.0);
    assert_eq!(value("tracewell_task_periodic_late"), 0.0);
    job.abort();
}
