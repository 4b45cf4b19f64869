//! What a program chooses of its metrics and of what it says of its build; what is measured of its runtime.

#[path = "common/admin.rs"]
mod admin_endpoints;

use std::time::Duration;

use http::Method;
use tracewell::{
    Telemetry, admin,
    config::{PrometheusPage, Translation},
    otel::api::metrics::MeterProvider as _,
};

use self::admin_endpoints::{LOCAL, builder, send};

/// The page and its content type.
async fn page(telemetry: &Telemetry, accept: &str) -> (String, String) {
    let answer =
        send(admin::metrics(telemetry), Method::GET, LOCAL, "/metrics", &[("accept", accept)], "").await;
    let content_type = answer.content_type().to_owned();
    (answer.body, content_type)
}

#[tokio::test]
async fn the_pages_names_and_the_allocator_are_the_programs_choice() {
    let choice =
        PrometheusPage::default().with_translation(Translation::NoTranslation).without_scope_labels();
    let telemetry = builder(&[])
        .with_prometheus_page(choice.without_target_info())
        .with_allocator(|| vec![("allocated", 7), ("resident", 9)])
        .build()
        .unwrap();
    telemetry.meter_provider().meter("shop").u64_counter("shop.logins").build().add(1, &[]);
    let accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8";
    let (utf8, content_type) = page(&telemetry, accept).await;
    assert!(content_type.ends_with("escaping=allow-utf-8"));
    assert!(utf8.contains("\n{\"shop.logins\"} 1\n"), "{}", utf8);
    assert!(!utf8.contains("target_info") && !utf8.contains("otel_scope"), "{}", utf8);
    let state = "\"process.memory.allocator.state\"=\"resident\"";
    assert!(utf8.contains(&format!("{{\"process.memory.allocator\",{state}}} 9\n")), "{}", utf8);
    let (dots, _) = page(&telemetry, "text/plain;version=1.0.0;escaping=dots").await;
    assert!(dots.contains("\nshop_dot_logins 1\n") && dots.contains("\nprocess__open__fds "), "{}", dots);
    assert!(page(&telemetry, "text/plain").await.0.contains("\nshop_logins 1\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_busy_ratio_is_the_share_of_a_second_or_more_and_blocking_threads_are_counted() {
    let telemetry = builder(&[]).build().unwrap();
    let value = async |name: &str| {
        let text = page(&telemetry, "text/plain").await.0;
        let line = text.lines().find(|line| line.starts_with(&format!("{name}{{")));
        line.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
    };
    assert_eq!(value("tokio_runtime_busy_ratio").await, None, "nothing to compare with");
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let (begun, begins) = tokio::sync::oneshot::channel();
    let blocking = tokio::task::spawn_blocking(move || {
        begun.send(()).unwrap();
        let _ = blocked.recv();
    });
    begins.await.unwrap();
    assert!(value("tokio_runtime_blocking_threads").await >= Some(1.0));
    drop(release);
    blocking.await.unwrap();
    // keeps the one worker busy until there is a value
    let busy = tokio::spawn(async {
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_millis(1300) {
            std::hint::spin_loop();
        }
    });
    busy.await.unwrap();
    // a worker accounts for its time when it pauses: it may be the next value that has it
    let mut pause = tokio::time::interval(Duration::from_millis(50));
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let mut ratio = None;
    while ratio < Some(0.3) {
        assert!(std::time::Instant::now() < deadline, "{ratio:?}");
        pause.tick().await;
        ratio = value("tokio_runtime_busy_ratio").await;
    }
    assert!(ratio <= Some(1.0), "{ratio:?}");
}

#[tokio::test]
async fn every_poll_of_a_measured_future_is_one_measurement() {
    let telemetry = builder(&[]).build().unwrap();
    let polled = telemetry.poll_times().time(async {
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_millis(60) {
            std::hint::spin_loop();
        }
        tokio::task::yield_now().await;
        7
    });
    assert_eq!(polled.await, 7);
    let text = page(&telemetry, "text/plain").await.0;
    let value = |start: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with("tokio_runtime_poll_duration_seconds") && line.contains(start));
        line.unwrap_or_else(|| panic!("{text}")).rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(value("_count{"), "2");
    // the first one is above; the second one may be, on a machine that has much to do
    assert!(["0", "1"].contains(&value("le=\"0.05\"").as_str()), "{text}");
}

#[test]
fn the_prometheus_exporter_shares_the_admins_listener_when_the_address_is_the_same() {
    let (address, port) = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        (free.local_addr().unwrap().to_string(), free.local_addr().unwrap().port().to_string())
    };
    let variables = [
        ("OTEL_METRICS_EXPORTER", "prometheus"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("TRACEWELL_ADMIN_ADDR", &address),
        ("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", &port),
    ];
    let telemetry = Telemetry::builder().with_env(variables).with_stdout(false).build().unwrap();
    assert_eq!(telemetry.admin_address().unwrap().to_string(), address);
    assert_eq!(telemetry.prometheus_address(), None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for path in ["/metrics", "/health"] {
            let answer = client.get(format!("http://{address}{path}")).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
        }
    });
}

#[test]
fn the_build_names_its_compiler_and_by_choice_what_was_resolved() {
    let build = tracewell::build_info!(features: "full", "axum"; lockfile: "Cargo.lock");
    assert!(build.rustc.is_some_and(|version| version.starts_with("1.")), "{:?}", build.rustc);
    assert!(build.target.is_some_and(|target| target.contains(std::env::consts::ARCH)), "{:?}", build.target);
    let dependencies = build.dependencies().unwrap();
    let of = |name: &str| dependencies.iter().filter(|of| of.name == name).count();
    assert_eq!((of("opentelemetry"), of("no-such-crate")), (1, 0));
    assert!(tracewell::build_info!(lockfile: "Cargo.lock").dependencies().is_some());
    assert!(tracewell::build_info!().dependencies().is_none());
}
