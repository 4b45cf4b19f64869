//! Shows: work without HTTP: a periodic job that sends messages, and a consumer that works them off. Each message is
//! counted once, however often it is delivered, and its span links to the one that sent it.
//!
//! Run with: `cargo run --example worker`, until ctrl-c. With `TRACEWELL_ADMIN_ADDR=127.0.0.1:9470`, what runs now and
//! when the job runs next is at `http://127.0.0.1:9470/debug/requests`.

use std::{
    collections::HashMap,
    error::Error,
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::sync::mpsc::{self, Receiver, Sender};
use tracewell::{Telemetry, shutdown, tasks};

/// What a broker carries. The headers are those of the message: the trace travels in them.
struct Message {
    id: u64,
    headers: HashMap<String, String>,
    attempt: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let telemetry = Telemetry::builder().default_service_name("worker").install()?;
    let (broker, queue) = mpsc::channel(16);
    let orders =
        tasks::periodic("take_order", Duration::from_millis(500), move || take_order(broker.clone()));
    let orders = tokio::spawn(orders);
    // what `Telemetry::serve` does for axum: `/health` notices a blocked runtime, and what is stuck is flagged and logged
    tokio::spawn(telemetry.health().clone().beat());
    tokio::spawn(telemetry.requests().watch(telemetry.stuck_thresholds().clone()));
    telemetry.health().set_ready();
    let stop = async {
        shutdown::signal().await;
        telemetry.health().set_draining();
        orders.abort(); // and with it the sender goes: the consumer finishes what is there, and ends
        // a run that was under way ends before telemetry does; that it was aborted is no news
        let _ = orders.await;
    };
    tokio::join!(consume(queue), stop);
    telemetry.shutdown().await?;
    Ok(())
}

/// The periodic job: each run is a task with a span of its own.
async fn take_order(broker: Sender<Message>) -> Result<(), String> {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let id = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    let publish = |headers| async move {
        tracing::info!(order.id = id, "order taken");
        broker.send(Message { id, headers, attempt: 1 }).await.map_err(|gone| gone.to_string())
    };
    tasks::send("invoice", id).with_system("in_process").with_destination("invoices").run(publish).await
}

/// The message jobs. A failed one is delivered again, as a broker would.
async fn consume(mut queue: Receiver<Message>) {
    while let Some(mut message) = queue.recv().await {
        loop {
            let task = tasks::receive("invoice", message.id, &message.headers)
                .with_system("in_process")
                .with_destination("invoices")
                .with_attempt(message.attempt);
            match task.run(write_invoice(&message)).await {
                Err(_) if message.attempt < 3 => message.attempt += 1,
                // the failure is on the span and in the metrics already
                Ok(()) | Err(_) => break,
            }
        }
    }
}

/// Every second order needs a second attempt.
async fn write_invoice(message: &Message) -> Result<(), io::Error> {
    if message.id % 2 == 0 && message.attempt == 1 {
        return Err(io::Error::other("the printer is out of paper"));
    }
    tracing::info!(order.id = message.id, attempt = message.attempt, "invoice written");
    Ok(())
}
