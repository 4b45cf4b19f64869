//! A rule of sampling: which spans it is about, and what becomes of them; written `drop path=/health|/ready`.

use std::fmt;

use http::HeaderName;
use opentelemetry::trace::SpanKind;

use super::{Patterns, Sampler, shortened};

/// A rule of sampling. It decides where all of its conditions hold; without any, wherever it is asked.
///
/// `Display` writes it as `TRACEWELL_SAMPLING_RULES` reads it.
///
/// ```
/// use tracewell::config::SamplingRule;
///
/// let rule = SamplingRule::per_second(5.0).with_route("/search").with_method("GET");
/// assert_eq!(rule.to_string(), "5/s route=/search method=GET");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingRule {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) sampler: Sampler,
}

/// What must hold. Patterns are as in [`Patterns`], and one of them is enough.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    Route(Patterns),
    Method(Patterns),
    Path(Patterns),
    /// The span's name.
    Name(Patterns),
    /// The header's name, in lower case; without a pattern it must only be there.
    Header(String, Patterns),
    Attribute(String, Patterns),
    /// One of these values exactly.
    AttributeIs(String, Vec<String>),
    Kind(Vec<SpanKind>),
    Parent(Vec<ParentKind>),
}

/// Where a span's parent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParentKind {
    None,
    Remote,
    Local,
}

pub(super) const KINDS: [(&str, SpanKind); 5] = [
    ("internal", SpanKind::Internal),
    ("server", SpanKind::Server),
    ("client", SpanKind::Client),
    ("producer", SpanKind::Producer),
    ("consumer", SpanKind::Consumer),
];

pub(super) const PARENTS: [(&str, ParentKind); 3] =
    [("none", ParentKind::None), ("remote", ParentKind::Remote), ("local", ParentKind::Local)];

/// The kind of this name.
pub(in crate::config) fn span_kind(word: &str) -> Option<SpanKind> {
    KINDS.iter().find(|(name, _)| *name == word).map(|(_, kind)| kind.clone())
}

/// The kind of parent of this name.
pub(in crate::config) fn parent_kind(word: &str) -> Option<ParentKind> {
    PARENTS.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind)
}

impl SamplingRule {
    /// What is decided by `sampler`. In a rule [`Sampler::AlwaysOn`] is a share of 100 %, and said to be one in `tracestate`.
    #[must_use]
    pub fn new(sampler: Sampler) -> Self {
        let sampler = if sampler == Sampler::AlwaysOn { Sampler::TraceIdRatio(1.0) } else { sampler };
        Self { conditions: Vec::new(), sampler }
    }

    /// Every trace is kept.
    #[must_use]
    pub fn keep() -> Self {
        Self::new(Sampler::AlwaysOn)
    }

    /// None is kept.
    #[must_use]
    pub fn drop() -> Self {
        Self::new(Sampler::AlwaysOff)
    }

    /// This share of the traces is kept, from 0 to 1, chosen by trace id.
    #[must_use]
    pub fn ratio(ratio: f64) -> Self {
        Self::new(Sampler::TraceIdRatio(ratio))
    }

    /// So many traces a second are kept, whichever come first; see [`Sampler::PerSecond`].
    #[must_use]
    pub fn per_second(traces: f64) -> Self {
        Self::new(Sampler::PerSecond(traces))
    }

    /// Requests of this route, such as `/users/{id}`. It is known where the layer is inside of the router
    /// (axum's `Router::layer`), and nowhere else.
    #[must_use]
    pub fn with_route(self, pattern: impl Into<String>) -> Self {
        self.and(Condition::Route(one(pattern)))
    }

    /// Requests with this method.
    #[must_use]
    pub fn with_method(self, pattern: impl Into<String>) -> Self {
        self.and(Condition::Method(one(pattern)))
    }

    /// Requests with this path, without the query.
    #[must_use]
    pub fn with_path(self, pattern: impl Into<String>) -> Self {
        self.and(Condition::Path(one(pattern)))
    }

    /// Requests that have this header; case does not matter. Whoever calls writes headers.
    #[must_use]
    pub fn with_header(self, name: impl AsRef<str>) -> Self {
        self.and(Condition::Header(name.as_ref().to_ascii_lowercase(), Patterns::default()))
    }

