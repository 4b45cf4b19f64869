//! Which sampler is in use: replaced while the service runs, and asked where work would be in vain. Beside it what its
//! decisions are made of: the rules, the shares, the rates.

mod facts;
mod rate;
mod threshold;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::{ArcSwap, Guard};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanKind, TraceContextExt as _},
};

pub(crate) use self::{
    facts::{Asked, Facts},
    rate::RateLimit,
    threshold::{Threshold, is_consistent, randomness, threshold, with_threshold},
};
use crate::config::{Condition, ParentKind, Sampler, SamplingRule};

/// The sampler in use; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct SamplerInUse(Arc<InUse>);

#[derive(Debug)]
struct InUse {
    known: ArcSwap<Known>,
    follows_parent: AtomicBool,
    follows_local_parent: AtomicBool,
    /// That it keeps what has no parent, and keeps or drops all else as the parent was.
    keeps_roots: AtomicBool,
}

/// The sampler, and what it must be told of a request before the request's span starts.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) sampler: Sampler,
    /// There are rules about requests.
    pub(crate) rules: bool,
    /// There are rules about attributes of spans.
    pub(crate) attributes: bool,
    /// The headers that rules are about, in lower case.
    pub(crate) headers: Vec<String>,
}

impl Known {
    fn new(sampler: &Sampler) -> Self {
        let mut known =
            Self { sampler: sampler.clone(), rules: false, attributes: false, headers: Vec::new() };
        known.look_into(sampler);
        known
    }

    fn look_into(&mut self, sampler: &Sampler) {
        match sampler {
            Sampler::ParentBased(root) | Sampler::ParentThreshold(root) => self.look_into(root),
            Sampler::ParentBasedBy(by) => {
                for sampler in [
                    &by.root,
                    &by.remote_sampled,
                    &by.remote_not_sampled,
                    &by.local_sampled,
                    &by.local_not_sampled,
                ] {
                    self.look_into(sampler);
                }
            }
            Sampler::RuleBased(rules) => rules.iter().for_each(|rule| self.look_into_rule(rule)),
            Sampler::AlwaysOn | Sampler::AlwaysOff | Sampler::TraceIdRatio(_) | Sampler::PerSecond(_) => {}
        }
    }

    fn look_into_rule(&mut self, rule: &SamplingRule) {
        self.rules = true;
        for condition in &rule.conditions {
            match condition {
                Condition::Header(name, _) if !self.headers.contains(name) => self.headers.push(name.clone()),
                Condition::Attribute(..) | Condition::AttributeIs(..) => self.attributes = true,
                _ => {}
            }
        }
        self.look_into(&rule.sampler);
    }
}

impl Known {
    /// Whether a span started below `remote`, else in the current context, will be recorded, more likely than not. A guess,
    /// for what would be made in vain: the tracer decides.
    pub(crate) fn expects_recording(&self, facts: Option<&Facts>, remote: Option<&SpanContext>) -> bool {
        let mut sampler = &self.sampler;
        if *sampler == Sampler::AlwaysOn {
            return true;
        }
        let known =
            |parent: &SpanContext| parent.is_valid().then(|| (parent.is_remote(), parent.is_sampled()));
        let parent = match remote {
            Some(remote) => known(remote),
            None => Context::map_current(|current| known(current.span().span_context())),
        };
        match (sampler, parent) {
            (Sampler::ParentBased(_) | Sampler::ParentThreshold(_), Some((_, sampled))) => return sampled,
            (Sampler::ParentBased(root) | Sampler::ParentThreshold(root), None) => sampler = root,
            (Sampler::ParentBasedBy(by), None) => sampler = &by.root,
            (Sampler::ParentBasedBy(by), Some((true, true))) => sampler = &by.remote_sampled,
            (Sampler::ParentBasedBy(by), Some((true, false))) => sampler = &by.remote_not_sampled,
            (Sampler::ParentBasedBy(by), Some((false, true))) => sampler = &by.local_sampled,
            (Sampler::ParentBasedBy(by), Some((false, false))) => sampler = &by.local_not_sampled,
            _ => {}
        }
        if let Sampler::RuleBased(rules) = sampler {
            // rules about attributes must have them
            let Some(facts) = Some(facts).filter(|_| !self.attributes) else { return true };
            let parent = match parent {
                None => ParentKind::None,
                Some((true, _)) => ParentKind::Remote,
                Some((false, _)) => ParentKind::Local,
            };
            let asked = Asked { facts, name: "", kind: &SpanKind::Server, attributes: &[], parent };
            let decided = |rule: &&SamplingRule| rule.is_named() || asked.obeys(rule);
            let Some(rule) = rules.iter().find(decided) else { return false };
            sampler = &rule.sampler;
        }
        match sampler {
            Sampler::AlwaysOff => false,
            Sampler::TraceIdRatio(ratio) => *ratio >= 0.5,
            _ => true,
        }
    }
}

fn keeps_roots(sampler: &Sampler) -> bool {
    matches!(sampler, Sampler::ParentBased(root) if **root == Sampler::AlwaysOn)
}

impl SamplerInUse {
    pub(crate) fn new(sampler: &Sampler) -> Self {
        let known = ArcSwap::from_pointee(Known::new(sampler));
        let follows_parent = AtomicBool::new(sampler.follows_parent());
        let follows_local_parent = AtomicBool::new(sampler.follows_local_parent());
        let keeps_roots = AtomicBool::new(keeps_roots(sampler));
        Self(Arc::new(InUse { known, follows_parent, follows_local_parent, keeps_roots }))
    }

    pub(crate) fn set(&self, sampler: &Sampler) {
        self.0.known.store(Arc::new(Known::new(sampler)));
        self.0.follows_parent.store(sampler.follows_parent(), Ordering::Relaxed);
        self.0.follows_local_parent.store(sampler.follows_local_parent(), Ordering::Relaxed);
        self.0.keeps_roots.store(keeps_roots(sampler), Ordering::Relaxed);
    }

    /// [`Known::expects_recording`] where the sampler is the usual one, which has no rules; `None` where it is to be asked.
    pub(crate) fn expects_recording(&self, remote: Option<&SpanContext>) -> Option<bool> {
        let kept = |parent: &SpanContext| !parent.is_valid() || parent.is_sampled();
        self.0.keeps_roots.load(Ordering::Relaxed).then(|| match remote {
            Some(remote) => kept(remote),
            None => Context::map_current(|current| kept(current.span().span_context())),
        })
    }

    pub(crate) fn get(&self) -> Guard<Arc<Known>> {
        self.0.known.load()
    }

    /// Whether no span is recorded whose parent, of this process or of another, is not.
    pub(crate) fn follows_parent(&self, remote: bool) -> bool {
        let follows = if remote { &self.0.follows_parent } else { &self.0.follows_local_parent };
        follows.load(Ordering::Relaxed)
    }
}
