//! The points of every metric over time, as `/metrics` would show them: totals, read at the console's own pace.
//!
//! A point is kept when it differs from the one before, an exemplar when it is new, so that what stands still costs nothing;
//! the oldest reading goes first when the bytes are used up.

use std::{
    collections::{HashMap, VecDeque},
    mem::size_of,
    sync::Arc,
};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    metrics::v1::{Exemplar, Metric},
};

use super::points::{Point, Shape, points};

/// Metrics of one process.
#[derive(Debug)]
pub(super) struct History {
    limit: usize,
    /// Of metrics and series, which stay.
    fixed: usize,
    /// Of readings.
    bytes: usize,
    metrics: Vec<Known>,
    by_name: HashMap<(String, String), usize>,
    readings: VecDeque<Arc<Reading>>,
    points: usize,
    /// Series beyond what there is room for.
    pub(super) series_dropped: u64,
}

/// A metric with its series.
#[derive(Debug)]
struct Known {
    about: Arc<About>,
    series: Vec<Series>,
    by_attributes: HashMap<Vec<u8>, usize>,
    last_at: u64,
}

/// What is the same of all points of a metric.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) scope: Option<InstrumentationScope>,
    pub(crate) schema_url: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) unit: String,
    pub(crate) shape: Shape,
}

#[derive(Debug)]
struct Series {
    attributes: Arc<[KeyValue]>,
    last: Arc<Point>,
    /// When its newest exemplar was made.
    exemplar_at: u64,
}

/// Metric, series, and what was new about it.
type Changed = (u32, u32, Arc<Point>, Box<[Exemplar]>);

/// What one reading found changed, by metric and series.
#[derive(Debug)]
struct Reading {
    at: u64,
    points: Vec<Changed>,
    bytes: usize,
}

/// A metric in a list.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) about: Arc<About>,
    pub(crate) series: usize,
    pub(crate) last_at: u64,
}

/// The points of one metric, to be made into OTLP without the lock.
#[derive(Debug)]
pub(crate) struct Excerpt {
    pub(crate) about: Arc<About>,
    metric: u32,
    series: Vec<Arc<[KeyValue]>>,
    readings: Vec<Arc<Reading>>,
    /// The first reading that is shown.
    from: usize,
}

impl History {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            fixed: 0,
            bytes: 0,
            metrics: Vec::new(),
            by_name: HashMap::new(),
            readings: VecDeque::new(),
            points: 0,
            series_dropped: 0,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.fixed + self.bytes
    }

    pub(super) fn points(&self) -> usize {
        self.points
    }

    /// Keeps a reading made `at`, in nanoseconds since 1970; the names of metrics that have changed.
    pub(super) fn add(&mut self, request: &ExportMetricsServiceRequest, at: u64) -> Vec<String> {
        let mut found = Vec::new();
        let mut changed = Vec::new();
        let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
        for scope in scopes {
            for metric in &scope.metrics {
                let before = found.len();
                self.metric(scope.scope.as_ref(), &scope.schema_url, metric, at, &mut found);
                if found.len() > before {
                    changed.push(metric.name.clone());
                }
            }
        }
        changed.sort_unstable();
        changed.dedup();
        found.sort_unstable_by_key(|(metric, series, ..)| (*metric, *series));
        let bytes = size_of::<Reading>()
            + 64
            + found
                .iter()
                .map(|(_, _, point, exemplars)| 48 + point.size() + sizes(exemplars))
                .sum::<usize>();
        self.bytes += bytes;
        self.points += found.len();
        self.readings.push_back(Arc::new(Reading { at, points: found, bytes }));
        while self.fixed + self.bytes > self.limit {
            let Some(oldest) = self.readings.pop_front() else { break };
            self.bytes -= oldest.bytes;
            self.points -= oldest.points.len();
        }
        changed
    }

    /// Drops readings made before.
    pub(super) fn expire(&mut self, before: u64) {
        while self.readings.front().is_some_and(|oldest| oldest.at < before) {
            let Some(oldest) = self.readings.pop_front() else { return };
            self.bytes -= oldest.bytes;
            self.points -= oldest.points.len();
        }
    }

    fn metric(
        &mut self,
        scope: Option<&InstrumentationScope>,
        schema_url: &str,
        metric: &Metric,
        at: u64,
        found: &mut Vec<Changed>,
    ) {
        let Some(place) = self.place(scope, schema_url, metric, at) else { return };
        let Some(known) = self.metrics.get_mut(place) else { return };
        known.last_at = at;
        let mut texts = Vec::new();
        for (attributes, point, exemplars) in points(metric) {
            texts.clear();
            fingerprint(attributes, &mut texts);
            let Some(place_of_series) = known.by_attributes.get(&texts).copied() else {
                let list = size_of_val(attributes);
                let size = 2 * (texts.len() + list) + size_of::<Series>() + point.size() + 128;
                // what stays may take half at most
                if self.fixed + size > self.limit / 2 {
                    self.series_dropped += 1;
                    continue;
                }
                self.fixed += size;
                let number = known.series.len();
                known.by_attributes.insert(texts.clone(), number);
                let point = Arc::new(point);
                let exemplar_at = newest(exemplars);
                known.series.push(Series {
                    attributes: attributes.into(),
                    last: Arc::clone(&point),
                    exemplar_at,
                });
                found.push((place as u32, number as u32, point, exemplars.into()));
                continue;
            };
            let Some(series) = known.series.get_mut(place_of_series) else { continue };
            let fresh: Box<[Exemplar]> = exemplars
                .iter()
                .filter(|exemplar| exemplar.time_unix_nano > series.exemplar_at)
                .cloned()
                .collect();
            if point == *series.last && fresh.is_empty() {
                continue;
            }
            series.exemplar_at = series.exemplar_at.max(newest(&fresh));
            series.last = Arc::new(point);
            found.push((place as u32, place_of_series as u32, Arc::clone(&series.last), fresh));
        }
    }

    /// Where a metric is, from its first point on.
    fn place(
        &mut self,
        scope: Option<&InstrumentationScope>,
        schema_url: &str,
        metric: &Metric,
        at: u64,
    ) -> Option<usize> {
        let shape = Shape::of(metric)?;
        let key = (scope.map(|scope| scope.name.clone()).unwrap_or_default(), metric.name.clone());
        if let Some(place) = self.by_name.get(&key) {
            return Some(*place);
        }
        let about = About {
            scope: scope.cloned(),
            schema_url: schema_url.to_owned(),
            name: metric.name.clone(),
            description: metric.description.clone(),
            unit: metric.unit.clone(),
            shape,
        };
        let texts = 2 * (key.0.len() + key.1.len()) + about.description.len();
        let size = size_of::<Known>() + texts + 256;
        // what stays may take half at most
        if self.fixed + size > self.limit / 2 {
            self.series_dropped += 1;
            return None;
        }
        self.fixed += size;
        let place = self.metrics.len();
        self.metrics.push(Known {
            about: Arc::new(about),
            series: Vec::new(),
            by_attributes: HashMap::new(),
            last_at: at,
        });
        self.by_name.insert(key, place);
        Some(place)
    }

    /// Every metric, by name.
    pub(super) fn list(&self) -> Vec<Listed> {
        let listed = self.metrics.iter().map(|known| Listed {
            about: Arc::clone(&known.about),
            series: known.series.len(),
            last_at: known.last_at,
        });
        let mut listed: Vec<_> = listed.collect();
        listed.sort_by(|a, b| a.about.name.cmp(&b.about.name));
        listed
    }

    /// What the last `most` readings say of the metrics of this name.
    pub(super) fn excerpts(&self, name: &str, most: usize) -> Vec<Excerpt> {
        let named = self.metrics.iter().enumerate().filter(|(_, known)| known.about.name == name);
        named
            .map(|(place, known)| Excerpt {
                about: Arc::clone(&known.about),
                metric: place as u32,
                series: known.series.iter().map(|series| Arc::clone(&series.attributes)).collect(),
                // all of them: a point stands until another one is there
                readings: self.readings.iter().cloned().collect(),
                from: self.readings.len().saturating_sub(most),
            })
            .collect()
    }
}

