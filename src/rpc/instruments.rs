//! The duration of calls, bound once per series.

use std::{
    collections::HashMap,
    hash::BuildHasherDefault,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    metrics::{BoundHistogram, Histogram, MeterProvider},
};
use rustc_hash::FxHasher;

use super::{
    method::Method,
    semconv::{self, Conclusion},
};
use crate::http::{SECONDS, Target};

/// Series kept bound; more than the SDK keeps apart (2000), so that this is never the limit that is felt.
const MAX_SERIES: usize = 4096;

/// What tells series apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SeriesKey {
    method: u32,
    target: Option<Target>,
    conclusion: Conclusion,
}

/// The histogram of one side and one meter provider.
#[derive(Debug)]
pub(crate) struct Instruments {
    duration: Histogram<f64>,
    series: RwLock<HashMap<SeriesKey, BoundHistogram<f64>, BuildHasherDefault<FxHasher>>>,
}

impl Instruments {
    pub(crate) fn server(provider: &dyn MeterProvider) -> Self {
        Self::new(
            provider,
            semconv::SERVER_DURATION,
            "Duration of calls served, until the end of their stream.",
        )
    }

    pub(crate) fn client(provider: &dyn MeterProvider) -> Self {
        Self::new(
            provider,
            semconv::CLIENT_DURATION,
            "Duration of calls made, until the end of their stream.",
        )
    }

    fn new(provider: &dyn MeterProvider, name: &'static str, description: &'static str) -> Self {
        let scope = InstrumentationScope::builder("tracewell.rpc")
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url("https://opentelemetry.io/schemas/1.44.0")
            .build();
        let duration = provider
            .meter_with_scope(scope)
            .f64_histogram(name)
            .with_unit("s")
            .with_description(description)
            .with_boundaries(SECONDS.to_vec())
            .build();
        Self { duration, series: RwLock::default() }
    }

    /// Records a call in the current context, whose trace becomes the exemplar; `own` are attributes of the program's.
    pub(crate) fn record(
        &self,
        method: Option<&'static Method>,
        target: Option<&Target>,
        conclusion: Conclusion,
        duration: Duration,
        own: Vec<KeyValue>,
    ) {
        let seconds = duration.as_secs_f64();
        let attributes = || semconv::point(method.map(|method| method.full), target, &conclusion);
        if !own.is_empty() {
            let mut attributes = attributes();
            attributes.extend(own);
            self.duration.record(seconds, &attributes);
            return;
        }
        let key =
            SeriesKey { method: method.map_or(0, |method| method.id), target: target.cloned(), conclusion };
        if let Some(series) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            series.record(seconds);
            return;
        }
        let attributes = attributes();
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_SERIES && !all.contains_key(&key) {
            drop(all);
            self.duration.record(seconds, &attributes);
            return;
        }
        all.entry(key).or_insert_with(|| self.duration.bind(&attributes)).record(seconds);
    }
}
