//! Views: which metric an instrument's measurements become. One value, compiled for the SDK and for exemplars alike.
//!
//! The SDK's own streams cannot be read back, and exemplars need to know a stream's name, buckets and attributes.

use std::{collections::HashSet, sync::Arc};

use opentelemetry::Key;
use opentelemetry_sdk::metrics::{Aggregation, Instrument, Stream};

pub(crate) use opentelemetry_sdk::metrics::InstrumentKind;

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
    name: Option<String>,
    boundaries: Option<Vec<f64>>,
    allowed_keys: Option<Arc<HashSet<Key>>>,
    cardinality_limit: Option<usize>,
    drop: bool,
}

impl View {
    /// A view of the instruments with this name, any case; `*` stands for any characters.
    pub fn new(instrument: impl Into<String>) -> Self {
        Self {
            pattern: instrument.into(),
            name: None,
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
        self.allowed_keys = Some(Arc::new(keys.into_iter().map(Into::into).collect()));
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
        matches(&self.pattern.to_ascii_lowercase(), &name.to_ascii_lowercase())
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

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, rest)) => match name.strip_prefix(head) {
            None => false,
            Some(tail) if rest.is_empty() => !tail.is_empty() || head.len() == name.len(),
            Some(tail) => {
                tail.char_indices().map(|(at, _)| at).chain([tail.len()]).any(|at| matches(rest, &tail[at..]))
            }
        },
    }
}

/// All views of a meter provider.
#[derive(Debug, Default)]
pub(crate) struct Views {
    views: Vec<View>,
    /// The default aggregation of histograms.
    exponential: bool,
}

/// What the exemplars of a stream depend on.
#[derive(Debug, Default)]
pub(crate) struct StreamView {
    pub(crate) name: Option<String>,
    pub(crate) boundaries: Option<Vec<f64>>,
    pub(crate) allowed_keys: Option<Arc<HashSet<Key>>>,
    pub(crate) cardinality_limit: usize,
    pub(crate) exponential: bool,
}

impl Views {
    pub(crate) fn new(views: Vec<View>, exponential: bool) -> Arc<Self> {
        Arc::new(Self { views, exponential })
    }

    fn find(&self, instrument: &str) -> Option<&View> {
        self.views.iter().find(|view| view.matches(instrument))
    }

    /// The stream of an instrument, as exemplars see it.
    pub(crate) fn stream(&self, instrument: &str, kind: InstrumentKind) -> StreamView {
        let histogram = matches!(kind, InstrumentKind::Histogram);
        let view = self.find(instrument);
        let boundaries = view.and_then(|view| view.boundaries.clone());
        StreamView {
            name: view.and_then(|view| view.name.clone()),
            exponential: histogram && self.exponential && boundaries.is_none(),
            boundaries,
            allowed_keys: view.and_then(|view| view.allowed_keys.clone()),
            cardinality_limit: view
                .and_then(|view| view.cardinality_limit)
                .unwrap_or(DEFAULT_CARDINALITY_LIMIT),
        }
    }

    /// The same stream, for the SDK.
    pub(crate) fn sdk_stream(&self, instrument: &Instrument) -> Option<Stream> {
        let view = self.find(instrument.name());
        let histogram = matches!(instrument.kind(), InstrumentKind::Histogram);
        if view.is_none() && !(histogram && self.exponential) {
            return None;
        }
        let mut stream = Stream::builder();
        let shape = self.stream(instrument.name(), instrument.kind());
        if let Some(name) = shape.name {
            stream = stream.with_name(name);
        }
        if let Some(keys) = &shape.allowed_keys {
            stream = stream.with_allowed_attribute_keys(keys.iter().cloned());
        }
        stream = stream.with_cardinality_limit(shape.cardinality_limit);
        if view.is_some_and(|view| view.drop) {
            stream = stream.with_aggregation(Aggregation::Drop);
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
