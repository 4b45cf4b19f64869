//! What a prober is answered: its form, who replaces it, who gets what, and that liveness is never wrong.

#[path = "common/admin.rs"]
mod admin_endpoints;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::Router;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tracewell::{
    Telemetry,
    admin::{self, Endpoint},
    health::{Check, Probe, Status, Verdict},
};

use self::admin_endpoints::{Answer, LOCAL, STRANGER, builder, send};

const HEALTH_JSON: &str = "application/health+json";

async fn ask(app: Router, peer: &str, uri: &str, headers: &[(&str, &str)]) -> Answer {
    send(app, Method::GET, peer, uri, headers, "").await
}

async fn get(telemetry: &Telemetry, peer: &str, uri: &str, accept: &str) -> Answer {
    ask(admin::router(telemetry), peer, uri, &[("accept", accept)]).await
}

#[tokio::test]
async fn each_probe_answers_in_three_forms_and_strangers_get_the_status_in_each() {
    let telemetry = builder(&[])
        .with_health_check("cache", Check::new(async || Verdict::warn("cold")))
        .with_health_check("disk", Check::new(async || Err::<(), _>("full")))
        .build()
        .unwrap();
    telemetry.health().set_ready();
    let of = async |peer, uri, accept| get(&telemetry, peer, uri, accept).await;
    for (uri, status) in [("/livez", "pass"), ("/readyz", "fail"), ("/startup", "pass")] {
        let form = of(STRANGER, uri, HEALTH_JSON).await;
        assert_eq!((form.content_type(), form.json()), (HEALTH_JSON, json!({ "status": status })), "{uri}");
        let verbose = format!("{uri}?verbose");
        let text = get(&telemetry, STRANGER, &verbose, "*/*").await;
        assert_eq!(text.json().as_object().unwrap().len(), 1, "{uri}: {}", text.body);
    }
    let refused = of(STRANGER, "/livez", "application/health+json;q=0, */*").await;
    assert_eq!(refused.content_type(), "application/json");
    let ready = of(LOCAL, "/readyz", "application/json, application/health+json;q=0.5").await.json();
    assert_eq!(ready["checks"]["service:state"][0]["status"], "pass");
    let disk = &ready["checks"]["disk:responseTime"][0];
    assert_eq!((&disk["output"], &disk["observedUnit"]), (&json!("full"), &json!("ms")));
    let text = of(LOCAL, "/readyz?verbose&exclude=disk", "*/*").await;
    assert_eq!(
        (text.status.as_u16(), text.body.as_str()),
        (200, "[+]service ok: serving\n[+]cache ok: cold\n[+]disk excluded: ok\nreadyz check passed\n")
    );
    assert_eq!(of(LOCAL, "/livez?verbose", "*/*").await.body, "[+]runtime ok: ok\nlivez check passed\n");
    let all = of(LOCAL, "/healthcheck", HEALTH_JSON).await.json();
    assert!(all["description"].as_str().unwrap().starts_with("health of ") && all["serviceId"].is_string());
}

#[tokio::test]
async fn a_renderer_replaces_everything_but_the_code_of_liveness_and_learns_of_checks_what_its_caller_may() {
    let telemetry = builder(&[])
        .with_health_check("database", Check::new(async || Err::<(), _>("planted-reason")))
        .with_health_renderer(|answering, mut answer| {
            assert!(!answering.headers.contains_key("x-panic"), "as a renderer's own mistake would");
            *answer.status_mut() = StatusCode::IM_A_TEAPOT;
            answer.headers_mut().insert("x-status", HeaderValue::from_static(answering.status.as_str()));
            let reasons: Vec<_> = answering.results.iter().map(|result| result.message.as_str()).collect();
            *answer.body_mut() = format!("{:?} {}", answering.probe, reasons.join(","));
            answer
        })
        .build()
        .unwrap();
    telemetry.health().set_ready();
    let ready = get(&telemetry, LOCAL, "/ready", "*/*").await;
    assert_eq!((ready.status, &*ready.body), (StatusCode::IM_A_TEAPOT, "Readiness planted-reason"));
    assert_eq!(ready.headers["x-status"], Status::Fail.as_str());
    let stranger = get(&telemetry, STRANGER, "/ready", "*/*").await;
    assert_eq!(stranger.body, "Readiness ");
    let live = get(&telemetry, STRANGER, "/health", "*/*").await;
    assert_eq!((live.status, &*live.body), (StatusCode::OK, &*format!("{:?} ", Probe::Liveness)));
    let panicking = ask(admin::router(&telemetry), LOCAL, "/ready", &[("x-panic", "1")]).await;
    assert_eq!((panicking.status.as_u16(), &panicking.json()["status"]), (503, &json!("failure")));
}

