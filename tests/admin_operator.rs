//! The operator's endpoints as their callers use them: a prober, a storm, strangers, and a person with a question.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/admin.rs"]
mod admin_endpoints;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, routing};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tracewell::{
    Telemetry, admin,
    health::{Check, Verdict, startup},
    http::ServerLayer,
    otel::{
        AddProcessors as _,
        sdk::trace::{SpanData, SpanProcessor},
    },
};

use self::admin_endpoints::{Answer, LOCAL, STRANGER, builder, send};

async fn ask(app: Router, method: Method, peer: &str, uri: &str, accept: &str, body: &str) -> Answer {
    send(app, method, peer, uri, &[("accept", accept)], body).await
}

/// A panic without a word: a backtrace may take longer than a section has.
fn unwind() -> ! {
    std::panic::resume_unwind(Box::new("no"))
}

async fn get(telemetry: &Telemetry, peer: &str, uri: &str) -> Answer {
    ask(admin::router(telemetry), Method::GET, peer, uri, "*/*", "").await
}

#[tokio::test]
async fn a_prober_without_credentials_sees_the_service_start_fail_recover_and_drain() {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let check = Check::new(move || {
        let fails = failing.load(Ordering::SeqCst);
        async move { if fails { Err("connection refused at 10.0.0.7") } else { Ok(()) } }
    });
    let check = check.with_success_cache(None).with_failure_cache(None);
    let spans = Spans::default();
    let telemetry =
        builder(&[]).with_health_check("database", check).with_span_processor(spans.clone()).build().unwrap();
    let probe = async || {
        let mut codes = Vec::new();
        for path in ["/startup", "/livez", "/readyz"] {
            let answer = get(&telemetry, STRANGER, path).await;
            assert_eq!(answer.json().as_object().unwrap().len(), 1, "the status only: {}", answer.body);
            assert!(!answer.body.contains("10.0.0.7"));
            codes.push(answer.status.as_u16());
        }
        codes
    };
    let phase = startup::phase("migrations");
    assert_eq!(probe().await, [503, 200, 503], "starting");
    telemetry.health().set_ready();
    assert_eq!(probe().await[0], 503, "a phase runs");
    let trusted = get(&telemetry, LOCAL, "/startup").await.json();
    assert_eq!(trusted["results"][0]["output"], "starting: migrations");
    assert_eq!(
        (&trusted["phases"][0]["name"], &trusted["phases"][0]["running"]),
        (&json!("migrations"), &json!(true))
    );
    assert!(spans.0.lock().unwrap().is_empty());
    phase.end();
    assert_eq!(probe().await, [200, 200, 200]);
    telemetry.health().set_started();
    telemetry.health().set_started();
    let started = spans.0.lock().unwrap().clone();
    let names: Vec<_> = started.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["migrations", "startup"], "once, each");
    assert_eq!(started[0].parent_span_id, started[1].span_context.span_id());
    assert!(started[1].start_time <= started[0].start_time && started[0].end_time < started[1].end_time);
    fails.store(true, Ordering::SeqCst);
    assert_eq!(probe().await, [200, 200, 503], "what is not ready still lives");
    fails.store(false, Ordering::SeqCst);
    assert_eq!(probe().await, [200, 200, 200]);
    telemetry.health().set_draining();
    assert_eq!(probe().await, [200, 200, 503]);
    let head = ask(admin::router(&telemetry), Method::HEAD, STRANGER, "/readyz", "*/*", "").await;
    assert_eq!((head.status.as_u16(), head.body.as_str()), (503, ""));
}

