//! A real Collector, Jaeger, Loki and Prometheus for one test binary, with the files of `collector-config/local/` unchanged.
//!
//! The calls block and work from any thread. A waiting call panics after 30 s, saying what it waited for, the last answer
//! and the end of each program's log. Dropping [`Backends`] stops every program, also while a test panics.

mod answers;
mod dir;
mod http;
mod process;
mod programs;
pub(crate) mod sample;
pub(crate) mod scraping;

use std::{
    env, fs, io,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime},
};

use rustix::process::Pid;
use serde_json::Value;

pub(crate) use self::{
    answers::{Exemplar, LokiLine, Received, Sample},
    programs::{Ports, config_dir},
};
use self::{
    dir::Dir,
    http::Http,
    process::{Process, Program},
    programs::Binaries,
};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const PORTS_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a start is tried with new ports when somebody took one of them first.
const STARTS: usize = 3;

/// Whether trials that need the backends can run; says on stderr why not.
///
/// # Panics
/// They are not there and `TRACEWELL_REQUIRE_BACKENDS` is `1`.
pub(crate) fn require_or_skip(test: &str) -> bool {
    let Err(missing) = Binaries::find() else { return true };
    assert!(
        env::var("TRACEWELL_REQUIRE_BACKENDS").as_deref() != Ok("1"),
        "{test} needs its backends: {missing}"
    );
    eprintln!("{test}: trials with real backends are ignored: {missing}");
    false
}

/// Tries until there is a value or `timeout` has passed.
pub(crate) fn wait_until<T>(timeout: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return Some(value);
        }
        if started.elapsed() > timeout {
            return None;
        }
        thread::sleep(Duration::from_millis(20)); // foreign processes: nothing wakes us when they change
    }
}

/// Runs one of the programs to its end, which its arguments make a short one.
///
/// # Errors
/// It is missing, fails, or takes longer than 30 s; with the end of its output.
pub(crate) fn run(name: &'static str, args: Vec<String>) -> Result<(), String> {
    let dir = Dir::new().map_err(|error| error.to_string())?;
    let binary = Binaries::find()?.path(name);
    let program = Program { name, binary, args, env: Vec::new(), ready_url: String::new() };
    let mut process = Process::start(program, dir.path()).map_err(|error| format!("{name}: {error}"))?;
    match wait_until(ANSWER_TIMEOUT, || process.exit_status()) {
        Some(status) if status.success() => Ok(()),
        status => {
            Err(format!("{name} {}: {status:?}\n{}", process.program.args.join(" "), process.log_tail()))
        }
    }
}

/// The running programs. Dropping it stops them and removes their data.
pub(crate) struct Backends {
    http: Http,
    ports: Ports,
    /// The Collector is the first.
    processes: Mutex<Vec<Process>>,
    dir: Dir,
}

impl Backends {
    /// Starts all four and waits until they are ready.
    ///
    /// # Errors
    /// A program is missing, ends at once or is not ready within 60 s; with the end of its log.
    pub(crate) fn start() -> Result<Self, String> {
        Self::start_programs(Ports::free, |binaries, ports, dir| {
            vec![
                programs::otelcol(binaries, ports, dir, programs::config("otelcol-file.yaml")),
                programs::jaeger(binaries, ports),
                programs::loki(binaries, ports, &dir.join("loki")),
                programs::prometheus(binaries, ports, &dir.join("prometheus")),
            ]
        })
    }

