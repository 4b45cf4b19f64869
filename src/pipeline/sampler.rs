//! Which traces are kept: the SDK's samplers, one by kind of parent, and the choice replaced while the service runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceContextExt as _, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{Sampler as SdkSampler, SamplingDecision, SamplingResult, ShouldSample};

use crate::{
    config::{ParentSamplers, Sampler},
    sampling::{Parent, SamplerInUse},
};

/// The sampler in use; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct SamplerSwitch {
    chosen: Arc<ArcSwap<Chosen>>,
    in_use: SamplerInUse,
}

#[derive(Debug)]
enum Chosen {
    Sdk(SdkSampler),
    ByParent(Box<ByParent>),
}

#[derive(Debug)]
struct ByParent {
    root: Chosen,
    remote_sampled: Chosen,
    remote_not_sampled: Chosen,
    local_sampled: Chosen,
    local_not_sampled: Chosen,
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

    /// For whoever spares work by it.
    pub(crate) fn in_use(&self) -> SamplerInUse {
        self.in_use.clone()
    }
}

impl Chosen {
    fn new(sampler: &Sampler) -> Self {
        Self::Sdk(match sampler {
            Sampler::AlwaysOn => SdkSampler::AlwaysOn,
            Sampler::AlwaysOff => SdkSampler::AlwaysOff,
            Sampler::TraceIdRatio(ratio) => SdkSampler::TraceIdRatioBased(*ratio),
            Sampler::ParentBased(root) => match Self::new(root) {
                Self::Sdk(root) => SdkSampler::ParentBased(Box::new(root)),
                Self::ByParent(_) => return Self::by_parent(&ParentSamplers::new(Sampler::clone(root))),
            },
            Sampler::ParentBasedBy(by) => return Self::by_parent(by),
        })
    }

    fn by_parent(by: &ParentSamplers) -> Self {
        Self::ByParent(Box::new(ByParent {
            root: Self::new(&by.root),
            remote_sampled: Self::new(&by.remote_sampled),
            remote_not_sampled: Self::new(&by.remote_not_sampled),
            local_sampled: Self::new(&by.local_sampled),
            local_not_sampled: Self::new(&by.local_not_sampled),
        }))
    }

    /// The one that decides for a span with this parent.
    fn deciding(&self, parent: Option<&Context>) -> &SdkSampler {
        let by = match self {
            Self::Sdk(sampler) => return sampler,
            Self::ByParent(by) => by,
        };
        let parent_span = parent.map(|parent| parent.span().span_context().clone());
        let next = match parent_span.filter(opentelemetry::trace::SpanContext::is_valid) {
            None => &by.root,
            Some(span) => match (span.is_remote(), span.is_sampled()) {
                (true, true) => &by.remote_sampled,
                (true, false) => &by.remote_not_sampled,
                (false, true) => &by.local_sampled,
                (false, false) => &by.local_not_sampled,
            },
        };
        next.deciding(parent)
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
        links: &[Link],
    ) -> SamplingResult {
        // most decisions do not depend on the trace
        let certain = parent.map_or(Some(Parent::None), Parent::of).and_then(|of| self.in_use.certain(of));
        if let Some(sampled) = certain {
            return SamplingResult {
                decision: if sampled { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop },
                attributes: Vec::new(),
                trace_state: parent
                    .map_or(TraceState::NONE, |parent| parent.span().span_context().trace_state().clone()),
            };
        }
        let chosen = self.chosen.load();
        chosen.deciding(parent).should_sample(parent, trace_id, name, kind, attributes, links)
    }
}
