//! Which traces are kept.

use std::fmt;

use super::SamplingRule;

/// Which traces are kept (specification, trace/sdk.md "Built-in samplers"). `Display` speaks the specification's words: `parentbased_traceidratio{0.1}`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Sampler {
    /// Every trace.
    AlwaysOn,
    /// None.
    AlwaysOff,
    /// This share of the traces, from 0 to 1, chosen by the randomness of the trace: 56 bits of its id, or `rv` of
    /// `tracestate`. Whoever keeps a larger share by the same rule keeps these too, a Collector included; `th` of
    /// `tracestate` says which share it was (specification, trace/sdk.md "ProbabilitySampler"; precision: 4 digits).
    TraceIdRatio(f64),
    /// So many traces a second, whichever come first, in bursts of one second's; below one a second, one at a time. The
    /// share is not known and so not said.
    PerSecond(f64),
    /// As the parent decided; this sampler decides for traces that start here.
    ParentBased(Box<Self>),
    /// By the parent, with a sampler for each of its kinds.
    ParentBasedBy(Box<ParentSamplers>),
    /// As the parent decided, by the threshold that its `tracestate` has, if any; this sampler decides for traces that start
    /// here (specification, trace/sdk.md "ComposableParentThreshold").
    ParentThreshold(Box<Self>),
    /// By the first rule that holds; what none of them is about is not kept.
    RuleBased(Vec<SamplingRule>),
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

    /// With the root's sampler for the traces of callers too. What a caller said of its share is no longer true then.
    fn of_all_traces(mut self) -> Self {
        let all = SamplingRule::new(self.root.clone()).sampler;
        self.remote_sampled.clone_from(&all);
        self.remote_not_sampled = all;
        self
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
            Self::ParentBasedBy(by) => {
                by.remote_not_sampled == Self::AlwaysOff && by.local_not_sampled == Self::AlwaysOff
            }
            _ => false,
        }
    }

    /// The same where a parent is in this process.
    pub(crate) fn follows_local_parent(&self) -> bool {
        match self {
            Self::ParentBasedBy(by) => by.local_not_sampled == Self::AlwaysOff,
            other => other.follows_parent(),
        }
    }

    /// What cannot be meant.
    pub(crate) fn validate(&self) -> Result<(), String> {
        match self {
            Self::AlwaysOn | Self::AlwaysOff => Ok(()),
            Self::TraceIdRatio(ratio) if (0.0..=1.0).contains(ratio) => Ok(()),
            Self::TraceIdRatio(_) => Err(format!("sampler {self}: accepted is a share from 0 to 1")),
            Self::PerSecond(traces) if *traces > 0.0 && *traces <= MOST_PER_SECOND => Ok(()),
            Self::PerSecond(traces) => {
                Err(format!("sampler {traces}/s: accepted is a rate above 0 and up to {MOST_PER_SECOND}/s"))
            }
            Self::ParentBased(root) | Self::ParentThreshold(root) => root.validate(),
            Self::ParentBasedBy(by) => {
                let ParentSamplers {
                    root,
                    remote_sampled,
                    remote_not_sampled,
                    local_sampled,
                    local_not_sampled,
                } = &**by;
                [root, remote_sampled, remote_not_sampled, local_sampled, local_not_sampled]
                    .into_iter()
                    .try_for_each(Self::validate)
            }
            Self::RuleBased(rules) => rules.iter().try_for_each(SamplingRule::validate),
        }
    }

    /// The same with `rules` before what decides for traces that start here, and with `ignored` for those of callers too.
    pub(crate) fn with_rules(&self, rules: &[SamplingRule], ignored: bool) -> Self {
        if rules.is_empty() && !ignored {
            return self.clone();
        }
        let first = |root: &Self| match rules {
            [] => root.clone(),
            rules => {
                Self::RuleBased(rules.iter().cloned().chain([SamplingRule::new(root.clone())]).collect())
            }
        };
        let mut by = match self {
            Self::ParentBased(root) => ParentSamplers::new(first(root)),
            Self::ParentBasedBy(by) => ParentSamplers { root: first(&by.root), ..ParentSamplers::clone(by) },
            Self::ParentThreshold(root) if !ignored => return Self::ParentThreshold(Box::new(first(root))),
            Self::ParentThreshold(root) => ParentSamplers::new(first(root)),
            _ if rules.is_empty() => return self.clone(),
            // a sampler that looks at no parent goes on to look at none but those in this process, which had the rules
            other => ParentSamplers::new(first(other)).of_all_traces(),
        };
        if ignored {
            by = by.of_all_traces();
        }
        by.into()
    }
}

/// Beyond this a limit limits nothing.
const MOST_PER_SECOND: f64 = 1e6;

impl fmt::Display for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlwaysOn => f.write_str("always_on"),
            Self::AlwaysOff => f.write_str("always_off"),
            Self::TraceIdRatio(ratio) => write!(f, "traceidratio{{{ratio}}}"),
            Self::PerSecond(traces) => write!(f, "persecond{{{traces}}}"),
            Self::ParentBased(root) => write!(f, "parentbased_{root}"),
            Self::ParentThreshold(root) => write!(f, "parentthreshold_{root}"),
            Self::RuleBased(rules) => {
                let rules: Vec<String> = rules.iter().map(SamplingRule::to_string).collect();
                write!(f, "rules{{{}}}", rules.join(", "))
            }
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
