//! The duration of calls, bound once per series.

use std::time::Duration;

use opentelemetry::{KeyValue, metrics::MeterProvider};

use super::{
    method::Method,
    semconv::{self, Conclusion},
};
use crate::{
    http::{SECONDS, Target},
    instruments::{self, BoundSeries},
};

/// What tells series apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SeriesKey {
    method: u32,
    target: Option<Target>,
    conclusion: Conclusion,
}

/// The histogram of one side and one meter provider.
#[derive(Debug)]
pub(crate) struct Instruments(BoundSeries<SeriesKey>);

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
        let meter = instruments::meter(provider, "tracewell.rpc");
        Self(BoundSeries::new(instruments::seconds(&meter, name, description, &SECONDS)))
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
            return self.0.record_unbound(seconds, &attributes);
        }
        let key =
            SeriesKey { method: method.map_or(0, |method| method.id), target: target.cloned(), conclusion };
        self.0.record(key, seconds, attributes);
    }
}
