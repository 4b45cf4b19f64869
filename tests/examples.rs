//! Each example, as the program a reader starts: it shows what it says it shows, and complains about nothing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tracewell::testing::{
    Attributes, Collector, LogRecord, SpanRecord,
    proto::{
        metrics::v1::{NumberDataPoint, metric::Data, number_data_point::Value},
        trace::v1::span::SpanKind,
    },
};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running example, with a collector of its own.
struct Example {
    child: KilledOnDrop,
    collector: Collector,
    stdout: Lines,
    stderr: Lines,
}

/// An example that has ended.
struct Ended {
    status: ExitStatus,
    collector: Collector,
    stdout: Vec<String>,
    stderr: Vec<String>,
}

impl Example {
    fn start(name: &str) -> Self {
        Self::start_with(name, "")
    }

    fn start_with(name: &str, input: &str) -> Self {
        Self::start_in(name, input, |collector| [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())])
    }

    fn start_in<const N: usize>(
        name: &str,
        input: &str,
        variables: impl FnOnce(&Collector) -> [(&'static str, String); N],
    ) -> Self {
        let mut path = PathBuf::from(std::env::current_exe().unwrap().parent().unwrap());
        path.pop();
        path.push("examples");
        path.push(name);
        assert!(path.exists(), "{} is missing: cargo build --example {name}", path.display());
        let collector = Collector::start();
        let mut child = Command::new(path)
            .env_clear()
            .env("ADDR", "127.0.0.1:0")
            .envs(variables(&collector))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let mut child = KilledOnDrop(child);
        child.0.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Self { child, collector, stdout: Lines::read(stdout), stderr: Lines::read(stderr) }
    }

    /// The body of a GET to the address that the example told.
    fn get(&mut self, path: &str) -> String {
        self.get_as(path, "*/*").split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// The whole answer, in the form that is accepted.
    fn get_as(&mut self, path: &str, accept: &str) -> String {
        let line = self.stderr.wait_for(|line| line.starts_with("listening on "));
        let address = line.strip_prefix("listening on http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: {accept}");
        write!(stream, "{head}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks it to stop, as an orchestrator does.
    fn stop(self) -> Ended {
        kill_process(Pid::from_child(&self.child.0), Signal::TERM).unwrap();
        self.end()
    }

    /// Waits for its end. An example says nothing on stderr but what is written in it.
    fn end(mut self) -> Ended {
        let (stdout, stderr) = (self.stdout.end(), self.stderr.end());
        let status = self.child.0.wait().unwrap();
        let complaint = stderr.iter().find(|line| line.contains("tracewell"));
        assert_eq!(complaint, None, "{stderr:?}");
        Ended { status, collector: self.collector, stdout, stderr }
    }
}

impl Ended {
    #[track_caller]
    fn successful(self) -> Self {
        assert!(self.status.success(), "{}: {:?}", self.status, self.stderr);
        self
    }

    #[track_caller]
    fn span(&self, name: &str) -> SpanRecord {
        let mut spans = self.spans(name);
        assert_eq!(spans.len(), 1, "{name}: {:?}", self.collector.spans());
        spans.remove(0)
    }

    fn spans(&self, name: &str) -> Vec<SpanRecord> {
        self.collector.spans().into_iter().filter(|span| span.name() == name).collect()
    }

    #[track_caller]
    fn log(&self, body: &str) -> LogRecord {
        let mut logs: Vec<_> = self.collector.logs().into_iter().filter(|log| log.body() == body).collect();
        assert_eq!(logs.len(), 1, "{body}: {:?}", self.collector.logs());
        logs.remove(0)
    }

    /// Log record and metric belong to this span.
    #[track_caller]
    fn assert_one_trace(&self, span: &SpanRecord, log: &str, metric: &str) {
        let ids = (span.trace_id(), span.span_id());
        let record = self.log(log);
        assert_eq!((record.trace_id(), record.span_id()), ids, "{log}");
        let exemplars = self.collector.exemplars(metric);
        let named = exemplars.iter().any(|exemplar| (exemplar.trace_id(), exemplar.span_id()) == ids);
        assert!(named, "{metric}: {exemplars:?}");
    }

    /// How many tasks of this name reached which state.
    fn tasks(&self, name: &str) -> HashMap<String, i64> {
        let metrics = self.collector.metrics();
        let last = metrics.iter().rfind(|metric| metric.name() == "tracewell.tasks").unwrap();
        let Some(Data::Sum(sum)) = &last.metric.data else { panic!("{last:?}") };
        let of_name =
            |point: &&NumberDataPoint| Attributes(&point.attributes).str("tracewell.task.name") == Some(name);
        let counts = sum.data_points.iter().filter(of_name).map(|point| {
            let Some(Value::AsInt(count)) = point.value else { panic!("{point:?}") };
            (Attributes(&point.attributes).text("tracewell.task.state").unwrap(), count)
        });
        counts.collect()
    }

    fn service_name(&self) -> String {
        self.collector.spans()[0].resource().text("service.name").unwrap()
    }
}

/// The lines of a pipe as they come; its end is the program's.
struct Lines {
    coming: Receiver<String>,
    seen: Vec<String>,
}

impl Lines {
    fn read(pipe: impl Read + Send + 'static) -> Self {
        let (sender, coming) = mpsc::channel();
        thread::spawn(move || {
            // the test has failed when nobody listens any more
            BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { coming, seen: Vec::new() }
    }

    /// The first line that is wanted, of all there were and will be.
    #[track_caller]
    fn wait_for(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut next = 0;
        loop {
            if let Some(line) = self.seen[next..].iter().find(|line| wanted(line)) {
                return line.clone();
            }
            next = self.seen.len();
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.coming.recv_timeout(left);
            self.seen.push(line.unwrap_or_else(|problem| panic!("{problem} after {:?}", self.seen)));
        }
    }

    /// All lines, once there are no more.
    #[track_caller]
    fn end(&mut self) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.coming.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return std::mem::take(&mut self.seen),
                Err(RecvTimeoutError::Timeout) => panic!("it goes on after {:?}", self.seen),
            }
        }
    }
}

/// A failed test leaves nothing running.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        // fails when it has ended, which is what is wanted
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn quickstart_one_trace_id_on_span_log_line_and_latency() {
    let mut example = Example::start("quickstart");
    assert_eq!(example.get("/users/7"), "user 7");
    let ended = example.stop().successful();

    let span = ended.span("GET /users/{id}");
    ended.assert_one_trace(&span, "user shown", "http.server.request.duration");
    let lines: Vec<serde_json::Value> =
        ended.stdout.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["trace_id"], span.trace_id());
    assert_eq!(lines[0]["attributes"]["user.id"], "7");
}

#[test]
fn tower_hyper_has_route_and_peer_and_an_orderly_end() {
    let mut example = Example::start("tower_hyper");
    assert_eq!(example.get("/hello/you"), "hello you");
    assert_eq!(example.get("/elsewhere"), "");
    let ended = example.stop().successful();

    assert_eq!(ended.stderr.last().unwrap(), "drained: true, sent: true");
    assert_eq!(ended.service_name(), "tower-hyper");
    let (hello, elsewhere) = (ended.spans("GET /hello/{name}"), ended.spans("GET"));
    let ([hello], [elsewhere]) = (&*hello, &*elsewhere) else { panic!("{hello:?} {elsewhere:?}") };
    assert_eq!(hello.attributes().str("http.route"), Some("/hello/{name}"));
    assert_eq!(hello.attributes().str("client.address"), Some("127.0.0.1"));
    assert_eq!(elsewhere.attributes().i64("http.response.status_code"), Some(404));
    assert_eq!(elsewhere.attributes().str("http.route"), None);
    ended.assert_one_trace(hello, "greeted", "http.server.request.duration");
    let exemplars = ended.collector.exemplars("http.server.request.duration");
    let exemplar = exemplars.iter().find(|exemplar| exemplar.trace_id() == hello.trace_id()).unwrap();
    assert_eq!(exemplar.point_attributes().str("http.route"), Some("/hello/{name}"));
}

#[test]
fn worker_counts_each_message_once_and_links_it_to_its_sender() {
    let mut example = Example::start("worker");
    // the second order, which fails at first
    example.stdout.wait_for(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["message"] == "invoice written" && line["attributes"]["attempt"] == 2
    });
    let ended = example.stop().successful();

    let (taken, sent) = (ended.spans("take_order"), ended.spans("send invoices"));
    let processed = ended.spans("process invoices");
    let orders = sent.len() as i64;
    let retried = orders / 2;
    assert!(orders >= 2, "{sent:?}");
    assert_eq!(processed.len() as i64, orders + retried, "one more attempt for every second order");
    for send in &sent {
        assert_eq!(send.span.kind, SpanKind::Producer as i32);
        assert!(taken.iter().any(|run| run.span_id() == send.parent_span_id()), "{send:?}");
    }
    for process in &processed {
        assert_eq!(process.span.kind, SpanKind::Consumer as i32);
        let link = &process.span.links[0];
        assert!(sent.iter().any(|send| send.span.span_id == link.span_id), "{process:?}");
    }
    let failed = processed.iter().filter(|span| span.attribute("error.type").is_some()).count();
    assert_eq!(failed as i64, retried);
    let tasks = ended.tasks("invoice");
    for (state, count) in [("sent", orders), ("received", orders), ("succeeded", orders), ("failed", retried)]
    {
        assert_eq!(tasks.get(state), Some(&count), "{state}: {tasks:?}");
    }
    let written = ended.collector.logs().into_iter().find(|log| log.body() == "invoice written").unwrap();
    let its =
        |span: &&SpanRecord| (span.trace_id(), span.span_id()) == (written.trace_id(), written.span_id());
    assert!(processed.iter().any(|span| its(&span)), "{written:?}");
}

#[test]
fn cli_job_sends_everything_before_it_ends() {
    let ended = Example::start_with("cli_job", "tea=3.5\nmilk=1.25\n").end().successful();
    assert_eq!(ended.stderr[0], "2 prices imported");
    assert!(ended.stderr[1].starts_with("everything sent after "), "{:?}", ended.stderr);
    let span = ended.span("import_prices");
    assert_eq!(span.attribute("tracewell.outcome").as_deref(), Some("succeeded"));
    assert_eq!(ended.collector.logs().len(), 2);
    for log in ended.collector.logs() {
        assert_eq!((log.trace_id(), log.span_id()), (span.trace_id(), span.span_id()));
    }
    let exemplars = ended.collector.exemplars("import.price");
    assert!(exemplars.iter().any(|exemplar| exemplar.value() == 3.5), "{exemplars:?}");
    assert!(exemplars.iter().all(|exemplar| exemplar.span_id() == span.span_id()), "{exemplars:?}");
}

#[test]
fn cli_job_that_fails_says_so_by_exit_code_and_in_its_span() {
    let ended = Example::start_with("cli_job", "tea=3.5\nmilk\n").end();
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(ended.stderr[0], r#"line 2: "milk"; accepted is name=price"#);
    let span = ended.span("import_prices");
    assert_eq!(span.attribute("error.type").as_deref(), Some("ImportError"));
    let failure = ended.log(r#"task import_prices failed: line 2: "milk"; accepted is name=price"#);
    assert_eq!((failure.trace_id(), failure.span_id()), (span.trace_id(), span.span_id()));
}

#[test]
fn own_subscriber_stays_the_programs_own() {
    let mut example = Example::start("own_subscriber");
    assert_eq!(example.get("/users/7"), "user 7");
    let ended = example.stop().successful();

    assert_eq!(
        ended.stdout,
        ["INFO own_subscriber in HTTP request"],
        "the program's own lines, and no others"
    );
    let span = ended.span("GET /users/{id}");
    ended.assert_one_trace(&span, "user shown", "users.shown");
    ended.assert_one_trace(&span, "user shown", "http.server.request.duration");
}

#[test]
fn library_knows_the_apis_only_and_is_seen_all_the_same() {
    let ended = Example::start("library").end().successful();
    assert_eq!(ended.stderr, ["sent: true"]);
    let (offer, quotes) = (ended.span("offer"), ended.spans("quote"));
    assert_eq!(quotes.len(), 3);
    for quote in &quotes {
        assert_eq!(quote.parent_span_id(), offer.span_id());
    }
    for metric in ["quotes.made", "quotes.weight"] {
        let exemplars = ended.collector.exemplars(metric);
        let of_quote = |id: String| quotes.iter().any(|quote| quote.span_id() == id);
        assert!(!exemplars.is_empty() && exemplars.iter().all(|e| of_quote(e.span_id())), "{exemplars:?}");
    }
    let errors = ended.collector.logs().into_iter().find(|log| log.severity() == "ERROR").unwrap();
    let refused = quotes.iter().find(|quote| quote.span_id() == errors.span_id()).unwrap();
    assert_eq!(refused.attributes().f64("kilograms"), Some(31.0));
}

#[test]
fn custom_exporter_has_the_same_spans_and_changes_the_records() {
    let ended = Example::start("custom_exporter").end().successful();
    let (round, door) = (ended.span("round"), ended.span("door"));
    let told: Vec<_> = ended.stderr.iter().filter_map(|line| line.rsplit_once(' ')).collect();
    let trace = round.trace_id();
    assert_eq!(
        told.iter().map(|(told, _)| *told).collect::<Vec<_>>(),
        [format!("span {trace} door"), format!("span {trace} round")]
    );
    let log = ended.log("locked");
    assert_eq!((log.trace_id(), log.span_id()), (trace, door.span_id()));
    assert_eq!(log.attributes().str("shift"), Some("night"));
}

#[test]
fn axum_service_shows_causes_tells_what_it_waits_for_and_keeps_the_operators_calls_out() {
    let mut example = Example::start("axum_service");
    assert_eq!(example.get("/orders/7"), r#"{"id":7,"in_stock":3}"#);
    let refused = example.get_as("/orders/0", "*/*");
    assert!(
        refused.starts_with("HTTP/1.1 500 ") && refused.ends_with("\r\nInternal Server Error"),
        "{refused}"
    );
    assert!(example.get("/ready").contains(r#""checker":"stock""#));
    let metrics = example.get_as("/metrics", "application/openmetrics-text; version=1.0.0");
    let ended = example.stop().successful();

    let served: Vec<_> = ended.collector.spans().into_iter().filter(|span| span.span.kind == 2).collect();
    assert_eq!(served.len(), 2, "neither /ready nor /metrics: {served:?}");
    let [shown, failed] = [7, 0].map(|order| {
        let of = |span: &&SpanRecord| span.attributes().i64("shop.order") == Some(order);
        served.iter().find(of).unwrap()
    });
    ended.assert_one_trace(shown, "order shown", "http.server.request.duration");
    assert_eq!(ended.log("order shown").attributes().i64("shop.order"), Some(7));
    assert!(metrics.contains(&format!("trace_id=\"{}\"", shown.trace_id())), "{metrics}");
    let count = ended.spans("count").into_iter().find(|count| count.trace_id() == shown.trace_id()).unwrap();
    assert_eq!(count.parent_span_id(), shown.span_id());
    let cause = ended.collector.logs().into_iter().find(|log| log.severity() == "ERROR").unwrap();
    assert_eq!(cause.span_id(), failed.span_id());
    assert_eq!(cause.attribute("exception.message").as_deref(), Some("orders begin with 1"));
}

#[test]
fn config_file_is_right_and_describes_what_is_sent() {
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/config_file/otel.yaml");
    let check = Command::new(env!("CARGO_BIN_EXE_tracewell"))
        .args(["config", "check", FILE])
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8(check.stdout).unwrap() + &String::from_utf8(check.stderr).unwrap();
    assert!(check.status.success() && said.contains("0 mistakes, 0 warnings"), "{said}");

    let variables =
        |collector: &Collector| [("OTEL_CONFIG_FILE", FILE.to_owned()), ("COLLECTOR", collector.endpoint())];
    let ended = Example::start_in("config_file", "", variables).end().successful();
    assert_eq!(ended.stderr, ["sent: true"]);
    assert_eq!(ended.service_name(), "scales");
    let weighed = ended.spans("weigh");
    assert_eq!(weighed[0].resource().str("deployment.environment.name"), Some("local"));
    let exemplars = ended.collector.exemplars("parcel.weight");
    assert_eq!((weighed.len(), exemplars.len()), (2, 2));
    for exemplar in exemplars {
        assert_eq!(exemplar.point_attributes().keys().collect::<Vec<_>>(), ["kind"]);
        let parcel = exemplar.filtered_attributes().i64("parcel");
        let span = weighed.iter().find(|span| span.attributes().i64("parcel") == parcel).unwrap();
        assert_eq!(exemplar.span_id(), span.span_id());
    }
}

#[test]
fn grpc_has_both_sides_of_every_call_and_of_a_watch_that_was_left() {
    let mut example = Example::start("grpc");
    example.stderr.wait_for(|line| line == "the calls are made");
    let ended = example.stop().successful();
    let order = ended.span("order");
    let calls = ended.spans("shop.Stock/Reserve");
    let side = |kind: SpanKind| calls.iter().filter(|span| span.span.kind == kind as i32).collect::<Vec<_>>();
    let (called, served) = (side(SpanKind::Client), side(SpanKind::Server));
    assert_eq!((called.len(), served.len()), (2, 2), "{calls:?}");
    for call in &called {
        assert_eq!((call.trace_id(), call.parent_span_id()), (order.trace_id(), order.span_id()));
        assert!(served.iter().any(|span| span.parent_span_id() == call.span_id()), "{calls:?}");
    }
    let code = |span: &SpanRecord| span.attribute("rpc.response.status_code");
    let codes = |spans: &[&SpanRecord]| spans.iter().filter_map(|span| code(span)).collect::<Vec<_>>();
    assert!(codes(&called).contains(&"FAILED_PRECONDITION".to_owned()), "{called:?}");
    let left = ended.spans("shop.Stock/Watch");
    assert!(left.iter().all(|span| code(span).as_deref() == Some("CANCELLED")), "{left:?}");
    let reserved = ended.log("reserved");
    assert!(served.iter().any(|span| span.span_id() == reserved.span_id()));
    let exemplars = ended.collector.exemplars("rpc.server.call.duration");
    assert!(exemplars.iter().any(|exemplar| exemplar.trace_id() == order.trace_id()), "{exemplars:?}");
}
