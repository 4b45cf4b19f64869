//! Messages over a broker, whichever client talks to it: what is sent, received, processed and settled, as spans, metrics
//! and entries of the registry. Headers are a map of strings; everything else is the client's.
//!
//! ```
//! # use std::collections::HashMap;
//! use tracewell::messaging::Destination;
//!
//! # struct Message { id: u64, headers: HashMap<String, String>, deliveries: u32 }
//! # impl Message { async fn ack(&self) -> Result<(), std::io::Error> { Ok(()) } }
//! # async fn publish(_: &str, _: HashMap<String, String>) -> Result<(), std::io::Error> { Ok(()) }
//! # async fn fetch() -> Result<Vec<Message>, std::io::Error> { Ok(Vec::new()) }
//! # async fn write_invoice(_: u64) -> Result<(), std::io::Error> { Ok(()) }
//! # async fn producer() -> Result<(), std::io::Error> {
//! let orders = Destination::new("nats", "orders").with_address("broker.internal").with_port(4222);
//! orders.send("invoice", 7).run(|headers| publish("orders", headers)).await?;
//! # Ok(())
//! # }
//!
//! # async fn consumer() -> Result<(), std::io::Error> {
//! let orders = Destination::new("nats", "orders").with_consumer_group("invoices");
//! let batch = orders.pull(fetch(), |batch| batch.iter().map(|message| message.headers.clone()).collect()).await?;
//! for message in batch {
//!     let task = orders.receive("invoice", message.id, &message.headers).with_attempt(message.deliveries);
//!     let work = async {
//!         write_invoice(message.id).await?;
//!         orders.settle("ack", message.ack()).await
//!     };
//!     // the failure is on the span, in the metrics and in the log: the broker delivers the message again
//!     let _ = task.run(work).await;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The work itself is one of [`tasks`](crate::tasks), which counts each message once per state however often it is
//! delivered, and lists it in the registry while it is processed; that module's functions do for a program that names no
//! destination.
//!
//! # What is recorded
//!
//! By the messaging conventions (1.44), which are still in development:
//!
//! | what | span | metrics |
//! |---|---|---|
//! | [`send`](Destination::send) | `send orders` (producer), whose context the message carries | `messaging.client.operation.duration` (s), `messaging.client.sent.messages` ({message}) |
//! | [`send_batch`](Destination::send_batch) | `create orders` (producer) for each message, whose context it carries; one `send orders` (client) that links to them | the same, once; every message counted |
//! | [`pull`](Destination::pull) | `receive orders` (client) that links to each message's context | `messaging.client.operation.duration` |
//! | [`receive`](Destination::receive) | `process orders` (consumer) that links to the message's context, for each delivery | `messaging.client.consumed.messages`, `messaging.process.duration` (s), and those of tasks |
//! | [`settle`](Destination::settle) | `ack orders` (client) | `messaging.client.operation.duration` |
//!
//! A span and its duration take one reading of the clock, and the measurement's exemplar is the span. An error is the status
//! Error and `error.type`, the name of its type; what is dropped has `tracewell.outcome`=`cancelled`. While a request or
//! task waits for the broker, that is its stage: `sending to orders`.
//!
//! The process span is the root of a trace of its own, or a child of what is current; with
//! [`continuing_trace`](crate::tasks::Incoming::continuing_trace) it is a child of the message's sender. It links to the
//! sender in any case. Which delivery it is, as far as the broker counts, is `tracewell.task.attempt`. A message that is
//! delivered again counts once as retried in `tracewell.tasks`.

mod batch;
mod call;
mod metrics;
pub(crate) mod semconv;

use std::{borrow::Cow, collections::HashMap, fmt, future::Future, hash::BuildHasher};

use opentelemetry::{StringValue, trace::TraceContextExt as _};

pub use self::batch::Batch;
use self::semconv::{Operation, Place};
pub(crate) use self::{
    call::{Asked, Call},
    metrics::Instruments,
};
use crate::tasks::{Incoming, Origin, Outgoing, TaskResult, Tasks, extract};

/// Where messages go to or come from: a queue, a topic, a subject of a broker. Make one per destination and role.
#[derive(Debug, Clone)]
#[must_use]
pub struct Destination {
    place: Place,
    name: Cow<'static, str>,
    tasks: Option<Tasks>,
}