#[tokio::test]
async fn every_check_is_shown_in_three_forms_with_sections_of_the_programs_own() {
    let telemetry = builder(&[
        ("TRACEWELL_CHECKS_DISABLED", "slow"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.version=1.2.3"),
    ])
    .with_health_check("database", Check::new(async || Verdict::pass("up").with_data("pool", 3)))
    .with_health_check("disk", Check::new(async || Err::<(), _>("full")).with_group("storage"))
    .with_health_check("cache", Check::new(async || Verdict::warn("cold")))
    .with_health_check("slow", Check::new(std::future::pending::<()>))
    .build()
    .unwrap();
    telemetry.health().add_section("release", || json!({ "ring": 1 }));
    telemetry.health().add_section("broken", || unwind());
    let all = get(&telemetry, LOCAL, "/healthcheck").await;
    let shown = all.json();
    assert_eq!(
        (all.status.as_u16(), &shown["status"], &shown["version"]),
        (503, &json!("failure"), &json!("1.2.3"))
    );
    let names: Vec<_> = shown["results"].as_array().unwrap().iter().map(|r| r["checker"].clone()).collect();
    assert_eq!(names, ["database", "disk", "cache"]);
    assert_eq!((&shown["results"][0]["data"]["pool"], &shown["disabled"][0]), (&json!(3), &json!("slow")));
    assert_eq!(
        (&shown["release"]["ring"], &shown["broken"]["error"]),
        (&json!(1), &json!("the section panicked"))
    );
    let without = get(&telemetry, LOCAL, "/healthcheck?exclude=disk").await;
    assert_eq!((without.status.as_u16(), &without.json()["status"]), (200, &json!("success")));
    assert_eq!(
        get(&telemetry, LOCAL, "/healthcheck?group=storage").await.json()["results"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let text = get(&telemetry, LOCAL, "/healthcheck?verbose").await.body;
    assert_eq!(text, "[+]database ok: up\n[-]disk failed: full\n[+]cache ok: cold\nhealthz check failed\n");
    let form =
        ask(admin::router(&telemetry), Method::GET, LOCAL, "/healthcheck", "application/health+json", "")
            .await;
    assert_eq!(form.content_type(), "application/health+json");
    let form = form.json();
    assert_eq!(
        (&form["status"], &form["checks"]["cache:responseTime"][0]["status"]),
        (&json!("fail"), &json!("warn"))
    );
    let mut codes = telemetry.health().status_codes();
    codes.fail = StatusCode::IM_A_TEAPOT;
    telemetry.health().set_status_codes(codes);
    assert_eq!(get(&telemetry, LOCAL, "/healthcheck").await.status, StatusCode::IM_A_TEAPOT);
    for path in ["/healthcheck", "/environment", "/loglevel"] {
        assert_eq!(get(&telemetry, STRANGER, path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_probes_is_answered_and_runs_each_check_once_while_costly_paths_say_later() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let check = Check::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async {}
    });
    let telemetry = builder(&[]).with_health_check("database", check).build().unwrap();
    telemetry.health().set_ready();
    let app = admin::router(&telemetry);
    let begun = Instant::now();
    for _ in 0..5000 {
        let path = if begun.elapsed().subsec_nanos() % 2 == 0 { "/ready" } else { "/health" };
        assert_eq!(ask(app.clone(), Method::GET, STRANGER, path, "*/*", "").await.status, StatusCode::OK);
    }
    assert!(begun.elapsed() < Duration::from_secs(27), "else the storm was none");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    let mut refused = 0;
    for _ in 0..2000 {
        match ask(app.clone(), Method::GET, LOCAL, "/loglevel", "*/*", "").await.status {
            StatusCode::OK => {}
            StatusCode::TOO_MANY_REQUESTS => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert!(refused > 0);
    assert_eq!(ask(app, Method::GET, LOCAL, "/health", "*/*", "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_environment_shows_everything_but_secrets() {
    let variables = [
        ("TRACEWELL_ADMIN_TOKEN", "planted-admin-token"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20planted-header"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://me:planted-password@127.0.0.1:1/v1/traces"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=a,api.key=planted-attribute"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "9"),
        ("TRACEWELL_DRAIN_MS", "soon"),
    ];
    let telemetry = builder(&variables)
        .with_shutdown_deadline(Duration::from_millis(50))
        .with_build_info(tracewell::build_info!())
        .build()
        .unwrap();
    let environment = telemetry.environment();
    environment.add_section("note", || Ok::<_, String>(json!(["copied: planted-admin-token"])));
    environment.add_section("failing", || Err::<Value, _>("no such file"));
    environment.add_section("panicking", || -> Result<Value, String> { unwind() });
    environment.disable_section("os");
    let answer = get(&telemetry, LOCAL, "/environment").await;
    assert!(!answer.body.contains("planted"), "{}", answer.body);
    let shown = answer.json();
    let settings = &shown["config"]["settings"];
    let setting =
        |name: &str| (settings[name]["value"].clone(), settings[name]["source"].as_str().unwrap().to_owned());
    assert_eq!(setting("OTEL_BSP_MAX_QUEUE_SIZE"), (json!(9), "environment".to_owned()));
    assert_eq!(setting("TRACEWELL_SHUTDOWN_MS"), (json!(50), "code".to_owned()));
    assert_eq!(setting("TRACEWELL_DRAIN_MS"), (json!(5000), "default".to_owned()));
    assert_eq!(
        setting("OTEL_EXPORTER_OTLP_LOGS_HEADERS"),
        (json!("authorization=******"), "environment".to_owned())
    );
    assert!(shown["config"]["mistakes"][0].as_str().unwrap().contains("TRACEWELL_DRAIN_MS"));
    assert_eq!(shown["process"]["pid"], std::process::id());
    assert_eq!(shown["process"]["variables"]["CARGO_PKG_NAME"], env!("CARGO_PKG_NAME"));
    assert_eq!((&shown["build"]["name"], &shown["resource"]["team"]), (&json!("tracewell"), &json!("a")));
    assert_eq!(shown["failing"]["error"], "no such file");
    assert_eq!(shown["panicking"]["error"], "the section panicked");
    assert_eq!((shown.get("os"), &shown["note"][0]), (None, &json!("copied: ******")));
}

#[tokio::test]
async fn the_process_and_its_runtime_are_metrics_by_both_kinds_of_names() {
    let telemetry = builder(&[]).build().unwrap();
    for accept in ["text/plain", "application/openmetrics-text;version=1.0.0"] {
        let page = ask(admin::metrics(&telemetry), Method::GET, LOCAL, "/metrics", accept, "").await.body;
        for name in [
            "process_cpu_seconds_total ",
            "process_resident_memory_bytes ",
            "process_open_fds ",
            "process_start_time_seconds ",
            "process_cpu_time_seconds_total{",
            "process_memory_usage_bytes{",
            "process_uptime_seconds{",
            "tokio_runtime_workers{",
            "tokio_runtime_tasks_alive{",
            "tokio_runtime_worker_busy_time_seconds_total{",
            "tokio_runtime_blocking_threads{",
            "process_context_switches_total{",
        ] {
            assert!(page.lines().any(|line| line.starts_with(name)), "{name} in {accept}:\n{page}");
        }
        assert_eq!(page.contains("# EOF"), accept.contains("openmetrics"));
        assert!(!page.contains("# EOF") || page.ends_with("# EOF\n"));
    }
}

#[tokio::test]
async fn the_log_filter_is_set_for_a_while_and_comes_back() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let telemetry = builder(&[("RUST_LOG", "error")]).build().unwrap();
    let heard = Recorder(Arc::clone(&lines));
    let telemetry_with_processor =
        builder(&[("RUST_LOG", "error")]).with_log_processor(heard).build().unwrap();
    drop(telemetry);
    let telemetry = telemetry_with_processor;
    let subscriber = tracing_subscriber::layer::SubscriberExt::with(
        tracing_subscriber::Registry::default(),
        telemetry.layers(),
    );
    let _guard = tracing::subscriber::set_default(subscriber);
    let emit = || {
        tracing::debug!(target: "storefront::orders", "wanted");
        tracing::debug!(target: "other", "never wanted");
    };
    let put =
        async |body: &str| ask(admin::router(&telemetry), Method::PUT, LOCAL, "/loglevel", "*/*", body).await;
    emit();
    assert!(lines.lock().unwrap().is_empty());
    let set = put("{\"filter\":\"error,storefront=debug\",\"for_seconds\":1}").await;
    assert_eq!(set.json()["filter"], "error,storefront=debug", "{}", set.body);
    assert!(set.json()["reverts_at"].is_string());
    emit();
    let heard = |lines: &Mutex<Vec<String>>| lines.lock().unwrap().clone();
    assert_eq!(
        heard(&lines),
        ["tracewell::loglevel", "storefront::orders"],
        "the change itself, and what it lets through"
    );
    for bad in ["{\"filter\":\"a=b=c\"}", "{}", "{\"filter\":\"info\",\"for_seconds\":0}", "info"] {
        assert_eq!(put(bad).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while telemetry.log_filter().directives != "error" {
        assert!(Instant::now() < deadline, "{:?}", telemetry.log_filter());
        tokio::task::yield_now().await;
    }
    emit();
    assert_eq!(heard(&lines).len(), 2);
    telemetry.set_log_filter("off", None).unwrap();
    telemetry.set_log_filter("debug", None).unwrap();
    emit();
    assert_eq!(
        heard(&lines)[2..],
        ["tracewell::loglevel", "tracewell::loglevel", "storefront::orders", "other"]
    );
    let shown = get(&telemetry, LOCAL, "/loglevel").await.json();
    assert_eq!((&shown["filter"], &shown["reverts_at"]), (&json!("debug"), &Value::Null));
    assert_eq!(shown["changes"].as_array().unwrap().len(), 4);
}

/// Ended spans.
#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Spans {
    fn on_start(&self, _: &mut tracewell::otel::sdk::trace::Span, _: &tracewell::otel::api::Context) {}

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

/// The targets of log records.
#[derive(Debug)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl tracewell::otel::sdk::logs::LogProcessor for Recorder {
    fn emit(
        &self,
        record: &mut tracewell::otel::sdk::logs::SdkLogRecord,
        _: &tracewell::otel::api::InstrumentationScope,
    ) {
        let target = record.target().map_or_else(String::new, |target| target.to_string());
        self.0.lock().unwrap().push(target);
    }

    fn force_flush(&self) -> tracewell::otel::sdk::error::OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> tracewell::otel::sdk::error::OTelSdkResult {
        Ok(())
    }
}

#[tokio::test]
async fn in_the_programs_own_router_the_endpoints_are_in_nobodys_telemetry() {
    let telemetry = builder(&[]).build().unwrap();
    telemetry.health().set_ready();
    let app = || {
        let own = Router::new().route("/users/{id}", routing::get(async || "a user"));
        own.merge(admin::probes(&telemetry))
            .merge(admin::metrics(&telemetry))
            .layer(telemetry.server_layer().with_unobserved(admin::is_own_path))
    };
    let _: ServerLayer = ServerLayer::new().with_unobserved(admin::is_own_path);
    for path in ["/livez", "/readyz", "/health?x=1", "/metrics"] {
        let answer = ask(app(), Method::GET, LOCAL, path, "*/*", "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
    }
    assert_eq!(telemetry.requests().snapshot().totals.started, 0);
    assert_eq!(ask(app(), Method::GET, LOCAL, "/users/1", "*/*", "").await.body, "a user");
    assert_eq!(telemetry.requests().snapshot().totals.started, 1);
    let page = ask(app(), Method::GET, LOCAL, "/metrics", "*/*", "").await.body;
    assert!(page.contains("http_route=\"/users/{id}\"") && !page.contains("/livez"), "{page}");
    assert_eq!(ask(app(), Method::GET, LOCAL, "/environment", "*/*", "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(ask(app(), Method::GET, STRANGER, "/metrics", "*/*", "").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn states_of_checks_are_metrics_and_ready_made_checks_say_what_they_see() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (open, closed) = (listener.local_addr().unwrap(), unused_address());
    let telemetry = builder(&[])
        .with_health_check("open", Check::tcp(open.to_string()))
        .with_health_check("closed", Check::tcp(closed.to_string()))
        .with_health_check("memory", Check::memory(1))
        .with_health_check("pool", Check::pool(|| (2, 8)))
        .with_health_check("lag", Check::event_loop_lag(Duration::from_secs(60)))
        .build()
        .unwrap();
    telemetry.health().register("exporters", telemetry.exporter_check());
    let shown = get(&telemetry, LOCAL, "/healthcheck").await.json();
    let results = shown["results"].as_array().unwrap();
    let states: Vec<_> = results.iter().map(|result| result["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["pass", "fail", "warn", "pass", "pass", "pass"], "{shown}");
    assert_eq!(results[3]["data"], json!({ "used": 2, "size": 8 }));
    let page = get(&telemetry, LOCAL, "/metrics").await.body;
    let value = |name: &str, status: &str| {
        let labels = [format!("check_name=\"{name}\""), format!("check_status=\"{status}\"")];
        let line = page.lines().find(|line| {
            line.starts_with("tracewell_check_status{") && labels.iter().all(|label| line.contains(label))
        });
        line.unwrap_or_default().rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!((value("open", "pass"), value("open", "fail")), ("1".to_owned(), "0".to_owned()), "{page}");
    assert_eq!((value("closed", "pass"), value("closed", "fail")), ("0".to_owned(), "1".to_owned()));
    let durations = page.lines().filter(|line| line.starts_with("tracewell_check_duration_seconds_count{"));
    assert_eq!(durations.count(), 6);
}

/// Nobody listens there: its listener is gone.
fn unused_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
