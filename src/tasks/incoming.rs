//! A message that arrived: the consumer's side of a task.

use std::{borrow::Cow, future::Future};

use opentelemetry::Context;

use super::{
    Run, Running, TaskResult, Tasks,
    result::{end_of, end_of_cancellable},
    running::Start,
    seen::Key,
    semconv,
    span::Origin,
    state::State,
};
use crate::{
    messaging::semconv::{self as messages, Operation, Place},
    requests::Cancellable,
};

/// A message that arrived; made by [`receive`](super::receive()).
#[must_use = "the task is received, and started by run() or start()"]
#[derive(Debug)]
pub struct Incoming {
    tasks: Tasks,
    name: Cow<'static, str>,
    id: String,
    key: Key,
    sender: Context,
    place: Place,
    /// Its delivery is counted already.
    consumed: bool,
    body_size: Option<u64>,
    continues: bool,
    attempt: Option<u32>,
    redelivered: bool,
}

impl Incoming {
    pub(super) fn new(tasks: &Tasks, name: Cow<'static, str>, id: String, sender: Context) -> Self {
        let key = tasks.key(&name, &id);
        let before = tasks.count(&tasks.named(&name), Some(key), State::Received);
        Self {
            tasks: tasks.clone(),
            name,
            id,
            key,
            sender,
            place: Place::default(),
            consumed: false,
            body_size: None,
            continues: false,
            attempt: None,
            redelivered: before.has(State::Received),
        }
    }

    /// The broker (`messaging.system`), such as `kafka` or `rabbitmq`; `_OTHER` unless said.
    pub fn with_system(mut self, system: impl Into<Cow<'static, str>>) -> Self {
        self.place.system = Some(system.into());
        self
    }

    /// The queue or topic (`messaging.destination.name`); the task's name unless said.
    pub fn with_destination(mut self, destination: impl Into<Cow<'static, str>>) -> Self {
        self.place.name = Some(destination.into());
        self
    }

    /// The consumer group (`messaging.consumer.group.name`).
    pub fn with_consumer_group(mut self, group: impl Into<Cow<'static, str>>) -> Self {
        self.place.consumer_group = Some(group.into());
        self
    }

    /// How many bytes the message's body has (`messaging.message.body.size`).
    pub fn with_body_size(mut self, bytes: u64) -> Self {
        self.body_size = Some(bytes);
        self
    }

    /// Comes from this place, and is counted as delivered.
    pub(crate) fn at_place(mut self, place: &Place) -> Self {
        self.place = place.clone();
        self.count_consumed();
        self
    }

    fn count_consumed(&mut self) {
        if !std::mem::replace(&mut self.consumed, true) {
            let point = self.place.of_metric(Operation::Process, &self.name);
            self.tasks.messages().count_consumed(&point);
        }
    }

    /// Which delivery this is, as the broker counts: from 2 on the task counts as retried, also when this process does not
    /// remember the first one.
    pub fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = Some(attempt);
        self
    }

    /// Goes on with the sender's trace. Otherwise the task's span has the current span as its parent, or is the root of a
    /// new trace; it links to the sender's span in any case. What is current then is linked too.
    pub fn continuing_trace(mut self) -> Self {
        self.continues = true;
        self
    }

    /// Whether a message with this name and id arrived before, as far as that is remembered. It is not counted again.
    #[must_use]
    pub fn is_redelivery(&self) -> bool {
        self.redelivered
    }

    /// Whether the task has succeeded already, as far as that is remembered: most consumers skip it then.
    #[must_use]
    pub fn has_succeeded(&self) -> bool {
        self.tasks.states(self.key).has(State::Succeeded)
    }

    /// Starts the task, for work that is no future: the guard's methods say how it ended.
    pub fn start(self) -> Running {
        self.begin(false)
    }

    /// Runs the task. Its outcome is that of `work`: a failure, a panic (which goes on), or a drop.
    ///
    /// Cancel safety: dropping the result drops `work`, and the task counts as cancelled.
    pub fn run<F>(self, work: F) -> Run<F>
    where
        F: Future,
        F::Output: TaskResult,
    {
        Run::new(self.begin(false), work, end_of)
    }

    /// [`run`](Self::run) for a task that an operator may cancel; see
    /// [`Registry::cancel`](crate::requests::Registry::cancel).
    ///
    /// # Errors
    /// [`Cancelled`](crate::requests::Cancelled) when that happened; `work` has been dropped then.
    pub fn run_cancellable<F>(self, work: F) -> Run<Cancellable<F>>
    where
        F: Future,
        F::Output: TaskResult,
    {
        let running = self.begin(true);
        let work = Cancellable::new(running.handle(), work);
        Run::new(running, work, end_of_cancellable)
    }

    fn begin(mut self, cancellable: bool) -> Running {
        self.count_consumed();
        let Self { tasks, name, id, key, sender, place, body_size, continues, attempt, .. } = self;
        let mut attributes = place.of_span(Operation::Process, &name);
        attributes.extend(messages::message(&id, body_size));
        attributes.extend(semconv::plain(&name));
        attributes.extend(attempt.map(semconv::attempt));
        let start = Start {
            key: Some(key),
            span_name: place.span_name(Operation::Process, &name),
            kind: Operation::Process.span_kind(false),
            attributes,
            message: Some(place.of_metric(Operation::Process, &name)),
            origin: Origin { message: Some(sender), continues, links: Vec::new() },
            cancellable,
            again: attempt.is_some_and(|attempt| attempt > 1),
            id: Some(id),
            name,
        };
        Running::start(&tasks, start)
    }
}
