//! Which traces are kept: by the parent, by rules, by shares, by rates; and the choice replaced while the service runs.
//!
//! `tracestate` says which share a trace was kept by, wherever that is known, so that a Collector goes on from there and
//! whoever counts spans knows how many each stands for (specification, trace/sdk.md "Sampling").

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwap;
use opentelemetry::{
    Context, KeyValue, TraceId,
    trace::{Link, SpanContext, SpanKind, TraceContextExt as _, TraceState},
};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};

use super::random_flag::is_random;
use crate::{
    config::{ParentKind, ParentSamplers, Sampler, SamplingRule},
    diagnostics::{self, Severity},
    sampling::{
        Asked, Facts, RateLimit, SamplerInUse, Threshold, is_consistent, randomness, threshold,
        with_threshold,
    },
};

/// The sampler in use; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct SamplerSwitch {
    chosen: Arc<ArcSwap<Chosen>>,
    in_use: SamplerInUse,
}

#[derive(Debug)]
enum Chosen {
    AlwaysOn,
    AlwaysOff,
    Share(Threshold),
    PerSecond(RateLimit),
    ByParent(Box<ByParent>),
    ParentThreshold(Box<Self>),
    Rules(Vec<(SamplingRule, Self)>),
}

/// Shared where they are the same: a rate is one.
#[derive(Debug)]
struct ByParent {
    root: Arc<Chosen>,
    remote_sampled: Arc<Chosen>,
    remote_not_sampled: Arc<Chosen>,
    local_sampled: Arc<Chosen>,
    local_not_sampled: Arc<Chosen>,
}

impl SamplerSwitch {
    pub(super) fn new(sampler: &Sampler) -> Self {
        let chosen = Arc::new(ArcSwap::from_pointee(Chosen::new(sampler)));
        Self { chosen, in_use: SamplerInUse::new(sampler) }
    }

    /// For spans that begin from now on.
    pub(crate) fn set(&self, sampler: &Sampler) {
        self.chosen.store(Arc::new(Chosen::new(sampler)));
        self.in_use.set(sampler);
    }

    /// Whether a span with such a parent, if it has a valid one, is kept; and the `tracestate` that it then has.
    pub(super) fn decide(
        &self,
        parent: Option<&SpanContext>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
    ) -> (bool, TraceState) {
        let span = Span { parent, trace_id, name, kind, attributes };
        let Verdict { kept, said } = self.chosen.load().decide(&span);
        let state = span.state();
        let state = match said {
            Said::AsBefore => state.clone(),
            Said::Unknown => with_threshold(state, None),
            Said::Share(threshold) => with_threshold(state, Some(threshold)),
        };
        (kept, state)
    }

    /// For whoever spares work by it.
    pub(crate) fn in_use(&self) -> SamplerInUse {
        self.in_use.clone()
    }
}

impl Chosen {
    fn new(sampler: &Sampler) -> Self {
        match sampler {
            Sampler::AlwaysOn => Self::AlwaysOn,
            Sampler::AlwaysOff => Self::AlwaysOff,
            Sampler::TraceIdRatio(share) => Threshold::of_share(*share).map_or(Self::AlwaysOff, Self::Share),
            Sampler::PerSecond(traces) => Self::PerSecond(RateLimit::new(*traces)),
            Sampler::ParentBased(root) => Self::by_parent(&ParentSamplers::new(Sampler::clone(root))),
            Sampler::ParentBasedBy(by) => Self::by_parent(by),
            Sampler::ParentThreshold(root) => Self::ParentThreshold(Box::new(Self::new(root))),
            Sampler::RuleBased(rules) => {
                Self::Rules(rules.iter().map(|rule| (rule.clone(), Self::new(&rule.sampler))).collect())
            }
        }
    }

    fn by_parent(by: &ParentSamplers) -> Self {
        let root = Arc::new(Self::new(&by.root));
        let other = |sampler: &Sampler| {
            if *sampler == by.root { Arc::clone(&root) } else { Arc::new(Self::new(sampler)) }
        };
        let remote_sampled = other(&by.remote_sampled);
        let remote_not_sampled = if by.remote_not_sampled == by.remote_sampled {
            Arc::clone(&remote_sampled)
        } else {
            other(&by.remote_not_sampled)
        };
        let (local_sampled, local_not_sampled) = (other(&by.local_sampled), other(&by.local_not_sampled));
        Self::ByParent(Box::new(ByParent {
            root,
            remote_sampled,
            remote_not_sampled,
            local_sampled,
            local_not_sampled,
        }))
    }

