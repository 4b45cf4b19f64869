//! `grpc.health.v1` says what the service's own checks say.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tonic::{Code, Request};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tracewell::{
    Telemetry,
    health::{Check, Verdict},
    requests::Registry,
    rpc::HealthService,
};

fn asked(service: &str) -> Request<HealthCheckRequest> {
    Request::new(HealthCheckRequest { service: service.to_owned() })
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_watch_follow_phase_and_checks_and_leave_no_trace() {
    let registry = Registry::new(16);
    let telemetry = Telemetry::builder()
        .with_env([("OTEL_SDK_DISABLED", "true")])
        .with_stdout(false)
        .with_registry(registry.clone())
        .build()
        .unwrap();
    let database = Arc::new(AtomicBool::new(true));
    let is_up = Arc::clone(&database);
    let check = Check::new(move || {
        let up = is_up.load(Ordering::Relaxed);
        async move { if up { Verdict::pass("up") } else { Verdict::fail("down") } }
    });
    let check = check.with_success_cache(None).with_failure_cache(None);
    telemetry.health().register("database", check);
    let health = HealthService::new(&telemetry).with_service("shop.Stock", ["database"]).into_server();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tonic::transport::Server::builder()
        .layer(telemetry.rpc_server_layer())
        .add_service(health)
        .serve_with_incoming_shutdown(tokio_stream::wrappers::TcpListenerStream::new(listener), async {
            drop(stopped.await)
        });
    let server = tokio::spawn(server);
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = HealthClient::new(channel.connect().await.unwrap());

    let mut watched = client.watch(asked("shop.Stock")).await.unwrap().into_inner();
    let mut unknown = client.watch(asked("shop.Other")).await.unwrap().into_inner();
    let mut next = async || watched.message().await.unwrap().map(|told| told.status());
    assert_eq!(next().await, Some(ServingStatus::NotServing), "starting");
    assert_eq!(unknown.message().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);
    telemetry.health().set_ready();
    assert_eq!(next().await, Some(ServingStatus::Serving));
    for name in ["", "shop.Stock", "database"] {
        assert_eq!(
            client.check(asked(name)).await.unwrap().into_inner().status(),
            ServingStatus::Serving,
            "{name}"
        );
    }
    assert_eq!(client.check(asked("shop.Other")).await.unwrap_err().code(), Code::NotFound);

    database.store(false, Ordering::Relaxed);
    assert_eq!(next().await, Some(ServingStatus::NotServing));
    for name in ["", "database"] {
        let status = client.check(asked(name)).await.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::NotServing, "{name:?}");
    }
    database.store(true, Ordering::Relaxed);
    assert_eq!(next().await, Some(ServingStatus::Serving));
    telemetry.health().set_draining();
    assert_eq!(next().await, Some(ServingStatus::NotServing));
    assert_eq!(next().await, None, "a watcher does not hold up a graceful shutdown");
    assert_eq!(unknown.message().await.unwrap(), None);

    stop.send(()).unwrap();
    tokio::time::timeout(crate::harness::PATIENCE, server).await.unwrap().unwrap().unwrap();
    assert_eq!(registry.snapshot().totals.started, 0, "probes are not requests");
}
