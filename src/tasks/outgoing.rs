//! A message on its way out: the producer's span, inside of which it is handed to the broker.

use std::{borrow::Cow, collections::HashMap, future::Future};

use opentelemetry::Context;

use super::{TaskResult, Tasks, context::inject_from, semconv, span::Origin, state::State};
use crate::messaging::{
    Asked, Call,
    semconv::{self as messages, Operation, Place},
};

/// A message about to be sent; made by [`send`](super::send()).
#[must_use = "nothing is sent before run() is awaited"]
#[derive(Debug)]
pub struct Outgoing {
    tasks: Tasks,
    name: Cow<'static, str>,
    id: String,
    place: Place,
    body_size: Option<u64>,
}

impl Outgoing {
    pub(super) fn new(tasks: &Tasks, name: Cow<'static, str>, id: String) -> Self {
        Self { tasks: tasks.clone(), name, id, place: Place::default(), body_size: None }
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

    /// How many bytes the message's body has (`messaging.message.body.size`).
    pub fn with_body_size(mut self, bytes: u64) -> Self {
        self.body_size = Some(bytes);
        self
    }

    /// Goes to this place.
    pub(crate) fn at_place(mut self, place: &Place) -> Self {
        self.place = place.clone();
        self
    }

    /// Hands the message over inside of a producer span: `publish` gets the headers that carry the span's context.
    ///
    /// The task counts as sent when the result is no failure. Cancel safety: that of the future `publish` makes; dropped,
    /// the task does not count as sent, and the span ends as cancelled.
    pub async fn run<P, F>(self, publish: P) -> F::Output
    where
        P: FnOnce(HashMap<String, String>) -> F,
        F: Future,
        F::Output: TaskResult,
    {
        let Self { tasks, name, id, place, body_size } = self;
        let mut more: Vec<_> = messages::message(&id, body_size).collect();
        more.extend(semconv::plain(&name));
        let asked =
            Asked { operation: Operation::Send, place: &place, task: &name, more, origin: Origin::HERE };
        let call = Call::start(&tasks, asked, 1);
        let publishing = call.run(|| {
            let mut headers = HashMap::new();
            inject_from(&Context::current(), &mut headers);
            publish(headers)
        });
        let result = publishing.await;
        call.end_with(&result, |_, went_well| {
            if went_well {
                tasks.count_state(&name, &id, State::Sent);
            }
            vec![semconv::outcome(if went_well { State::Sent } else { State::Failed })]
        });
        result
    }
}