impl Destination {
    /// This destination (`messaging.destination.name`) of a broker (`messaging.system`): `kafka`, `rabbitmq`, `nats`.
    pub fn new(system: impl Into<Cow<'static, str>>, name: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        let place = Place { system: Some(system.into()), name: Some(name.clone()), ..Place::default() };
        Self { place, name, tasks: None }
    }

    /// What many such destinations have in common (`messaging.destination.template`), for names of which there are many:
    /// `orders.{customer}`. Span names and metrics have it instead of the name.
    pub fn with_template(mut self, template: impl Into<Cow<'static, str>>) -> Self {
        self.place.template = Some(template.into());
        self
    }

    /// The consumer group (`messaging.consumer.group.name`); for NATS JetStream the durable consumer.
    pub fn with_consumer_group(mut self, group: impl Into<Cow<'static, str>>) -> Self {
        self.place.consumer_group = Some(group.into());
        self
    }

    /// The broker's host (`server.address`).
    pub fn with_address(mut self, address: impl Into<StringValue>) -> Self {
        self.place.address = Some(address.into());
        self
    }

    /// The broker's port (`server.port`).
    pub fn with_port(mut self, port: u16) -> Self {
        self.place.port = Some(port);
        self
    }

    /// Records with these instead of [`Tasks::global`].
    pub fn with_tasks(mut self, tasks: Tasks) -> Self {
        self.tasks = Some(tasks);
        self
    }

    fn tasks(&self) -> &Tasks {
        self.tasks.as_ref().unwrap_or_else(|| Tasks::global())
    }

    /// A message about to be sent here, the cause of the task with this name and id (of which there may be any number; names
    /// beyond the first 1,000 are counted as `_OTHER`).
    pub fn send(&self, task: impl Into<Cow<'static, str>>, id: impl fmt::Display) -> Outgoing {
        self.tasks().send(task, id).at_place(&self.place)
    }

    /// Several messages about to be sent in one call.
    pub fn send_batch(&self, task: impl Into<Cow<'static, str>>) -> Batch {
        Batch::new(self.tasks(), &self.place, task.into())
    }

    /// A message that arrived from here, with its headers by their lower-case names: one delivery more, and the task with this
    /// name and id is received. Headers that cannot be read are as none.
    pub fn receive<S: BuildHasher>(
        &self,
        task: impl Into<Cow<'static, str>>,
        id: impl fmt::Display,
        headers: &HashMap<String, String, S>,
    ) -> Incoming {
        self.tasks().receive(task, id, headers).at_place(&self.place)
    }

    /// Asks the broker for messages: for consumers that pull them. `headers` are those of each message that came.
    ///
    /// In a loop without a request or task around it, each call is a trace of its own, also when nothing came; a client
    /// that fetches in the background (a stream of messages) needs none.
    ///
    /// # Errors
    /// Those of `fetch`.
    ///
    /// Cancel safety: that of `fetch`; dropped, the span ends as cancelled.
    pub async fn pull<F, T, E>(
        &self,
        fetch: F,
        headers: impl FnOnce(&T) -> Vec<HashMap<String, String>>,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        E: fmt::Display,
    {
        let call = self.start(Operation::Receive);
        let result = call.run(|| fetch).await;
        call.end_with(&result, |context, _| {
            let Ok(messages) = &result else { return Vec::new() };
            let headers = headers(messages);
            let span = context.span();
            for headers in &headers {
                let sender = extract(headers).span().span_context().clone();
                if sender.is_valid() && span.is_recording() {
                    span.add_link(sender, Vec::new());
                }
            }
            vec![semconv::message_count(headers.len().try_into().unwrap_or(u64::MAX))]
        });
        result
    }

    /// Tells the broker what became of a message, in its own words: `ack`, `nak`, `term`. Best done inside of the work, so
    /// that the span belongs to the message's.
    ///
    /// Cancel safety: that of `settle`; dropped, the span ends as cancelled.
    pub async fn settle<F>(&self, operation: &'static str, settle: F) -> F::Output
    where
        F: Future,
        F::Output: TaskResult,
    {
        let call = self.start(Operation::Settle(operation));
        let result = call.run(|| settle).await;
        call.end_with(&result, |_, _| Vec::new());
        result
    }

    fn start(&self, operation: Operation) -> Call {
        let asked =
            Asked { operation, place: &self.place, task: &self.name, more: Vec::new(), origin: Origin::HERE };
        Call::start(self.tasks(), asked, 0)
    }
}
