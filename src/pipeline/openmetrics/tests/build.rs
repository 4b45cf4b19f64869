//! Short ways to write requests down, and a deterministic source of random ones.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::*,
    resource::v1::Resource,
};

pub(super) const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

pub(super) fn attribute(key: &str, value: &str) -> KeyValue {
    typed(key, any_value::Value::StringValue(value.into()))
}

pub(super) fn typed(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

pub(super) fn attributes(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    pairs.iter().map(|(key, value)| attribute(key, value)).collect()
}

pub(super) fn scope(name: &str, metrics: Vec<Metric>) -> ScopeMetrics {
    let scope = InstrumentationScope { name: name.into(), ..Default::default() };
    ScopeMetrics { scope: Some(scope), metrics, ..Default::default() }
}

/// One resource without attributes.
pub(super) fn request(scope_metrics: Vec<ScopeMetrics>) -> ExportMetricsServiceRequest {
    let resource = ResourceMetrics { scope_metrics, ..Default::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }
}

pub(super) fn with_resource(
    pairs: &[(&str, &str)],
    mut scopes: Vec<ScopeMetrics>,
) -> ExportMetricsServiceRequest {
    let mut request = request(std::mem::take(&mut scopes));
    request.resource_metrics[0].resource =
        Some(Resource { attributes: attributes(pairs), ..Default::default() });
    request
}

pub(super) fn metric(name: &str, unit: &str, data: metric::Data) -> Metric {
    Metric { name: name.into(), unit: unit.into(), data: Some(data), ..Default::default() }
}

pub(super) fn int(value: i64, pairs: &[(&str, &str)]) -> NumberDataPoint {
    let value = Some(number_data_point::Value::AsInt(value));
    NumberDataPoint { attributes: attributes(pairs), value, ..Default::default() }
}

pub(super) fn double(value: f64) -> NumberDataPoint {
    NumberDataPoint { value: Some(number_data_point::Value::AsDouble(value)), ..Default::default() }
}

pub(super) fn gauge(points: Vec<NumberDataPoint>) -> metric::Data {
    metric::Data::Gauge(Gauge { data_points: points })
}

pub(super) fn sum(points: Vec<NumberDataPoint>, is_monotonic: bool) -> metric::Data {
    metric::Data::Sum(Sum { data_points: points, aggregation_temporality: CUMULATIVE, is_monotonic })
}

pub(super) fn counter(points: Vec<NumberDataPoint>) -> metric::Data {
    sum(points, true)
}

pub(super) fn histogram(points: Vec<HistogramDataPoint>) -> metric::Data {
    metric::Data::Histogram(Histogram { data_points: points, aggregation_temporality: CUMULATIVE })
}

pub(super) fn histogram_point(bounds: &[f64], counts: &[u64], sum: Option<f64>) -> HistogramDataPoint {
    HistogramDataPoint {
        count: counts.iter().sum(),
        sum,
        bucket_counts: counts.to_vec(),
        explicit_bounds: bounds.to_vec(),
        ..Default::default()
    }
}

pub(super) fn exponential(points: Vec<ExponentialHistogramDataPoint>) -> metric::Data {
    metric::Data::ExponentialHistogram(ExponentialHistogram {
        data_points: points,
        aggregation_temporality: CUMULATIVE,
    })
}

pub(super) fn buckets(offset: i32, counts: &[u64]) -> Option<exponential_histogram_data_point::Buckets> {
    Some(exponential_histogram_data_point::Buckets { offset, bucket_counts: counts.to_vec() })
}

/// An exemplar with the ids 0x11… and 0x22…; `millis` since the epoch.
pub(super) fn exemplar(value: f64, millis: u64) -> Exemplar {
    Exemplar {
        time_unix_nano: millis * 1_000_000,
        span_id: vec![0x22; 8],
        trace_id: vec![0x11; 16],
        value: Some(exemplar::Value::AsDouble(value)),
        ..Default::default()
    }
}

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn float(&mut self) -> f64 {
        let special = [0.0, -0.0, 1.0, -3.5, 0.005, 1e-7, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        if self.below(3) == 0 { self.pick(&special) } else { self.below(1 << 40) as f64 / 1024.0 }
    }

    fn text(&mut self) -> String {
        let parts = [
            "", "a", "A.b", "_", "__", "le", "9", "\\", "\"", "\n", "\0", "é", "💥", " ", "}", ",", "#", "=",
        ];
        (0..self.below(6)).map(|_| self.pick(&parts)).collect()
    }

    fn attributes(&mut self) -> Vec<KeyValue> {
        let keys = [
            "le",
            "quantile",
            "a.b",
            "a_b",
            "a-b",
            "job",
            "trace_id",
            "otel.scope.name",
            "exported_le",
            "9x",
        ];
        (0..self.below(4))
            .map(|_| {
                let key = if self.below(2) == 0 { self.pick(&keys).to_owned() } else { self.text() };
                match self.below(4) {
                    0 => typed(&key, any_value::Value::IntValue(self.below(9) as i64)),
                    1 => typed(&key, any_value::Value::DoubleValue(self.float())),
                    _ => attribute(&key, &self.text()),
                }
            })
            .collect()
    }

    fn exemplars(&mut self) -> Vec<Exemplar> {
        (0..self.below(4))
            .map(|_| {
                let (value, millis) = (self.float(), self.below(1 << 41));
                Exemplar { filtered_attributes: self.attributes(), ..exemplar(value, millis) }
            })
            .collect()
    }

    fn number(&mut self) -> NumberDataPoint {
        let (attributes, exemplars) = (self.attributes(), self.exemplars());
        let point =
            if self.below(2) == 0 { int(self.below(99) as i64 - 9, &[]) } else { double(self.float()) };
        NumberDataPoint { attributes, exemplars, ..point }
    }

    fn counts(&mut self, longest: u64) -> Vec<u64> {
        (0..self.below(longest + 1)).map(|_| self.below(4)).collect()
    }

    fn histogram(&mut self) -> HistogramDataPoint {
        let mut bounds: Vec<f64> = (0..self.below(5)).map(|_| self.float()).collect();
        if self.below(8) > 0 {
            bounds.retain(|bound| !bound.is_nan());
            bounds.sort_by(f64::total_cmp);
            bounds.dedup();
        }
        let counts: Vec<u64> = (0..=bounds.len()).map(|_| self.below(5)).collect();
        let sum = (self.below(4) > 0).then(|| self.float());
        let (attributes, exemplars) = (self.attributes(), self.exemplars());
        HistogramDataPoint { attributes, exemplars, ..histogram_point(&bounds, &counts, sum) }
    }

    fn exponential(&mut self) -> ExponentialHistogramDataPoint {
        let offset = self.below(4000) as i32 - 2000;
        ExponentialHistogramDataPoint {
            attributes: self.attributes(),
            exemplars: self.exemplars(),
            sum: (self.below(4) > 0).then(|| self.float()),
            scale: self.below(33) as i32 - 11,
            zero_count: self.below(3),
            zero_threshold: self.float(),
            positive: buckets(offset, &self.counts(300)),
            negative: if self.below(2) == 0 { None } else { buckets(-offset, &self.counts(300)) },
            ..Default::default()
        }
    }

    fn summary(&mut self) -> SummaryDataPoint {
        let quantile_values = (0..self.below(4))
            .map(|_| summary_data_point::ValueAtQuantile { quantile: self.float(), value: self.float() })
            .collect();
        let (attributes, sum) = (self.attributes(), self.float());
        SummaryDataPoint { attributes, count: self.below(9), sum, quantile_values, ..Default::default() }
    }

    fn data(&mut self) -> metric::Data {
        let points = self.below(4);
        match self.below(6) {
            0 => gauge((0..points).map(|_| self.number()).collect()),
            1 => counter((0..points).map(|_| self.number()).collect()),
            2 => sum((0..points).map(|_| self.number()).collect(), false),
            3 => histogram((0..points).map(|_| self.histogram()).collect()),
            4 => exponential((0..points).map(|_| self.exponential()).collect()),
            _ => {
                metric::Data::Summary(Summary { data_points: (0..points).map(|_| self.summary()).collect() })
            }
        }
    }

    fn metric(&mut self) -> Metric {
        let names = [
            "a",
            "a.b",
            "a_b",
            "a.total",
            "a.count",
            "a.bucket",
            "9a",
            "target.info",
            "target",
            "s",
            "total",
        ];
        let units = ["", "1", "s", "By", "By/s", "{x}", "{x}/s", "1/s", "µs", "x.y", "a", "/", "_"];
        let name = if self.below(2) == 0 { self.pick(&names).to_owned() } else { self.text() };
        let (unit, data) = (self.pick(&units), self.data());
        Metric { description: self.text(), ..metric(&name, unit, data) }
    }

    pub(super) fn request(&mut self) -> ExportMetricsServiceRequest {
        let scopes = (0..self.below(4))
            .map(|_| {
                let metrics = (0..self.below(6)).map(|_| self.metric()).collect();
                let scope = InstrumentationScope {
                    name: self.text(),
                    version: self.text(),
                    attributes: self.attributes(),
                    ..Default::default()
                };
                ScopeMetrics { scope: Some(scope), metrics, schema_url: self.text() }
            })
            .collect();
        let mut request = request(scopes);
        request.resource_metrics[0].resource =
            Some(Resource { attributes: self.attributes(), ..Default::default() });
        request
    }
}
