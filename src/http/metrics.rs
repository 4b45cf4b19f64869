//! The instruments of HTTP servers, bound once per series.

use std::{
    collections::HashMap,
    hash::BuildHasherDefault,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Version;
use opentelemetry::{
    KeyValue,
    metrics::{BoundHistogram, BoundUpDownCounter, Histogram, MeterProvider, UpDownCounter},
};
use rustc_hash::FxHasher;

use super::{
    route::Route,
    semconv::{self, Ending, Method, Point, Scheme},
};
use crate::instruments;

/// Series kept bound: more than routes are remembered, so that a route's usual outcomes never cost more than another's.
const MAX_SERIES: usize = 32_768;

static MADE: AtomicBool = AtomicBool::new(false);

/// Whether instruments were made already: made before `init` they go nowhere (the API's rule).
pub(crate) fn instruments_made() -> bool {
    MADE.load(Ordering::Relaxed)
}

/// The instruments of one meter provider.
#[derive(Debug)]
pub(super) struct Instruments {
    duration: Histogram<f64>,
    first_byte: Histogram<f64>,
    request_size: Histogram<u64>,
    response_size: Histogram<u64>,
    active: UpDownCounter<i64>,
    series: RwLock<HashMap<SeriesKey, Arc<Series>, BuildHasherDefault<FxHasher>>>,
    gauges: RwLock<Vec<(usize, Scheme, BoundUpDownCounter<i64>)>>,
}

/// What tells series apart, without a string to hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct SeriesKey {
    route: u32,
    method: u8,
    scheme: Scheme,
    version: Version,
    status: u16,
    ending: Ending,
}

/// One series of each histogram.
#[derive(Debug)]
struct Series {
    duration: BoundHistogram<f64>,
    first_byte: BoundHistogram<f64>,
    request_size: BoundHistogram<u64>,
    response_size: BoundHistogram<u64>,
}

/// What one request measured; `None` was not known or did not happen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub(super) duration: Duration,
    pub(super) first_byte: Option<Duration>,
    pub(super) request_size: Option<u64>,
    pub(super) response_size: Option<u64>,
}

impl Instruments {
    pub(super) fn new(provider: &dyn MeterProvider) -> Self {
        MADE.store(true, Ordering::Relaxed);
        let meter = instruments::meter(provider, "tracewell.http");
        let seconds = |name, description| instruments::seconds(&meter, name, description, &semconv::SECONDS);
        let bytes = |name, description| {
            let histogram = meter.u64_histogram(name).with_unit("By").with_description(description);
            histogram.with_boundaries(semconv::BYTES.to_vec()).build()
        };
        Self {
            duration: seconds(
                semconv::DURATION,
                "Duration of HTTP server requests, until the last byte of the body.",
            ),
            first_byte: seconds(semconv::FIRST_BYTE, "Time until the headers of an HTTP server's response."),
            request_size: bytes(semconv::REQUEST_SIZE, "Size of HTTP server request bodies."),
            response_size: bytes(semconv::RESPONSE_SIZE, "Size of HTTP server response bodies."),
            active: meter
                .i64_up_down_counter(semconv::ACTIVE)
                .with_unit("{request}")
                .with_description("Number of active HTTP server requests.")
                .build(),
            series: RwLock::default(),
            gauges: RwLock::default(),
        }
    }

    /// One request more, or one less.
    pub(super) fn add_active(&self, method: Method, scheme: Scheme, change: i64) {
        let index = method.index();
        let found = |gauges: &[(usize, Scheme, BoundUpDownCounter<i64>)]| {
            let gauge = gauges.iter().find(|gauge| gauge.0 == index && gauge.1 == scheme);
            gauge.map(|gauge| gauge.2.add(change)).is_some()
        };
        if found(&self.gauges.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut gauges = self.gauges.write().unwrap_or_else(PoisonError::into_inner);
        if !found(&gauges) {
            let gauge = self.active.bind(&semconv::active(method, scheme));
            gauge.add(change);
            gauges.push((index, scheme, gauge));
        }
    }

    /// Records a request in the current context, whose trace becomes the exemplar.
    pub(super) fn record(&self, route: Option<&'static Route>, point: &Point<'_>, measured: &Measured) {
        let key = SeriesKey {
            route: route.map_or(0, |route| route.id),
            method: u8::try_from(point.method.index()).unwrap_or(u8::MAX),
            scheme: point.scheme,
            version: point.version,
            status: point.status.map_or(0, |status| status.as_u16()),
            ending: point.ending,
        };
        // a route that is not remembered has no number to be found by
        let bindable = route.is_some() || point.route.is_none();
        match if bindable { self.series(key, point) } else { None } {
            Some(series) => series.record(measured),
            None => self.record_unbound(point, measured),
        }
    }

    fn series(&self, key: SeriesKey, point: &Point<'_>) -> Option<Arc<Series>> {
        if let Some(series) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Some(Arc::clone(series));
        }
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_SERIES && !all.contains_key(&key) {
            return None;
        }
        let series = all.entry(key).or_insert_with(|| {
            let attributes = semconv::point(point);
            Arc::new(Series {
                duration: self.duration.bind(&attributes),
                first_byte: self.first_byte.bind(&attributes),
                request_size: self.request_size.bind(&attributes),
                response_size: self.response_size.bind(&attributes),
            })
        });
        Some(Arc::clone(series))
    }

    /// The same with attributes of the program's own, of which nobody knows how many values there are.
    pub(super) fn record_with(&self, point: &Point<'_>, measured: &Measured, own: Vec<KeyValue>) {
        let mut attributes = semconv::point(point);
        attributes.extend(own);
        self.record_all(&attributes, measured);
    }

    fn record_unbound(&self, point: &Point<'_>, measured: &Measured) {
        self.record_all(&semconv::point(point), measured);
    }

    fn record_all(&self, attributes: &[KeyValue], measured: &Measured) {
        self.duration.record(measured.duration.as_secs_f64(), attributes);
        if let Some(first_byte) = measured.first_byte {
            self.first_byte.record(first_byte.as_secs_f64(), attributes);
        }
        if let Some(size) = measured.request_size {
            self.request_size.record(size, attributes);
        }
        if let Some(size) = measured.response_size {
            self.response_size.record(size, attributes);
        }
    }
}

impl Series {
    fn record(&self, measured: &Measured) {
        self.duration.record(measured.duration.as_secs_f64());
        if let Some(first_byte) = measured.first_byte {
            self.first_byte.record(first_byte.as_secs_f64());
        }
        if let Some(size) = measured.request_size {
            self.request_size.record(size);
        }
        if let Some(size) = measured.response_size {
            self.response_size.record(size);
        }
    }
}
