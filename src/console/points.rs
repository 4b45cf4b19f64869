//! A metric's point without what all points of its series share, and back into OTLP.

use std::{mem::size_of, sync::Arc};

use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    metrics::v1::{
        Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
        Metric, NumberDataPoint, Sum, exponential_histogram_data_point::Buckets, metric::Data,
        number_data_point::Value as Number,
    },
};

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Gauge,
    Sum { temporality: i32, is_monotonic: bool },
    Histogram { temporality: i32 },
    Exponential { temporality: i32 },
}

impl Shape {
    /// `None` for what cannot be shown over time.
    pub(super) fn of(metric: &Metric) -> Option<Self> {
        Some(match metric.data.as_ref()? {
            Data::Gauge(_) => Self::Gauge,
            Data::Sum(Sum { aggregation_temporality, is_monotonic, .. }) => {
                Self::Sum { temporality: *aggregation_temporality, is_monotonic: *is_monotonic }
            }
            Data::Histogram(histogram) => Self::Histogram { temporality: histogram.aggregation_temporality },
            Data::ExponentialHistogram(histogram) => {
                Self::Exponential { temporality: histogram.aggregation_temporality }
            }
            Data::Summary(_) => return None,
        })
    }

    /// The word for it.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Sum { is_monotonic: true, .. } => "counter",
            Self::Sum { .. } => "updowncounter",
            Self::Histogram { .. } => "histogram",
            Self::Exponential { .. } => "exponential_histogram",
        }
    }

    /// OTLP of points, each with its attributes and its time.
    pub(super) fn data(self, points: impl Iterator<Item = Shown>) -> Data {
        match self {
            Self::Gauge => Data::Gauge(Gauge { data_points: points.filter_map(number).collect() }),
            Self::Sum { temporality, is_monotonic } => Data::Sum(Sum {
                data_points: points.filter_map(number).collect(),
                aggregation_temporality: temporality,
                is_monotonic,
            }),
            Self::Histogram { temporality } => Data::Histogram(Histogram {
                data_points: points.filter_map(histogram).collect(),
                aggregation_temporality: temporality,
            }),
            Self::Exponential { temporality } => Data::ExponentialHistogram(ExponentialHistogram {
                data_points: points.filter_map(exponential).collect(),
                aggregation_temporality: temporality,
            }),
        }
    }
}

/// A point without its attributes, its time and its exemplars.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Point {
    Number {
        start: u64,
        value: Option<Number>,
    },
    Histogram {
        start: u64,
        count: u64,
        sum: Option<f64>,
        least: Option<f64>,
        most: Option<f64>,
        buckets: Box<[u64]>,
        bounds: Box<[f64]>,
    },
    Exponential(Box<ExponentialHistogramDataPoint>),
}

impl Point {
    pub(super) fn size(&self) -> usize {
        let own = match self {
            Self::Number { .. } => 0,
            Self::Histogram { buckets, bounds, .. } => 32 + 8 * (buckets.len() + bounds.len()),
            Self::Exponential(point) => {
                let buckets = [&point.positive, &point.negative].into_iter().flatten();
                size_of::<ExponentialHistogramDataPoint>()
                    + buckets.map(|Buckets { bucket_counts, .. }| 16 + 8 * bucket_counts.len()).sum::<usize>()
            }
        };
        size_of::<Self>() + 32 + own
    }
}

/// Every point of a metric with its attributes and exemplars.
pub(super) fn points(metric: &Metric) -> Vec<(&[KeyValue], Point, &[Exemplar])> {
    match &metric.data {
        Some(Data::Gauge(data)) => data.data_points.iter().map(of_number).collect(),
        Some(Data::Sum(data)) => data.data_points.iter().map(of_number).collect(),
        Some(Data::Histogram(data)) => data.data_points.iter().map(of_histogram).collect(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.iter().map(of_exponential).collect(),
        _ => Vec::new(),
    }
}

fn of_number(point: &NumberDataPoint) -> (&[KeyValue], Point, &[Exemplar]) {
    let own = Point::Number { start: point.start_time_unix_nano, value: point.value };
    (&point.attributes, own, &point.exemplars)
}

fn of_histogram(point: &HistogramDataPoint) -> (&[KeyValue], Point, &[Exemplar]) {
    let own = Point::Histogram {
        start: point.start_time_unix_nano,
        count: point.count,
        sum: point.sum,
        least: point.min,
        most: point.max,
        buckets: point.bucket_counts.as_slice().into(),
        bounds: point.explicit_bounds.as_slice().into(),
    };
    (&point.attributes, own, &point.exemplars)
}

fn of_exponential(point: &ExponentialHistogramDataPoint) -> (&[KeyValue], Point, &[Exemplar]) {
    let own = ExponentialHistogramDataPoint {
        attributes: Vec::new(),
        time_unix_nano: 0,
        exemplars: Vec::new(),
        ..point.clone()
    };
    (&point.attributes, Point::Exponential(Box::new(own)), &point.exemplars)
}

type Shown = (Vec<KeyValue>, u64, Arc<Point>, Vec<Exemplar>);

fn number((attributes, at, point, exemplars): Shown) -> Option<NumberDataPoint> {
    let Point::Number { start, value } = &*point else { return None };
    Some(NumberDataPoint {
        attributes,
        start_time_unix_nano: *start,
        time_unix_nano: at,
        exemplars,
        flags: 0,
        value: *value,
    })
}

fn histogram((attributes, at, point, exemplars): Shown) -> Option<HistogramDataPoint> {
    let Point::Histogram { start, count, sum, least, most, buckets, bounds } = &*point else { return None };
    Some(HistogramDataPoint {
        attributes,
        start_time_unix_nano: *start,
        time_unix_nano: at,
        count: *count,
        sum: *sum,
        bucket_counts: buckets.to_vec(),
        explicit_bounds: bounds.to_vec(),
        exemplars,
        flags: 0,
        min: *least,
        max: *most,
    })
}

fn exponential((attributes, at, point, exemplars): Shown) -> Option<ExponentialHistogramDataPoint> {
    let Point::Exponential(point) = &*point else { return None };
    Some(ExponentialHistogramDataPoint {
        attributes,
        time_unix_nano: at,
        exemplars,
        ..ExponentialHistogramDataPoint::clone(point)
    })
}
