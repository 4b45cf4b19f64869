//! A captured metric: its points with their exemplars, at one moment.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::KeyValue,
    metrics::v1::{self as otlp, metric::Data, number_data_point},
};

use crate::testing::{Attributes, ExemplarRecord};

/// A metric at the moment it was asked for; all scopes that have one of this name together.
///
/// ```
/// use opentelemetry::KeyValue;
///
/// let capture = tracewell::testing::Capture::new();
/// let guard = capture.set_default();
/// let logins = capture.meter("shop").u64_counter("logins").build();
/// tracing::info_span!("login").in_scope(|| logins.add(1, &[KeyValue::new("kind", "password")]));
/// logins.add(2, &[KeyValue::new("kind", "key")]);
///
/// let metric = capture.metric("logins").unwrap();
/// assert_eq!(metric.value(), 3.0);
/// let point = metric.point(&[("kind", "password")]).unwrap();
/// assert_eq!(point.value(), 1.0);
/// assert_eq!(point.exemplars()[0].trace_id(), capture.spans()[0].trace_id());
/// ```
#[derive(Debug, Clone)]
pub struct CapturedMetric {
    name: String,
    unit: String,
    description: String,
    points: Vec<CapturedPoint>,
}

impl CapturedMetric {
    /// The metric's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The unit, such as `s` or `By`; empty when the instrument has none.
    #[must_use]
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// The description; empty when the instrument has none.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The points, one per set of attributes.
    #[must_use]
    pub fn points(&self) -> &[CapturedPoint] {
        &self.points
    }

    /// The first point that has these attributes, compared as text, whatever else it has.
    #[must_use]
    pub fn point(&self, attributes: &[(&str, &str)]) -> Option<&CapturedPoint> {
        let has = |point: &CapturedPoint, (key, value): &(&str, &str)| {
            point.attributes().text(key).as_deref() == Some(*value)
        };
        self.points.iter().find(|point| attributes.iter().all(|attribute| has(point, attribute)))
    }

    /// The measurements of all points of a histogram; 0 for every other metric.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.points.iter().map(CapturedPoint::count).sum()
    }

    /// The values of all points added up; see [`CapturedPoint::value`].
    #[must_use]
    pub fn value(&self) -> f64 {
        self.points.iter().map(CapturedPoint::value).sum()
    }

    /// The exemplars of all points, sorted by value within each.
    #[must_use]
    pub fn exemplars(&self) -> Vec<ExemplarRecord> {
        self.points.iter().flat_map(|point| point.exemplars.iter().cloned()).collect()
    }

    pub(super) fn find(request: ExportMetricsServiceRequest, name: &str) -> Option<Self> {
        let resources = request.resource_metrics.into_iter();
        let metrics = resources.flat_map(|of| of.scope_metrics).flat_map(|of| of.metrics);
        metrics.filter(|metric| metric.name == name).map(Self::from).reduce(|mut all, more| {
            all.points.extend(more.points);
            all
        })
    }

    pub(super) fn names(request: &ExportMetricsServiceRequest) -> Vec<String> {
        let scopes = request.resource_metrics.iter().flat_map(|of| &of.scope_metrics);
        let mut names: Vec<_> = scopes.flat_map(|of| &of.metrics).map(|metric| metric.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl From<otlp::Metric> for CapturedMetric {
    fn from(metric: otlp::Metric) -> Self {
        let points = match metric.data {
            Some(Data::Gauge(data)) => data.data_points.into_iter().map(Into::into).collect(),
            Some(Data::Sum(data)) => data.data_points.into_iter().map(Into::into).collect(),
            Some(Data::Histogram(data)) => data.data_points.into_iter().map(Into::into).collect(),
            Some(Data::ExponentialHistogram(data)) => data.data_points.into_iter().map(Into::into).collect(),
            Some(Data::Summary(_)) | None => Vec::new(),
        };
        Self { name: metric.name, unit: metric.unit, description: metric.description, points }
    }
}

/// One series of a metric.
///
/// ```
/// let capture = tracewell::testing::Capture::new();
/// let sizes = capture.meter("shop").u64_histogram("size").with_boundaries(vec![10.0, 100.0]).build();
/// for size in [7, 8, 90] {
///     sizes.record(size, &[]);
/// }
/// let metric = capture.metric("size").unwrap();
/// let point = &metric.points()[0];
/// assert_eq!((point.count(), point.sum()), (3, 105.0));
/// assert_eq!(point.buckets(), [(10.0, 2), (100.0, 1), (f64::INFINITY, 0)]);
/// ```
#[derive(Debug, Clone)]
pub struct CapturedPoint {
    attributes: Vec<KeyValue>,
    value: f64,
    count: u64,
    buckets: Vec<(f64, u64)>,
    exemplars: Vec<ExemplarRecord>,
}

impl CapturedPoint {
    /// The point's attributes.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes(&self.attributes)
    }

    /// The value of a counter or gauge; the sum of a histogram.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.value
    }

    /// The sum of a histogram's measurements, in the instrument's unit; the value of every other metric.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.value
    }

    /// The number of a histogram's measurements; 0 for every other metric.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Inclusive upper bound and number of measurements of each bucket, the last one without a bound; empty for
    /// everything but an explicit-bucket histogram.
    #[must_use]
    pub fn buckets(&self) -> &[(f64, u64)] {
        &self.buckets
    }

    /// The point's exemplars: the latest of each bucket, sorted by value.
    #[must_use]
    pub fn exemplars(&self) -> &[ExemplarRecord] {
        &self.exemplars
    }
}

impl From<otlp::NumberDataPoint> for CapturedPoint {
    fn from(point: otlp::NumberDataPoint) -> Self {
        let value = match point.value {
            Some(number_data_point::Value::AsDouble(value)) => value,
            Some(number_data_point::Value::AsInt(value)) => value as f64,
            None => f64::NAN,
        };
        let exemplars = exemplars(&point.attributes, point.exemplars);
        Self { attributes: point.attributes, value, count: 0, buckets: Vec::new(), exemplars }
    }
}

impl From<otlp::HistogramDataPoint> for CapturedPoint {
    fn from(point: otlp::HistogramDataPoint) -> Self {
        let bounds = point.explicit_bounds.into_iter().chain([f64::INFINITY]);
        Self {
            exemplars: exemplars(&point.attributes, point.exemplars),
            attributes: point.attributes,
            value: point.sum.unwrap_or_default(),
            count: point.count,
            buckets: bounds.zip(point.bucket_counts).collect(),
        }
    }
}

impl From<otlp::ExponentialHistogramDataPoint> for CapturedPoint {
    fn from(point: otlp::ExponentialHistogramDataPoint) -> Self {
        Self {
            exemplars: exemplars(&point.attributes, point.exemplars),
            attributes: point.attributes,
            value: point.sum.unwrap_or_default(),
            count: point.count,
            buckets: Vec::new(),
        }
    }
}

fn exemplars(point: &[KeyValue], exemplars: Vec<otlp::Exemplar>) -> Vec<ExemplarRecord> {
    let record = |exemplar| ExemplarRecord { point: point.to_vec(), exemplar };
    exemplars.into_iter().map(record).collect()
}
