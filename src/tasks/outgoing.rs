//! A message on its way out: the producer's span, inside of which it is handed to the broker.

use std::{borrow::Cow, collections::HashMap, future::Future, time::SystemTime};

use opentelemetry::{
    Context,
    trace::{SpanKind, TraceContextExt as _},
};

use super::{
    TaskResult, Tasks,
    context::inject_from,
    semconv::{self, Message, Operation},
    span::{Origin, TaskSpan},
    state::State,
};
use crate::requests;

/// A message about to be sent; made by [`send`](super::send()).
#[must_use = "nothing is sent before run() is awaited"]
#[derive(Debug)]
pub struct Outgoing {
    tasks: Tasks,
    name: Cow<'static, str>,
    id: String,
    message: Message,
}

impl Outgoing {
    pub(super) fn new(tasks: &Tasks, name: Cow<'static, str>, id: String) -> Self {
        Self { tasks: tasks.clone(), name, id, message: Message::default() }
    }

    /// The broker (`messaging.system`), such as `kafka` or `rabbitmq`; `_OTHER` unless said.
    pub fn with_system(mut self, system: impl Into<Cow<'static, str>>) -> Self {
        self.message.system = Some(system.into());
        self
    }

    /// The queue or topic (`messaging.destination.name`); the task's name unless said.
    pub fn with_destination(mut self, destination: impl Into<Cow<'static, str>>) -> Self {
        self.message.destination = Some(destination.into());
        self
    }

    /// Hands the message over inside of a producer span: `publish` gets the headers that carry the span's context.
    ///
    /// The task counts as sent when the result is no failure. Cancel safety: that of the future `publish` makes; dropped,
    /// the task does not count as sent.
    pub async fn run<P, F>(self, publish: P) -> F::Output
    where
        P: FnOnce(HashMap<String, String>) -> F,
        F: Future,
        F::Output: TaskResult,
    {
        let Self { tasks, name, id, message } = self;
        let span = TaskSpan::start(
            semconv::span_name(Operation::Send, &name, &message),
            SpanKind::Producer,
            SystemTime::now(),
            semconv::message(Operation::Send, &name, &id, &message),
            Origin::HERE,
        );
        let future = {
            let _entered = span.enter();
            let mut headers = HashMap::new();
            inject_from(&Context::current(), &mut headers);
            requests::in_current(publish(headers))
        };
        let result = future.await;
        let failure = result.failure().map(|failure| failure.kind());
        let state = if failure.is_some() { State::Failed } else { State::Sent };
        if failure.is_none() {
            let _entered = span.enter();
            let key = tasks.key(&name, &id);
            tasks.count(&tasks.named(&name), Some(key), State::Sent);
        }
        if span.context().has_active_span() {
            span.end(SystemTime::now(), semconv::end(state, failure), failure.is_some());
        }
        result
    }
}
