//! Names of spans, attributes and metrics of tasks; those of messages are of the messaging conventions, version 1.44.
//! Pure, and the only file that knows names starting with `messaging.` and `tracewell.task`.

use std::borrow::Cow;

use opentelemetry::KeyValue;

use super::state::State;

pub(super) const TASKS: &str = "tracewell.tasks";
pub(super) const DURATION: &str = "tracewell.task.duration";
pub(super) const ACTIVE: &str = "tracewell.task.active";
pub(super) const OVERRUNS: &str = "tracewell.task.overruns";
pub(super) const LAST_RUN: &str = "tracewell.task.periodic.last_run";
pub(super) const NEXT_RUN: &str = "tracewell.task.periodic.next_run";
pub(super) const LATE: &str = "tracewell.task.periodic.late";
pub(super) const FAILING: &str = "tracewell.task.periodic.failing";

/// Bucket boundaries of durations, in seconds: up to an hour.
pub(super) const SECONDS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

const TASK_NAME: &str = "tracewell.task.name";
const TASK_STATE: &str = "tracewell.task.state";
const OUTCOME: &str = "tracewell.outcome";
const ERROR_TYPE: &str = "error.type";

const SYSTEM: &str = "messaging.system";
const DESTINATION: &str = "messaging.destination.name";
const MESSAGE_ID: &str = "messaging.message.id";
const OPERATION_NAME: &str = "messaging.operation.name";
const OPERATION_TYPE: &str = "messaging.operation.type";
const CONSUMER_GROUP: &str = "messaging.consumer.group.name";

/// The conventions demand a system; this is what they write where a value is not known.
const UNKNOWN: &str = "_OTHER";

/// What is done to a message. Its name and its type are the same word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Send,
    Process,
}

impl Operation {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Process => "process",
        }
    }
}

/// A message on its way, as attributes tell it.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    pub(super) system: Option<Cow<'static, str>>,
    pub(super) destination: Option<Cow<'static, str>>,
    pub(super) consumer_group: Option<Cow<'static, str>>,
}

/// The span's name: operation and destination (messaging/messaging-spans.md).
pub(super) fn span_name(operation: Operation, task: &str, message: &Message) -> String {
    format!("{} {}", operation.as_str(), message.destination.as_deref().unwrap_or(task))
}

/// What a message's span says from its start on.
pub(super) fn message(operation: Operation, task: &str, id: &str, message: &Message) -> Vec<KeyValue> {
    let Message { system, destination, consumer_group } = message.clone();
    let mut attributes = Vec::with_capacity(7);
    attributes.extend([
        KeyValue::new(SYSTEM, system.unwrap_or(Cow::Borrowed(UNKNOWN))),
        KeyValue::new(OPERATION_NAME, operation.as_str()),
        KeyValue::new(OPERATION_TYPE, operation.as_str()),
        KeyValue::new(DESTINATION, destination.unwrap_or_else(|| Cow::Owned(task.to_owned()))),
        KeyValue::new(MESSAGE_ID, id.to_owned()),
        KeyValue::new(TASK_NAME, task.to_owned()),
    ]);
    attributes.extend(consumer_group.map(|group| KeyValue::new(CONSUMER_GROUP, group)));
    attributes
}

/// What the span of a task without a message says from its start on.
pub(super) fn plain(task: &str) -> Vec<KeyValue> {
    vec![KeyValue::new(TASK_NAME, task.to_owned())]
}

/// What a span says at its end, besides its status.
pub(super) fn end(state: State, error: Option<&'static str>) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(2);
    attributes.push(KeyValue::new(OUTCOME, state.as_str()));
    attributes.extend(error.map(|error| KeyValue::new(ERROR_TYPE, error)));
    attributes
}

/// A point of a metric about tasks of one name.
pub(super) fn named(task: &str) -> KeyValue {
    KeyValue::new(TASK_NAME, task.to_owned())
}

/// A point of [`TASKS`].
pub(super) fn counted(task: &str, state: State) -> [KeyValue; 2] {
    [named(task), KeyValue::new(TASK_STATE, state.as_str())]
}

/// A point of [`DURATION`].
pub(super) fn measured(task: &str, state: State, error: Option<&'static str>) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(3);
    attributes.extend(counted(task, state));
    attributes.extend(error.map(|error| KeyValue::new(ERROR_TYPE, error)));
    attributes
}

/// What a person should read when a task's work ended with an error.
pub(super) fn log_failure(task: &str, error: &'static str, message: &dyn std::fmt::Display) {
    tracing::event!(
        name: "exception",
        target: "tracewell::tasks",
        tracing::Level::ERROR,
        exception.type = error,
        exception.message = %message,
        tracewell.task.name = task,
        "task {task} failed: {message}"
    );
}

/// The same when it was dropped.
pub(super) fn log_cancelled(task: &str) {
    tracing::event!(
        target: "tracewell::tasks",
        tracing::Level::DEBUG,
        tracewell.task.name = task,
        "task {task} was cancelled"
    );
}
