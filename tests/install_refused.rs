//! Telemetry that is refused was never there: no collector hears of it, and nobody waits for one.

use std::time::{Duration, Instant};

use tracewell::{
    Builder, InitError, Telemetry,
    requests::{NewEntry, Registry},
    testing::{Collector, Fault},
};

/// Why it was refused; the collector, which never answers, was not asked.
fn refused(change: impl FnOnce(Builder) -> Result<Telemetry, InitError>) -> InitError {
    let collector = Collector::start();
    collector.set_all(Fault::Hang);
    let builder = Telemetry::builder()
        .with_env([("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())])
        .with_shutdown_deadline(Duration::from_secs(20))
        .with_stdout(false);
    let begun = Instant::now();
    let error = change(builder).expect_err("it is refused");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(collector.read(|recorded| recorded.connections()), 0);
    error
}

#[test]
fn another_global_subscriber_stays_and_running_requests_with_it() {
    tracing::subscriber::set_global_default(tracing_subscriber::registry()).expect("it is the first");
    let span = tracing::info_span!("request");
    let _inside = span.enter();
    let guard = Registry::global().start(NewEntry::request("GET"));
    let error = refused(Builder::install);
    assert!(matches!(error, InitError::SubscriberAlreadySet), "{error}");
    assert_eq!(format!("{error:?}"), error.to_string(), "what a main that returns it prints");
    assert!(error.to_string().contains("accepted is none before install()"), "{error}");
    assert!(Registry::global().find(guard.handle().id()).is_some());
}

#[test]
fn an_address_in_use_is_an_error_at_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound");
    let error = refused(|builder| builder.with_admin_address(address).build());
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