    /// Requests with such a value of a header. Whoever calls writes headers.
    #[must_use]
    pub fn with_header_value(self, name: impl AsRef<str>, pattern: impl Into<String>) -> Self {
        self.and(Condition::Header(name.as_ref().to_ascii_lowercase(), one(pattern)))
    }

    /// Spans that start with such a value of an attribute; what is not text is compared as it is written, and of a list
    /// one value is enough.
    #[must_use]
    pub fn with_attribute(self, key: impl Into<String>, pattern: impl Into<String>) -> Self {
        self.and(Condition::Attribute(key.into(), one(pattern)))
    }

    /// Spans of this name, such as a task's.
    #[must_use]
    pub fn with_name(self, pattern: impl Into<String>) -> Self {
        self.and(Condition::Name(one(pattern)))
    }

    pub(crate) fn and(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Whether it is about names of spans.
    pub(crate) fn is_named(&self) -> bool {
        self.conditions.iter().any(|condition| matches!(condition, Condition::Name(_)))
    }

    /// What cannot be meant.
    pub(crate) fn validate(&self) -> Result<(), String> {
        for condition in &self.conditions {
            if let Condition::Header(name, _) = condition {
                let known = HeaderName::from_bytes(name.as_bytes());
                known.map_err(|_| {
                    format!("{:?} is no name of a header; accepted is one such as x-debug", shortened(name))
                })?;
            }
        }
        self.sampler.validate()
    }
}

fn one(pattern: impl Into<String>) -> Patterns {
    Patterns { included: vec![pattern.into()], excluded: Vec::new() }
}

impl fmt::Display for SamplingRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sampler {
            Sampler::AlwaysOff => f.write_str("drop")?,
            Sampler::TraceIdRatio(1.0) => f.write_str("keep")?,
            Sampler::TraceIdRatio(ratio) => write!(f, "{}%", percent(*ratio))?,
            Sampler::PerSecond(traces) => write!(f, "{traces}/s")?,
            other => write!(f, "{other}")?,
        }
        self.conditions.iter().try_for_each(|condition| write!(f, " {condition}"))
    }
}

/// 0.07 is 7 and not 7.000000000000001.
fn percent(ratio: f64) -> f64 {
    let percent = ratio * 100.0;
    let rounded = (percent * 1e9).round() / 1e9;
    if rounded / 100.0 == ratio { rounded } else { percent }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(patterns) => write!(f, "route={}", Listed(patterns)),
            Self::Method(patterns) => write!(f, "method={}", Listed(patterns)),
            Self::Path(patterns) => write!(f, "path={}", Listed(patterns)),
            Self::Name(patterns) => write!(f, "name={}", Listed(patterns)),
            Self::Header(name, patterns) if *patterns == Patterns::default() => write!(f, "header.{name}"),
            Self::Header(name, patterns) => write!(f, "header.{name}={}", Listed(patterns)),
            Self::Attribute(key, patterns) => write!(f, "attribute.{key}={}", Listed(patterns)),
            Self::AttributeIs(key, values) => {
                write!(f, "attribute.{key}=")?;
                alternatives(f, values)
            }
            Self::Kind(kinds) => {
                let names = KINDS.iter().filter(|(_, kind)| kinds.contains(kind)).map(|(name, _)| *name);
                write!(f, "kind={}", names.collect::<Vec<_>>().join("|"))
            }
            Self::Parent(kinds) => {
                let names = PARENTS.iter().filter(|(_, kind)| kinds.contains(kind)).map(|(name, _)| *name);
                write!(f, "parent={}", names.collect::<Vec<_>>().join("|"))
            }
        }
    }
}

struct Listed<'a>(&'a Patterns);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.included.is_empty() {
            f.write_str("*")?;
        }
        alternatives(f, &self.0.included)?;
        if self.0.excluded.is_empty() {
            return Ok(());
        }
        // only a configuration file can say so
        f.write_str("!")?;
        alternatives(f, &self.0.excluded)
    }
}

fn alternatives(f: &mut fmt::Formatter<'_>, values: &[String]) -> fmt::Result {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            f.write_str("|")?;
        }
        if value.is_empty() || value.contains([' ', '\t', ',', '|', '"', '\\']) {
            write!(f, "\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))?;
        } else {
            f.write_str(value)?;
        }
    }
    Ok(())
}
