//! Every instrument's exemplars, by scope and metric name, and how they get into the points of an export.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use opentelemetry::{
    Context, InstrumentationScope, Key, KeyValue, SpanId, TraceId, trace::TraceContextExt as _,
};
use opentelemetry_proto::tonic::metrics::v1 as otlp;
use rustc_hash::FxHasher;

use super::reservoir::{Exemplar, Layout, Number, Reservoir};
use crate::{config::ExemplarFilter, pipeline::views::Keys};

/// Which exemplars a collection wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    /// Those not sent before, as a push exporter does.
    Fresh,
    /// The latest of each bucket, as a scraped page shows it.
    Latest,
}

type SeriesMap = HashMap<u64, Arc<Reservoir>, BuildHasherDefault<Prehashed>>;

/// All exemplars of one meter provider.
#[derive(Debug)]
pub(crate) struct ExemplarStore {
    filter: ExemplarFilter,
    instruments: Mutex<HashMap<InstrumentationScope, HashMap<String, Arc<InstrumentExemplars>>>>,
}

impl ExemplarStore {
    pub(crate) fn new(filter: ExemplarFilter) -> Arc<Self> {
        Arc::new(Self { filter, instruments: Mutex::default() })
    }

    /// The exemplars of the metric that an instrument feeds; the same ones for every instrument of that name.
    pub(super) fn instrument(
        &self,
        scope: &InstrumentationScope,
        stream: StreamShape,
    ) -> Arc<InstrumentExemplars> {
        let mut instruments = self.instruments.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = match instruments.get_mut(scope) {
            Some(metrics) => metrics,
            None => instruments.entry(scope.clone()).or_default(),
        };
        // instrument names are case-insensitive (specification, metrics/api.md "Instrument name syntax")
        let name = stream.metric.to_ascii_lowercase();
        let filter = self.filter;
        Arc::clone(metrics.entry(name).or_insert_with(|| Arc::new(InstrumentExemplars::new(filter, stream))))
    }

    /// Puts the exemplars into `metrics`, which were converted from the SDK's metrics of `scope`, sorted by value:
    /// Prometheus assigns them to buckets in that order.
    pub(crate) fn attach(&self, scope: &InstrumentationScope, metrics: &mut [otlp::Metric], take: Take) {
        let found: Vec<Option<Arc<InstrumentExemplars>>> = {
            let instruments = self.instruments.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(of_scope) = instruments.get(scope) else { return };
            metrics.iter().map(|metric| of_scope.get(&metric.name.to_ascii_lowercase()).cloned()).collect()
        };
        for (metric, exemplars) in metrics.iter_mut().zip(found) {
            if let Some(exemplars) = exemplars {
                exemplars.attach(metric, take);
            }
        }
    }
}

/// What of a stream's definition exemplars depend on.
#[derive(Debug, Clone)]
pub(super) struct StreamShape {
    /// The metric's name after views.
    pub(super) metric: String,
    pub(super) layout: Layout,
    /// The attributes a view keeps; `None` = all.
    pub(super) allowed_keys: Option<Arc<Keys>>,
    /// Series at most, as the SDK has it for the same stream.
    pub(super) cardinality_limit: usize,
}

/// The exemplars of one metric.
#[derive(Debug)]
pub(super) struct InstrumentExemplars {
    filter: ExemplarFilter,
    stream: StreamShape,
    series: RwLock<SeriesMap>,
}

impl InstrumentExemplars {
    fn new(filter: ExemplarFilter, stream: StreamShape) -> Self {
        Self { filter, stream, series: RwLock::default() }
    }

    /// Offers a measurement made through an unbound instrument.
    pub(super) fn offer(&self, value: Number, attributes: &[KeyValue]) {
        if let Some((trace_id, span_id)) = self.wanted() {
            self.series(attributes)
                .offer(value.as_f64(), || self.exemplar(value, trace_id, span_id, attributes));
        }
    }

    /// Offers a measurement of a series that is already known.
    pub(super) fn offer_bound(&self, series: &BoundSeries, value: Number) {
        if let Some((trace_id, span_id)) = self.wanted() {
            let exemplar = || self.exemplar(value, trace_id, span_id, &series.attributes);
            series.reservoir.offer(value.as_f64(), exemplar);
        }
    }

