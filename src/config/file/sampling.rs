//! Samplers of a file (schema, tracer_provider.yaml "Sampler" and "ExperimentalComposableSampler").

use super::{
    create::{Create, patterns},
    node::{At, Value},
};
use crate::config::{
    ComponentKind, Condition, ParentSamplers, Sampler, SamplingRule,
    values::{parent_kind, span_kind},
};

impl Create<'_> {
    pub(super) fn sampler(&mut self, at: &At<'_>) -> Option<Sampler> {
        let (name, chosen) = at.choice()?;
        Some(match name {
            "always_on" => Sampler::AlwaysOn,
            "always_off" => Sampler::AlwaysOff,
            "trace_id_ratio_based" | "probability/development" => {
                Sampler::TraceIdRatio(chosen.number("ratio").unwrap_or(1.0))
            }
            "composite/development" => composable(&chosen)?,
            "parent_based" => {
                let mut by = ParentSamplers::new(Sampler::AlwaysOn);
                for (key, place) in [
                    ("root", &mut by.root),
                    ("remote_parent_sampled", &mut by.remote_sampled),
                    ("remote_parent_not_sampled", &mut by.remote_not_sampled),
                    ("local_parent_sampled", &mut by.local_sampled),
                    ("local_parent_not_sampled", &mut by.local_not_sampled),
                ] {
                    if let Some(sampler) = chosen.get(key).and_then(|at| self.sampler(&at)) {
                        *place = sampler;
                    }
                }
                by.into()
            }
            _ => {
                let known = "always_on, always_off, composite/development, parent_based, probability/development, trace_id_ratio_based";
                self.not_ours(ComponentKind::Sampler, &chosen, known);
                return None;
            }
        })
    }
}

/// A composed sampler; always_on says its share in `tracestate`, unlike the sampler of that name alone.
fn composable(at: &At<'_>) -> Option<Sampler> {
    let (name, chosen) = at.choice()?;
    Some(match name {
        "always_on" => Sampler::TraceIdRatio(1.0),
        "always_off" => Sampler::AlwaysOff,
        "probability" => Sampler::TraceIdRatio(chosen.number("ratio").unwrap_or(1.0)),
        "parent_threshold" => Sampler::ParentThreshold(Box::new(composable(&chosen.get("root")?)?)),
        "rule_based" => {
            let rules = chosen.get("rules");
            Sampler::RuleBased(
                rules.iter().flat_map(At::items).filter_map(|rule| self::rule(&rule)).collect(),
            )
        }
        _ => return None,
    })
}

fn rule(at: &At<'_>) -> Option<SamplingRule> {
    let mut rule = SamplingRule::new(composable(&at.get("sampler")?)?);
    if let Some(values) = at.get("attribute_values") {
        let key = values.text("key")?.to_owned();
        rule = rule.and(Condition::AttributeIs(key, texts(&values.get("values")?)));
    }
    if let Some(found) = at.get("attribute_patterns") {
        rule = rule.and(Condition::Attribute(found.text("key")?.to_owned(), patterns(&found)));
    }
    if let Some(kinds) = at.get("span_kinds") {
        rule = rule.and(Condition::Kind(texts(&kinds).iter().filter_map(|kind| span_kind(kind)).collect()));
    }
    if let Some(parents) = at.get("parent") {
        rule = rule
            .and(Condition::Parent(texts(&parents).iter().filter_map(|kind| parent_kind(kind)).collect()));
    }
    Some(rule)
}

fn texts(at: &At<'_>) -> Vec<String> {
    let texts = at.items().filter_map(|item| match &item.node.value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}
