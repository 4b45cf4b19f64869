//! Writes families line by line into one `String`, with buffers that live as long as the page.

use std::{
    collections::HashSet,
    fmt::Write as _,
    hash::{BuildHasher as _, RandomState},
};

use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    metrics::v1::{
        DataPointFlags, Exemplar, NumberDataPoint, ScopeMetrics, SummaryDataPoint, metric::Data,
        number_data_point::Value,
    },
    resource::v1::Resource,
};

use super::{
    buckets::{self, Converted},
    classic_names::Kind,
    exemplars,
    families::Family,
    labels::LabelSet,
    naming::{Naming, is_label_name, is_metric_name, push_quoted},
    text::{push_float, push_help, push_label_value},
};

pub(super) struct Writer<'a, 'out> {
    pub(super) skipped_points: usize,
    out: &'out mut String,
    openmetrics: bool,
    /// the current point's labels as text, without braces
    labels: String,
    label_set: LabelSet<'a>,
    scope_labels: bool,
    /// of exemplars: classic names, as OpenMetrics has them
    exemplar_set: LabelSet<'a>,
    /// hashes of the labels written in this family
    seen: HashSet<u64>,
    hasher: RandomState,
    exemplars: Vec<Option<&'a Exemplar>>,
    converted: Converted,
}

impl<'a, 'out> Writer<'a, 'out> {
    pub(super) fn new(out: &'out mut String, openmetrics: bool, naming: Naming, scope_labels: bool) -> Self {
        Self {
            skipped_points: 0,
            out,
            openmetrics,
            labels: String::new(),
            label_set: LabelSet::new(naming),
            scope_labels,
            exemplar_set: LabelSet::default(),
            seen: HashSet::new(),
            hasher: RandomState::new(),
            exemplars: Vec::new(),
            converted: Converted::default(),
        }
    }

    /// Writes the resource's attributes. Not `job` and `instance`: a scraper gives its targets labels of these names.
    pub(super) fn target_info(&mut self, resource: &'a Resource) {
        let (name, kind) = if self.openmetrics { ("target", "info") } else { ("target_info", "gauge") };
        let _ = writeln!(self.out, "# HELP {name} Target metadata\n# TYPE {name} {kind}");
        self.label_set.clear();
        self.label_set.push_attributes(&resource.attributes, "");
        render(&mut self.label_set, &mut self.labels);
        self.series("target_info", "", None);
        self.out.push_str("1\n");
    }

    pub(super) fn family(&mut self, family: &Family<'a>) {
        self.seen.clear();
        self.metadata(family);
        for (scope, data) in &family.metrics {
            match data {
                Data::Gauge(gauge) => self.numbers(family, scope, &gauge.data_points),
                Data::Sum(sum) => self.numbers(family, scope, &sum.data_points),
                Data::Histogram(histogram) => {
                    for point in &histogram.data_points {
                        if !self.begin_point(scope, &point.attributes, point.flags, "le") {
                            continue;
                        }
                        match buckets::explicit(point) {
                            Some((bounds, counts)) => {
                                self.histogram(&family.name, bounds, counts, point.sum, &point.exemplars);
                            }
                            None => self.skipped_points += 1,
                        }
                    }
                }
                Data::ExponentialHistogram(histogram) => {
                    for point in &histogram.data_points {
                        if !self.begin_point(scope, &point.attributes, point.flags, "le") {
                            continue;
                        }
                        let mut converted = std::mem::take(&mut self.converted);
                        if converted.fill(point) {
                            let Converted { bounds, counts, .. } = &converted;
                            self.histogram(&family.name, bounds, counts, point.sum, &point.exemplars);
                        } else {
                            self.skipped_points += 1;
                        }
                        self.converted = converted;
                    }
                }
                Data::Summary(summary) => {
                    for point in &summary.data_points {
                        if self.begin_point(scope, &point.attributes, point.flags, "quantile") {
                            self.summary(&family.name, point);
                        }
                    }
                }
            }
        }
    }

    pub(super) fn end(&mut self) {
        self.out.push_str("# EOF\n");
    }

    fn metadata(&mut self, family: &Family<'_>) {
        let (name, kind) = (&family.name, family.kind);
        // In OpenMetrics a family goes by its base name, in text 0.0.4 by that of its samples.
        let is_total = kind == Kind::Counter && family.has_total;
        let mut quoted = String::new();
        match is_total && !self.openmetrics {
            true => push_quoted(&mut quoted, &format!("{name}_total"), is_metric_name),
            false => push_quoted(&mut quoted, name, is_metric_name),
        }
        let kind = match self.openmetrics && kind == Kind::Counter && !is_total {
            true => "unknown",
            false => kind.as_str(),
        };
        if !family.help.is_empty() {
            let _ = write!(self.out, "# HELP {quoted} ");
            push_help(self.out, family.help, self.openmetrics);
            self.out.push('\n');
        }
        let _ = writeln!(self.out, "# TYPE {quoted} {kind}");
        if self.openmetrics && !family.unit.is_empty() {
            let _ = writeln!(self.out, "# UNIT {quoted} {}", family.unit);
        }
    }

    fn numbers(&mut self, family: &Family<'a>, scope: &'a ScopeMetrics, points: &'a [NumberDataPoint]) {
        let counter = family.kind == Kind::Counter;
        for point in points {
            let Some(value) = point.value else { continue };
            if !self.begin_point(scope, &point.attributes, point.flags, "") {
                continue;
            }
            let countable = match value {
                Value::AsInt(value) => value >= 0,
                Value::AsDouble(value) => value >= 0.0,
            };
            if counter && !countable {
                self.skipped_points += 1;
                continue;
            }
            let is_total = counter && family.has_total;
            self.series(&family.name, if is_total { "_total" } else { "" }, None);
            match value {
                Value::AsInt(value) => {
                    let _ = write!(self.out, "{value}");
                }
                Value::AsDouble(value) => push_float(self.out, value, self.openmetrics),
            }
            if is_total {
                self.exemplar(exemplars::newest(&point.exemplars));
            }
            self.out.push('\n');
        }
    }

