//! Which sampler is in use: replaced while the service runs, and asked where work would be in vain.

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use opentelemetry::{Context, trace::TraceContextExt as _};

use crate::config::Sampler;

/// The sampler in use; clones share it. Asking it is one relaxed load.
#[derive(Debug, Clone)]
pub(crate) struct SamplerInUse(Arc<AtomicU16>);

/// A span's parent, as far as samplers distinguish between parents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parent {
    None,
    RemoteSampled,
    RemoteUnsampled,
    LocalSampled,
    LocalUnsampled,
}

impl Parent {
    const ALL: [Self; 5] =
        [Self::None, Self::RemoteSampled, Self::RemoteUnsampled, Self::LocalSampled, Self::LocalUnsampled];

    /// That of a span started in this context; `None` where the context has a span that is none, of which samplers make
    /// what they like.
    pub(crate) fn of(context: &Context) -> Option<Self> {
        if !context.has_active_span() {
            return Some(Self::None);
        }
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| match (span.is_remote(), span.is_sampled()) {
            (true, true) => Self::RemoteSampled,
            (true, false) => Self::RemoteUnsampled,
            (false, true) => Self::LocalSampled,
            (false, false) => Self::LocalUnsampled,
        })
    }
}

/// What is known of a decision before it is made.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Odds {
    Certain(bool),
    Ratio(f64),
}

// three groups of bits, each with a bit per kind of parent, and one bit
const LIKELY: u16 = 0;
const CERTAINLY: u16 = 5;
const NEVER: u16 = 10;
const FOLLOWS_PARENT: u16 = 1 << 15;

impl SamplerInUse {
    pub(crate) fn new(sampler: &Sampler) -> Self {
        Self(Arc::new(AtomicU16::new(bits(sampler))))
    }

    pub(crate) fn set(&self, sampler: &Sampler) {
        self.0.store(bits(sampler), Ordering::Relaxed);
    }

    fn has(&self, group: u16, parent: Parent) -> bool {
        self.0.load(Ordering::Relaxed) & bit(group, parent) != 0
    }

    /// The decision about a span with this parent, where it does not depend on the trace.
    pub(crate) fn certain(&self, parent: Parent) -> Option<bool> {
        let bits = self.0.load(Ordering::Relaxed);
        let is = |group| bits & bit(group, parent) != 0;
        if is(CERTAINLY) { Some(true) } else { is(NEVER).then_some(false) }
    }

    /// Whether a span that starts in the current context will be recorded, more likely than not. A guess, for what would be
    /// made in vain: the tracer decides.
    pub(crate) fn expects_recording(&self) -> bool {
        let all = Parent::ALL.iter().fold(0, |bits, parent| bits | bit(LIKELY, *parent));
        if self.0.load(Ordering::Relaxed) & all == all {
            return true;
        }
        let parent = Context::map_current(Parent::of).unwrap_or(Parent::None);
        self.has(LIKELY, parent)
    }

    /// Whether no span is recorded whose parent is not.
    pub(crate) fn follows_parent(&self) -> bool {
        self.0.load(Ordering::Relaxed) & FOLLOWS_PARENT != 0
    }
}

fn bit(group: u16, parent: Parent) -> u16 {
    1 << (group + parent as u16)
}

fn bits(sampler: &Sampler) -> u16 {
    let mut bits = if sampler.follows_parent() { FOLLOWS_PARENT } else { 0 };
    for parent in Parent::ALL {
        let odds = odds(sampler, parent);
        bits |= match odds {
            Odds::Certain(true) => bit(CERTAINLY, parent) | bit(LIKELY, parent),
            Odds::Certain(false) => bit(NEVER, parent),
            Odds::Ratio(ratio) if ratio >= 0.5 => bit(LIKELY, parent),
            Odds::Ratio(_) => 0,
        };
    }
    bits
}

fn odds(sampler: &Sampler, parent: Parent) -> Odds {
    match (sampler, parent) {
        (Sampler::AlwaysOn, _) => Odds::Certain(true),
        (Sampler::AlwaysOff, _) => Odds::Certain(false),
        (Sampler::TraceIdRatio(ratio), _) if *ratio >= 1.0 => Odds::Certain(true),
        (Sampler::TraceIdRatio(ratio), _) if *ratio <= 0.0 => Odds::Certain(false),
        (Sampler::TraceIdRatio(ratio), _) => Odds::Ratio(*ratio),
        (Sampler::ParentBased(root), Parent::None) => odds(root, parent),
        (Sampler::ParentBased(_), Parent::RemoteSampled | Parent::LocalSampled) => Odds::Certain(true),
        (Sampler::ParentBased(_), Parent::RemoteUnsampled | Parent::LocalUnsampled) => Odds::Certain(false),
        (Sampler::ParentBasedBy(by), Parent::None) => odds(&by.root, parent),
        (Sampler::ParentBasedBy(by), Parent::RemoteSampled) => odds(&by.remote_sampled, parent),
        (Sampler::ParentBasedBy(by), Parent::RemoteUnsampled) => odds(&by.remote_not_sampled, parent),
        (Sampler::ParentBasedBy(by), Parent::LocalSampled) => odds(&by.local_sampled, parent),
        (Sampler::ParentBasedBy(by), Parent::LocalUnsampled) => odds(&by.local_not_sampled, parent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ParentSamplers;

    #[test]
    fn what_is_certain_is_what_the_sampler_says_of_every_trace() {
        let parent_based = |root| SamplerInUse::new(&Sampler::parent_based(root));
        let some = parent_based(Sampler::TraceIdRatio(0.3));
        assert_eq!(some.certain(Parent::None), None);
        assert_eq!(some.certain(Parent::RemoteSampled), Some(true));
        assert_eq!(some.certain(Parent::LocalUnsampled), Some(false));
        assert!(!some.expects_recording());
        assert!(parent_based(Sampler::TraceIdRatio(0.6)).expects_recording());
        let all = parent_based(Sampler::AlwaysOn);
        assert_eq!((all.certain(Parent::None), all.follows_parent()), (Some(true), true));
        let mut by = ParentSamplers::new(Sampler::TraceIdRatio(0.0));
        by.remote_not_sampled = Sampler::TraceIdRatio(0.9);
        let by = SamplerInUse::new(&Sampler::ParentBasedBy(Box::new(by)));
        assert_eq!((by.certain(Parent::None), by.certain(Parent::RemoteUnsampled)), (Some(false), None));
        assert!(!by.follows_parent());
        by.set(&Sampler::AlwaysOff);
        assert_eq!(Parent::ALL.map(|parent| by.certain(parent)), [Some(false); 5]);
    }
}
