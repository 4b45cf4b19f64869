//! Work in the background: tasks caused by messages, by a clock or by nothing else, as entries of the same registry.
//!
//! # From a producer to a consumer
//!
//! ```
//! # use std::collections::HashMap;
//! use tracewell::tasks;
//!
//! # async fn publish(_: &str, _: HashMap<String, String>) -> Result<(), std::io::Error> { Ok(()) }
//! # async fn deliver(_: &str) -> Result<(), std::io::Error> { Ok(()) }
//! # async fn producer() -> Result<(), std::io::Error> {
//! // a producer span around the sending; its context travels in the headers
//! tasks::send("email", "order-7").run(|headers| publish("emails", headers)).await?;
//! # Ok(())
//! # }
//!
//! # async fn consumer(headers: HashMap<String, String>) -> Result<(), std::io::Error> {
//! // a consumer span that links to the producer's, an entry of the registry, and the outcome of the work
//! let task = tasks::receive("email", "order-7", &headers);
//! task.run(deliver("order-7")).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`sent`] only counts, for a producer with a span of its own; [`inject`] and [`extract`] only carry the context.
//! [`run`] is for tasks without a message, [`periodic`] for those that a clock starts.
//!
//! # What is counted, and what once
//!
//! | | counts |
//! |---|---|
//! | `tracewell.tasks` ({task}) by `tracewell.task.name`, `tracewell.task.state`; [`counts`] | tasks that reached a [`State`]: each task in each state **once**, however often its message is delivered |
//! | `tracewell.task.duration` (s) by name, state at the end, `error.type` | every run |
//! | `tracewell.task.active` ({task}) by name | runs under way |
//! | `tracewell.task.overruns` ({run}) by name | runs of periodic tasks that were left out |
//! | `tracewell.task.periodic.last_run`, `.next_run` (s, Unix time), `.late`, `.failing` (0 or 1) by name | periodic tasks as they are now; [`jobs`] |
//! | `task_totals` of a [`Snapshot`](crate::requests::Snapshot) | every run; requests are never among them |
//!
//! A task is known by its name and id. Started again after it failed, was cancelled or panicked, it is retried. So of a
//! task that fails twice and succeeds then, `started`, `failed`, `retried` and `succeeded` are 1 each, and three durations
//! are recorded. Nothing of this asks the broker: a run's state is that of its guard, so a broker that restarts and
//! delivers again loses nothing and doubles nothing.
//!
//! The last 100,000 ids are remembered, for one hour after they were first seen: whichever is less. That takes 4.5 MB
//! at most. What is delivered again later is counted again. Tasks without an id are counted each time. Names beyond the
//! first 1,000 are counted as `_OTHER`.
//!
//! # Spans
//!
//! By the messaging conventions: `send {destination}` (producer) and `process {destination}` (consumer, with a link to the
//! producer's context) have `messaging.operation.type`, `messaging.system`, `messaging.message.id` and so on; the span
//! of a task without a message is internal and has the task's name. At the end a failure or a panic becomes the status
//! Error with `error.type`, and `tracewell.outcome` says how it was.

mod context;
mod environment;
mod hub;
mod incoming;
mod metrics;
mod outgoing;
mod periodic;
mod result;
mod run;
mod running;
mod seen;
mod semconv;
mod span;
mod state;

#[cfg(feature = "admin")]
mod json;

use std::{borrow::Cow, collections::HashMap, fmt, future::Future, hash::BuildHasher, time::Duration};

use crate::requests::Cancellable;

pub use self::{
    context::{extract, inject},
    environment::{child_env, env_context, extract_env},
    hub::{TaskCounts, Tasks},
    incoming::Incoming,
    outgoing::Outgoing,
    periodic::{Periodic, PeriodicJob},
    result::{Failure, TaskResult},
    run::Run,
    running::{Entered, Running},
    state::State,
};
pub(crate) use self::{
    hub::configure,
    span::{Origin, start_span},
};

/// Counts the task as sent, for a producer that has its own span; [`send`] makes one.
pub fn sent(name: &str, id: impl fmt::Display) {
    Tasks::global().sent(name, id);
}

/// A message about to be sent: [`Outgoing::run`] sends it inside of a producer span.
pub fn send(name: impl Into<Cow<'static, str>>, id: impl fmt::Display) -> Outgoing {
    Tasks::global().send(name, id)
}

/// A message that arrived, with its headers by their lower-case names: counts the task as received; [`Incoming::run`] starts it.
/// Headers that cannot be read are as none.
pub fn receive<S: BuildHasher>(
    name: impl Into<Cow<'static, str>>,
    id: impl fmt::Display,
    headers: &HashMap<String, String, S>,
) -> Incoming {
    Tasks::global().receive(name, id, headers)
}

/// Starts a task that no message caused, for work that is no future. Its span is a child of the current one, its end what the
/// guard's methods say; dropped, it counts as cancelled.
pub fn start(name: impl Into<Cow<'static, str>>) -> Running {
    Tasks::global().start(name)
}

/// Runs a task that no message caused. Its span is a child of the current one.
///
/// Cancel safety: dropping the result drops `work`, and the task counts as cancelled.
pub fn run<F>(name: impl Into<Cow<'static, str>>, work: F) -> Run<F>
where
    F: Future,
    F::Output: TaskResult,
{
    Tasks::global().run(name, work)
}

/// [`run`] for a task that an operator may cancel: on the admin server, or by
/// [`Registry::cancel`](crate::requests::Registry::cancel).
///
/// # Errors
/// [`Cancelled`](crate::requests::Cancelled) when that happened; `work` has been dropped then.
pub fn run_cancellable<F>(name: impl Into<Cow<'static, str>>, work: F) -> Run<Cancellable<F>>
where
    F: Future,
    F::Output: TaskResult,
{
    Tasks::global().run_cancellable(name, work)
}

/// Runs a task at once and then every `interval` (from 1 ms to 30 years; what is shorter or longer counts as that), as long as
/// the result is polled: for `tokio::spawn`.
///
/// Runs never overlap and never pile up: what is due while a run is under way is left out, and said by
/// [`PeriodicJob::overrun`]. A failure or a panic ends its run only. Cancel safety: dropping the result drops the run
/// under way, which counts as cancelled, and takes the task from the list of [`jobs`].
///
/// # Panics
///
/// The result does when it is polled outside of a tokio runtime with its timer enabled.
pub fn periodic<W, F>(name: impl Into<Cow<'static, str>>, interval: Duration, work: W) -> Periodic
where
    W: FnMut() -> F + Send + 'static,
    F: Future + Send + 'static,
    F::Output: TaskResult + Send,
{
    Tasks::global().periodic(name, interval, work)
}

/// How many tasks reached which state, by name; see [`Tasks::counts`].
#[must_use]
pub fn counts() -> Vec<TaskCounts> {
    Tasks::global().counts()
}

/// The periodic tasks that exist; see [`Tasks::jobs`].
#[must_use]
pub fn jobs() -> Vec<PeriodicJob> {
    Tasks::global().jobs()
}
