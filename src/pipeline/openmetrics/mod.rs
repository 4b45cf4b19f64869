//! The page a Prometheus scraper reads: OTLP metrics in, OpenMetrics or Prometheus text out. Pure.
//!
//! Follows "Prometheus and OpenMetrics Compatibility" of the OpenTelemetry specification; names are the ones
//! Prometheus gives the same metrics when they arrive by OTLP with the same translation strategy, so a dashboard fits
//! both ways. A counter whose name has no `_total` is of type `unknown` in OpenMetrics, which knows no other counters.
//!
//! - `_created` lines are left out: they are optional, and Prometheus would store each as one more series.
//! - Exponential histograms become classic ones, as neither text format knows the native kind. Their bounds follow the
//!   data: expect new `le` values when its range grows.
//! - Points carry no timestamps: the scraper's own are wanted.
//! - The page describes one process: `target_info` is made from the first resource that has attributes.

mod buckets;
mod classic_names;
mod exemplars;
mod families;
mod format;
mod labels;
mod naming;
mod text;
mod writer;

#[cfg(test)]
mod tests;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;

pub(crate) use self::format::Format;
use self::{families::Families, naming::Naming, writer::Writer};
use crate::config::PrometheusPage;

/// What had to be left out of a page, for the caller to warn about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Skipped {
    /// Metrics whose translated name another metric already has with another type, or that have no name at all.
    pub(crate) conflicting_metrics: usize,
    /// Metrics whose temporality is not cumulative.
    pub(crate) not_cumulative_metrics: usize,
    /// Points whose labels equal another point's of the family, and points that contradict themselves: buckets that do
    /// not fit their bounds, a counter below zero.
    pub(crate) points: usize,
}

/// Appends the page for `request` to `out`. The order is the request's; families stand where their first metric is.
pub(crate) fn encode(
    request: &ExportMetricsServiceRequest,
    format: Format,
    page: PrometheusPage,
    out: &mut String,
) -> Skipped {
    let naming = Naming::new(page.translation, format.escaping());
    let mut families = Families::new(format.is_open(), naming);
    let mut writer = Writer::new(out, format.is_open(), naming, page.scope_labels);
    let resources = request.resource_metrics.iter().filter_map(|resource| resource.resource.as_ref());
    let resources = resources.filter(|_| page.target_info);
    if let Some(resource) = resources.into_iter().find(|resource| !resource.attributes.is_empty()) {
        families.reserve_target_info();
        writer.target_info(resource);
    }
    for resource in &request.resource_metrics {
        for scope in &resource.scope_metrics {
            for metric in &scope.metrics {
                families.add(scope, metric);
            }
        }
    }
    for family in &families.list {
        writer.family(family);
    }
    if format.is_open() {
        writer.end();
    }
    Skipped { points: writer.skipped_points, ..families.skipped }
}

/// A name that is not translated, such as `process_open_fds`, in the escaping of `format`.
pub(crate) fn fixed_name(name: &str, format: Format) -> String {
    Naming { translation: None, escaping: format.escaping() }.fixed(name)
}