    /// Starts a Collector that writes to files only: [`received`](Self::received) works, the queries find nobody.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn collector_only() -> Result<Self, String> {
        Self::collector_only_on(Ports::free)
    }

    /// The same on chosen ports; `ports` is asked again when one of them turns out to be taken.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn collector_only_on(ports: impl FnMut() -> io::Result<Ports>) -> Result<Self, String> {
        Self::start_programs(ports, |binaries, ports, dir| {
            vec![programs::otelcol(binaries, ports, dir, programs::config("otelcol-file-only.yaml"))]
        })
    }

    /// Starts a Collector that answers a request only when the OTLP server at `endpoint` has taken what is in it. What it
    /// says it has taken is there, whatever becomes of it then.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn collector_in_front_of(endpoint: &str) -> Result<Self, String> {
        Self::start_programs(Ports::free, |binaries, ports, dir| {
            vec![programs::otelcol(binaries, ports, dir, programs::in_front_of(endpoint))]
        })
    }

    /// Starts a Collector that passes everything on to the OTLP server at `endpoint`, and counts the calls that spans stand
    /// for: `traces.span.metrics.calls`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn collector_counting_in_front_of(endpoint: &str) -> Result<Self, String> {
        Self::start_programs(Ports::free, |binaries, ports, dir| {
            vec![programs::otelcol(binaries, ports, dir, programs::counting_in_front_of(endpoint))]
        })
    }

    fn start_programs(
        mut ports: impl FnMut() -> io::Result<Ports>,
        programs: impl Fn(&Binaries, &Ports, &Path) -> Vec<Program>,
    ) -> Result<Self, String> {
        let binaries = Binaries::find()?;
        let mut tries = 1;
        loop {
            let dir = Dir::new().map_err(|error| format!("no folder for the backends: {error}"))?;
            let ports = ports().map_err(|error| format!("no free ports: {error}"))?;
            let programs = programs(&binaries, &ports, dir.path());
            let backends = Self { http: Http::new(), ports, processes: Mutex::default(), dir };
            match backends.start_all(programs) {
                Ok(()) => return Ok(backends),
                Err(_) if tries < STARTS && backends.lock().iter().any(Process::lost_a_port) => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn start_all(&self, programs: Vec<Program>) -> Result<(), String> {
        for program in programs {
            let name = program.name;
            let process =
                Process::start(program, self.dir.path()).map_err(|error| format!("{name}: {error}"))?;
            self.lock().push(process);
        }
        let count = self.lock().len(); // not held while they are waited for
        let deadline = Instant::now() + START_TIMEOUT; // one for all
        (0..count).try_for_each(|index| self.wait_ready(index, deadline))
    }

    fn wait_ready(&self, index: usize, deadline: Instant) -> Result<(), String> {
        let url = self.lock()[index].program.ready_url.clone();
        let ready = wait_until(deadline.saturating_duration_since(Instant::now()), || {
            if self.lock()[index].exit_status().is_some() {
                return Some(Err("ended at its start"));
            }
            matches!(self.http.get(&url, &[]), Ok((200, _))).then_some(Ok(()))
        });
        ready.unwrap_or(Err("is not ready after 60 s")).map_err(|what| {
            let process = &self.lock()[index];
            format!("{} {what}\n{}", process.program.name, process.log_tail())
        })
    }

    pub(crate) fn otlp_grpc_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.otlp_grpc)
    }

    pub(crate) fn otlp_http_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.otlp_http)
    }

    /// The ids of the running programs.
    pub(crate) fn process_ids(&self) -> Vec<Pid> {
        self.lock().iter().filter_map(Process::id).collect()
    }

    /// Sends one OTLP JSON message to the Collector; `signal` is `traces`, `logs` or `metrics`.
    ///
    /// # Errors
    /// The Collector is away or refuses it.
    pub(crate) fn send_json(&self, signal: &str, message: &Value) -> Result<(), String> {
        self.http.post_json(&format!("{}/v1/{signal}", self.otlp_http_endpoint()), message)
    }

    /// Sends one OTLP message to the Collector over gRPC; `service` as in `trace.v1.TraceService`.
    ///
    /// # Errors
    /// The Collector is away.
    pub(crate) fn send_grpc(&self, service: &str, message: &[u8]) -> Result<(), String> {
        let endpoint = self.otlp_grpc_endpoint();
        self.http.post_grpc(&format!("{endpoint}/opentelemetry.proto.collector.{service}/Export"), message)
    }

    /// Ends the Collector as a crash would; what it had not passed on is lost.
    pub(crate) fn kill_collector(&self) {
        self.lock()[0].kill();
    }

    /// Ends the Collector as its supervisor would: it finishes what it has begun.
    pub(crate) fn stop_collector(&self) {
        let mut processes = self.lock();
        processes[0].terminate();
        processes[0].wait_or_kill(STOP_TIMEOUT);
    }

    /// Starts the Collector again on the same ports and waits until it is ready.
    ///
    /// # Errors
    /// It ends at once, is not ready within 60 s, or somebody else has one of its ports for 10 s.
    pub(crate) fn restart_collector(&self) -> Result<(), String> {
        let restarted = wait_until(PORTS_TIMEOUT, || {
            let spawned = self.lock()[0].spawn().map_err(|error| format!("otelcol: {error}"));
            match spawned.and_then(|()| self.wait_ready(0, Instant::now() + START_TIMEOUT)) {
                Err(_) if self.lock()[0].lost_a_port() => None,
                result => Some(result),
            }
        });
        restarted.unwrap_or_else(|| Err("another process has taken a port of the Collector".to_owned()))
    }

    /// The trace as Jaeger has it now: `{"traceID", "spans": […], "processes": {…}}`.
    pub(crate) fn jaeger_trace(&self, trace_id: &str) -> Option<Value> {
        self.try_jaeger_trace(trace_id).unwrap()
    }

    /// The trace, once it has `spans` spans or more.
    pub(crate) fn wait_jaeger_trace(&self, trace_id: &str, spans: usize) -> Value {
        let complete = |trace: &Value| trace["spans"].as_array().is_some_and(|found| found.len() >= spans);
        let what = format!("{spans} spans of trace {trace_id} in Jaeger");
        self.wait(&what, || self.try_jaeger_trace(trace_id), |trace| trace.as_ref().is_some_and(complete))
            .unwrap()
    }

    fn try_jaeger_trace(&self, trace_id: &str) -> Result<Option<Value>, String> {
        let url = format!("http://127.0.0.1:{}/api/traces/{trace_id}", self.ports.jaeger_query);
        Ok(self.http.get_json(&url, &[])?.map(|mut answer| answer["data"][0].take()))
    }

    /// The lines of a service that carry the trace id, oldest first.
    pub(crate) fn loki_lines(&self, service: &str, trace_id: &str) -> Vec<LokiLine> {
        self.loki_query(&loki_by_trace(service, trace_id)).unwrap()
    }

    /// The lines of a service that carry the trace id, once there are `lines` or more.
    pub(crate) fn wait_loki_lines(&self, service: &str, trace_id: &str, lines: usize) -> Vec<LokiLine> {
        let query = loki_by_trace(service, trace_id);
        self.wait(
            &format!("{lines} lines in Loki for {query}"),
            || self.loki_query(&query),
            |found| found.len() >= lines,
        )
    }

    /// The lines of the last 10 minutes that a LogQL query finds, oldest first.
    ///
    /// # Errors
    /// Loki is away or refuses the query.
    pub(crate) fn loki_query(&self, query: &str) -> Result<Vec<LokiLine>, String> {
        let url = format!("http://127.0.0.1:{}/loki/api/v1/query_range", self.ports.loki);
        let (start, end) = around_now();
        let query = [
            ("query", query.to_owned()),
            ("start", start.to_string()),
            ("end", end.to_string()),
            ("limit", "5000".to_owned()),
            ("direction", "forward".to_owned()),
        ];
        Ok(answers::loki_lines(&self.http.get_json(&url, &query)?.unwrap_or_default()))
    }

    /// The exemplars of the last 10 minutes for a PromQL selector.
    pub(crate) fn prometheus_exemplars(&self, query: &str) -> Vec<Exemplar> {
        self.try_prometheus_exemplars(query).unwrap()
    }

    /// The exemplars that a PromQL selector finds, once `accept` is content with them.
    pub(crate) fn wait_prometheus_exemplars(
        &self,
        query: &str,
        accept: impl Fn(&[Exemplar]) -> bool,
    ) -> Vec<Exemplar> {
        let ask = || self.try_prometheus_exemplars(query);
        self.wait(&format!("the exemplars of {query} in Prometheus"), ask, |found| accept(found))
    }

    fn try_prometheus_exemplars(&self, query: &str) -> Result<Vec<Exemplar>, String> {
        let url = format!("http://127.0.0.1:{}/api/v1/query_exemplars", self.ports.prometheus);
        let (start, end) = around_now();
        let query = [("query", query.to_owned()), ("start", start.to_string()), ("end", end.to_string())];
        Ok(answers::exemplars(&self.http.get_json(&url, &query)?.unwrap_or_default()))
    }

    /// The series of an instant query.
    ///
    /// # Errors
    /// Prometheus is away or refuses the query.
    pub(crate) fn prometheus_query(&self, query: &str) -> Result<Vec<Sample>, String> {
        let url = format!("http://127.0.0.1:{}/api/v1/query", self.ports.prometheus);
        Ok(answers::samples(&self.http.get_json(&url, &[("query", query.to_owned())])?.unwrap_or_default()))
    }

    /// The series of an instant query, once `accept` is content with them.
    pub(crate) fn wait_prometheus_query(
        &self,
        query: &str,
        accept: impl Fn(&[Sample]) -> bool,
    ) -> Vec<Sample> {
        self.wait(&format!("{query} in Prometheus"), || self.prometheus_query(query), |found| accept(found))
    }

    /// What reached the Collector so far; what it wrote before a crash is still there.
    pub(crate) fn received(&self) -> Received {
        let messages = |file, head: &str| {
            let text = fs::read_to_string(self.dir.path().join(file)).unwrap_or_default();
            // a kill takes the end of what was not yet written: of a message, or only the line's end after a whole one.
            // Either way the next message begins on that line, and every head begins one: inside a text its quotes
            // would be escaped. The last message may be half written.
            let whole = |tail: &str| serde_json::from_str(format!("{head}{tail}").trim_end()).ok();
            text.split(head).filter_map(whole).collect()
        };
        Received {
            traces: messages("traces.jsonl", r#"{"resourceSpans""#),
            logs: messages("logs.jsonl", r#"{"resourceLogs""#),
            metrics: messages("metrics.jsonl", r#"{"resourceMetrics""#),
        }
    }

    /// What reached the Collector, once `accept` is content with it.
    pub(crate) fn wait_received(&self, what: &str, accept: impl Fn(&Received) -> bool) -> Received {
        self.wait(&format!("{what} at the Collector"), || Ok(self.received()), accept)
    }

    fn wait<T: std::fmt::Debug>(
        &self,
        what: &str,
        ask: impl Fn() -> Result<T, String>,
        accept: impl Fn(&T) -> bool,
    ) -> T {
        let mut last = None;
        let found = wait_until(ANSWER_TIMEOUT, || match ask() {
            Ok(answer) if accept(&answer) => Some(answer),
            answer => {
                last = Some(answer);
                None
            }
        });
        found.unwrap_or_else(|| {
            let logs: String = self.lock().iter().map(Process::log_tail).collect();
            let last: String = format!("{last:?}").chars().take(4000).collect();
            panic!("waited 30 s for {what}; the last answer was {last}\n{logs}")
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Process>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Backends {
    fn drop(&mut self) {
        let mut processes = self.lock();
        processes.iter().for_each(Process::terminate); // all at once, then wait: the slowest counts, not the sum
        let deadline = Instant::now() + STOP_TIMEOUT;
        for process in processes.iter_mut() {
            process.wait_or_kill(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

fn loki_by_trace(service: &str, trace_id: &str) -> String {
    format!("{{service_name=\"{service}\"}} | trace_id=\"{trace_id}\"")
}

/// From 10 minutes ago to a minute ahead, in seconds since 1970: what a test itself has sent.
fn around_now() -> (u64, u64) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    (now - 600, now + 60)
}
