//! Views: which metric an instrument's measurements become. One value, compiled for the SDK and for exemplars alike.
//!
//! The SDK's own streams cannot be read back, and exemplars need to know a stream's name, buckets and attributes.

use std::{collections::HashSet, sync::Arc};

use opentelemetry::{InstrumentationScope, Key};
use opentelemetry_sdk::metrics::{Aggregation, Instrument, Stream};

pub(crate) use opentelemetry_sdk::metrics::InstrumentKind;

use crate::config::{self, CardinalityLimits, InstrumentType, Patterns, ViewConfig};

/// Series per metric unless a view says otherwise (specification, metrics/sdk.md "Cardinality limits").
const DEFAULT_CARDINALITY_LIMIT: usize = 2000;

/// Changes the metric that matching instruments feed (specification, metrics/sdk.md "View").
///
/// The first view that matches an instrument applies, the others do not.
///
/// ```
/// use tracewell::View;
///
/// let seconds = View::new("job.duration").with_boundaries([0.1, 1.0, 10.0]);
/// let fewer = View::new("db.*").with_attribute_keys(["db.system.name"]);
/// # let _ = (seconds, fewer);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a view does nothing until it is given to the builder"]
pub struct View {
    pattern: String,
    /// What else an instrument must be; only a configuration file says it.
    selector: Selector,
    name: Option<String>,
    description: Option<String>,
    /// Other than by boundaries.
    aggregation: Option<Aggregation>,
    boundaries: Option<Vec<f64>>,
    allowed_keys: Option<Arc<Keys>>,
    cardinality_limit: Option<usize>,
    drop: bool,
}

impl View {
    /// A view of the instruments with this name, any case; `*` stands for any characters, `?` for any one.
    pub fn new(instrument: impl Into<String>) -> Self {
        Self {
            pattern: instrument.into(),
            selector: Selector::default(),
            name: None,
            description: None,
            aggregation: None,
            boundaries: None,
            allowed_keys: None,
            cardinality_limit: None,
            drop: false,
        }
    }

    /// The metric's name. Only for a view of one instrument: two metrics must not get the same name.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Inclusive upper bounds of a histogram's buckets, ascending, in the instrument's unit.
    pub fn with_boundaries(mut self, boundaries: impl IntoIterator<Item = f64>) -> Self {
        self.boundaries = Some(boundaries.into_iter().collect());
        self
    }

    /// Keeps only these attributes on points; an exemplar keeps the others.
    pub fn with_attribute_keys<K: Into<Key>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.allowed_keys = Some(Arc::new(Keys::These(keys.into_iter().map(Into::into).collect())));
        self
    }

    /// Series at most; measurements of further ones are counted together under `otel.metric.overflow`.
    pub fn with_cardinality_limit(mut self, limit: usize) -> Self {
        self.cardinality_limit = Some(limit);
        self
    }

    /// No metric at all.
    pub fn dropped(mut self) -> Self {
        self.drop = true;
        self
    }

    fn matches(&self, name: &str) -> bool {
        config::matches(&self.pattern.to_ascii_lowercase(), &name.to_ascii_lowercase())
    }

    fn selects(&self, asked: &Asked<'_>) -> bool {
        self.matches(asked.name) && self.selector.selects(asked)
    }

    /// # Errors
    /// The sentence that says which value cannot be used and what is accepted.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let of = format!("view of {:?}", self.pattern);
        if self.cardinality_limit == Some(0) {
            return Err(format!("{of}: cardinality limit 0; accepted is 1 or more"));
        }
        if self.name.is_some() && self.pattern.contains('*') {
            return Err(format!(
                "{of}: a pattern may match several instruments, which cannot share one metric name"
            ));
        }
        let ascending = |bounds: &[f64]| bounds.windows(2).all(|pair| pair[0] < pair[1]);
        match &self.boundaries {
            Some(bounds) if !bounds.iter().all(|bound| bound.is_finite()) || !ascending(bounds) => {
                Err(format!("{of}: boundaries {bounds:?}; accepted are finite numbers in ascending order"))
            }
            _ => Ok(()),
        }
    }
}

/// Which attributes a metric has.
#[derive(Debug, Clone)]
pub(crate) enum Keys {
    These(HashSet<Key>),
    /// The SDK knows no patterns: it is given what is left by them.
    Like(Patterns),
}

impl Keys {
    pub(crate) fn keeps(&self, key: &Key) -> bool {
        match self {
            Self::These(keys) => keys.contains(key),
            Self::Like(patterns) => patterns.contains(key.as_str()),
        }
    }
}

/// An instrument that views are asked about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: InstrumentKind,
    pub(crate) unit: &'a str,
    pub(crate) scope: &'a InstrumentationScope,
}

