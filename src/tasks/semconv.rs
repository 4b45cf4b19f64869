//! Names of spans, attributes and metrics of tasks; those of messages are in `messaging/semconv.rs`. Pure, and the only file
//! that knows names starting with `tracewell.task`.

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
const ATTEMPT: &str = "tracewell.task.attempt";
const OUTCOME: &str = "tracewell.outcome";
const ERROR_TYPE: &str = "error.type";

/// What the span of a task without a message says from its start on.
pub(super) fn plain(task: &str) -> Vec<KeyValue> {
    vec![KeyValue::new(TASK_NAME, task.to_owned())]
}

/// Which delivery of its message a task is, as the broker counts.
pub(super) fn attempt(attempt: u32) -> KeyValue {
    KeyValue::new(ATTEMPT, i64::from(attempt))
}

/// What a span says of how it went.
pub(super) fn outcome(state: State) -> KeyValue {
    KeyValue::new(OUTCOME, state.as_str())
}

/// What a span says at its end, besides its status.
pub(super) fn end(state: State, error: Option<&'static str>) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(2);
    attributes.push(outcome(state));
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
