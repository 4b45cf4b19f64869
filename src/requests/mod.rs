//! Who is in flight: every active request and task, listed until the moment it ends, however it ends.
//!
//! # The life of an entry
//!
//! ```text
//! Registry::start(NewEntry) ──► Guard ──────────── moved along: call → future → response body
//!         │                       │ handle()
//!         │                    Current ─────────── set_stage, annotate; cheap to clone, installed in each poll
//!         ▼                       │
//!   listed, `started` + 1      Guard::end(outcome) or its drop (cancelled, panicked)
//!                                 │
//!                                 ▼
//!                       unlisted, `outcome` + 1, remembered among the recent: one critical section
//! ```
//!
//! Nothing but the guard removes an entry, so nothing can be forgotten, and nothing is swept.
//! In every [`Snapshot`], of each kind: started = completed + failed + cancelled + panicked + aborted + active.
//!
//! # In a handler
//!
//! ```
//! # use tracewell::requests::{self, NewEntry, Registry};
//! # let guard = Registry::global().start(NewEntry::request("GET"));
//! # let _entered = requests::enter(guard.handle());
//! if let Some(request) = requests::current() {
//!     request.set_stage("waiting for stock");
//!     request.annotate("product", 7);
//! }
//! let entry = requests::active().active.into_iter().find(|entry| entry.id == guard.handle().id());
//! assert_eq!(entry.and_then(|entry| entry.stage).as_deref(), Some("waiting for stock"));
//! ```
//!
//! [`spawn`], [`spawn_blocking`], [`spawn_local`], [`JoinSetExt`] and [`in_current`] carry the entry, the `tracing` span and
//! the OpenTelemetry context into other tasks and threads. Where they were forgotten, debug builds say so:
//! [`detect_lost_context`].
//!
//! # Said once
//!
//! [`set_attribute`] adds an attribute to the span, to the log records from then on and, where
//! `TRACEWELL_METRIC_ATTRIBUTES` has its key, to the metrics of the request or task. In a handler of axum, [`Current`] is
//! an extractor. [`set_route`] names the route of a request whose router is not axum's.
//!
//! # Looking back
//!
//! [`Registry::history`] has the last ten entries of each latency, by route and by name of tasks, and [`Registry::find`]
//! one entry in full, with its last log lines where [`Registry::keep_log_lines`] asks for them: what `/debug/requests` shows.
//!
//! With `TRACEWELL_LOG_ON_FAILURE`, log events below the filter are kept with the entry and logged only if it fails:
//! [`Current::fail_log`].
//!
//! # What hangs, and what must stop
//!
//! [`watch`] flags, logs and counts entries older than a threshold. [`Registry::cancel`] asks one entry to stop, if its
//! owner listens: [`Cancellable`].

mod attributes;
mod bounded_text;
mod calls;
mod cancel;
#[cfg(feature = "testing")]
mod carried_subscriber;
mod current;
mod details;
mod drain;
mod entry;
mod events;
mod guard;
mod handle;
mod history;
mod id;
mod interrupted;
mod kept_records;
mod latency_bands;
mod log_lines;
mod lost_context;
mod new_entry;
mod outcome;
mod registry;
mod shard;
mod snapshot;
mod spawn;
mod stuck;
mod sync;

#[cfg(feature = "admin")]
mod json;

#[cfg(test)]
mod tests;

#[cfg(feature = "testing")]
pub(crate) use self::carried_subscriber::CarriedSubscribers;
pub(crate) use self::{
    attributes::log_attributes,
    calls::Waiting,
    current::peek,
    kept_records::{Held, Holding},
    log_lines::{MAX_LINES, keeping_log_lines},
};
pub use self::{
    attributes::{set_attribute, set_route},
    cancel::{Cancellable, Cancelled},
    current::{Entered, Scope, current, enter},
    details::{Annotation, Stage},
    drain::{DrainReport, drain},
    guard::Guard,
    handle::{Current, STREAMING},
    history::{Found, History, LatencyBand},
    id::EntryId,
    log_lines::LogLine,
    lost_context::detect_lost_context,
    new_entry::{Kind, NewEntry},
    outcome::{EndDetails, Outcome},
    registry::Registry,
    snapshot::{ActiveEntry, RecentEntry, Snapshot, Totals},
    spawn::{InCurrent, JoinSetExt, in_current, spawn, spawn_blocking, spawn_local},
    stuck::{Thresholds, watch},
};

/// A snapshot of the global registry: all active requests and tasks, oldest first.
#[must_use]
pub fn active() -> Snapshot {
    Registry::global().snapshot()
}
