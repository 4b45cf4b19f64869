//! The three services as processes, each with its addresses.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use super::built::Built;
use crate::common::backends::wait_until;

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(10);

/// What one service says of itself.
#[derive(Debug, Deserialize)]
pub(crate) struct Said {
    pub(crate) name: String,
    pub(crate) trace_id: String,
    pub(crate) baggage: BTreeMap<String, String>,
}

/// The running services; they end, with what they have still to send, when this is dropped.
pub(crate) struct Services {
    all: Vec<Service>,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

struct Service {
    name: &'static str,
    child: Child,
    /// The services in other languages serve until this ends.
    stdin: Option<ChildStdin>,
    ports: BTreeMap<String, u16>,
}

impl Services {
    pub(crate) fn start(built: &Built, endpoint: &str) -> Self {
        let mut rust = std::env::current_exe().unwrap();
        rust.pop();
        rust.pop();
        rust.push("examples/interop");
        assert!(rust.exists(), "{} is not built: cargo build --example interop", rust.display());
        let mut rust = Command::new(rust);
        rust.env_clear();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self {
            all: vec![
                Service::start("rust", rust, endpoint),
                Service::start("python", built.python(), endpoint),
                Service::start("go", built.go(), endpoint),
            ],
            client: reqwest::Client::builder().no_proxy().timeout(START).build().unwrap(),
            runtime,
        }
    }

    /// Where `http/rust` or `grpc/go` is.
    fn address(&self, hop: &str) -> String {
        let (scheme, name) = hop.split_once('/').unwrap();
        let service = self.all.iter().find(|service| service.name == name).unwrap();
        format!("{scheme}://127.0.0.1:{}", service.ports[scheme])
    }

    pub(crate) fn relay(&self, first: &str, hops: &[&str]) -> Vec<Said> {
        let hops: Vec<_> = hops.iter().map(|hop| self.address(hop)).collect();
        let request = self
            .client
            .get(format!("{}/relay", self.address(first)))
            .query(&[("hops", hops.join(","))])
            .header("baggage", "tenant=acme");
        self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            let (status, text) = (response.status(), response.text().await.unwrap());
            assert!(status.is_success(), "{status}: {text}");
            serde_json::from_str(&text).unwrap()
        })
    }
}

impl Service {
    /// Started, with both of its ports said.
    fn start(name: &'static str, mut command: Command, endpoint: &str) -> Self {
        let is_rust = name == "rust";
        let variables = [
            ("ADDR", "127.0.0.1:0"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
            ("OTEL_SERVICE_NAME", name),
            ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
            ("NO_PROXY", "*"),
        ];
        // the service in Rust has its log lines on stdout
        let (out, err) =
            if is_rust { (Stdio::null(), Stdio::piped()) } else { (Stdio::piped(), Stdio::inherit()) };
        let mut child =
            command.envs(variables).stdin(Stdio::piped()).stdout(out).stderr(err).spawn().unwrap();
        let stdin = child.stdin.take();
        let said: Box<dyn Read + Send> = match child.stdout.take() {
            Some(stdout) => Box::new(stdout),
            None => Box::new(child.stderr.take().unwrap()),
        };
        let mut service = Self { name, child, stdin, ports: BTreeMap::new() };
        let (told, lines) = mpsc::channel();
        // reads to the end, so that the service never waits for its reader
        thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                let _ = told.send(line);
            }
        });
        while service.ports.len() < 2 {
            let line = lines.recv_timeout(START).unwrap_or_else(|_| panic!("{name} did not start"));
            if let Some((scheme @ ("http" | "grpc"), port)) = line.split_once(' ') {
                service.ports.insert(scheme.to_owned(), port.parse().unwrap());
            }
        }
        service
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.name == "rust" {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        }
        drop(self.stdin.take());
        let _ = wait_until(STOP, || self.child.try_wait().ok().flatten());
        // fails for one that has ended already, which is what is wanted
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
