//! One trace through services in Rust, Python and Go, each with its language's official OpenTelemetry SDK, over HTTP and
//! gRPC, with baggage; found again in the real Collector, Jaeger, Loki and Prometheus.
//!
//! `python/` and `go/` are built once, with what they pin, into the user's cache folder. Without `python3`, `go` or the
//! backends the trials are ignored; with `TRACEWELL_REQUIRE_BACKENDS=1` that is a failure.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed helper fails its trial; the harness reports"
)]
#![allow(dead_code, unused_imports, reason = "the backends serve other tests too")]

mod built;
mod services;

#[path = "../common"]
mod common {
    pub(crate) mod backends;
    pub(crate) mod storefront;
}

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    sync::{Arc, OnceLock},
};

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

use self::{
    built::Built,
    common::backends::{Backends, require_or_skip},
    services::Services,
};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut ignored = !require_or_skip("interop");
    if let Err(missing) = built::tools() {
        assert!(
            std::env::var("TRACEWELL_REQUIRE_BACKENDS").as_deref() != Ok("1"),
            "interop needs its tools: {missing}"
        );
        eprintln!("interop: trials with other languages are ignored: {missing}");
        ignored = true;
    }
    let world: Arc<OnceLock<World>> = Arc::default();
    type Test = fn(&World);
    let trials: [(&str, Test); 4] = [
        ("a_call_that_starts_in_rust_goes_through_every_service_both_ways", from_rust),
        ("a_call_that_starts_in_python_is_one_trace", from_python),
        ("a_call_that_starts_in_go_is_one_trace", from_go),
        ("a_span_of_each_language_leads_to_its_logs_and_metrics", joined),
    ];
    let trials = trials.into_iter().map(|(name, trial)| {
        let world = Arc::clone(&world);
        let test = move || {
            trial(world.get_or_init(World::start));
            Ok(())
        };
        Trial::test(name, test).with_ignored_flag(ignored)
    });
    // the last reference to the world is dropped here: its programs stop before the process ends
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Backends and services, started by the first trial that needs them.
struct World {
    /// The first to go: they have still to send.
    services: Services,
    backends: Backends,
}

impl World {
    fn start() -> Self {
        let built = Built::get().unwrap_or_else(|error| panic!("{error}"));
        let backends = Backends::start().unwrap_or_else(|error| panic!("{error}"));
        let services = Services::start(&built, &backends.otlp_http_endpoint());
        Self { services, backends }
    }

    /// Asks the first service, without a trace but with baggage, to go through these hops; the trace, checked.
    fn relay(&self, first: &str, hops: &[&str]) -> String {
        let names: Vec<&str> =
            [first].iter().chain(hops).map(|hop| hop.split('/').next_back().unwrap()).collect();
        let said = self.services.relay(first, hops);
        assert_eq!(said.iter().map(|said| &*said.name).collect::<Vec<_>>(), names);
        let trace_id = said[0].trace_id.clone();
        for (at, said) in said.iter().enumerate() {
            let mut expected = BTreeMap::from([("tenant".to_owned(), "acme".to_owned())]);
            expected.extend(names[..at].iter().map(|name| (format!("seen.{name}"), "yes".to_owned())));
            assert_eq!((&said.trace_id, &said.baggage), (&trace_id, &expected), "hop {at}, in {}", said.name);
        }
        self.assert_chain(&trace_id, &names);
        trace_id
    }

    /// Few exemplars are kept of a series, but each leads to a trace that Jaeger has from all three languages.
    fn lead_to_all_three(&self, selector: &str) {
        let exemplars = self.backends.wait_prometheus_exemplars(selector, |found| !found.is_empty());
        for exemplar in exemplars {
            let trace = self.backends.wait_jaeger_trace(&exemplar.trace_id, 9);
            let processes = trace["processes"].as_object().unwrap().values();
            let names: BTreeSet<_> =
                processes.map(|process| process["serviceName"].as_str().unwrap()).collect();
            assert_eq!(names, BTreeSet::from(["go", "python", "rust"]), "{selector}");
        }
    }

    /// The servers of the trace are these services, each called by the one before.
    fn assert_chain(&self, trace_id: &str, names: &[&str]) {
        // a client's and a server's span of each hop, and the first server's
        let trace = self.backends.wait_jaeger_trace(trace_id, 2 * names.len() - 1);
        let spans = trace["spans"].as_array().unwrap();
        let kind = |span: &Value| {
            let tags = span["tags"].as_array().unwrap();
            tags.iter()
                .find(|tag| tag["key"] == "span.kind")
                .map(|tag| tag["value"].as_str().unwrap().to_owned())
        };
        let service = |span: &Value| {
            let process = span["processID"].as_str().unwrap();
            trace["processes"][process]["serviceName"].as_str().unwrap().to_owned()
        };
        let parent = |span: &Value| {
            let of = span["references"].as_array()?.first()?["spanID"].as_str()?.to_owned();
            Some(
                spans
                    .iter()
                    .find(|span| span["spanID"] == *of)
                    .unwrap_or_else(|| panic!("no {of}: {trace:#}")),
            )
        };
        let servers: Vec<&Value> =
            spans.iter().filter(|span| kind(span).as_deref() == Some("server")).collect();
        assert_eq!(servers.len(), names.len(), "{trace:#}");
        // from the last one to the first: each server's caller is a client's span inside of the server before
        let callers: Vec<&str> =
            servers.iter().filter_map(|span| parent(parent(span)?)?["spanID"].as_str()).collect();
        let last = servers.iter().find(|span| !callers.contains(&span["spanID"].as_str().unwrap())).unwrap();
        let mut chain = vec![service(last)];
        let mut at = *last;
        while let Some(caller) = parent(at) {
            assert_eq!(kind(caller).as_deref(), Some("client"), "{trace:#}");
            at = parent(caller).unwrap();
            assert_eq!(service(at), service(caller), "{trace:#}");
            chain.push(service(at));
        }
        chain.reverse();
        assert_eq!(chain, names, "{trace:#}");
    }
}

/// All eight ways between Rust and the others: each language, each protocol, each direction.
fn from_rust(world: &World) {
    world.relay(
        "http/rust",
        &[
            "http/python",
            "grpc/rust",
            "grpc/go",
            "http/rust",
            "grpc/python",
            "http/rust",
            "http/go",
            "grpc/rust",
        ],
    );
}

fn from_python(world: &World) {
    world.relay("http/python", &["grpc/rust", "http/go", "http/rust", "grpc/python"]);
}

fn from_go(world: &World) {
    world.relay("http/go", &["http/rust", "grpc/python", "grpc/rust", "grpc/go"]);
}

/// From the trace to each service's log lines, and from each service's metrics to the trace.
fn joined(world: &World) {
    let trace_id = world.relay("http/rust", &["grpc/python", "grpc/rust", "http/go", "grpc/rust"]);
    for name in ["rust", "python", "go"] {
        let lines = world.backends.wait_loki_lines(name, &trace_id, 1);
        let said = format!("relayed by {name}");
        assert!(lines.iter().any(|line| line.line == said), "{lines:?}");
        let selector = format!("relay_duration_seconds_bucket{{service_name=\"{name}\"}}");
        world.lead_to_all_three(&selector);
    }
    for metric in ["rpc_server_call_duration", "rpc_client_call_duration"] {
        let selector =
            format!("{metric}_seconds_bucket{{service_name=\"rust\",rpc_method=\"interop.Relay/Pass\"}}");
        world.lead_to_all_three(&selector);
    }
}