    fn decide(&self, span: &Span<'_>) -> Verdict {
        match self {
            Self::AlwaysOn => Verdict { kept: true, said: Said::AsBefore },
            Self::AlwaysOff => Verdict { kept: false, said: Said::AsBefore },
            Self::Share(threshold) => span.kept_by(*threshold),
            Self::PerSecond(limit) => Verdict { kept: limit.allows(), said: Said::Unknown },
            Self::ByParent(by) => by.decide(span),
            Self::ParentThreshold(root) => span.parent.map_or_else(|| root.decide(span), |p| span.kept_as(p)),
            Self::Rules(rules) => {
                let found = Facts::with(|facts| {
                    let asked = span.asked(facts);
                    rules.iter().find(|(rule, _)| asked.obeys(rule))
                });
                let verdict = found.map_or(Verdict::NONE, |(_, sampler)| sampler.decide(span));
                // what a caller said is of no decision here
                let said = if matches!(verdict.said, Said::AsBefore) { Said::Unknown } else { verdict.said };
                Verdict { said, ..verdict }
            }
        }
    }
}

impl ByParent {
    fn decide(&self, span: &Span<'_>) -> Verdict {
        let Some(parent) = span.parent else { return self.root.decide(span) };
        let next = match (parent.is_remote(), parent.is_sampled()) {
            (true, true) => &self.remote_sampled,
            (true, false) => &self.remote_not_sampled,
            (false, true) => &self.local_sampled,
            (false, false) => &self.local_not_sampled,
        };
        match &**next {
            // a caller that says it kept what it cannot have kept by that share is not believed about the share
            Chosen::AlwaysOn if parent.is_remote() && !is_consistent(span.trace_id, parent.trace_state()) => {
                Verdict { kept: true, said: Said::Unknown }
            }
            next => next.decide(span),
        }
    }
}

struct Verdict {
    kept: bool,
    said: Said,
}

impl Verdict {
    const NONE: Self = Self { kept: false, said: Said::Unknown };
}

/// What `tracestate` says of the share.
enum Said {
    AsBefore,
    Unknown,
    Share(Threshold),
}

/// A span that is about to start.
struct Span<'a> {
    /// If there is a valid one.
    parent: Option<&'a SpanContext>,
    trace_id: TraceId,
    name: &'a str,
    kind: &'a SpanKind,
    attributes: &'a [KeyValue],
}

impl Span<'_> {
    fn state(&self) -> &TraceState {
        const NONE: &TraceState = &TraceState::NONE;
        self.parent.map_or(NONE, SpanContext::trace_state)
    }

    fn kept_by(&self, threshold: Threshold) -> Verdict {
        let (randomness, explicit) = randomness(self.trace_id, self.state());
        if !explicit && self.parent.is_some_and(|parent| parent.is_remote() && !is_random(parent)) {
            presuming_randomness();
        }
        match threshold.keeps(randomness) {
            true => Verdict { kept: true, said: Said::Share(threshold) },
            false => Verdict::NONE,
        }
    }

    /// As the parent was, by its threshold if it has one.
    fn kept_as(&self, parent: &SpanContext) -> Verdict {
        match threshold(parent.trace_state()) {
            Some(threshold) => self.kept_by(threshold),
            None => Verdict { kept: parent.is_sampled(), said: Said::Unknown },
        }
    }

    fn asked<'a>(&'a self, facts: Option<&'a Facts>) -> Asked<'a> {
        let parent = match self.parent {
            None => ParentKind::None,
            Some(parent) if parent.is_remote() => ParentKind::Remote,
            Some(_) => ParentKind::Local,
        };
        let Self { name, kind, attributes, .. } = *self;
        // a request being served begins its own span first, and what is under it is none
        let facts = facts.filter(|_| *kind == SpanKind::Server && parent != ParentKind::Local);
        Asked { facts, name, kind, attributes, parent }
    }
}

/// Once: whoever calls must be upgraded, which takes a while.
fn presuming_randomness() {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        diagnostics::say(
            Severity::Warn,
            format_args!(
                "the sampler presumes that trace ids of callers are random, though their traceparent lacks the flag for \
                 it (W3C Trace Context Level 2): where they are not, shares are not what they should be"
            ),
        );
    }
}

impl ShouldSample for SamplerSwitch {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let parent = parent.map(|parent| parent.span());
        let parent = parent.as_ref().map(|parent| parent.span_context()).filter(|parent| parent.is_valid());
        let (kept, trace_state) = self.decide(parent, trace_id, name, kind, attributes);
        let decision = if kept { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop };
        SamplingResult { decision, attributes: Vec::new(), trace_state }
    }
}
