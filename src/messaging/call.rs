//! One operation of a broker's client: the guard from which everything about its end is derived, once.

use std::{fmt, future::Future, time::SystemTime};

use opentelemetry::{Context, KeyValue, trace::Status};
use tokio::time::Instant;

use super::semconv::{Ending, Operation, Place};
use crate::{
    owned_span::OwnedSpan,
    quietly::quietly,
    requests::{self, Waiting},
    tasks::{Origin, TaskResult, Tasks, start_span},
};

/// What is about to be done.
pub(crate) struct Asked<'a> {
    pub(crate) operation: Operation,
    pub(crate) place: &'a Place,
    /// The task's name, where the messages are of one.
    pub(crate) task: &'a str,
    /// What the span says besides.
    pub(crate) more: Vec<KeyValue>,
    /// What the span is started from: with links, the messages have contexts of their own.
    pub(crate) origin: Origin,
}

/// An operation under way. Dropped, it ends as cancelled, or as failed when the thread is panicking.
pub(crate) struct Call {
    tasks: Tasks,
    operation: Operation,
    span: OwnedSpan,
    point: Vec<KeyValue>,
    messages: u64,
    started: Instant,
    started_at: SystemTime,
    waiting: Option<Waiting>,
    ended: bool,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("operation", &self.operation).finish_non_exhaustive()
    }
}

impl Call {
    /// `messages` is how many are sent.
    pub(crate) fn start(tasks: &Tasks, asked: Asked<'_>, messages: u64) -> Self {
        let Asked { operation, place, task, more, origin } = asked;
        let (started, started_at) = (Instant::now(), SystemTime::now());
        let mut attributes = place.of_span(operation, task);
        attributes.extend(more);
        let span = start_span(
            place.span_name(operation, task),
            operation.span_kind(origin.has_links()),
            started_at,
            attributes,
            origin,
        );
        let doing = match operation {
            Operation::Create | Operation::Process => None,
            Operation::Send => Some("sending to"),
            Operation::Receive => Some("receiving from"),
            Operation::Settle(_) => Some("settling with"),
        };
        let entry = doing.and_then(|doing| Some((doing, requests::current()?)));
        let waiting = entry.map(|(doing, entry)| entry.wait_for(format!("{doing} {}", place.shown(task))));
        Self {
            tasks: tasks.clone(),
            operation,
            span,
            point: place.of_metric(operation, task),
            messages,
            started,
            started_at,
            waiting,
            ended: false,
        }
    }

    /// Makes a future inside of the span, and awaits it there.
    pub(crate) async fn run<F: Future>(&self, make: impl FnOnce() -> F) -> F::Output {
        let future = {
            let _entered = self.span.enter();
            requests::in_current(make())
        };
        future.await
    }

    /// The operation has this result. `more`, called inside of the span with whether it went well, is what the span says
    /// only now.
    pub(crate) fn end_with<R: TaskResult>(
        mut self,
        result: &R,
        more: impl FnOnce(&Context, bool) -> Vec<KeyValue>,
    ) {
        let ending = result.failure().map_or(Ending::Completed, |failure| Ending::Failed(failure.kind()));
        let more = {
            let _entered = self.span.enter();
            more(self.span.context(), ending == Ending::Completed)
        };
        self.end(ending, more);
    }

    fn end(&mut self, ending: Ending, mut attributes: Vec<KeyValue>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        // one reading of the clock for the span and the histogram
        let duration = self.started.elapsed();
        self.waiting = None;
        if self.operation != Operation::Create {
            let point = std::mem::take(&mut self.point);
            quietly(|| {
                let _entered = self.span.enter();
                self.tasks.messages().record_client(point, ending, duration, self.messages);
            });
        }
        quietly(|| {
            self.span.end(self.started_at + duration, |span| {
                attributes.extend(ending.attribute());
                span.set_attributes(attributes);
                if matches!(ending, Ending::Failed(_)) {
                    span.set_status(Status::error(""));
                }
            });
        });
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let ending = if std::thread::panicking() { Ending::Failed("panic") } else { Ending::Cancelled };
        self.end(ending, Vec::new());
    }
}
