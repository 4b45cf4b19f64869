//! Secrets in what a service meets while it serves: headers, URLs, bodies of errors, panics, checks, certificates and a
//! collector's own words. A process of its own serves with all of them; nothing of it may say any.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Output},
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::json;
use tower::{Layer as _, ServiceExt as _};
use tracewell::{
    Telemetry,
    health::{Check, Verdict},
    http::{ClientLayer, ServerLayer},
    requests, tasks,
    testing::{Collector, Fault, Signal},
};

const SECRET: &str = "hunter2";
const CHILD: &str = "TRACEWELL_TEST_CHILD";
const LIMIT: Duration = Duration::from_secs(20);
const PATHS: [&str; 17] = [
    "/",
    "/health",
    "/livez",
    "/ready",
    "/readyz",
    "/startup",
    "/healthcheck",
    "/healthcheck?verbose",
    "/environment",
    "/metrics",
    "/telemetry",
    "/loglevel",
    "/debug/requests",
    "/debug/requests?format=html",
    "/debug/requests/1",
    "/debug/resilience",
    "/nowhere?token=hunter2",
];

fn checks(telemetry: &Telemetry) {
    let says = |words: &'static str| {
        Check::new(move || async move { Verdict::fail(words).with_data("password", SECRET) })
    };
    telemetry.health().register("database", says("connecting to postgres://app:hunter2@db/shop failed"));
    telemetry.health().register("queue", says("token=hunter2 was refused"));
    telemetry.health().add_section("broker", || json!({ "api_key": SECRET, "url": "amqp://app:hunter2@mq" }));
    telemetry
        .environment()
        .add_section("shop", || Ok::<_, String>(json!({ "secret": SECRET, "dsn": "mysql://a:hunter2@h" })));
}

/// A request with a secret wherever one can be.
fn request(path: &str) -> Request<Body> {
    Request::get(format!("{path}?token=hunter2&sig=hunter2&page=2"))
        .header("authorization", "Bearer hunter2-Abcdefgh")
        .header("proxy-authorization", "Basic aHVudGVyMjpodW50ZXIy")
        .header("cookie", "session=hunter2")
        .header("x-api-key", SECRET)
        .header("user-agent", "shop/1 (token=hunter2)")
        .header("referer", "https://app:hunter2@shop.example/?password=hunter2")
        .header("baggage", "token=hunter2;p,broken hunter2,=hunter2")
        .header("tracestate", "token=hunter2=,")
        .header("traceparent", "00-hunter2hunter2")
        .body(Body::empty())
        .unwrap()
}

async fn handler() -> StatusCode {
    let current = requests::current().unwrap();
    current.annotate("password", SECRET);
    current.annotate_sensitive("card", SECRET);
    current.set_stage("calling");
    tracing::warn!(
        authorization = "Bearer hunter2-Abcdefgh",
        header = "Cookie: session=hunter2",
        "asked with token=hunter2"
    );
    StatusCode::BAD_GATEWAY
}

/// A call out that fails.
async fn call() {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let request = Request::get(format!("http://app:hunter2@{address}/pay/token=hunter2?password=hunter2"))
        .header("authorization", "Bearer hunter2-Abcdefgh")
        .body(Empty::new())
        .unwrap();
    assert!(ClientLayer::new().layer(client).oneshot(request).await.is_err());
}

/// Runs in the child alone.
#[test]
#[ignore = "started by the other test"]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    // the default hook prints the message of a panic, which is not ours to change
    std::panic::set_hook(Box::new(|_| {}));
    let telemetry = tracewell::init().unwrap();
    checks(&telemetry);
    telemetry.health().set_ready();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let app = Router::new()
            .route("/orders/{id}", get(handler))
            .route("/panic", get(|| async { panic!("password=hunter2 is wrong") as StatusCode }))
            .route("/slow/{token}", get(std::future::pending::<StatusCode>))
            .layer(ServerLayer::new());
        let active = tokio::spawn(app.clone().oneshot(request("/slow/token=hunter2")));
        let job = tasks::start("sync");
        app.clone().oneshot(request("/orders/7")).await.unwrap();
        assert!(tokio::spawn(app.oneshot(request("/panic"))).await.is_err());
        call().await;
        telemetry.flush(LIMIT).await;
        let admin = telemetry.admin_address().unwrap();
        let pages = tokio::task::spawn_blocking(move || pages(admin)).await.unwrap();
        println!("{pages}");
        active.abort();
        drop(job);
        println!("{:?}", telemetry.shutdown().await);
    });
}

