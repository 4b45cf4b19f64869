//! The instrument of HTTP clients, bound once per series.

use std::{
    collections::HashMap,
    hash::BuildHasherDefault,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use http::{StatusCode, Version};
use opentelemetry::{
    InstrumentationScope,
    metrics::{BoundHistogram, Histogram, MeterProvider},
};
use rustc_hash::FxHasher;

use crate::http::{
    semconv::{self, Method},
    semconv_client::{self, Ending, Target},
};

/// Series kept bound; more than the SDK keeps apart (2000), so that this is never the limit that is felt.
const MAX_SERIES: usize = 4096;

/// What tells series apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SeriesKey {
    method: &'static str,
    target: Target,
    template: Option<&'static str>,
    answer: Option<(StatusCode, Version)>,
    ending: Ending,
}

/// The instrument of one meter provider.
#[derive(Debug)]
pub(super) struct Instruments {
    duration: Histogram<f64>,
    series: RwLock<HashMap<SeriesKey, BoundHistogram<f64>, BuildHasherDefault<FxHasher>>>,
}

/// What one call measured.
pub(super) struct Point<'a> {
    pub(super) method: Method,
    pub(super) target: &'a Target,
    pub(super) template: Option<&'static str>,
    pub(super) answer: Option<(StatusCode, Version)>,
    pub(super) ending: Ending,
}

impl Instruments {
    pub(super) fn new(provider: &dyn MeterProvider) -> Self {
        let scope = InstrumentationScope::builder("tracewell.http")
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url("https://opentelemetry.io/schemas/1.44.0")
            .build();
        let duration = provider
            .meter_with_scope(scope)
            .f64_histogram(semconv_client::DURATION)
            .with_unit("s")
            .with_description("Duration of HTTP client requests, until the last byte of the body.")
            .with_boundaries(semconv::SECONDS.to_vec())
            .build();
        Self { duration, series: RwLock::default() }
    }

    /// Records a call in the current context, whose trace becomes the exemplar.
    pub(super) fn record(&self, point: &Point<'_>, duration: Duration) {
        let key = SeriesKey {
            method: point.method.name(),
            target: point.target.clone(),
            template: point.template,
            answer: point.answer,
            ending: point.ending,
        };
        let seconds = duration.as_secs_f64();
        if let Some(series) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            series.record(seconds);
            return;
        }
        let attributes =
            semconv_client::point(point.method, point.target, point.template, (point.answer, point.ending));
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_SERIES && !all.contains_key(&key) {
            drop(all);
            self.duration.record(seconds, &attributes);
            return;
        }
        all.entry(key).or_insert_with(|| self.duration.bind(&attributes)).record(seconds);
    }
}
