//! What the operator wants of metrics.

use std::time::Duration;

use super::{
    CardinalityLimits, ExemplarFilter, Exporter, HistogramAggregation, MetricOutput, Otlp, Temporality,
    Translation, ViewConfig,
};

/// Metrics.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MetricsConfig {
    /// `OTEL_METRICS_EXPORTER`; empty = `none`.
    pub exporters: Vec<Exporter>,
    /// `OTEL_METRIC_EXPORT_INTERVAL`, between the starts of exports; never zero.
    pub interval: Duration,
    /// `OTEL_METRIC_EXPORT_TIMEOUT`; `None` = no limit.
    pub timeout: Option<Duration>,
    /// `OTEL_METRICS_EXEMPLAR_FILTER`.
    pub exemplar_filter: ExemplarFilter,
    /// `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`.
    pub temporality: Temporality,
    /// `OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION`.
    pub histogram: HistogramAggregation,
    /// `OTEL_EXPORTER_PROMETHEUS_HOST` and `_PORT`.
    pub prometheus: (String, u16),
    /// How `/metrics` looks.
    pub page: PrometheusPage,
    /// The OTLP exporter.
    pub otlp: Otlp,
    /// Further periodic readers.
    pub more: Vec<MetricOutput>,
    /// Views of the configuration file; those given in code come first.
    pub views: Vec<ViewConfig>,
    /// Series per metric.
    pub cardinality: CardinalityLimits,
}

/// How metrics are shown to Prometheus (specification, metrics/sdk_exporters/prometheus.md "Configuration").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrometheusPage {
    /// How names are made; `UnderscoreEscapingWithSuffixes` unless said otherwise.
    pub translation: Translation,
    /// Whether every series has `otel_scope_name` and its kin; `true` unless said otherwise.
    pub scope_labels: bool,
    /// Whether the resource is there as `target_info`; `true` unless said otherwise.
    pub target_info: bool,
}

impl Default for PrometheusPage {
    fn default() -> Self {
        Self {
            translation: Translation::UnderscoreEscapingWithSuffixes,
            scope_labels: true,
            target_info: true,
        }
    }
}

impl PrometheusPage {
    /// How names are made.
    #[must_use]
    pub const fn with_translation(mut self, translation: Translation) -> Self {
        self.translation = translation;
        self
    }

    /// Leaves `otel_scope_name` and its kin out.
    #[must_use]
    pub const fn without_scope_labels(mut self) -> Self {
        self.scope_labels = false;
        self
    }

    /// Leaves `target_info` out.
    #[must_use]
    pub const fn without_target_info(mut self) -> Self {
        self.target_info = false;
        self
    }
}
