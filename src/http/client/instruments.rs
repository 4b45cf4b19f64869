//! The instrument of HTTP clients, bound once per series.

use std::time::Duration;

use http::{StatusCode, Version};
use opentelemetry::metrics::MeterProvider;

use crate::{
    http::semconv::{
        Method, SECONDS,
        client::{self as semconv, Ending, Target},
    },
    instruments::{self, BoundSeries},
};

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
pub(super) struct Instruments(BoundSeries<SeriesKey>);

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
        Self(BoundSeries::new(instruments::seconds(
            &instruments::meter(provider, "tracewell.http"),
            semconv::DURATION,
            "Duration of HTTP client requests, until the last byte of the body.",
            &SECONDS,
        )))
    }

    /// Records a call in the current context, whose trace becomes the exemplar.
    pub(super) fn record(&self, point: &Point<'_>, duration: Duration) {
        let &Point { method, target, template, answer, ending } = point;
        let key = SeriesKey { method: method.name(), target: target.clone(), template, answer, ending };
        self.0.record(key, duration.as_secs_f64(), || {
            semconv::point(method, target, template, (answer, ending))
        });
    }
}