/// Everything the operator can see, in every form of it.
fn pages(admin: SocketAddr) -> String {
    let mut pages = String::new();
    for path in PATHS {
        for accept in
            ["application/json", "text/html", "application/openmetrics-text", "application/health+json"]
        {
            let mut stream = TcpStream::connect(admin).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            let head =
                format!("GET {path} HTTP/1.1\r\nhost: x\r\naccept: {accept}\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            pages.push_str(&format!("\n== {} {accept}\n", path.split('?').next().unwrap()));
            stream.read_to_string(&mut pages).unwrap();
        }
    }
    pages
}

/// The lines of a key, each of which would give a part of it away.
fn lines(pem: &str) -> impl Iterator<Item = &str> {
    pem.lines().filter(|line| !line.starts_with("-----") && line.len() > 16)
}

#[test]
fn nothing_of_what_is_served_tells_a_secret() {
    let collector = Collector::start_mutual_tls();
    let folder =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("secrets-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let files = collector.write_tls_files(&folder).unwrap();
    let key = std::fs::read_to_string(&files.client_key).unwrap();
    // an authority that quotes what it was sent
    let message = "Authorization: Bearer hunter2-Abcdefgh is nearly expired, password=hunter2".to_owned();
    collector.script(Signal::Traces, [Fault::PartialSuccess { rejected: 0, message: message.clone() }]);
    collector.script(Signal::Logs, [Fault::PartialSuccess { rejected: 1, message }]);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", "--exact", "--ignored", "--nocapture"]).env_clear().env(CHILD, "1");
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint().replace("//", "//app:hunter2@"))
        .env("OTEL_EXPORTER_OTLP_CERTIFICATE", &files.ca)
        .env("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &files.client_certificate)
        .env("OTEL_EXPORTER_OTLP_CLIENT_KEY", &files.client_key)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2-Abcdefgh,x-tenant=hunter2")
        // the key itself where its file should be named: a common mistake
        .env("OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY", &key)
        .env("TRACEWELL_ADMIN_ADDR", "127.0.0.1:0")
        .env("TRACEWELL_ADMIN_TOKEN", SECRET)
        .env("TRACEWELL_ACCESS_LOG", "all")
        .env("DATABASE_URL", "postgres://app:hunter2@db/shop")
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("RUST_LOG", "debug,hyper=off,h2=off");
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(status.success(), "{stdout}\n{stderr}");

    let wire: String = collector.requests().iter().map(|request| format!("{:?}", request.export)).collect();
    for (place, text) in [("wire", &wire), ("stdout", &stdout), ("stderr", &stderr)] {
        for secret in [SECRET, "aHVudGVyMjpodW50ZXIy"].into_iter().chain(lines(&key)) {
            if let Some(at) = text.find(secret) {
                let from = text[..at].char_indices().rev().nth(300).map_or(0, |(at, _)| at);
                panic!("{place}: {}", &text[from..at + secret.len()]);
            }
        }
    }
    // and what is no secret was there to be seen
    for (place, text, expected) in [
        ("wire", &wire, ["/orders/{id}", "/slow/", "exception", "asked with"].as_slice()),
        (
            "stdout",
            &stdout,
            &["/debug/requests", "calling", "http_server_request_duration", "\"database\"", "REDACTED"],
        ),
        ("stderr", &stderr, &["OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY", "nearly expired"]),
    ] {
        for part in expected {
            assert!(text.contains(part), "{place} without {part}: {text}");
        }
    }
    for signal in [Signal::Traces, Signal::Metrics, Signal::Logs] {
        assert!(collector.accepted_items(signal) > 0, "{signal}");
    }
}
