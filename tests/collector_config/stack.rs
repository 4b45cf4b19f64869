//! The tiers of `collector-config/` as processes on free ports: started, killed and started again by name.

use std::{
    collections::BTreeMap,
    env,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;

#[path = "../common/backends/answers.rs"]
#[allow(dead_code, reason = "shared with a test that needs all of it")]
pub(crate) mod answers;
#[path = "../common/backends/dir.rs"]
mod dir;
#[path = "../common/backends/http.rs"]
#[allow(dead_code, reason = "shared with a test that needs all of it")]
mod http;
#[path = "../common/backends/process.rs"]
#[allow(dead_code, reason = "shared with a test that needs all of it")]
mod process;

pub(crate) use self::answers::{Exemplar, Sample};
use self::{
    dir::Dir,
    http::Http,
    process::{Process, Program},
};

const START: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(60);

/// Tries until there is a value or `timeout` has passed.
pub(crate) fn wait_until<T>(timeout: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + timeout;
    loop {
        if let Some(value) = attempt() {
            return Some(value);
        }
        if Instant::now() > end {
            return None;
        }
        thread::sleep(Duration::from_millis(50)); // foreign processes: nothing wakes us when they change
    }
}

/// The folder with what `tests/backends/build` made.
///
/// # Errors
/// A program is missing: which, and what builds it.
pub(crate) fn binaries() -> Result<PathBuf, String> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let cache = set("TRACEWELL_BACKENDS_CACHE").or_else(|| Some(user?.join("tracewell/backends")));
    let dir = set("TRACEWELL_BACKENDS_BIN").or_else(|| Some(cache?.join("bin"))).unwrap_or_default();
    for name in ["otelcol", "jaeger", "loki", "prometheus", "promtool", "checks"] {
        if !dir.join(name).is_file() {
            return Err(format!("no {name} in {}; tests/backends/build makes it", dir.display()));
        }
    }
    // a Collector of another checkout may have fewer components
    let list = Command::new(dir.join("otelcol")).arg("components").output().map_err(|e| e.to_string())?;
    if !String::from_utf8_lossy(&list.stdout).contains("k8s_attributes") {
        return Err(format!(
            "the otelcol in {} is another one; tests/backends/build makes it",
            dir.display()
        ));
    }
    Ok(dir)
}

pub(crate) fn config(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("collector-config").join(file).display().to_string()
}

