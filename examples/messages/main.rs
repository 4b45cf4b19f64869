//! Shows: a producer and a consumer of NATS JetStream. Each message carries the trace of who sent it; each delivery of it is
//! a task in the registry with a span of its own that links there, until it is settled.
//!
//! Run with: `nats-server --jetstream` and `cargo run --example messages`, until ctrl-c. `NATS_URL` says where the broker is.
//! With `TRACEWELL_ADMIN_ADDR=127.0.0.1:9470`, what runs now is at `http://127.0.0.1:9470/debug/requests`.

use std::{
    collections::HashMap,
    env,
    error::Error,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use async_nats::{
    HeaderMap,
    jetstream::{
        self, AckKind, Message,
        consumer::pull,
        context::Context,
        message::PublishMessage,
        stream::{Config, StorageType},
    },
};
use futures_util::StreamExt as _;
use tracewell::{Telemetry, messaging::Destination, shutdown, tasks};

/// The header with the order's number, by which a message is known when it comes again.
const ID: &str = "order-id";

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let telemetry = Telemetry::builder().default_service_name("messages").install()?;
    let url = env::var("NATS_URL").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned());
    let broker = jetstream::new(async_nats::connect(url).await?);
    let stream = Config {
        name: "orders".to_owned(),
        subjects: vec!["orders".to_owned()],
        storage: StorageType::Memory,
        ..Config::default()
    };
    let stream = broker.get_or_create_stream(stream).await?;
    let consumer =
        pull::Config { durable_name: Some("invoices".to_owned()), max_deliver: 5, ..pull::Config::default() };
    let consumer = stream.get_or_create_consumer("invoices", consumer).await?;
    let orders = Destination::new("nats", "orders");

    // a periodic job sends orders; each run is a task, and the sending a span in it
    let producer = tasks::periodic("take_orders", Duration::from_secs(1), {
        let orders = orders.clone();
        move || take_orders(broker.clone(), orders.clone())
    });
    let producer = tokio::spawn(producer);
    tokio::spawn(telemetry.health().clone().beat());
    telemetry.health().set_ready();

    // the client fetches in the background; one that asks the broker itself does it in `orders.pull(…)`
    let invoices = orders.with_consumer_group("invoices");
    let mut messages = consumer.messages().await?.take_until(Box::pin(shutdown::signal()));
    while let Some(message) = messages.next().await {
        match message {
            Ok(message) => handle(&invoices, &message).await,
            Err(error) => tracing::warn!(%error, "the broker does not answer"),
        }
    }
    telemetry.health().set_draining();
    producer.abort();
    // a run that was under way ends before telemetry does; that it was aborted is no news
    let _ = producer.await;
    telemetry.shutdown().await?;
    Ok(())
}

/// One order by itself and two in a batch; the last one is not to be understood.
async fn take_orders(broker: Context, orders: Destination) -> Result<(), Failure> {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let first = LAST.fetch_add(3, Ordering::Relaxed) + 1;
    let publish = async |headers, id, body| {
        let confirmation = broker.send_publish("orders", with_headers(headers, id, body)).await?;
        confirmation.await.map(drop).map_err(Failure::from)
    };
    let sending = orders.send("invoice", first);
    sending.run(|headers| publish(headers, first, first.to_string())).await?;
    let mut batch = orders.send_batch("invoice");
    let (second, third) = (batch.add(first + 1), batch.add(first + 2));
    let sending = async {
        publish(second, first + 1, (first + 1).to_string()).await?;
        publish(third, first + 2, "a teapot".to_owned()).await
    };
    batch.run(sending).await
}

/// A message's work: an invoice is written, and the broker is told.
async fn handle(orders: &Destination, message: &Message) {
    let headers = headers(message);
    let id = headers.get(ID).map_or("unknown", String::as_str);
    // as the broker counts
    let deliveries = message.info().map_or(1, |info| u32::try_from(info.delivered).unwrap_or(u32::MAX));
    let task = orders
        .receive("invoice", id, &headers)
        .with_attempt(deliveries)
        .with_body_size(u64::try_from(message.payload.len()).unwrap_or(u64::MAX));
    let work = async {
        match write_invoice(message, deliveries).await {
            Ok(()) => orders.settle("ack", message.ack()).await,
            Err(Problem::NotNow(problem)) => {
                orders.settle("nak", message.ack_with(AckKind::Nak(None))).await?;
                Err(problem.into())
            }
            Err(Problem::Never(problem)) => {
                orders.settle("term", message.ack_with(AckKind::Term)).await?;
                Err(problem.into())
            }
        }
    };
    // the failure is on the span, in the metrics and in the log
    let _: Result<(), Failure> = task.run(work).await;
}

enum Problem {
    NotNow(&'static str),
    Never(&'static str),
}

/// Every third order needs a second attempt.
async fn write_invoice(message: &Message, attempt: u32) -> Result<(), Problem> {
    let order = std::str::from_utf8(&message.payload).ok().and_then(|text| text.parse::<u64>().ok());
    let order = order.ok_or(Problem::Never("this is no order"))?;
    if order % 3 == 2 && attempt == 1 {
        return Err(Problem::NotNow("the printer is out of paper"));
    }
    tracing::info!(order.id = order, attempt, "invoice written");
    Ok(())
}

/// NATS has more than one value per header; those of a trace have one.
fn headers(message: &Message) -> HashMap<String, String> {
    let all = message.headers.iter().flat_map(HeaderMap::iter);
    all.filter_map(|(name, values)| Some((name.to_string(), values.first()?.to_string()))).collect()
}

fn with_headers(headers: HashMap<String, String>, id: u64, body: String) -> PublishMessage {
    let message = PublishMessage::build().payload(body.into()).header(ID, id.to_string());
    headers.into_iter().fold(message, |message, (name, value)| message.header(name, value))
}