#[tokio::test]
async fn secrets_in_what_checks_and_sections_say_are_not_shown() {
    let failing =
        Check::new(async || Err::<(), _>("cannot connect to postgres://shop:planted-password@db/shop"));
    let telling = Check::new(async || Verdict::warn("slow").with_data("api_key", "planted-key"));
    let telemetry = builder(&[])
        .with_health_check("database", failing)
        .with_health_check("api", telling)
        .build()
        .unwrap();
    telemetry.health().add_section("owner", || json!({ "token": "planted-token", "team": "shop" }));
    for (uri, accept) in [
        ("/ready", "*/*"),
        ("/ready", HEALTH_JSON),
        ("/ready?verbose", "*/*"),
        ("/healthcheck", "*/*"),
        ("/healthcheck", HEALTH_JSON),
        ("/healthcheck?verbose", "*/*"),
    ] {
        let answer = get(&telemetry, LOCAL, uri, accept).await;
        assert!(!answer.body.contains("planted"), "{uri}: {}", answer.body);
        assert!(answer.body.contains("cannot connect"), "{uri}: {}", answer.body);
    }
    assert_eq!(get(&telemetry, LOCAL, "/healthcheck", "*/*").await.json()["owner"]["team"], "shop");
}

#[test]
fn a_section_that_blocks_does_not_keep_liveness() {
    let telemetry = builder(&[]).with_admin_address("127.0.0.1:0".parse().unwrap()).build().unwrap();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = std::sync::Mutex::new(blocked);
    telemetry.health().add_section("stuck", move || {
        let _ = blocked.lock().unwrap().recv();
        Value::Null
    });
    let address = telemetry.admin_address().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let all = client.get(format!("http://{address}/healthcheck")).send();
        let live = async {
            // asked while the other waits for its section
            client.get(format!("http://{address}/livez")).timeout(Duration::from_secs(20)).send().await
        };
        let (all, live) = tokio::join!(all, live);
        assert_eq!(live.unwrap().status(), 200);
        let all: Value = serde_json::from_str(&all.unwrap().text().await.unwrap()).unwrap();
        assert!(all["stuck"]["error"].as_str().unwrap().contains("no answer within"), "{all}");
    });
    drop(release);
}