/// Runs a program to its end: its stdout.
///
/// # Errors
/// It fails: with what it said.
pub(crate) fn run(program: &str, args: &[&str], envs: &[(&str, &str)]) -> Result<String, String> {
    let path = if program.contains('/') { PathBuf::from(program) } else { binaries()?.join(program) };
    let done = Command::new(path).args(args).envs(envs.iter().copied()).stdin(Stdio::null()).output();
    let done = done.map_err(|error| format!("{program}: {error}"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() {
        Ok(said(&done.stdout))
    } else {
        Err(format!("{program} {}: {}{}", args.join(" "), said(&done.stdout), said(&done.stderr)))
    }
}

/// An example of this package, which `cargo test` has built.
pub(crate) fn example(name: &str) -> PathBuf {
    let binary = env::current_exe().unwrap();
    let binary = binary.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(binary.exists(), "{} is not built: cargo build --example {name}", binary.display());
    binary
}

/// A port that nobody has, and that no outgoing connection is given before its program binds it: below the range of those.
fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let own = std::process::id().wrapping_mul(97); // another process looks elsewhere
    let next = || {
        let step = TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(10_000 + own.wrapping_add(step) % 22_000).ok()?;
        TcpListener::bind(("127.0.0.1", port)).ok().map(|_| port)
    };
    std::iter::repeat_with(next).take(22_000).flatten().next().unwrap()
}

/// Running programs. Dropping it kills them and removes their data.
pub(crate) struct Stack {
    http: Http,
    binaries: PathBuf,
    processes: BTreeMap<&'static str, Process>,
    ports: BTreeMap<&'static str, u16>,
    dir: Dir,
}

impl Stack {
    /// With certificates and a token for the tiers, made as their README says.
    pub(crate) fn new() -> Self {
        let stack = Self {
            http: Http::new(),
            binaries: binaries().unwrap(),
            processes: BTreeMap::new(),
            ports: BTreeMap::new(),
            dir: Dir::new().unwrap(),
        };
        run(&config("gateway/certificates"), &[&stack.file("tls")], &[]).unwrap();
        stack
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// The same port for the same name.
    pub(crate) fn port(&mut self, name: &'static str) -> u16 {
        *self.ports.entry(name).or_insert_with(free_port)
    }

    pub(crate) fn address(&mut self, name: &'static str) -> String {
        format!("127.0.0.1:{}", self.port(name))
    }

    pub(crate) fn url(&mut self, name: &'static str) -> String {
        format!("http://{}", self.address(name))
    }

    /// Starts a program; does not wait.
    pub(crate) fn launch(
        &mut self,
        name: &'static str,
        binary: PathBuf,
        args: Vec<String>,
        env: Vec<(&'static str, String)>,
        ready_url: String,
    ) {
        let program = Program { name, binary, args, env, ready_url };
        let process = Process::start(program, self.dir.path()).unwrap();
        self.processes.insert(name, process);
    }

    pub(crate) fn wait_ready(&mut self, name: &str) {
        let process = self.processes.get_mut(name).unwrap();
        let http = &self.http;
        let ready = wait_until(START, || {
            if process.exit_status().is_some() {
                return Some(false);
            }
            matches!(http.get(&process.program.ready_url, &[]), Ok((200, _))).then_some(true)
        });
        assert_eq!(ready, Some(true), "{name} is not ready\n{}", process.log_tail());
    }

    /// At once, as the kernel or a machine's end would.
    pub(crate) fn kill(&mut self, name: &str) {
        self.processes.get_mut(name).unwrap().kill();
    }

    /// Asks for an orderly end and waits for it.
    pub(crate) fn stop(&mut self, name: &str) {
        let process = self.processes.get_mut(name).unwrap();
        process.terminate();
        process.wait_or_kill(Duration::from_secs(20));
    }

    pub(crate) fn start_again(&mut self, name: &str) {
        self.processes.get_mut(name).unwrap().spawn().unwrap();
        self.wait_ready(name);
    }

    /// Jaeger, Loki and Prometheus with the files of `local/`.
    pub(crate) fn backends(&mut self) {
        let bin = |name: &str, stack: &Self| stack.binaries.join(name);
        let env = vec![
            ("JAEGER_HEALTH_PORT", self.port("jaeger_health").to_string()),
            ("JAEGER_QUERY_PORT", self.port("jaeger").to_string()),
            ("JAEGER_QUERY_GRPC_PORT", self.port("jaeger_query_grpc").to_string()),
            ("JAEGER_OTLP_GRPC_PORT", self.port("jaeger_otlp").to_string()),
            ("JAEGER_OTLP_HTTP_PORT", self.port("jaeger_otlp_http").to_string()),
        ];
        let ready = self.url("jaeger_health") + "/status";
        let args = vec!["--config".to_owned(), config("local/jaeger.yaml")];
        self.launch("jaeger", bin("jaeger", self), args, env, ready);
        let env = vec![
            ("LOKI_HTTP_PORT", self.port("loki").to_string()),
            ("LOKI_GRPC_PORT", self.port("loki_grpc").to_string()),
            ("LOKI_DATA_DIR", self.file("loki")),
        ];
        let ready = self.url("loki") + "/ready";
        let args =
            vec![format!("-config.file={}", config("local/loki.yaml")), "-config.expand-env=true".to_owned()];
        self.launch("loki", bin("loki", self), args, env, ready);
        let args = vec![
            format!("--config.file={}", config("local/prometheus.yaml")),
            format!("--storage.tsdb.path={}", self.file("prometheus")),
            format!("--web.listen-address={}", self.address("prometheus")),
            "--web.enable-otlp-receiver".to_owned(),
            "--enable-feature=exemplar-storage".to_owned(),
        ];
        let ready = self.url("prometheus") + "/-/ready";
        self.launch("prometheus", bin("prometheus", self), args, Vec::new(), ready);
        for name in ["jaeger", "loki", "prometheus"] {
            self.wait_ready(name);
        }
    }

    fn backend_addresses(&mut self) -> Vec<(&'static str, String)> {
        vec![
            ("JAEGER_OTLP_ENDPOINT", self.address("jaeger_otlp")),
            ("LOKI_URL", self.url("loki")),
            ("PROMETHEUS_URL", self.url("prometheus")),
        ]
    }

    fn collector(
        &mut self,
        name: &'static str,
        files: &[&str],
        env: Vec<(&'static str, String)>,
        health: &'static str,
    ) {
        let args = files.iter().flat_map(|file| ["--config".to_owned(), config(file)]).collect();
        let ready = self.url(health) + "/";
        self.launch(name, self.binaries.join("otelcol"), args, env, ready);
        self.wait_ready(name);
    }

    /// The Collector of `local/`, with its metrics in Prometheus.
    pub(crate) fn local(&mut self) {
        let mut env = vec![
            ("OTELCOL_OTLP_GRPC_PORT", self.port("local_grpc").to_string()),
            ("OTELCOL_OTLP_HTTP_PORT", self.port("local").to_string()),
            ("OTELCOL_HEALTH_PORT", self.port("local_health").to_string()),
            ("OTELCOL_METRICS_PORT", self.port("local_metrics").to_string()),
            ("OTELCOL_SELF_INTERVAL", "1s".to_owned()),
        ];
        env.extend(self.backend_addresses());
        self.collector("otelcol", &["local/otelcol.yaml", "local/otelcol-self.yaml"], env, "local_health");
    }

    pub(crate) fn gateway(&mut self, overlays: &[&str]) {
        let mut env = vec![
            ("GATEWAY_OTLP_GRPC_PORT", self.port("gateway").to_string()),
            ("GATEWAY_OTLP_HTTP_PORT", self.port("gateway_http").to_string()),
            ("GATEWAY_HEALTH_PORT", self.port("gateway_health").to_string()),
            ("GATEWAY_METRICS_PORT", self.port("gateway_metrics").to_string()),
            ("GATEWAY_TLS_DIR", self.file("tls/gateway")),
            ("GATEWAY_TOKEN_FILE", self.file("tls/gateway/tokens")),
            ("GATEWAY_QUEUE_DIR", self.file("gateway-queue")),
            ("GATEWAY_SELF_INTERVAL", "1s".to_owned()),
            ("GATEWAY_DECISION_WAIT", "2s".to_owned()),
            ("GATEWAY_KEPT_INTERVAL", "1s".to_owned()),
            ("KAFKA_BROKERS", self.address("kafka")),
            ("KAFKA_INSECURE", "true".to_owned()),
            ("KAFKA_CA_FILE", String::new()),
        ];
        env.extend(self.backend_addresses());
        self.collector("gateway", &[&["gateway/otelcol.yaml"], overlays].concat(), env, "gateway_health");
    }

    pub(crate) fn agent(&mut self, overlays: &[&str]) {
        let env = vec![
            ("AGENT_OTLP_GRPC_PORT", self.port("agent_grpc").to_string()),
            ("AGENT_OTLP_HTTP_PORT", self.port("agent").to_string()),
            ("AGENT_HEALTH_PORT", self.port("agent_health").to_string()),
            ("AGENT_METRICS_PORT", self.port("agent_metrics").to_string()),
            ("AGENT_TLS_DIR", self.file("tls/agent")),
            ("AGENT_TOKEN_FILE", self.file("tls/agent/token")),
            ("AGENT_QUEUE_DIR", self.file("agent-queue")),
            ("AGENT_SELF_INTERVAL", "1s".to_owned()),
            ("GATEWAY_ENDPOINT", self.address("gateway")),
            ("KAFKA_BROKERS", self.address("kafka")),
            ("KAFKA_INSECURE", "true".to_owned()),
            ("KAFKA_CA_FILE", String::new()),
        ];
        self.collector("agent", &[&["agent/otelcol.yaml"], overlays].concat(), env, "agent_health");
    }

    /// The answer of one of the programs, once `accept` is content with it.
    pub(crate) fn wait_for<T: std::fmt::Debug>(
        &mut self,
        what: &str,
        mut ask: impl FnMut(&mut Self) -> T,
        accept: impl Fn(&T) -> bool,
    ) -> T {
        let mut last = None;
        let found = wait_until(ANSWER, || {
            let answer = ask(self);
            if accept(&answer) {
                return Some(answer);
            }
            last = Some(answer);
            None
        });
        found.unwrap_or_else(|| {
            let last: String = format!("{last:?}").chars().take(3000).collect();
            let logs: String = self.processes.values().map(Process::log_tail).collect();
            panic!("waited {ANSWER:?} for {what}; the last answer was {last}\n{logs}")
        })
    }

    /// The sum of what a Collector says of spans in a metric of its own, at the door where Prometheus would ask; 0 before
    /// there is any.
    pub(crate) fn own_metric(&mut self, port: &'static str, metric: &str) -> f64 {
        let url = self.url(port) + "/metrics";
        let (_, page) = self.http.get(&url, &[]).unwrap_or_default();
        let of_spans = |line: &&str| {
            let rest = line.strip_prefix(metric).map(|rest| rest.trim_start_matches("_total"));
            rest.is_some_and(|rest| rest.starts_with('{'))
                && (metric.ends_with("_spans") || line.contains(r#"data_type="traces""#))
        };
        let values =
            page.lines().filter(of_spans).filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        values.sum()
    }

    pub(crate) fn get(&self, url: &str, query: &[(&str, String)]) -> Option<Value> {
        self.http.get_json(url, query).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn post(&self, url: &str, body: &Value) -> Result<(), String> {
        self.http.post_json(url, body)
    }

    pub(crate) fn jaeger_trace(&mut self, trace_id: &str) -> Option<Value> {
        let url = format!("{}/api/traces/{trace_id}", self.url("jaeger"));
        Some(self.get(&url, &[])?["data"][0].take())
    }

    /// Distinct spans of a trace in Jaeger.
    pub(crate) fn spans_of(&mut self, trace_id: &str) -> usize {
        let trace = self.jaeger_trace(trace_id).unwrap_or_default();
        let spans = trace["spans"].as_array().cloned().unwrap_or_default();
        spans.iter().map(|span| span["spanID"].to_string()).collect::<std::collections::BTreeSet<_>>().len()
    }

    pub(crate) fn promql(&mut self, query: &str) -> Vec<Sample> {
        let url = self.url("prometheus") + "/api/v1/query";
        answers::samples(&self.get(&url, &[("query", query.to_owned())]).unwrap_or_default())
    }

    pub(crate) fn exemplars(&mut self, selector: &str) -> Vec<Exemplar> {
        let url = self.url("prometheus") + "/api/v1/query_exemplars";
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let query = [
            ("query", selector.to_owned()),
            ("start", (now - 600).to_string()),
            ("end", (now + 60).to_string()),
        ];
        answers::exemplars(&self.get(&url, &query).unwrap_or_default())
    }

    /// What Loki answers to a query over the last ten minutes: streams of lines, or series.
    pub(crate) fn loki(&mut self, query: &str) -> Value {
        let url = self.url("loki") + "/loki/api/v1/query_range";
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let query = [
            ("query", query.to_owned()),
            ("start", (now - 600).to_string()),
            ("end", (now + 60).to_string()),
            ("limit", "5000".to_owned()),
        ];
        self.get(&url, &query).unwrap_or_default()
    }

    /// Lines that Loki has of services named `load-…`.
    pub(crate) fn loki_count(&mut self) -> f64 {
        let url = self.url("loki") + "/loki/api/v1/query";
        let query = r#"sum(count_over_time({service_namespace="load"}[15m]))"#;
        let answer = self.get(&url, &[("query", query.to_owned())]).unwrap_or_default();
        answers::samples(&answer).first().map_or(0.0, |sample| sample.value)
    }
}
