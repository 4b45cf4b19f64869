//! Metrics gathered into families: same name, same type, one block on the page.

use std::collections::HashMap;

use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, ScopeMetrics, metric::Data};

use super::{
    Skipped,
    classic_names::{FamilyName, Kind},
    naming::Naming,
};

#[derive(Debug)]
pub(super) struct Family<'a> {
    pub(super) kind: Kind,
    /// without the `_total` of counters
    pub(super) name: String,
    /// empty: none
    pub(super) unit: String,
    /// a counter's samples end with `_total`
    pub(super) has_total: bool,
    /// the first description that is not empty
    pub(super) help: &'a str,
    pub(super) metrics: Vec<(&'a ScopeMetrics, &'a Data)>,
}

#[derive(Debug)]
pub(super) struct Families<'a> {
    pub(super) list: Vec<Family<'a>>,
    pub(super) skipped: Skipped,
    openmetrics: bool,
    naming: Naming,
    /// every name of a family or a sample, with its owner in `list`; `None` is `target_info`
    owners: HashMap<String, Option<usize>>,
}

impl<'a> Families<'a> {
    pub(super) fn new(openmetrics: bool, naming: Naming) -> Self {
        Self { list: Vec::new(), skipped: Skipped::default(), openmetrics, naming, owners: HashMap::new() }
    }

    pub(super) fn reserve_target_info(&mut self) {
        self.owners.insert("target_info".to_owned(), None);
        if self.openmetrics {
            self.owners.insert("target".to_owned(), None);
        }
    }

    pub(super) fn add(&mut self, scope: &'a ScopeMetrics, metric: &'a Metric) {
        let Some(data) = metric.data.as_ref().filter(|data| has_points(data)) else { return };
        if !is_cumulative(data) {
            self.skipped.not_cumulative_metrics += 1;
            return;
        }
        let kind = kind(data);
        let is_gauge = matches!(data, Data::Gauge(_));
        let name = self.naming.family(&metric.name, &metric.unit, kind, is_gauge);
        let index = name.and_then(|name| self.find_or_insert(name, kind));
        let Some(index) = index else {
            self.skipped.conflicting_metrics += 1;
            return;
        };
        let family = &mut self.list[index];
        if family.help.is_empty() {
            family.help = &metric.description;
        }
        family.metrics.push((scope, data));
    }

    /// `None` if a name the family needs belongs to another one.
    fn find_or_insert(&mut self, name: FamilyName, kind: Kind) -> Option<usize> {
        let suffixes = kind.suffixes(name.has_total);
        let mut samples: Vec<String> =
            suffixes.iter().map(|suffix| format!("{}{suffix}", name.name)).collect();
        if (self.openmetrics && name.has_total) || kind == Kind::Histogram {
            samples.push(name.name.clone());
        }
        for sample in &samples {
            match self.owners.get(sample) {
                Some(Some(index))
                    if self.list[*index].name == name.name && self.list[*index].kind == kind =>
                {
                    return Some(*index);
                }
                Some(_) => return None,
                None => {}
            }
        }
        let index = self.list.len();
        self.owners.extend(samples.into_iter().map(|sample| (sample, Some(index))));
        let FamilyName { name, unit, has_total } = name;
        self.list.push(Family { kind, name, unit, has_total, help: "", metrics: Vec::new() });
        Some(index)
    }
}

fn kind(data: &Data) -> Kind {
    match data {
        Data::Sum(sum) if sum.is_monotonic => Kind::Counter,
        Data::Sum(_) | Data::Gauge(_) => Kind::Gauge,
        Data::Histogram(_) | Data::ExponentialHistogram(_) => Kind::Histogram,
        Data::Summary(_) => Kind::Summary,
    }
}

fn has_points(data: &Data) -> bool {
    match data {
        Data::Gauge(gauge) => !gauge.data_points.is_empty(),
        Data::Sum(sum) => !sum.data_points.is_empty(),
        Data::Histogram(histogram) => !histogram.data_points.is_empty(),
        Data::ExponentialHistogram(histogram) => !histogram.data_points.is_empty(),
        Data::Summary(summary) => !summary.data_points.is_empty(),
    }
}

fn is_cumulative(data: &Data) -> bool {
    let temporality = match data {
        Data::Gauge(_) | Data::Summary(_) => return true,
        Data::Sum(sum) => sum.aggregation_temporality,
        Data::Histogram(histogram) => histogram.aggregation_temporality,
        Data::ExponentialHistogram(histogram) => histogram.aggregation_temporality,
    };
    temporality == AggregationTemporality::Cumulative as i32
}
