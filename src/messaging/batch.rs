//! Several messages sent in one call.

use std::{borrow::Cow, collections::HashMap, fmt, future::Future};

use opentelemetry::trace::{Link, TraceContextExt as _};

use super::{
    Asked, Call,
    semconv::{self, Operation, Place},
};
use crate::tasks::{Origin, State, TaskResult, Tasks, inject};

/// Messages about to be sent in one call; made by [`Destination::send_batch`](super::Destination::send_batch).
///
/// ```
/// # use tracewell::messaging::Destination;
/// # async fn publish_all(_: Vec<std::collections::HashMap<String, String>>) -> Result<(), std::io::Error> { Ok(()) }
/// # async fn example(orders: Destination) -> Result<(), std::io::Error> {
/// let mut batch = orders.send_batch("invoice");
/// let messages = (7..10).map(|order| batch.add(order)).collect();
/// batch.run(publish_all(messages)).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is sent before run() is awaited"]
#[derive(Debug)]
pub struct Batch {
    tasks: Tasks,
    place: Place,
    task: Cow<'static, str>,
    ids: Vec<String>,
    created: Vec<Link>,
}

impl Batch {
    pub(super) fn new(tasks: &Tasks, place: &Place, task: Cow<'static, str>) -> Self {
        Self { tasks: tasks.clone(), place: place.clone(), task, ids: Vec::new(), created: Vec::new() }
    }

    /// One message more, of the task with this id; the headers that it carries: the context of a span of its own, `create
    /// <destination>` (messaging/messaging-spans.md "Producer spans", of batches).
    pub fn add(&mut self, id: impl fmt::Display) -> HashMap<String, String> {
        let id = id.to_string();
        let asked = Asked {
            operation: Operation::Create,
            place: &self.place,
            task: &self.task,
            more: semconv::message(&id, None).collect(),
            origin: Origin::HERE,
        };
        let call = Call::start(&self.tasks, asked, 0);
        let mut headers = HashMap::new();
        call.end_with(&(), |context, _| {
            inject(&mut headers);
            let created = context.span().span_context().clone();
            if created.is_valid() {
                self.created.push(Link::with_context(created));
            }
            Vec::new()
        });
        self.ids.push(id);
        headers
    }

    /// Hands the messages over. Their tasks count as sent when the result is no failure; it passes through.
    ///
    /// Cancel safety: that of `send`; dropped, no task counts as sent, and the span ends as cancelled.
    pub async fn run<F>(self, send: F) -> F::Output
    where
        F: Future,
        F::Output: TaskResult,
    {
        let Self { tasks, place, task, ids, created } = self;
        let count = ids.len().try_into().unwrap_or(u64::MAX);
        let asked = Asked {
            operation: Operation::Send,
            place: &place,
            task: &task,
            more: vec![semconv::message_count(count)],
            origin: Origin { links: created, ..Origin::HERE },
        };
        let call = Call::start(&tasks, asked, count);
        let result = call.run(|| send).await;
        call.end_with(&result, |_, went_well| {
            for id in ids.iter().filter(|_| went_well) {
                tasks.count_state(&task, id, State::Sent);
            }
            Vec::new()
        });
        result
    }
}
