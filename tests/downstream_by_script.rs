//! A downstream that fails by script, under load: what it saw, what the traces show and what the metrics count is the same,
//! and the breaker changes where its window says, to the call.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};
use tower::ServiceExt as _;
use tracewell::{
    Telemetry,
    http::{ClientLayer, ClientService, ResendCount},
    resilience::{Breaker, Failure, HttpJudge, Judge, Policy, Retry, State, Verdict},
    testing::{Collector, SpanRecord},
};
use tracing::Instrument as _;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Calls = ClientService<Client<HttpConnector, Empty<Bytes>>>;

const AT_ONCE: Duration = Duration::from_millis(1);
/// Calls of each kind, all at once.
const CALLS: usize = 30;

/// What the downstream does with one attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Turn {
    Answer(&'static str),
    /// Says this, and closes.
    Reset(&'static str),
    /// Says this, then nothing more.
    Silence(&'static str),
    /// Is not there: the attempt goes to a port where nobody listens.
    Refuse,
    /// Answers when it is told to.
    Held,
}

const OK: Turn = Turn::Answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
const BUSY: Turn =
    Turn::Answer("HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
const PART: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nok";

/// A kind of calls; of each attempt the turn and `error.type`.
type Script = (&'static str, &'static [(Turn, Option<&'static str>)]);

/// What happens to the attempts of one call, and what each looks like in its span.
const SCRIPTS: [Script; 6] = [
    ("good", &[(OK, None)]),
    ("busy", &[(BUSY, Some("503")), (BUSY, Some("503")), (OK, None)]),
    ("refused", &[(Turn::Refuse, Some("connect")), (Turn::Refuse, Some("connect")), (OK, None)]),
    ("reset", &[(Turn::Reset(PART), Some("reset")), (OK, None)]),
    ("slow-headers", &[(Turn::Silence(""), Some("timeout")), (OK, None)]),
    ("slow-body", &[(Turn::Silence(PART), Some("timeout")), (OK, None)]),
];

/// A server that follows the script its requests name: `/kind/call/attempt`.
#[derive(Clone)]
struct Downstream {
    address: SocketAddr,
    nobody: SocketAddr,
    /// Path and sender's span of every attempt that arrived.
    seen: Arc<Mutex<Vec<(String, String)>>>,
    let_go: Arc<Notify>,
}

impl Downstream {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let nobody = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
        let this = Self {
            address: listener.local_addr().unwrap(),
            nobody,
            seen: Arc::default(),
            let_go: Arc::default(),
        };
        let serving = this.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        this
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            // a connection that is not used after all
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let sender = head.lines().find_map(|line| line.strip_prefix("traceparent: 00-")).unwrap();
        let turn = turn(&path);
        self.seen.lock().unwrap().push((path, sender[33..49].to_owned()));
        match turn {
            Turn::Answer(words) | Turn::Reset(words) => stream.write_all(words.as_bytes()).await.unwrap(),
            Turn::Silence(words) => {
                stream.write_all(words.as_bytes()).await.unwrap();
                // until the caller gives up
                let _ = stream.read(&mut [0]).await;
            }
            Turn::Held => {
                self.let_go.notified().await;
                let Turn::Answer(words) = OK else { return };
                stream.write_all(words.as_bytes()).await.unwrap();
            }
            Turn::Refuse => unreachable!("nobody listens there"),
        }
    }

    fn seen(&self, kind: &str) -> usize {
        let of_kind = |path: &str| path.split('/').nth(1) == Some(kind);
        self.seen.lock().unwrap().iter().filter(|(path, _)| of_kind(path)).count()
    }

    /// One attempt, to the last byte of its body.
    fn attempt(
        &self,
        calls: &Calls,
        kind: &str,
        call: usize,
        resends: u32,
    ) -> impl Future<Output = Result<Response<()>, Error>> + use<> {
        let path = format!("/{kind}/{call}/{resends}");
        let host = if turn(&path) == Turn::Refuse { self.nobody } else { self.address };
        let request = Request::get(format!("http://{host}{path}")).extension(ResendCount(resends));
        let calls = calls.clone();
        async move {
            let response = calls.oneshot(request.body(Empty::new())?).await?;
            let (head, body) = response.into_parts();
            body.collect().await?;
            Ok(Response::from_parts(head, ()))
        }
    }
}

fn turn(path: &str) -> Turn {
    let parts: Vec<_> = path.split('/').skip(1).collect();
    let attempt: usize = parts[2].parse().unwrap();
    match parts[0] {
        "bad" => BUSY,
        "held" => Turn::Held,
        kind => SCRIPTS.iter().find(|(name, _)| *name == kind).unwrap().1[attempt].0,
    }
}

fn once() -> HttpJudge {
    HttpJudge::for_request(&http::Method::GET, &http::HeaderMap::new()).once()
}

/// All calls of all kinds at once, each with as many attempts as its script has.
async fn load(downstream: &Downstream, calls: &Calls) {
    let policy = Policy::new("load")
        .with_retry(Retry::new().with_delays(AT_ONCE, AT_ONCE).with_budget(None))
        .with_timeout(Duration::from_millis(2500));
    let mut running = JoinSet::new();
    for (kind, _) in SCRIPTS {
        for call in 0..CALLS {
            let (policy, downstream, calls) = (policy.clone(), downstream.clone(), calls.clone());
            let work = async move {
                let judge = HttpJudge::for_request(&http::Method::GET, &http::HeaderMap::new());
                let attempt = |resends| downstream.attempt(&calls, kind, call, resends);
                policy.call_with(&judge, attempt).await.unwrap().status()
            };
            running.spawn(work.instrument(tracing::info_span!("work")));
        }
    }
    while let Some(status) = running.join_next().await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
}

/// The breaker, call by call: the script is what downstream answers.
async fn transitions(downstream: &Downstream, calls: &Calls) {
    let changes = Arc::new(Mutex::new(Vec::new()));
    let (told, seen) = (Arc::clone(&changes), downstream.clone());
    let breaker = Breaker::builder("downstream")
        .with_open_for(Duration::from_millis(300))
        .with_probes(2)
        .on_change(move |_, _, new| told.lock().unwrap().push((new, seen.seen("bad") + seen.seen("good"))))
        .build();
    let policy = Policy::new("breaker").with_breaker(breaker.clone());
    let one = |kind: &'static str, call| {
        let attempt = move |resends| downstream.attempt(calls, kind, call, resends);
        let policy = &policy;
        async move { policy.call_with(&once(), attempt).await }
    };
    let before = downstream.seen("good");
    // 5 of 10 are not above half, 6 of 11 are; the twelfth is not made
    for (call, kind) in
        ["good", "bad", "bad", "good", "bad", "good", "good", "bad", "bad", "good", "bad", "good"]
            .into_iter()
            .enumerate()
    {
        let result = one(kind, CALLS + call).await;
        assert_eq!(matches!(result, Err(Failure::Open(_))), call == 11, "call {call}: {result:?}");
    }
    assert_eq!((downstream.seen("bad"), downstream.seen("good") - before), (6, 5));
    assert_eq!(*changes.lock().unwrap(), [(State::Open, before + 11)]);

    // half-open: of eight at once two pass
    while breaker.state() != State::HalfOpen {
        tokio::task::yield_now().await;
    }
    let probes = (0..8).map(|call| one("held", call));
    let mut probes = std::pin::pin!(futures_util::future::join_all(probes));
    while downstream.seen("held") < 2 {
        assert!(futures_util::poll!(probes.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    assert_eq!(breaker.snapshot().probes_running, 2);
    for _ in 0..2 {
        downstream.let_go.notify_one();
    }
    let results =
        tokio::time::timeout(Duration::from_secs(10), probes).await.expect("two probes, and two answers");
    assert_eq!(results.iter().filter(|result| matches!(result, Err(Failure::Open(_)))).count(), 6);
    assert_eq!(downstream.seen("held"), 2);
    let states: Vec<_> = changes.lock().unwrap().iter().map(|(state, _)| *state).collect();
    assert_eq!(states, [State::Open, State::HalfOpen, State::Closed]);

    storm(downstream, calls, &breaker).await;
}

/// Eight at a time against what always fails: the tenth result opens it, and nobody who had not begun by then gets through.
async fn storm(downstream: &Downstream, calls: &Calls, breaker: &Breaker) {
    /// Counts the results in the order in which the breaker hears of them.
    struct Counting<'a>(HttpJudge, &'a Mutex<usize>);
    impl Judge<Response<()>, Error> for Counting<'_> {
        fn verdict(&self, result: &Result<Response<()>, Error>) -> Verdict {
            *self.1.lock().unwrap() += 1;
            self.0.verdict(result)
        }
        fn describe(
            &self,
            result: Result<&Response<()>, &Error>,
            f: &mut std::fmt::Formatter<'_>,
        ) -> std::fmt::Result {
            Judge::<Response<()>, Error>::describe(&self.0, result, f)
        }
    }
    let before = downstream.seen("bad");
    let results = Mutex::new(0);
    let policy = Policy::new("storm").with_breaker(breaker.clone());
    let worker = async |worker: usize| {
        let mut rejected = 0;
        for call in 0..25 {
            let judge = Counting(once(), &results);
            let attempt = |_| downstream.attempt(calls, "bad", 1000 + worker * 100 + call, 0);
            let open_before = breaker.state() == State::Open;
            match policy.call_with(&judge, attempt).await {
                Err(Failure::Open(_)) => rejected += 1,
                result => assert!(!open_before, "{result:?} while it was open"),
            }
            // it opens with the tenth result, neither before nor after
            let (heard, state) = (*results.lock().unwrap(), breaker.state());
            assert_eq!(state == State::Open, heard >= 10, "after {heard} results it was {state}");
        }
        rejected
    };
    let rejected: usize = futures_util::future::join_all((0..8).map(worker)).await.into_iter().sum();
    let made = downstream.seen("bad") - before;
    assert_eq!(made + rejected, 200);
    assert!((10..=17).contains(&made), "ten results, and those under way by then: {made}");
}

#[tokio::test]
async fn what_downstream_saw_is_what_traces_and_metrics_show() {
    let collector = Collector::start();
    let telemetry = Telemetry::builder()
        .with_env([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
            ("TRACEWELL_PRESET", "test".to_owned()),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100000".to_owned()),
            ("OTEL_BLRP_MAX_QUEUE_SIZE", "100000".to_owned()),
        ])
        .with_stdout(false)
        .install()
        .unwrap();
    let downstream = Downstream::start().await;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let calls = tower::ServiceBuilder::new().layer(ClientLayer::new()).service(http);
    load(&downstream, &calls).await;
    let loaded = downstream.seen.lock().unwrap().len();
    transitions(&downstream, &calls).await;
    assert!(telemetry.shutdown().await.unwrap().is_complete());

    let spans = collector.spans();
    let calls: Vec<&SpanRecord> = spans.iter().filter(|span| span.attribute("url.full").is_some()).collect();
    let refused = |span: &&&SpanRecord| span.attribute("error.type").as_deref() == Some("connect");
    let arrived: BTreeSet<_> =
        calls.iter().filter(|span| !refused(span)).map(|span| span.span_id()).collect();
    let seen: Vec<_> = downstream.seen.lock().unwrap().clone();
    assert_eq!(seen.iter().map(|(_, sender)| sender.clone()).collect::<BTreeSet<_>>(), arrived);
    assert_eq!(seen.len(), arrived.len(), "each attempt was seen once");
    assert_eq!(calls.len(), seen.len() + 2 * CALLS, "and those that were refused were seen by nobody");
    assert_eq!(loaded, CALLS * (1 + 3 + 1 + 2 + 2 + 2));

    // each call is one trace, with its attempts in their order
    let mut traces: HashMap<String, Vec<&SpanRecord>> = HashMap::new();
    for call in calls.iter().filter(|call| !call.parent_span_id().is_empty()) {
        traces.entry(call.trace_id()).or_default().push(call);
    }
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for attempts in traces.values_mut() {
        attempts.sort_by_key(|attempt| attempt.span.start_time_unix_nano);
        let url = attempts[0].attribute("url.full").unwrap();
        let (kind, script) = SCRIPTS.iter().find(|(kind, _)| url.contains(&format!("/{kind}/"))).unwrap();
        let types: Vec<_> = attempts.iter().map(|attempt| attempt.attribute("error.type")).collect();
        let scripted: Vec<_> = script.iter().map(|(_, kind)| kind.map(str::to_owned)).collect();
        assert_eq!(types, scripted, "{kind}");
        let resends: Vec<_> =
            attempts.iter().map(|attempt| attempt.attribute("http.request.resend_count")).collect();
        let counted = (0..script.len()).map(|count| (count > 0).then(|| count.to_string()));
        assert_eq!(resends, counted.collect::<Vec<_>>(), "{kind}");
        *kinds.entry(kind).or_default() += 1;
    }
    assert!(kinds.len() == SCRIPTS.len() && kinds.values().all(|calls| *calls == CALLS), "{kinds:?}");

    let retries = CALLS * (2 + 2 + 1 + 1 + 1);
    assert_eq!(counted(&collector, "http.client.request.duration"), calls.len() as u64);
    assert_eq!(counted(&collector, "retry.attempts"), retries as u64);
    let logged = |name: &str| collector.logs().iter().filter(|log| log.record.event_name == name).count();
    assert_eq!(logged("tracewell.retry"), retries);
    assert_eq!(logged("tracewell.breaker"), 4, "open, half-open, closed, open");
}

/// The last export's total over all series: of a histogram its count.
fn counted(collector: &Collector, name: &str) -> u64 {
    use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value};
    let metrics = collector.metrics();
    let last = metrics.iter().rfind(|metric| metric.name() == name).unwrap();
    match last.metric.data.as_ref().unwrap() {
        Data::Histogram(histogram) => histogram.data_points.iter().map(|point| point.count).sum(),
        Data::Sum(sum) => sum
            .data_points
            .iter()
            .map(|point| match point.value {
                Some(Value::AsInt(value)) => u64::try_from(value).unwrap(),
                other => panic!("{other:?}"),
            })
            .sum(),
        other => panic!("{other:?}"),
    }
}
