//! The spans of what is still running when telemetry ends: ended then, because nobody will do it in time.

use std::time::SystemTime;

use opentelemetry::{KeyValue, trace::TraceContextExt as _};
use tracing::{Dispatch, Id};
use tracing_subscriber::registry::LookupSpan as _;

use super::{
    Registry,
    attributes::{OUTCOME, REASON},
    entry::{Entry, IN_STREAM, INTERRUPTED},
    sync::Ordering,
};

impl Registry {
    /// Ends the spans of active requests and tasks, as far as this thread's subscriber knows them: what it took until now,
    /// and `tracewell.outcome` = `interrupted`. Their entries stay, and take their own outcome when they end.
    ///
    /// A stream's span has ended already.
    pub(crate) fn end_spans(&self) {
        let wanted =
            |entry: &Entry| entry.tracing_id != 0 && entry.phase.load(Ordering::Relaxed) != IN_STREAM;
        let mut left = Vec::new();
        for shard in self.shards() {
            shard.pick(wanted, &mut left);
        }
        if left.is_empty() {
            return;
        }
        tracing::dispatcher::get_default(|dispatch| {
            for entry in &left {
                entry.set_flag(INTERRUPTED, true);
                end_span(entry, dispatch);
            }
        });
    }
}

fn end_span(entry: &Entry, dispatch: &Dispatch) {
    let Some(id) = std::num::NonZeroU64::new(entry.tracing_id).map(Id::from_non_zero_u64) else { return };
    // a span that is gone would be a panic further on; held, it stays
    let Some(registry) = dispatch.downcast_ref::<tracing_subscriber::Registry>() else { return };
    let Some(_held) = registry.span_data(&id) else { return };
    let Some(context) = crate::span_seed::context_of(&id, dispatch) else { return };
    let span = context.span();
    // another subscriber may have a span of this number
    if span.span_context().span_id() != entry.span_id() || !span.is_recording() {
        return;
    }
    span.set_attributes([KeyValue::new(OUTCOME, "interrupted"), KeyValue::new(REASON, "shutdown")]);
    span.end_with_timestamp(SystemTime::now());
}