#[tokio::test]
async fn above_the_limit_a_probe_says_what_an_uncached_check_last_said() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let check = Check::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async {}
    });
    let check = check.with_success_cache(None).with_failure_cache(None);
    let telemetry = builder(&[]).with_health_check("database", check).build().unwrap();
    telemetry.health().set_ready();
    let app = admin::probes(&telemetry);
    let begun = std::time::Instant::now();
    for _ in 0..3000 {
        assert_eq!(ask(app.clone(), STRANGER, "/readyz", &[]).await.status, StatusCode::OK);
    }
    // a burst, and then so many a second
    let allowed = 100.0 + begun.elapsed().as_secs_f64() * 100.0 + 1.0;
    let runs = runs.load(Ordering::SeqCst) as f64;
    assert!(runs >= 100.0 && runs <= allowed, "{runs} of at most {allowed}");
    telemetry.health().set_draining();
    assert_eq!(ask(app, STRANGER, "/readyz", &[]).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn liveness_fails_when_the_runtime_is_gone_and_not_when_it_drains_or_when_telemetry_has_ended() {
    let start =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let asking = start();
    let telemetry = builder(&[]).build().unwrap();
    let app = admin::probes(&telemetry);
    let code = || asking.block_on(ask(app.clone(), LOCAL, "/livez", &[])).status.as_u16();
    let (first, second) = (start(), start());
    let beating = |runtime: &tokio::runtime::Runtime| {
        let beat = runtime.spawn(telemetry.health().clone().beat());
        runtime.block_on(async {
            while telemetry.health().heartbeat_age().is_none_or(|age| age > Duration::from_millis(500)) {
                tokio::task::yield_now().await;
            }
        });
        beat
    };
    drop(beating(&first));
    assert_eq!(code(), 200);
    drop(first);
    assert_eq!((code(), telemetry.health().is_gone()), (503, true));
    let beat = second.spawn(telemetry.health().clone().beat());
    second.block_on(async {
        while telemetry.health().is_gone() {
            tokio::task::yield_now().await;
        }
    });
    // the future alone says nothing about its runtime
    beat.abort();
    assert_eq!(code(), 200);
    telemetry.health().set_draining();
    drop(second);
    assert_eq!(code(), 200, "on its way out");
    drop(telemetry);
    assert_eq!(code(), 200, "without telemetry");
}

#[tokio::test]
async fn single_endpoints_are_services_at_any_path_with_their_rules_of_access() {
    let telemetry = builder(&[]).build().unwrap();
    telemetry.health().set_ready();
    let app = Router::new()
        .route_service("/internal/live", admin::service(&telemetry, Endpoint::Liveness))
        .route_service("/internal/metrics", admin::service(&telemetry, Endpoint::Metrics))
        .route_service("/internal/level", admin::service(&telemetry, Endpoint::LogLevel))
        .nest_service("/nested", admin::service(&telemetry, Endpoint::Environment));
    for (path, stranger) in
        [("/internal/live", 200), ("/internal/metrics", 403), ("/internal/level", 403), ("/nested", 403)]
    {
        assert_eq!(ask(app.clone(), STRANGER, path, &[]).await.status.as_u16(), stranger, "{path}");
        let trusted = ask(app.clone(), LOCAL, path, &[]).await;
        assert_eq!(trusted.status.as_u16(), 200, "{path}");
        assert_eq!(trusted.headers["cache-control"], "no-store", "{path}");
        // what a proxy passes on is not its own
        let passed_on = ask(app.clone(), LOCAL, path, &[("x-forwarded-for", STRANGER)]).await;
        assert_eq!(passed_on.status.as_u16(), stranger, "{path}");
    }
}

#[tokio::test]
async fn an_http_target_passes_below_400_is_asked_without_a_trace_and_shows_no_secret() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let mut heard = Vec::new();
        for code in ["200 OK", "302 Found", "404 Not Found", "503 Service Unavailable"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap();
            heard.push(String::from_utf8_lossy(&head[..length]).to_ascii_lowercase());
            let answer = format!("HTTP/1.1 {code}\r\nlocation: /\r\ncontent-length: 2\r\n\r\nok");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        heard
    });
    let check = Check::http(format!("http://{address}/ping?key=planted")).with_success_cache(None);
    let telemetry = builder(&[]).with_health_check("api", check.with_failure_cache(None)).build().unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let result = telemetry.health().report().await.results.remove(0);
        assert!(!result.message.contains("planted"), "{}", result.message);
        seen.push((result.status, result.data["status_code"].as_u64().unwrap()));
    }
    let expected = [(Status::Pass, 200), (Status::Pass, 302), (Status::Fail, 404), (Status::Fail, 503)];
    assert_eq!(seen, expected);
    for head in server.await.unwrap() {
        assert!(
            head.starts_with("get /ping?key=planted http/1.1") && head.contains(&format!("host: {address}"))
        );
        assert!(!head.contains("traceparent"), "{head}");
    }
    let refused = telemetry.health().report().await.results.remove(0);
    assert!(refused.status == Status::Fail && refused.message.contains("refused"), "{}", refused.message);
    for bad in ["ftp://x/", "no url", "http://me:planted@host/", "/path"] {
        telemetry.health().register("api", Check::http(bad));
        let result = telemetry.health().report().await.results.remove(0);
        assert!(result.status == Status::Fail && result.message.contains("accepted is http://"), "{bad}");
        assert!(!result.message.contains("planted"), "{}", result.message);
    }
}

#[tokio::test]
async fn databases_and_disks_say_what_they_have() {
    let telemetry = builder(&[])
        .with_health_check("good", Check::database("sqlite", async || Ok::<_, std::fmt::Error>(1)))
        .with_health_check("bad", Check::database("sqlite", async || Err::<(), _>("locked")))
        .with_health_check("room", Check::disk_space("/", 1))
        .with_health_check("full", Check::disk_space("/", u64::MAX))
        .with_health_check("none", Check::disk_space("/no/such/folder", 1))
        .build()
        .unwrap();
    let results = telemetry.health().report().await.results;
    let states: Vec<_> = results.iter().map(|result| result.status.as_str()).collect();
    assert_eq!(states, ["pass", "fail", "pass", "fail", "fail"], "{results:?}");
    assert_eq!(
        (results[1].message.as_str(), &results[0].data["db.system.name"]),
        ("sqlite: locked", &json!("sqlite"))
    );
    assert!(results[2].data["available_bytes"].as_u64() > Some(1));
}
