//! The log filter of an installed telemetry, changed over the admin server: one record, the `log` crate follows.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use tracewell::{
    Telemetry,
    otel::{
        AddProcessors as _,
        api::InstrumentationScope,
        sdk::{
            error::OTelSdkResult,
            logs::{LogProcessor, SdkLogRecord},
        },
    },
};

const LIMIT: Duration = Duration::from_secs(20);

/// Targets of the records, and a wake-up for each.
#[derive(Debug, Clone, Default)]
struct Records(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Records {
    /// Waits for as many.
    fn wait(&self, count: usize) -> Vec<String> {
        let (records, arrived) = &*self.0;
        let guard = records.lock().unwrap();
        let (guard, late) =
            arrived.wait_timeout_while(guard, LIMIT, |records| records.len() < count).unwrap();
        assert!(!late.timed_out(), "{guard:?}");
        guard.clone()
    }
}

impl LogProcessor for Records {
    fn emit(&self, record: &mut SdkLogRecord, _: &InstrumentationScope) {
        let target = record.target().map_or_else(String::new, |target| target.to_string());
        self.0.0.lock().unwrap().push(target);
        self.0.1.notify_all();
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn put(address: SocketAddr, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let length = body.len();
    let head = "PUT /loglevel HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    write!(stream, "{head}content-length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_change_over_the_admin_server_is_one_record_and_reaches_the_log_crate() {
    let records = Records::default();
    let variables = [
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("TRACEWELL_ADMIN_ADDR", "127.0.0.1:0"),
        ("RUST_LOG", "off"),
    ];
    let telemetry = Telemetry::builder()
        .with_env(variables)
        .with_stdout(false)
        .with_log_processor(records.clone())
        .install()
        .unwrap();
    let events = || {
        tracing::debug!(target: "events", "an event");
        log::debug!(target: "records", "a record");
    };
    events();
    let address = telemetry.admin_address().unwrap();
    let answer = put(address, "{\"filter\":\"debug\"}");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(records.wait(1), ["tracewell::loglevel"]);
    events();
    assert_eq!(records.wait(3), ["tracewell::loglevel", "events", "records"]);
    assert!(put(address, "{\"filter\":\"off\"}").starts_with("HTTP/1.1 200"));
    assert_eq!(records.wait(4)[3], "tracewell::loglevel");
    events();
    assert_eq!(records.wait(4).len(), 4);
}
