//! Which traces are kept.

use std::fmt;

/// Which traces are kept. `Display` speaks the specification's words: `parentbased_traceidratio{0.1}`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Sampler {
    /// Every trace.
    AlwaysOn,
    /// None.
    AlwaysOff,
    /// This share of the traces, from 0 to 1, chosen by trace id.
    TraceIdRatio(f64),
    /// As the parent decided; this sampler decides for traces that start here.
    ParentBased(Box<Self>),
}

impl Sampler {
    /// As the parent decided; `root` decides for traces that start here.
    #[must_use]
    pub fn parent_based(root: Self) -> Self {
        Self::ParentBased(Box::new(root))
    }
}

impl fmt::Display for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlwaysOn => f.write_str("always_on"),
            Self::AlwaysOff => f.write_str("always_off"),
            Self::TraceIdRatio(ratio) => write!(f, "traceidratio{{{ratio}}}"),
            Self::ParentBased(root) => write!(f, "parentbased_{root}"),
        }
    }
}
