//! What the instruments of all conventions have in common: their scope, histograms of seconds, and series that are bound once.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hash},
    sync::{PoisonError, RwLock},
};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    metrics::{BoundHistogram, Histogram, Meter, MeterProvider},
};
use rustc_hash::FxHasher;

/// A meter of this crate's, for instruments of the conventions' release that the crate follows.
pub(crate) fn meter(provider: &(impl MeterProvider + ?Sized), scope: &'static str) -> Meter {
    let scope = InstrumentationScope::builder(scope)
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url("https://opentelemetry.io/schemas/1.44.0")
        .build();
    provider.meter_with_scope(scope)
}

/// A histogram of times, in seconds.
pub(crate) fn seconds(
    meter: &Meter,
    name: &'static str,
    description: &'static str,
    boundaries: &[f64],
) -> Histogram<f64> {
    let histogram = meter.f64_histogram(name).with_unit("s").with_description(description);
    histogram.with_boundaries(boundaries.to_vec()).build()
}

/// Series kept bound; more than the SDK keeps apart (2000), so that this is never the limit that is felt.
const MAX_SERIES: usize = 4096;

/// A histogram that is asked for the same series again and again: found by a key, without its attributes.
#[derive(Debug)]
pub(crate) struct BoundSeries<K> {
    histogram: Histogram<f64>,
    series: RwLock<HashMap<K, BoundHistogram<f64>, BuildHasherDefault<FxHasher>>>,
}

impl<K: Eq + Hash> BoundSeries<K> {
    pub(crate) fn new(histogram: Histogram<f64>) -> Self {
        Self { histogram, series: RwLock::default() }
    }

    /// Records in the current context, whose trace becomes the exemplar; `attributes` are those of the key's series.
    pub(crate) fn record(&self, key: K, value: f64, attributes: impl FnOnce() -> Vec<KeyValue>) {
        if let Some(series) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            series.record(value);
            return;
        }
        let attributes = attributes();
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_SERIES && !all.contains_key(&key) {
            drop(all);
            self.histogram.record(value, &attributes);
            return;
        }
        all.entry(key).or_insert_with(|| self.histogram.bind(&attributes)).record(value);
    }

    /// The same of a series of which nobody knows how many there are.
    pub(crate) fn record_unbound(&self, value: f64, attributes: &[KeyValue]) {
        self.histogram.record(value, attributes);
    }
}
