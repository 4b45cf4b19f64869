//! Messages over a real NATS JetStream: one story from the sender to the settlement, also when the broker dies in the
//! middle of it.
//!
//! Without the server (`tests/backends/build nats`) the tests are skipped with a word on stderr; with
//! `TRACEWELL_REQUIRE_BACKENDS=1` that is a failure.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a failed helper fails its test")]

mod common {
    pub(crate) mod nats;
    #[expect(dead_code, reason = "others ask over HTTP, too")]
    pub(crate) mod program;
}

use std::{collections::HashMap, time::Duration};

use async_nats::{
    ConnectOptions, HeaderMap,
    jetstream::{
        AckKind, Message,
        consumer::{PullConsumer, pull},
        context::{Context, ContextBuilder},
        message::PublishMessage,
        stream::Config,
    },
};
use futures_util::TryStreamExt as _;
use opentelemetry::propagation::TextMapCompositePropagator;
use tokio::sync::Notify;
use tracewell::{
    messaging::Destination,
    otel::sdk::propagation::{BaggagePropagator, TraceContextPropagator},
    tasks::{State, Tasks},
    testing::{Attributes, Capture, CapturedSpan, Collector, SpanRecord, proto},
};

use self::common::{
    nats::{Nats, require_or_skip},
    program::{Program, wait_until},
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A broker with one stream and one consumer, and what is observed of them.
struct Bench {
    nats: Nats,
    broker: Context,
    consumer: PullConsumer,
    capture: Capture,
    tasks: Tasks,
    orders: Destination,
}

/// A client that does not come back: what it had to send when the broker died is not sent later.
async fn connected(nats: &Nats) -> Context {
    let client = ConnectOptions::new().max_reconnects(1).connect(nats.url()).await.unwrap();
    ContextBuilder::new().timeout(Duration::from_secs(3)).build(client)
}

impl Bench {
    /// What is not settled within `ack_wait` is delivered again.
    async fn open(capture: &Capture, ack_wait: Duration) -> Self {
        opentelemetry::global::set_text_map_propagator(TextMapCompositePropagator::new(vec![
            Box::new(TraceContextPropagator::new()),
            Box::new(BaggagePropagator::new()),
        ]));
        let nats = Nats::start();
        let broker = connected(&nats).await;
        let stream = Config { name: "orders".into(), subjects: vec!["orders".into()], ..Config::default() };
        let stream = broker.create_stream(stream).await.unwrap();
        let consumer =
            pull::Config { durable_name: Some("invoices".into()), ack_wait, ..pull::Config::default() };
        let consumer = stream.create_consumer(consumer).await.unwrap();
        let tasks = Tasks::new(capture.requests().clone(), &capture.meter_provider());
        let orders = Destination::new("nats", "orders")
            .with_address("127.0.0.1")
            .with_port(nats.port())
            .with_tasks(tasks.clone());
        Self { nats, broker, consumer, capture: capture.clone(), tasks, orders }
    }

    /// A new client, after the broker was away for so long that the first one gave up.
    async fn reopen(&mut self) {
        self.broker = connected(&self.nats).await;
        self.consumer = self.broker.get_consumer_from_stream("invoices", "orders").await.unwrap();
    }

    async fn publish(&self, headers: HashMap<String, String>, id: u64) -> Result<(), Failure> {
        let message = PublishMessage::build().payload("tea".into()).header("order-id", id.to_string());
        let message = headers.into_iter().fold(message, |message, (name, value)| message.header(name, value));
        self.broker.send_publish("orders", message).await?.await?;
        Ok(())
    }

    /// The messages that the broker has now, or gets soon.
    async fn pull(&self, wanted: usize) -> Vec<Message> {
        let invoices = self.orders.clone().with_consumer_group("invoices");
        let fetch = async {
            let batch = self.consumer.batch().max_messages(wanted).expires(Duration::from_secs(10));
            batch.messages().await.map_err(Failure::from)?.try_collect::<Vec<_>>().await
        };
        let mut messages =
            invoices.pull(fetch, |messages| messages.iter().map(headers).collect()).await.unwrap();
        messages.sort_by_key(id);
        messages
    }

    async fn handle<W>(&self, message: &Message, work: W) -> Result<(), Failure>
    where
        W: Future<Output = Result<(), Failure>>,
    {
        let invoices = self.orders.clone().with_consumer_group("invoices");
        let deliveries = u32::try_from(message.info().unwrap().delivered).unwrap();
        let task = invoices.receive("invoice", id(message), &headers(message));
        task.with_attempt(deliveries).with_body_size(3).run(work).await
    }

    fn spans(&self, name: &str) -> Vec<CapturedSpan> {
        self.capture.spans().into_iter().filter(|span| span.name() == name).collect()
    }

    fn count(&self, state: State) -> u64 {
        self.tasks.counts().iter().find(|counts| counts.name == "invoice").unwrap().of(state)
    }

    fn value(&self, metric: &str, with: &[(&str, &str)]) -> u64 {
        let metric = self.capture.metric(metric).unwrap();
        let point = metric.point(with).unwrap_or_else(|| panic!("{with:?} in {metric:?}"));
        if metric.unit() == "s" { point.count() } else { point.value() as u64 }
    }
}

fn headers(message: &Message) -> HashMap<String, String> {
    let all = message.headers.iter().flat_map(HeaderMap::iter);
    all.filter_map(|(name, values)| Some((name.to_string(), values.first()?.to_string()))).collect()
}

fn id(message: &Message) -> u64 {
    headers(message)["order-id"].parse().unwrap()
}

fn linked(span: &CapturedSpan) -> Vec<String> {
    span.links().into_iter().map(|(_, span)| span).collect()
}

#[track_caller]
fn assert_says(span: &CapturedSpan, kind: &str, expected: &[(&str, &str)]) {
    assert_eq!(span.kind(), kind, "{span:?}");
    for (key, value) in expected {
        assert_eq!(span.attributes().text(key).as_deref(), Some(*value), "{key} of {span:?}");
    }
}

#[test]
fn a_message_is_one_story_from_its_sender_to_its_settlement() {
    if !require_or_skip("a_message_is_one_story_from_its_sender_to_its_settlement") {
        return;
    }
    let capture = Capture::new();
    capture.runtime().block_on(async {
        let bench = Bench::open(&capture, Duration::from_secs(60)).await;
        let orders = &bench.orders;
        let sending = orders.send("invoice", 1).with_body_size(3).run(|headers| bench.publish(headers, 1));
        sending.await.unwrap();
        let mut batch = orders.send_batch("invoice");
        let (second, third) = (batch.add(2), batch.add(3));
        let sending = batch.run(async {
            bench.publish(second, 2).await?;
            bench.publish(third, 3).await
        });
        sending.await.unwrap();

        let messages = bench.pull(3).await;
        let active = || {
            let snapshot = bench.capture.requests().snapshot();
            let task = snapshot.active.first().unwrap();
            (task.name.to_string(), task.stage.clone().unwrap_or_default().into_owned())
        };
        let written = bench.handle(&messages[0], async {
            assert_eq!(active(), ("invoice".to_owned(), String::new()), "it is listed while it is processed");
            let ack = async {
                assert_eq!(active().1, "settling with orders");
                messages[0].double_ack().await
            };
            orders.settle("ack", ack).await
        });
        written.await.unwrap();
        let refused = bench.handle(&messages[1], async {
            orders.settle("nak", messages[1].ack_with(AckKind::Nak(None))).await?;
            Err("no paper".into())
        });
        refused.await.unwrap_err();
        let impossible = bench.handle(&messages[2], async {
            orders.settle("term", messages[2].ack_with(AckKind::Term)).await?;
            Err("no order".into())
        });
        impossible.await.unwrap_err();
        let again = bench.pull(1).await;
        assert_eq!(id(&again[0]), 2, "what was not settled comes again");
        bench.handle(&again[0], orders.settle("ack", again[0].double_ack())).await.unwrap();

        assert_spans(&bench);
        assert_metrics(&bench);
        assert_eq!(bench.capture.requests().active_count(), 0);
        assert_eq!(bench.capture.read(|captured| captured.open_spans()), 0);
    });
}

fn assert_spans(bench: &Bench) {
    let port = bench.nats.port().to_string();
    let place = [
        ("messaging.system", "nats"),
        ("messaging.destination.name", "orders"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
    ];
    let (sent, created) = (bench.spans("send orders"), bench.spans("create orders"));
    assert_says(&sent[0], "producer", &place);
    let one = [("messaging.message.id", "1"), ("messaging.message.body.size", "3")];
    assert_says(&sent[0], "producer", &one);
    assert_says(
        &created[0],
        "producer",
        &[("messaging.operation.type", "create"), ("messaging.message.id", "2")],
    );
    assert_says(&sent[1], "client", &[("messaging.batch.message_count", "2")]);
    let of_batch: Vec<_> = created.iter().map(|span| span.span_id().to_owned()).collect();
    assert_eq!((linked(&sent[1]), of_batch.len()), (of_batch.clone(), 2));

    let pulled = bench.spans("receive orders");
    assert_says(
        &pulled[0],
        "client",
        &[("messaging.batch.message_count", "3"), ("messaging.consumer.group.name", "invoices")],
    );
    let mut all = linked(&pulled[0]);
    let mut senders = [vec![sent[0].span_id().to_owned()], of_batch.clone()].concat();
    all.sort();
    senders.sort();
    assert_eq!(all, senders);

    let processed = bench.spans("process orders");
    let second = ("tracewell.task.attempt", "2");
    assert_eq!(processed.len(), 4, "one for each delivery");
    assert_eq!(linked(&processed[0]), [sent[0].span_id()]);
    assert_eq!(
        linked(&processed[1]),
        linked(&processed[3]),
        "each delivery of a message links to its sender"
    );
    assert_says(
        &processed[3],
        "consumer",
        &[second, ("messaging.message.id", "2"), ("messaging.operation.type", "process")],
    );
    assert!(processed[1].is_error() && processed[2].is_error() && !processed[3].is_error());
    for (settled, process) in [("ack orders", 0), ("nak orders", 1), ("term orders", 2)] {
        let settled = &bench.spans(settled)[0];
        assert_says(settled, "client", &[("messaging.operation.type", "settle")]);
        assert_eq!(settled.parent_span_id(), processed[process].span_id());
    }
}

fn assert_metrics(bench: &Bench) {
    let operation = |name| [("messaging.operation.name", name)];
    assert_eq!(bench.capture.metric("messaging.client.sent.messages").unwrap().value(), 3.0);
    assert_eq!(bench.value("messaging.client.consumed.messages", &operation("process")), 4);
    for (name, count) in [("send", 2), ("receive", 2), ("ack", 2), ("nak", 1), ("term", 1)] {
        assert_eq!(bench.value("messaging.client.operation.duration", &operation(name)), count, "{name}");
    }
    let process = bench.capture.metric("messaging.process.duration").unwrap();
    assert_eq!(process.count(), 4);
    let failed =
        process.points().iter().find(|point| point.attributes().get("error.type").is_some()).unwrap();
    assert_eq!(failed.count(), 2);
    let processed = bench.spans("process orders");
    let of_failed = |id: &str| processed[1..3].iter().any(|span| span.span_id() == id);
    assert!(failed.exemplars().iter().any(|exemplar| of_failed(&exemplar.span_id())), "{failed:?}");
    for (state, count) in [
        (State::Sent, 3),
        (State::Received, 3),
        (State::Started, 3),
        (State::Retried, 1),
        (State::Failed, 2),
        (State::Succeeded, 2),
    ] {
        assert_eq!(bench.count(state), count, "{state}");
    }
}

#[test]
fn a_broker_killed_in_the_middle_leaves_errors_and_nothing_else() {
    if !require_or_skip("a_broker_killed_in_the_middle_leaves_errors_and_nothing_else") {
        return;
    }
    let capture = Capture::new();
    capture.runtime().block_on(async {
        let mut bench = Bench::open(&capture, Duration::from_secs(1)).await;
        let sending = bench.orders.send("invoice", 1).run(|headers| bench.publish(headers, 1));
        sending.await.unwrap();
        let message = bench.pull(1).await.remove(0);
        bench.nats.kill();
        // the work was done, and nobody can be told: the acknowledgement is not confirmed
        let ack = bench.orders.settle("ack", async {
            let confirmed = tokio::time::timeout(Duration::from_millis(500), message.double_ack()).await;
            confirmed.map_err(|_| "no confirmation")?.map_err(|_| "not confirmed")
        });
        bench.handle(&message, async { ack.await.map_err(Into::into) }).await.unwrap_err();
        let lost = bench.orders.send("invoice", 2).run(|headers| bench.publish(headers, 2));
        lost.await.unwrap_err();
        // one more gives up while it waits
        let started = Notify::new();
        let sending = bench.orders.send("invoice", 3).run(|_| async {
            started.notify_one();
            std::future::pending::<Result<(), Failure>>().await
        });
        tokio::select! {
            _ = sending => unreachable!(),
            () = started.notified() => {}
        }
        assert_eq!(bench.capture.requests().active_count(), 0);
        assert_eq!(bench.capture.read(|captured| captured.open_spans()), 0);
        let sent = bench.spans("send orders");
        assert!(sent[1].is_error() && !sent[2].is_error());
        assert_eq!(sent[2].attributes().str("tracewell.outcome"), Some("cancelled"));
        assert!(bench.spans("ack orders")[0].is_error());

        bench.nats.restart();
        bench.reopen().await;
        let again = bench.pull(1).await.remove(0);
        assert_eq!(id(&again), 1);
        bench.handle(&again, bench.orders.settle("ack", again.double_ack())).await.unwrap();
        let processed = bench.spans("process orders");
        // the broker may have died before it wrote down the first delivery
        let deliveries = again.info().unwrap().delivered;
        assert_eq!(processed[1].attributes().i64("tracewell.task.attempt"), Some(deliveries));
        assert_eq!(
            (bench.count(State::Failed), bench.count(State::Retried), bench.count(State::Succeeded)),
            (1, 1, 1)
        );
        assert_eq!(bench.count(State::Sent), 1, "what was not confirmed is not sent");
        assert_eq!(bench.capture.requests().active_count(), 0);
    });
}

#[test]
fn the_example_tells_each_message_from_its_deliveries() {
    if !require_or_skip("the_example_tells_each_message_from_its_deliveries") {
        return;
    }
    let (nats, collector) = (Nats::start(), Collector::start());
    let program = Program::start(
        "messages",
        &[
            ("NATS_URL", &nats.url()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()),
            ("TRACEWELL_PRESET", "development"),
            ("TRACEWELL_ADMIN_ADDR", "127.0.0.1:0"),
        ],
    );
    let named = |name: &str| -> Vec<SpanRecord> {
        collector.spans().into_iter().filter(|span| span.name() == name).collect()
    };
    // three orders, of which the second comes twice
    let processed = wait_until(|| Some(named("process orders")).filter(|spans| spans.len() >= 4));
    assert!(processed.is_some(), "{:?} {}", collector.spans(), program.said());
    program.stop();
    let processed = named("process orders");
    let by = |id: &str, attempt: i64| {
        let is = |span: &&SpanRecord| {
            span.attribute("messaging.message.id").as_deref() == Some(id)
                && span.attributes().i64("tracewell.task.attempt") == Some(attempt)
        };
        processed.iter().find(is).unwrap_or_else(|| panic!("{id}, {attempt}: {processed:?}"))
    };
    for (id, attempt, settled, failed) in [
        ("1", 1, "ack orders", false),
        ("2", 1, "nak orders", true),
        ("2", 2, "ack orders", false),
        ("3", 1, "term orders", true),
    ] {
        let span = by(id, attempt);
        assert_eq!(span.attribute("error.type").is_some(), failed, "{span:?}");
        let creator = if id == "1" { named("send orders") } else { named("create orders") };
        assert!(creator.iter().any(|creator| creator.span.span_id == span.span.links[0].span_id), "{span:?}");
        assert!(named(settled).iter().any(|settled| settled.parent_span_id() == span.span_id()), "{settled}");
    }
    let logged = collector.logs();
    let written = logged.iter().find(|log| log.body() == "invoice written").unwrap();
    assert_eq!(written.span_id(), by("1", 1).span_id());
    let exemplars = collector.exemplars("messaging.process.duration");
    assert!(exemplars.iter().any(|exemplar| exemplar.span_id() == by("1", 1).span_id()), "{exemplars:?}");
    assert_each_counted_once(&collector);
}

fn assert_each_counted_once(collector: &Collector) {
    let metrics = collector.metrics();
    let retried = metrics.iter().rfind(|metric| metric.name() == "tracewell.tasks").unwrap();
    let Some(proto::metrics::v1::metric::Data::Sum(sum)) = &retried.metric.data else {
        panic!("{retried:?}")
    };
    let state = |state: &str| {
        let of = |point: &&proto::metrics::v1::NumberDataPoint| {
            let attributes = Attributes(&point.attributes);
            attributes.str("tracewell.task.name") == Some("invoice")
                && attributes.str("tracewell.task.state") == Some(state)
        };
        sum.data_points.iter().find(of).and_then(|point| point.value)
    };
    assert_eq!(state("sent"), state("received"), "each once, however often it came");
    assert!(state("retried").is_some());
}
