//! What only a configuration file can say: several ways out for one signal, and views.

use std::time::Duration;

use super::{Batch, Exporter, Otlp, Patterns, Temporality};

/// One more way out for spans or log records; only a configuration file has several.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Output {
    /// Where it goes.
    pub exporters: Vec<Exporter>,
    /// Its own queue.
    pub batch: Batch,
    /// The OTLP exporter.
    pub otlp: Otlp,
}

/// One more periodic reader of metrics; only a configuration file has several.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MetricOutput {
    /// Where they go.
    pub exporters: Vec<Exporter>,
    /// Between the starts of exports; never zero.
    pub interval: Duration,
    /// Limit of one collection and its export; `None` = no limit.
    pub timeout: Option<Duration>,
    /// Totals or changes.
    pub temporality: Temporality,
    /// The OTLP exporter.
    pub otlp: Otlp,
}

/// Series per metric at most, by the kind of its instrument; `None` = 2000.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CardinalityLimits {
    /// Where a kind has none of its own.
    pub default: Option<u32>,
    /// By kind, in the order of [`InstrumentType::ALL`].
    pub by_type: [Option<u32>; 7],
}

/// The kind of an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstrumentType {
    /// A counter.
    Counter,
    /// A gauge.
    Gauge,
    /// A histogram.
    Histogram,
    /// A counter that is observed.
    ObservableCounter,
    /// A gauge that is observed.
    ObservableGauge,
    /// An up-down counter that is observed.
    ObservableUpDownCounter,
    /// An up-down counter.
    UpDownCounter,
}

impl InstrumentType {
    /// All of them, in the order of the configuration file's schema.
    pub const ALL: [Self; 7] = [
        Self::Counter,
        Self::Gauge,
        Self::Histogram,
        Self::ObservableCounter,
        Self::ObservableGauge,
        Self::ObservableUpDownCounter,
        Self::UpDownCounter,
    ];
}

/// A view as the configuration file says it (specification, metrics/sdk.md "View").
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ViewConfig {
    /// Which instruments, by name; `*` and `?` stand for any characters and any one.
    pub instrument: Option<String>,
    /// Which instruments, by kind.
    pub kind: Option<InstrumentType>,
    /// Which instruments, by unit.
    pub unit: Option<String>,
    /// Instruments of which meter.
    pub meter: Option<String>,
    /// Instruments of which version of a meter.
    pub meter_version: Option<String>,
    /// Instruments of meters with which schema.
    pub meter_schema_url: Option<String>,
    /// The metric's name.
    pub name: Option<String>,
    /// The metric's description.
    pub description: Option<String>,
    /// What measurements become; `None` = by the instrument's kind.
    pub aggregation: Option<Aggregation>,
    /// Series at most.
    pub cardinality_limit: Option<u32>,
    /// The attributes that are kept; `None` = all.
    pub attribute_keys: Option<Patterns>,
}

/// What measurements become (specification, metrics/sdk.md "Aggregation").
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Aggregation {
    /// No metric.
    Drop,
    /// The last value.
    LastValue,
    /// The sum.
    Sum,
    /// A histogram with these buckets.
    ExplicitBuckets {
        /// Inclusive upper bounds, ascending.
        boundaries: Vec<f64>,
        /// Whether the least and the greatest value are kept.
        record_min_max: bool,
    },
    /// A histogram whose buckets fit themselves to the values.
    ExponentialBuckets {
        /// The finest scale.
        max_scale: i8,
        /// Buckets at most, for positive and for negative values each.
        max_size: u32,
        /// Whether the least and the greatest value are kept.
        record_min_max: bool,
    },
}
