//! Enrichment: what a program says about a request once, for its span, its logs and its metrics.

use std::sync::atomic::{AtomicBool, Ordering as StdOrdering};

use opentelemetry::{Key, KeyValue, Value};

use super::{
    Current,
    current::peek,
    details::Details,
    entry::{ENRICHED, INTERRUPTED},
};

/// Why an entry ended early, on its span: `operator` or `shutdown`. Not of the conventions: they have no name for it.
pub(super) const REASON: &str = "tracewell.cancel.reason";
/// How it ended.
pub(super) const OUTCOME: &str = "tracewell.outcome";
/// Who cancelled it.
const BY: &str = "tracewell.cancel.by";

/// Whether any entry was ever given an attribute: until then a log record costs one load more.
static USED: AtomicBool = AtomicBool::new(false);

/// [`Current::set_attribute`] of the entry the running code belongs to; nothing outside of one.
pub fn set_attribute(key: impl Into<Key>, value: impl Into<Value>) {
    if let Some(current) = peek() {
        current.set_attribute(key, value);
    }
}

impl Current {
    /// Adds an attribute to the entry's span, to every log record of the entry from now on, and, where its key is among
    /// `TRACEWELL_METRIC_ATTRIBUTES`, to the entry's metrics; the same key again replaces the value.
    ///
    /// The span gets it at its end: of a stream that is at the headers. 32 attributes are kept, further ones are counted
    /// among the annotations left out. Secrets are hidden as everywhere; it is shown on `/debug/requests` too.
    pub fn set_attribute(&self, key: impl Into<Key>, value: impl Into<Value>) {
        if !self.is_active() {
            return;
        }
        let attribute = KeyValue::new(key, value);
        let (shown_key, shown) = (attribute.key.to_string(), attribute.value.to_string());
        self.0.with_state(|state| {
            state.details.get_or_insert_with(Box::default).set_attribute(attribute);
        });
        self.0.set_flag(ENRICHED, true);
        USED.store(true, StdOrdering::Relaxed);
        self.annotate(shown_key, shown);
    }

    /// The attributes given so far.
    #[must_use]
    pub fn attributes(&self) -> Vec<KeyValue> {
        if !self.0.has_flag(ENRICHED) {
            return Vec::new();
        }
        let attributes =
            self.0.with_state(|state| state.details.as_ref().map(|details| details.attributes.clone()));
        attributes.unwrap_or_default()
    }

    /// Whether the entry's end has more to say than others have.
    pub(crate) fn has_more_to_say(&self) -> bool {
        self.0.has_flag(ENRICHED | INTERRUPTED) || self.is_cancel_asked()
    }

    /// Why it ended early, if it did: for its span.
    pub(crate) fn end_reason(&self) -> Vec<KeyValue> {
        if self.is_cancel_asked() {
            let by = self.0.with_state(|state| state.details.as_ref()?.cancelled_by.clone());
            let by = by.map(|by| KeyValue::new(BY, by.into_string()));
            return [Some(KeyValue::new(REASON, "operator")), by].into_iter().flatten().collect();
        }
        match self.0.has_flag(INTERRUPTED) {
            true => vec![KeyValue::new(REASON, "shutdown")],
            false => Vec::new(),
        }
    }
}

/// The attributes that a log record of the running code has besides its own.
pub(crate) fn log_attributes() -> Vec<KeyValue> {
    if !USED.load(StdOrdering::Relaxed) {
        return Vec::new();
    }
    peek().map_or_else(Vec::new, |current| current.attributes())
}

impl Details {
    fn set_attribute(&mut self, new: KeyValue) {
        if let Some(old) = self.attributes.iter_mut().find(|old| old.key == new.key) {
            *old = new;
        } else if self.attributes.len() < Self::MAX_ANNOTATIONS {
            self.attributes.push(new);
        } else {
            self.annotations_dropped = self.annotations_dropped.saturating_add(1);
        }
    }
}
