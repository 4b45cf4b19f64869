//! The examples, driven through what they can do. Each sends to a collector of its own.

use std::time::Duration;

use tracewell::testing::{Collector, Recorded};

use crate::{
    nats::{self, Nats},
    postgres::{self, Postgres},
    program::{Program, wait_until},
};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A started example, and what it sends to.
struct Sending {
    program: Program,
    collector: Collector,
}

impl Sending {
    fn start(name: &str, arguments: &[&str], input: &str, environment: &[(&str, &str)]) -> Self {
        let collector = Collector::start();
        let endpoint = collector.endpoint();
        let usual = [("ADDR", "127.0.0.1:0"), ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)];
        let environment = [&usual, environment].concat();
        Self { program: Program::start_fed(name, arguments, input, &environment), collector }
    }

    /// Waits for a metric of something that is observed while it lives, and is gone when the last of all is sent.
    fn measured(&self, name: &str) {
        let has = |recorded: &Recorded| recorded.metrics().iter().any(|metric| metric.name() == name);
        assert!(self.collector.wait_for(PATIENCE, has), "no {name}: {}", self.program.said());
    }

    /// Asks it to stop: everything is sent then.
    fn stop(self) -> Collector {
        self.program.stop();
        self.collector
    }
}

/// Runs calls of a client's to their end.
fn calls<T>(calls: impl AsyncFnOnce(reqwest::Client) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(calls(reqwest::Client::builder().no_proxy().build().unwrap()))
}

/// Everything that the shop can do.
pub(crate) fn storefront() -> Collector {
    let environment = [
        ("STOREFRONT_ADDR", "127.0.0.1:0"),
        ("PAYMENTS_ADDR", "127.0.0.1:0"),
        ("TRACEWELL_ADMIN_ADDR", "127.0.0.1:0"),
        ("TRACEWELL_ACCESS_LOG", "all"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.version=1.2.3"),
    ];
    let sending = Sending::start("storefront", &["--visitors", "0"], "", &environment);
    let shop = format!("http://{}", sending.program.address("storefront "));
    calls(async |client| {
        let get = |path: &str| client.get(format!("{shop}{path}")).send();
        for path in [
            "/products",
            "/products/7?token=x",
            "/products/999",
            "/slow?ms=20",
            "/stream?chunks=2&ms=5",
            "/spawn?n=2",
        ] {
            get(path).await.unwrap().bytes().await.unwrap();
        }
        // the connection of a handler that panicked is closed
        let _ = get("/panic").await;
        let post = |path: &str, fail: &str, body: &'static str| {
            let request = client.post(format!("{shop}{path}")).header("x-fail", fail);
            request.header("content-type", "application/json").body(body).send()
        };
        let order = r#"{"product":1,"quantity":2}"#;
        for (path, fail, body) in [
            ("/orders", "0", order),
            ("/orders", "1", order),
            ("/orders", "0", "{"),
            ("/login", "0", r#"{"user":"a"}"#),
        ] {
            post(path, fail, body).await.unwrap().bytes().await.unwrap();
        }
        // left in the middle
        let left =
            client.get(format!("{shop}/slow?ms=20000")).timeout(Duration::from_millis(50)).send().await;
        assert!(left.is_err());
    });
    sending.measured("breakers.state");
    sending.stop()
}

/// Both sides of calls, good and bad ones, and of a stream that is left.
pub(crate) fn grpc() -> Collector {
    let sending = Sending::start("grpc", &[], "", &[]);
    wait_until(|| sending.program.said().contains("the calls are made").then_some(())).unwrap();
    sending.stop()
}

/// A service that calls itself over HTTP and gRPC, with baggage, and one that is not there.
pub(crate) fn interop() -> Collector {
    let sending = Sending::start("interop", &[], "", &[]);
    let port = wait_until(|| {
        let said = sending.program.said();
        said.lines().find_map(|line| line.strip_prefix("http ").map(str::to_owned))
    });
    let port = port.unwrap();
    calls(async |client| {
        for (hops, status) in [
            (format!("grpc://127.0.0.1:{port},http://127.0.0.1:{port},grpc://127.0.0.1:{port}"), 200),
            ("http://127.0.0.1:9".to_owned(), 502),
            ("grpc://127.0.0.1:9".to_owned(), 502),
        ] {
            let request = client.get(format!("http://127.0.0.1:{port}/relay")).query(&[("hops", hops)]);
            let answer = request.header("baggage", "tenant=acme").send().await.unwrap();
            assert_eq!(answer.status().as_u16(), status);
        }
    });
    sending.stop()
}

/// A periodic task, and messages that are sent, processed, and delivered again.
pub(crate) fn worker() -> Collector {
    let sending = Sending::start("worker", &[], "", &[("OTEL_BSP_SCHEDULE_DELAY", "50")]);
    processed(&sending, 3);
    sending.stop()
}

/// Waits for that many attempts at messages.
fn processed(sending: &Sending, attempts: usize) {
    let enough = sending.collector.wait_for(PATIENCE, |recorded| {
        recorded.spans().iter().filter(|span| span.name().starts_with("process ")).count() >= attempts
    });
    assert!(enough, "{:?} {}", sending.collector.spans(), sending.program.said());
}

/// Messages over NATS: one by one and in batches, good ones, one that comes twice, one that is refused.
pub(crate) fn messages() -> Option<Collector> {
    if !nats::require_or_skip("messages by the conventions") {
        return None;
    }
    let nats = Nats::start();
    let environment = [("NATS_URL", &*nats.url()), ("TRACEWELL_PRESET", "development")];
    let sending = Sending::start("messages", &[], "", &environment);
    processed(&sending, 4);
    Some(sending.stop())
}

/// Queries that find, find nothing, and are in a transaction; and a database that is gone.
pub(crate) fn postgres() -> Option<Collector> {
    if !postgres::require_or_skip("databases by the conventions") {
        return None;
    }
    let mut server = Postgres::start();
    let environment = [("DATABASE_URL", &*server.url()), ("OTEL_METRIC_EXPORT_INTERVAL", "100")];
    let sending = Sending::start("postgres", &[], "", &environment);
    let url = format!("http://{}/users/7", sending.program.address(""));
    calls(async |client| {
        assert_eq!(client.get(&url).send().await.unwrap().status().as_u16(), 404);
        assert_eq!(client.post(&url).body("Ada").send().await.unwrap().status().as_u16(), 201);
        assert_eq!(client.get(&url).send().await.unwrap().status().as_u16(), 200);
        sending.measured("db.client.connection.count");
        server.kill();
        assert_eq!(client.get(&url).send().await.unwrap().status().as_u16(), 500);
    });
    Some(sending.stop())
}

/// A service that is asked for these paths.
pub(crate) fn served(name: &str, paths: &[&str]) -> Collector {
    let sending = Sending::start(name, &[], "", &[]);
    for path in paths {
        sending.program.get("", path);
    }
    sending.stop()
}

/// A program that ends by itself.
pub(crate) fn ends(name: &str, input: &str) -> Collector {
    let sending = Sending::start(name, &[], input, &[]);
    sending.program.end();
    sending.collector
}

/// The same, told by its file.
pub(crate) fn config_file() -> Collector {
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/config_file/otel.yaml");
    let collector = Collector::start();
    let environment = [("OTEL_CONFIG_FILE", FILE), ("COLLECTOR", &*collector.endpoint())];
    Program::start("config_file", &environment).end();
    collector
}
