//! An operation under way: the guard from which everything about its end is derived, once.

use std::{borrow::Cow, fmt, time::SystemTime};

use opentelemetry::{
    KeyValue,
    trace::{SpanKind, Status},
};
use tokio::time::Instant;

use super::{
    Database,
    semconv::{self, Asked, Ending},
};
use crate::{
    http::given_up,
    owned_span::OwnedSpan,
    quietly::quietly,
    requests::{self, Waiting},
    span_seed::SpanSeed,
};

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    kind: Cow<'static, str>,
    code: Option<Cow<'static, str>>,
}

impl Failure {
    /// The database refused, with this code (`db.response.status_code`, and `error.type` too), such as the SQLSTATE
    /// `23505`.
    #[must_use]
    pub fn code(code: impl Into<Cow<'static, str>>) -> Self {
        let code = code.into();
        Self { kind: code.clone(), code: Some(code) }
    }

    /// It failed in another way (`error.type`: few values, such as `timeout` or `connection`).
    #[must_use]
    pub fn kind(kind: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: kind.into(), code: None }
    }

    /// It failed with an error of this type.
    #[must_use]
    pub fn of_type<E>() -> Self {
        Self::kind(std::any::type_name::<E>())
    }
}

/// An operation under way: a client span, the stage of the request or task that waits for it, and the promise that its end
/// is recorded exactly once.
///
/// Dropped without [`succeed`](Self::succeed) or [`fail`](Self::fail), it ends as failed when the thread is panicking, as
/// aborted when rows had come, and as cancelled otherwise; a [timeout](crate::resilience) that gives up is a failure, with the
/// `error.type` `timeout`.
#[must_use = "the operation ends when this is dropped"]
pub struct Running {
    database: Database,
    span: OwnedSpan,
    /// Of the metric.
    attributes: Vec<KeyValue>,
    started: Instant,
    started_at: SystemTime,
    waiting: Option<Waiting>,
    rows: Option<u64>,
    ended: bool,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Running {
    pub(super) fn start(database: Database, asked: &Asked) -> Self {
        let (started, started_at) = (Instant::now(), SystemTime::now());
        let attributes = asked.common(database.target());
        let mut of_span = attributes.clone();
        asked.of_span(&mut of_span);
        let seed = SpanSeed {
            name: asked.span_name(database.target()),
            kind: SpanKind::Client,
            start_time: started_at,
            attributes: of_span,
            links: Vec::new(),
        };
        let make = || tracing::info_span!(target: "tracewell::db", "database operation");
        let span = OwnedSpan::start(seed, make);
        let waiting = requests::current().map(|entry| entry.wait_for(database.stage()));
        Self { database, span, attributes, started, started_at, waiting, rows: None, ended: false }
    }

    /// Makes the span current; never hold it across an `.await`.
    #[must_use = "the span is current until this value is dropped"]
    pub fn enter(&self) -> tracing::span::Entered<'_> {
        self.span.tracing().enter()
    }

    /// So many rows more have come: `db.response.returned_rows`, where [`Database::with_returned_rows`] asks for it, and what tells
    /// an operation that is left in the middle from one that is cancelled.
    pub fn add_rows(&mut self, rows: u64) {
        self.rows = Some(self.rows.unwrap_or(0).saturating_add(rows));
    }

    /// It went well: its duration (s) is recorded, and its span ends without a status.
    pub fn succeed(mut self) {
        self.end(&Ending::Completed);
    }

    /// It failed: the same with `error.type` (and `db.response.status_code`), and the span's status Error (database spans,
    /// "Recording errors").
    pub fn fail(mut self, failure: Failure) {
        self.end(&Ending::from(failure));
    }

    pub(super) fn end(&mut self, ending: &Ending) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        // one reading of the clock for the span and the histogram
        let duration = self.started.elapsed();
        self.waiting = None;
        let _current = self.span.context().clone().attach();
        let mut attributes = std::mem::take(&mut self.attributes);
        let common = attributes.len();
        ending.attributes(&mut attributes);
        quietly(|| self.database.instruments().record(duration, &attributes));
        quietly(|| {
            self.span.end(self.started_at + duration, |span| {
                attributes.drain(..common);
                if self.database.records_rows() {
                    attributes.extend(self.rows.map(semconv::returned_rows));
                }
                span.set_attributes(attributes);
                if matches!(ending, Ending::Failed { .. }) {
                    span.set_status(Status::error(""));
                }
            });
        });
    }
}

impl From<Failure> for Ending {
    fn from(Failure { kind, code }: Failure) -> Self {
        Self::Failed { kind, code }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let ending = match (given_up(), self.rows) {
            _ if std::thread::panicking() => Failure::kind("panic").into(),
            (Some(reason), _) => Failure::kind(reason).into(),
            (None, Some(rows)) if rows > 0 => Ending::Aborted,
            (None, _) => Ending::Cancelled,
        };
        self.end(&ending);
    }
}