    /// The series of these attributes, to be kept by a bound instrument.
    pub(super) fn bind(&self, attributes: &[KeyValue]) -> BoundSeries {
        // only what a view drops is needed again: it goes into `filtered_attributes`
        let dropped = attributes.iter().filter(|attribute| !self.keeps(&attribute.key)).cloned().collect();
        BoundSeries { reservoir: self.series(attributes), attributes: dropped }
    }

    /// The ids an exemplar of the current context would carry, if the filter wants one.
    fn wanted(&self) -> Option<(TraceId, SpanId)> {
        match self.filter {
            ExemplarFilter::AlwaysOff => None,
            filter => Context::map_current(|context| {
                let span = context.span();
                let span = span.span_context();
                (span.is_sampled() || filter == ExemplarFilter::AlwaysOn)
                    .then(|| (span.trace_id(), span.span_id()))
            }),
        }
    }

    fn keeps(&self, key: &Key) -> bool {
        self.stream.allowed_keys.as_ref().is_none_or(|allowed| allowed.keeps(key))
    }

    fn exemplar(
        &self,
        value: Number,
        trace_id: TraceId,
        span_id: SpanId,
        attributes: &[KeyValue],
    ) -> Exemplar {
        let filtered_attributes = if self.stream.allowed_keys.is_some() {
            attributes.iter().filter(|attribute| !self.keeps(&attribute.key)).cloned().collect()
        } else {
            Box::default()
        };
        Exemplar { value, time: SystemTime::now(), trace_id, span_id, filtered_attributes }
    }

    fn series(&self, attributes: &[KeyValue]) -> Arc<Reservoir> {
        let key = hash_attributes(attributes.iter().filter(|attribute| self.keeps(&attribute.key)));
        if let Some(series) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(series);
        }
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        // the SDK puts what exceeds the limit under this one attribute (specification, metrics/sdk.md "Overflow attribute")
        let overflow = all.len() >= self.stream.cardinality_limit && !all.contains_key(&key);
        let key = if overflow { hash_attributes(std::iter::once(&overflow_attribute())) } else { key };
        Arc::clone(all.entry(key).or_insert_with(|| Arc::new(Reservoir::new(self.stream.layout.clone()))))
    }

    fn attach(&self, metric: &mut otlp::Metric, take: Take) {
        let series = self.series.read().unwrap_or_else(PoisonError::into_inner);
        let find = |attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue]| {
            let mut exemplars = Vec::new();
            if let Some(reservoir) = series.get(&hash_otlp_attributes(attributes)) {
                match take {
                    Take::Fresh => reservoir.take_fresh(&mut exemplars),
                    Take::Latest => reservoir.latest(&mut exemplars),
                }
            }
            exemplars.sort_by(|a, b| a.value.as_f64().total_cmp(&b.value.as_f64()));
            exemplars.iter().map(to_otlp).collect::<Vec<_>>()
        };
        match &mut metric.data {
            Some(otlp::metric::Data::Histogram(histogram)) => {
                for point in &mut histogram.data_points {
                    point.exemplars = find(&point.attributes);
                }
            }
            Some(otlp::metric::Data::ExponentialHistogram(histogram)) => {
                for point in &mut histogram.data_points {
                    point.exemplars = find(&point.attributes);
                }
            }
            Some(otlp::metric::Data::Sum(sum)) => {
                for point in &mut sum.data_points {
                    point.exemplars = find(&point.attributes);
                }
            }
            _ => {}
        }
    }
}

/// A series as a bound instrument holds it.
#[derive(Debug)]
pub(super) struct BoundSeries {
    reservoir: Arc<Reservoir>,
    attributes: Box<[KeyValue]>,
}

fn overflow_attribute() -> KeyValue {
    KeyValue::new("otel.metric.overflow", true)
}

