//! A run of a task: the guard from which everything about its end is derived, once.

use std::{borrow::Cow, fmt, sync::Arc, time::SystemTime};

use opentelemetry::{
    KeyValue,
    trace::{SpanKind, Status, TraceContextExt as _},
};
use tokio::time::Instant;

use super::{
    Tasks,
    hub::Named,
    result::{End, Failure},
    seen::Key,
    semconv,
    span::{Origin, start_span},
    state::State,
};
use crate::{
    messaging::semconv::Ending,
    owned_span::{self, OwnedSpan},
    quietly::quietly,
    requests::{self, Current, EndDetails, NewEntry, Outcome},
};

/// A task that is running: an entry of the registry, a span, and the promise that its end is recorded exactly once.
///
/// Dropped without [`succeed`](Self::succeed) or [`fail`](Self::fail), the run counts as panicked when the thread is
/// panicking and as cancelled otherwise. For work that is a future, [`Incoming::run`](super::Incoming::run) and
/// [`run`](super::run()) do all of this.
#[must_use = "the task ends when this is dropped"]
pub struct Running {
    tasks: Tasks,
    named: Arc<Named>,
    key: Option<Key>,
    entry: Option<requests::Guard>,
    handle: Current,
    span: OwnedSpan,
    message: Option<Vec<KeyValue>>,
    started: Instant,
    started_at: SystemTime,
}

/// The task's entry and span are current on this thread as long as this lives.
pub struct Entered<'a> {
    _span: owned_span::Entered<'a>,
    _entry: requests::Entered<'static>,
}

impl fmt::Debug for Entered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}

/// What a run is started from.
pub(super) struct Start {
    pub(super) name: Cow<'static, str>,
    pub(super) key: Option<Key>,
    pub(super) id: Option<String>,
    pub(super) span_name: String,
    pub(super) kind: SpanKind,
    pub(super) attributes: Vec<KeyValue>,
    /// A message's processing: the point of its metric.
    pub(super) message: Option<Vec<KeyValue>>,
    pub(super) origin: Origin,
    pub(super) cancellable: bool,
    /// The broker says that this is not the first delivery.
    pub(super) again: bool,
}

impl Running {
    pub(super) fn start(tasks: &Tasks, start: Start) -> Self {
        let (started, started_at) = (Instant::now(), SystemTime::now());
        let named = tasks.named(&start.name);
        let parent = requests::current();
        let span = start_span(start.span_name, start.kind, started_at, start.attributes, start.origin);
        let mut entry = NewEntry::task(start.name)
            .with_span_context(span.context().span().span_context())
            .with_start(started_at, started.into_std());
        entry.parent_id = parent.map(|parent| parent.id());
        entry.cancellable = start.cancellable;
        entry.tracing_id = span.tracing().id().map_or(0, |id| id.into_u64());
        let entry = tasks.registry().start(entry);
        let handle = entry.handle().clone();
        if let Some(id) = start.id {
            handle.annotate("task_id", id);
        }
        let run = Self {
            tasks: tasks.clone(),
            named,
            key: start.key,
            entry: Some(entry),
            handle,
            span,
            message: start.message,
            started,
            started_at,
        };
        {
            let _entered = run.span.enter();
            let before = run.count(State::Started);
            if start.again || before.wants_retry() {
                run.count(State::Retried);
            }
            run.tasks.instruments().add_active(run.named.name(), 1);
        }
        run
    }

    /// The handle on the task's entry, for stages and annotations.
    #[must_use]
    pub fn handle(&self) -> &Current {
        &self.handle
    }

    /// Makes entry and span current; never hold it across an `.await`.
    #[must_use = "the task is current until this value is dropped"]
    pub fn enter(&self) -> Entered<'_> {
        Entered { _span: self.span.enter(), _entry: requests::enter(&self.handle) }
    }

    /// The work went well: the run counts as succeeded, its duration (s) is recorded, its span ends without a status.
    pub fn succeed(self) {
        self.end(&End::Succeeded);
    }

    /// The work failed: an ERROR record `exception` with the failure's message, and the status Error with its kind as
    /// `error.type` (general/recording-errors.md).
    pub fn fail(self, failure: Failure<'_>) {
        self.end(&End::Failed(failure));
    }

    pub(super) fn end(mut self, end: &End<'_>) {
        self.finish(end);
    }

    fn count(&self, state: State) -> super::state::States {
        self.tasks.count(&self.named, self.key, state)
    }

    /// Each part on its own: a panic in a processor or layer of the program's costs that part, and no other.
    fn finish(&mut self, end: &End<'_>) {
        let Some(entry) = self.entry.take() else { return };
        // one reading of the clock for the span, the histogram and the registry
        let duration = self.started.elapsed();
        let (state, outcome, error) = match end {
            End::Succeeded => (State::Succeeded, Outcome::Completed, None),
            End::Failed(failure) => (State::Failed, Outcome::Failed, Some(failure.kind())),
            End::Cancelled => (State::Cancelled, Outcome::Cancelled, None),
            End::Panicked => (State::Panicked, Outcome::Panicked, Some("panic")),
        };
        quietly(|| {
            let _entered = self.span.enter();
            match end {
                End::Failed(failure) => semconv::log_failure(self.named.name(), failure.kind(), failure),
                End::Cancelled => semconv::log_cancelled(self.named.name()),
                _ => {}
            }
        });
        let message = self.message.take();
        quietly(|| {
            let _entered = self.span.enter();
            self.count(state);
            let own = self.tasks.of_metrics(&self.handle);
            self.tasks.instruments().record(self.named.name(), state, error, duration, own);
            if let Some(point) = message {
                let ending = match (error, end) {
                    (Some(kind), _) => Ending::Failed(kind),
                    (None, End::Cancelled) => Ending::Cancelled,
                    (None, _) => Ending::Completed,
                };
                self.tasks.messages().record_process(point, ending, duration);
            }
        });
        quietly(|| self.tasks.instruments().add_active(self.named.name(), -1));
        quietly(|| {
            self.span.end(self.started_at + duration, |span| {
                span.set_attributes(semconv::end(state, error));
                if self.handle.has_more_to_say() {
                    span.set_attributes(self.handle.attributes());
                    if matches!(end, End::Cancelled) {
                        span.set_attributes(self.handle.end_reason());
                    }
                }
                if error.is_some() {
                    span.set_status(Status::error(""));
                }
            });
        });
        entry.end(outcome, EndDetails::new(duration));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let end = if std::thread::panicking() { End::Panicked } else { End::Cancelled };
        self.finish(&end);
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("entry", &self.handle).finish_non_exhaustive()
    }
}