/// What an instrument must be beside its name; `None` = anything.
#[derive(Debug, Clone, Default)]
struct Selector {
    kind: Option<InstrumentKind>,
    unit: Option<String>,
    meter: Option<String>,
    version: Option<String>,
    schema_url: Option<String>,
}

impl Selector {
    fn selects(&self, asked: &Asked<'_>) -> bool {
        let is = |wanted: &Option<String>, given: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| given == Some(wanted))
        };
        self.kind.is_none_or(|kind| kind == asked.kind)
            && is(&self.unit, Some(asked.unit))
            && is(&self.meter, Some(asked.scope.name()))
            && is(&self.version, asked.scope.version())
            && is(&self.schema_url, asked.scope.schema_url())
    }
}

fn kind(kind: InstrumentType) -> InstrumentKind {
    match kind {
        InstrumentType::Counter => InstrumentKind::Counter,
        InstrumentType::Gauge => InstrumentKind::Gauge,
        InstrumentType::Histogram => InstrumentKind::Histogram,
        InstrumentType::ObservableCounter => InstrumentKind::ObservableCounter,
        InstrumentType::ObservableGauge => InstrumentKind::ObservableGauge,
        InstrumentType::ObservableUpDownCounter => InstrumentKind::ObservableUpDownCounter,
        InstrumentType::UpDownCounter => InstrumentKind::UpDownCounter,
    }
}

impl From<&ViewConfig> for View {
    fn from(config: &ViewConfig) -> Self {
        let mut view = Self::new(config.instrument.as_deref().unwrap_or("*"));
        view.selector = Selector {
            kind: config.kind.map(kind),
            unit: config.unit.clone(),
            meter: config.meter.clone(),
            version: config.meter_version.clone(),
            schema_url: config.meter_schema_url.clone(),
        };
        view.name.clone_from(&config.name);
        view.description.clone_from(&config.description);
        view.cardinality_limit = config.cardinality_limit.and_then(|limit| usize::try_from(limit).ok());
        view.allowed_keys =
            config.attribute_keys.as_ref().filter(|keys| **keys != Patterns::default()).map(|keys| {
                let exact =
                    keys.excluded.is_empty() && keys.included.iter().all(|key| !key.contains(['*', '?']));
                Arc::new(match exact {
                    true => Keys::These(keys.included.iter().cloned().map(Key::from).collect()),
                    false => Keys::Like(keys.clone()),
                })
            });
        match &config.aggregation {
            None => {}
            Some(config::Aggregation::Drop) => view.drop = true,
            Some(config::Aggregation::Sum) => view.aggregation = Some(Aggregation::Sum),
            Some(config::Aggregation::LastValue) => view.aggregation = Some(Aggregation::LastValue),
            Some(config::Aggregation::ExplicitBuckets { boundaries, record_min_max }) => {
                view.boundaries = Some(boundaries.clone());
                view.aggregation = Some(Aggregation::ExplicitBucketHistogram {
                    boundaries: boundaries.clone(),
                    record_min_max: *record_min_max,
                });
            }
            Some(config::Aggregation::ExponentialBuckets { max_scale, max_size, record_min_max }) => {
                view.aggregation = Some(Aggregation::Base2ExponentialHistogram {
                    max_scale: *max_scale,
                    max_size: *max_size,
                    record_min_max: *record_min_max,
                });
            }
        }
        view
    }
}

/// All views of a meter provider.
#[derive(Debug, Default)]
pub(crate) struct Views {
    views: Vec<View>,
    /// The default aggregation of histograms.
    exponential: bool,
    cardinality: CardinalityLimits,
}

/// What the exemplars of a stream depend on.
#[derive(Debug, Default)]
pub(crate) struct StreamView {
    pub(crate) name: Option<String>,
    pub(crate) boundaries: Option<Vec<f64>>,
    pub(crate) allowed_keys: Option<Arc<Keys>>,
    pub(crate) cardinality_limit: usize,
    pub(crate) exponential: bool,
}

impl Views {
    /// Those given in code, then those of the configuration.
    pub(crate) fn new(mut views: Vec<View>, config: &config::MetricsConfig) -> Arc<Self> {
        views.extend(config.views.iter().map(View::from));
        let exponential = config.histogram == config::HistogramAggregation::Base2Exponential;
        Arc::new(Self { views, exponential, cardinality: config.cardinality })
    }

    fn find(&self, asked: &Asked<'_>) -> Option<&View> {
        self.views.iter().find(|view| view.selects(asked))
    }

