//! What the result of a task's work says about it.

use std::fmt::{self, Display};

use crate::requests::Cancelled;

/// A result that says whether the work went well. For a `Result`, its error is the failure; `()` is always a success.
///
/// Implement it for results of your own, to be used with [`run`](super::run) and [`Incoming::run`](super::Incoming::run).
pub trait TaskResult {
    /// What went wrong, if anything.
    fn failure(&self) -> Option<Failure<'_>>;
}

/// What went wrong.
#[derive(Clone, Copy)]
pub struct Failure<'a> {
    kind: &'static str,
    message: &'a dyn Display,
}

impl<'a> Failure<'a> {
    /// A failure of this type (`error.type`: few values, such as the name of a Rust type), with this message.
    #[must_use]
    pub const fn new(kind: &'static str, message: &'a dyn Display) -> Self {
        Self { kind, message }
    }

    /// The value of `error.type`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }
}

impl Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}

impl fmt::Debug for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({}: {})", self.kind, self.message)
    }
}

impl TaskResult for () {
    fn failure(&self) -> Option<Failure<'_>> {
        None
    }
}

impl<T, E: Display> TaskResult for Result<T, E> {
    fn failure(&self) -> Option<Failure<'_>> {
        self.as_ref().err().map(|error| Failure::new(std::any::type_name::<E>(), error))
    }
}

/// How a run ended.
pub(super) enum End<'a> {
    Succeeded,
    Failed(Failure<'a>),
    Cancelled,
    Panicked,
}

/// How a run with this result ended.
pub(super) fn end_of<R: TaskResult>(result: &R) -> End<'_> {
    result.failure().map_or(End::Succeeded, End::Failed)
}

/// The same of a run that an operator could cancel.
pub(super) fn end_of_cancellable<R: TaskResult>(result: &Result<R, Cancelled>) -> End<'_> {
    match result {
        Ok(result) => end_of(result),
        Err(Cancelled) => End::Cancelled,
    }
}