fn to_otlp(exemplar: &Exemplar) -> otlp::Exemplar {
    // an exemplar without a trace has empty ids, not zero ones (OTLP, metrics.proto)
    let (trace_id, span_id) = if exemplar.trace_id == TraceId::INVALID {
        (Vec::new(), Vec::new())
    } else {
        (exemplar.trace_id.to_bytes().to_vec(), exemplar.span_id.to_bytes().to_vec())
    };
    otlp::Exemplar {
        filtered_attributes: exemplar.filtered_attributes.iter().map(Into::into).collect(),
        time_unix_nano: exemplar.time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64),
        span_id,
        trace_id,
        value: Some(match exemplar.value {
            Number::Float(value) => otlp::exemplar::Value::AsDouble(value),
            Number::Unsigned(value) => otlp::exemplar::Value::AsInt(i64::try_from(value).unwrap_or(i64::MAX)),
        }),
    }
}

/// A hash that does not depend on the order of the attributes: the SDK sorts them, callers do not.
fn hash_attributes<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> u64 {
    attributes.fold(0, |sum, attribute| {
        let mut hasher = FxHasher::default();
        attribute.key.as_str().hash(&mut hasher);
        hash_value(&attribute.value, &mut hasher);
        sum.wrapping_add(finish(&hasher))
    })
}

fn hash_value(value: &opentelemetry::Value, hasher: &mut FxHasher) {
    use opentelemetry::Value;
    match value {
        Value::Bool(value) => value.hash(hasher),
        Value::I64(value) => value.hash(hasher),
        Value::F64(value) => value.to_bits().hash(hasher),
        Value::String(value) => value.as_str().hash(hasher),
        other => hash_otlp_value(&other.clone().into(), hasher),
    }
}

fn hash_otlp_attributes(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> u64 {
    attributes.iter().fold(0, |sum, attribute| {
        let mut hasher = FxHasher::default();
        attribute.key.as_str().hash(&mut hasher);
        if let Some(value) = &attribute.value {
            hash_otlp_value(value, &mut hasher);
        }
        sum.wrapping_add(finish(&hasher))
    })
}

fn hash_otlp_value(value: &opentelemetry_proto::tonic::common::v1::AnyValue, hasher: &mut FxHasher) {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    match &value.value {
        Some(Value::BoolValue(value)) => value.hash(hasher),
        Some(Value::IntValue(value)) => value.hash(hasher),
        Some(Value::DoubleValue(value)) => value.to_bits().hash(hasher),
        Some(Value::StringValue(value)) => value.as_str().hash(hasher),
        Some(Value::ArrayValue(array)) => {
            array.values.len().hash(hasher);
            array.values.iter().for_each(|value| hash_otlp_value(value, hasher));
        }
        _ => {}
    }
}

/// The sum of `FxHasher`'s own results would lose high bits: it is mixed once more (finaliser of MurmurHash3).
fn finish(hasher: &FxHasher) -> u64 {
    let mut hash = hasher.finish();
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash ^ (hash >> 33)
}

/// The key is a hash already.
#[derive(Debug, Default)]
struct Prehashed(u64);

impl Hasher for Prehashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::{Array, Value};

    use super::*;

    #[test]
    fn the_same_attributes_hash_alike_in_any_order_and_in_otlp() {
        let attributes = [
            KeyValue::new("b", 7),
            KeyValue::new("a", "x"),
            KeyValue::new("d", 1.5),
            KeyValue::new("c", true),
            KeyValue::new("e", Value::Array(Array::String(vec!["p".into(), "q".into()]))),
        ];
        let mut reversed = attributes.to_vec();
        reversed.reverse();
        let otlp: Vec<_> = attributes.iter().map(Into::into).collect();
        let hash = hash_attributes(attributes.iter());
        assert_eq!(hash, hash_attributes(reversed.iter()));
        assert_eq!(hash, hash_otlp_attributes(&otlp));
        assert_ne!(hash, hash_attributes(attributes[1..].iter()));
        // a swap of values between keys is another series
        let swapped = [KeyValue::new("a", 7), KeyValue::new("b", "x")];
        assert_ne!(hash_attributes(swapped.iter()), hash_attributes(attributes[..2].iter()));
    }
}
