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
    /// By the parent, with a sampler for each of its kinds.
    ParentBasedBy(Box<ParentSamplers>),
}

/// Which sampler decides, by the parent (specification, trace/sdk.md "ParentBased").
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ParentSamplers {
    /// There is no parent.
    pub root: Sampler,
    /// A parent in another process is sampled.
    pub remote_sampled: Sampler,
    /// A parent in another process is not sampled.
    pub remote_not_sampled: Sampler,
    /// A parent in this process is sampled.
    pub local_sampled: Sampler,
    /// A parent in this process is not sampled.
    pub local_not_sampled: Sampler,
}

impl ParentSamplers {
    /// As the parent decided; `root` decides for traces that start here.
    #[must_use]
    pub fn new(root: Sampler) -> Self {
        Self {
            root,
            remote_sampled: Sampler::AlwaysOn,
            remote_not_sampled: Sampler::AlwaysOff,
            local_sampled: Sampler::AlwaysOn,
            local_not_sampled: Sampler::AlwaysOff,
        }
    }

    /// Whether each does as the parent decided.
    fn follows_parent(&self) -> bool {
        *self == Self::new(self.root.clone())
    }
}

impl From<ParentSamplers> for Sampler {
    fn from(samplers: ParentSamplers) -> Self {
        if samplers.follows_parent() {
            Self::parent_based(samplers.root)
        } else {
            Self::ParentBasedBy(Box::new(samplers))
        }
    }
}

impl Sampler {
    /// As the parent decided; `root` decides for traces that start here.
    #[must_use]
    pub fn parent_based(root: Self) -> Self {
        Self::ParentBased(Box::new(root))
    }

    /// Whether no span is recorded whose parent is not.
    pub(crate) fn follows_parent(&self) -> bool {
        match self {
            Self::AlwaysOff | Self::ParentBased(_) => true,
            Self::AlwaysOn | Self::TraceIdRatio(_) => false,
            Self::ParentBasedBy(by) => {
                by.remote_not_sampled == Self::AlwaysOff && by.local_not_sampled == Self::AlwaysOff
            }
        }
    }
}

impl fmt::Display for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlwaysOn => f.write_str("always_on"),
            Self::AlwaysOff => f.write_str("always_off"),
            Self::TraceIdRatio(ratio) => write!(f, "traceidratio{{{ratio}}}"),
            Self::ParentBased(root) => write!(f, "parentbased_{root}"),
            Self::ParentBasedBy(by) => {
                write!(f, "parentbased_{}", by.root)?;
                let usual = ParentSamplers::new(by.root.clone());
                for (name, own, usual) in [
                    ("remote_parent_sampled", &by.remote_sampled, &usual.remote_sampled),
                    ("remote_parent_not_sampled", &by.remote_not_sampled, &usual.remote_not_sampled),
                    ("local_parent_sampled", &by.local_sampled, &usual.local_sampled),
                    ("local_parent_not_sampled", &by.local_not_sampled, &usual.local_not_sampled),
                ] {
                    if own != usual {
                        write!(f, ",{name}={own}")?;
                    }
                }
                Ok(())
            }
        }
    }
}