    /// `counts` has one more item than `bounds`, or more if the bounds past those given mean `+Inf`.
    fn histogram(
        &mut self,
        name: &str,
        bounds: &[f64],
        counts: &[u64],
        sum: Option<f64>,
        exemplars: &'a [Exemplar],
    ) {
        let exemplars = if self.openmetrics { exemplars } else { &[] };
        exemplars::by_bucket(&mut self.exemplars, bounds, exemplars);
        let mut cumulative = 0_u64;
        for (nth, (bound, count)) in bounds.iter().zip(counts).enumerate() {
            cumulative = cumulative.saturating_add(*count);
            self.bucket(name, *bound, cumulative, nth);
        }
        // The buckets' own total, not the point's count: a page whose buckets contradict each other is refused.
        let total =
            counts[bounds.len()..].iter().fold(cumulative, |total, count| total.saturating_add(*count));
        self.bucket(name, f64::INFINITY, total, bounds.len());

        // OpenMetrics: no sum that could shrink, and a count only beside a sum.
        let can_shrink = bounds.first().is_some_and(|bound| *bound < 0.0);
        let sum = sum.filter(|sum| !self.openmetrics || (*sum >= 0.0 && !can_shrink));
        if let Some(sum) = sum {
            self.float(name, "_sum", None, sum);
        }
        if sum.is_some() || !self.openmetrics {
            self.integer(name, "_count", None, total);
            self.out.push('\n');
        }
    }

    fn bucket(&mut self, name: &str, bound: f64, cumulative: u64, nth: usize) {
        self.integer(name, "_bucket", Some(("le", bound)), cumulative);
        self.exemplar(self.exemplars[nth]);
        self.out.push('\n');
    }

    fn summary(&mut self, name: &str, point: &SummaryDataPoint) {
        let mut quantiles: Vec<(f64, f64)> = point
            .quantile_values
            .iter()
            .map(|at| (at.quantile, at.value))
            .filter(|(quantile, value)| (0.0..=1.0).contains(quantile) && !(self.openmetrics && *value < 0.0))
            .collect();
        quantiles.sort_by(|a, b| a.0.total_cmp(&b.0));
        quantiles.dedup_by(|a, b| a.0 == b.0);
        for (quantile, value) in quantiles {
            self.float(name, "", Some(("quantile", quantile)), value);
        }
        if !self.openmetrics || point.sum >= 0.0 {
            self.float(name, "_sum", None, point.sum);
        }
        self.integer(name, "_count", None, point.count);
        self.out.push('\n');
    }

    /// Renders the point's labels; false if the point has no value or its labels were on this family already.
    fn begin_point(
        &mut self,
        scope: &'a ScopeMetrics,
        attributes: &'a [KeyValue],
        flags: u32,
        reserved: &str,
    ) -> bool {
        if flags & DataPointFlags::NoRecordedValueMask as u32 != 0 {
            return false;
        }
        self.label_set.clear();
        if self.scope_labels {
            self.label_set.push_scope(scope);
        }
        self.label_set.push_attributes(attributes, reserved);
        render(&mut self.label_set, &mut self.labels);
        let new = self.seen.insert(self.hasher.hash_one(&self.labels));
        self.skipped_points += usize::from(!new);
        new
    }

    fn float(&mut self, name: &str, suffix: &str, extra: Option<(&str, f64)>, value: f64) {
        self.series(name, suffix, extra);
        push_float(self.out, value, self.openmetrics);
        self.out.push('\n');
    }

    /// Leaves the line open for an exemplar.
    fn integer(&mut self, name: &str, suffix: &str, extra: Option<(&str, f64)>, value: u64) {
        self.series(name, suffix, extra);
        let _ = write!(self.out, "{value}");
    }

    /// Writes a line up to its value.
    fn series(&mut self, name: &str, suffix: &str, extra: Option<(&str, f64)>) {
        let out = &mut *self.out;
        let is_classic = is_metric_name(name);
        if is_classic {
            out.push_str(name);
            out.push_str(suffix);
        }
        if !is_classic || !self.labels.is_empty() || extra.is_some() {
            out.push('{');
            if !is_classic {
                // the name in quotes is the first between the braces
                out.push('"');
                push_label_value(out, name);
                out.push_str(suffix);
                out.push_str(if self.labels.is_empty() && extra.is_none() { "\"" } else { "\"," });
            }
            out.push_str(&self.labels);
            if let Some((label, value)) = extra {
                out.push_str(if self.labels.is_empty() { "" } else { "," });
                out.push_str(label);
                out.push_str("=\"");
                push_float(out, value, self.openmetrics);
                out.push('"');
            }
            out.push('}');
        }
        out.push(' ');
    }

    fn exemplar(&mut self, exemplar: Option<&'a Exemplar>) {
        if let Some(exemplar) = exemplar.filter(|_| self.openmetrics) {
            exemplars::push(self.out, exemplar, &mut self.exemplar_set);
        }
    }
}

/// Writes the labels of `set` to `out` as they stand between the braces.
fn render(set: &mut LabelSet<'_>, out: &mut String) {
    out.clear();
    set.for_each(|name, value| {
        out.push_str(if out.is_empty() { "" } else { "," });
        push_quoted(out, name, is_label_name);
        out.push_str("=\"");
        push_label_value(out, value);
        out.push('"');
    });
}