    /// Series of an instrument's metric, unless a view says otherwise.
    fn limit(&self, asked: InstrumentKind) -> usize {
        let place = InstrumentType::ALL.iter().position(|known| kind(*known) == asked);
        let own = place.and_then(|place| self.cardinality.by_type[place]);
        let limit = own.or(self.cardinality.default).and_then(|limit| usize::try_from(limit).ok());
        limit.unwrap_or(DEFAULT_CARDINALITY_LIMIT)
    }

    /// The stream of an instrument, as exemplars see it.
    pub(crate) fn stream(&self, asked: &Asked<'_>) -> StreamView {
        let histogram = matches!(asked.kind, InstrumentKind::Histogram);
        let view = self.find(asked);
        let boundaries = view.and_then(|view| view.boundaries.clone());
        let own = view.and_then(|view| view.aggregation.as_ref());
        let exponential = match own {
            Some(own) => matches!(own, Aggregation::Base2ExponentialHistogram { .. }),
            None => self.exponential && boundaries.is_none(),
        };
        StreamView {
            name: view.and_then(|view| view.name.clone()),
            exponential: histogram && exponential,
            boundaries,
            allowed_keys: view.and_then(|view| view.allowed_keys.clone()),
            cardinality_limit: view
                .and_then(|view| view.cardinality_limit)
                .unwrap_or_else(|| self.limit(asked.kind)),
        }
    }

    /// What is left of an instrument's attributes before the SDK gets them.
    pub(crate) fn patterns(&self, asked: &Asked<'_>) -> Option<Arc<Keys>> {
        let keys = self.find(asked)?.allowed_keys.clone();
        keys.filter(|keys| matches!(**keys, Keys::Like(_)))
    }

    /// The same stream, for the SDK.
    pub(crate) fn sdk_stream(&self, instrument: &Instrument) -> Option<Stream> {
        let asked = Asked {
            name: instrument.name(),
            kind: instrument.kind(),
            unit: instrument.unit(),
            scope: instrument.scope(),
        };
        let view = self.find(&asked);
        let histogram = matches!(asked.kind, InstrumentKind::Histogram);
        let limited = self.limit(asked.kind) != DEFAULT_CARDINALITY_LIMIT;
        if view.is_none() && !limited && !(histogram && self.exponential) {
            return None;
        }
        let mut stream = Stream::builder();
        let shape = self.stream(&asked);
        if let Some(name) = shape.name {
            stream = stream.with_name(name);
        }
        if let Some(description) = view.and_then(|view| view.description.clone()) {
            stream = stream.with_description(description);
        }
        if let Some(Keys::These(keys)) = shape.allowed_keys.as_deref() {
            stream = stream.with_allowed_attribute_keys(keys.iter().cloned());
        }
        stream = stream.with_cardinality_limit(shape.cardinality_limit);
        let own = view.and_then(|view| view.aggregation.clone());
        if view.is_some_and(|view| view.drop) {
            stream = stream.with_aggregation(Aggregation::Drop);
        } else if let Some(aggregation) = own {
            stream = stream.with_aggregation(aggregation);
        } else if shape.exponential {
            // specification, metrics/sdk.md "Base2 Exponential Bucket Histogram Aggregation": the defaults
            let aggregation =
                Aggregation::Base2ExponentialHistogram { max_size: 160, max_scale: 20, record_min_max: true };
            stream = stream.with_aggregation(aggregation);
        } else if let Some(boundaries) = shape.boundaries.filter(|_| histogram) {
            stream = stream
                .with_aggregation(Aggregation::ExplicitBucketHistogram { boundaries, record_min_max: true });
        }
        // every value was validated when the view was given; the default stream is the safe answer all the same
        stream.build().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_in_any_case_with_stars_anywhere() {
        for (pattern, name, expected) in [
            ("http.server.request.duration", "HTTP.server.request.Duration", true),
            ("db.*", "db.client.operation.duration", true),
            ("db.*", "cache.db.hits", false),
            ("*.duration", "job.duration", true),
            ("a*b*c", "a-x-b-y-c", true),
            ("a*b*c", "a-x-c-y-b", false),
            ("*", "anything", true),
            ("job.?", "job.a", true),
            ("job.?", "job.ab", false),
        ] {
            assert_eq!(View::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_view_that_cannot_be_used_is_named_with_what_is_accepted() {
        assert!(View::new("a").with_boundaries([1.0, 1.0]).validate().unwrap_err().contains("ascending"));
        assert!(View::new("a").with_boundaries([f64::NAN]).validate().unwrap_err().contains("finite"));
        assert!(View::new("a").with_cardinality_limit(0).validate().unwrap_err().contains("1 or more"));
        assert!(View::new("a.*").with_name("b").validate().unwrap_err().contains("several instruments"));
        assert!(View::new("a").with_name("b").with_boundaries([1.0, 2.0]).validate().is_ok());
    }
}
