//! The error that a function marked `#[instrument(err)]` returns: the status of the function's own span.
//!
//! Such a function's operation has failed, as OpenTelemetry's specification has it (trace/api.md "Set Status"): the one who
//! wrote `err` said so. Any other event at ERROR is a record about something, maybe inside of a request that is answered well all
//! the same, and leaves its span as it is.
//!
//! `tracing` expands `err` to an event whose one field is `error`, at the place of the attribute, which is the place of the
//! function's span as well: two that somebody wrote by hand have places of their own.

use std::fmt;

use opentelemetry::{
    Context,
    trace::{Status, TraceContextExt as _},
};
use tracing::{
    Event, Metadata,
    field::{Field, Visit},
};

/// The longest description, in bytes.
const MAX_TEXT: usize = 1024;

/// Whether an event may be a returned error, by its call site alone.
pub(super) fn may_be(metadata: &Metadata<'_>) -> bool {
    // asked of every event: most have another number of fields
    metadata.fields().len() == 1 && metadata.is_event() && metadata.fields().field("error").is_some()
}

/// Whether an event is the error that the function of this span returns.
pub(super) fn is_of(span: &Metadata<'_>, event: &Metadata<'_>) -> bool {
    may_be(event)
        && event.line().is_some()
        && (event.line(), event.file(), event.module_path()) == (span.line(), span.file(), span.module_path())
}

/// The function failed: the text is for whoever reads the trace, and secrets in it are hidden when it leaves.
pub(super) fn fail(span: &Context, event: &Event<'_>) {
    let span = span.span();
    if span.is_recording() {
        let mut text = Text(String::new());
        event.record(&mut text);
        span.set_status(Status::error(text.0));
    }
}

/// As much of an error's text as is kept.
struct Text(String);

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_TEXT - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        self.0.push_str(&text[..end]);
        // no more of it is wanted
        Err(fmt::Error)
    }
}

impl Visit for Text {
    fn record_debug(&mut self, _: &Field, error: &dyn fmt::Debug) {
        // that it is too long is no failure
        let _ = fmt::write(self, format_args!("{error:?}"));
    }
}