impl Excerpt {
    /// The metric with one point per series and reading.
    pub(crate) fn metric(&self) -> Metric {
        let mut last: Vec<Option<Arc<Point>>> = vec![None; self.series.len()];
        let mut shown: Vec<(u64, usize, Arc<Point>, Vec<Exemplar>)> = Vec::new();
        for (place, reading) in self.readings.iter().enumerate() {
            let begin = reading.points.partition_point(|(metric, ..)| *metric < self.metric);
            let own = reading.points[begin..].iter().take_while(|(metric, ..)| *metric == self.metric);
            let mut exemplars: HashMap<usize, Vec<Exemplar>> = HashMap::new();
            for (_, series, point, fresh) in own {
                let series = *series as usize;
                if let Some(last) = last.get_mut(series) {
                    *last = Some(Arc::clone(point));
                }
                exemplars.insert(series, fresh.to_vec());
            }
            if place < self.from {
                continue;
            }
            for (series, point) in last.iter().enumerate() {
                if let Some(point) = point {
                    let exemplars = exemplars.remove(&series).unwrap_or_default();
                    shown.push((reading.at, series, Arc::clone(point), exemplars));
                }
            }
        }
        // one series after the other
        shown.sort_by_key(|(at, series, ..)| (*series, *at));
        Metric {
            name: self.about.name.clone(),
            description: self.about.description.clone(),
            unit: self.about.unit.clone(),
            metadata: Vec::new(),
            data: Some(self.about.shape.data(
                shown.into_iter().map(|(at, series, point, exemplars)| {
                    (self.series[series].to_vec(), at, point, exemplars)
                }),
            )),
        }
    }
}

fn newest(exemplars: &[Exemplar]) -> u64 {
    exemplars.iter().map(|exemplar| exemplar.time_unix_nano).max().unwrap_or(0)
}

fn sizes(exemplars: &[Exemplar]) -> usize {
    let size = |exemplar: &Exemplar| {
        let filtered = exemplar.filtered_attributes.iter().map(|attribute| {
            size_of::<KeyValue>() + attribute.key.len() + attribute.value.as_ref().map_or(0, value_size)
        });
        size_of::<Exemplar>() + 24 + 32 + filtered.sum::<usize>()
    };
    exemplars.iter().map(size).sum()
}

fn value_size(value: &AnyValue) -> usize {
    match &value.value {
        Some(Value::StringValue(text)) => text.len() + 16,
        Some(Value::ArrayValue(array)) => {
            array.values.iter().map(|value| size_of::<AnyValue>() + value_size(value)).sum()
        }
        _ => 0,
    }
}

/// What tells two series apart: names and values in their order, which the SDK keeps.
fn fingerprint(attributes: &[KeyValue], out: &mut Vec<u8>) {
    use prost::Message as _;
    for attribute in attributes {
        // writing into memory does not fail
        let _ = attribute.encode_length_delimited(out);
    }
}
