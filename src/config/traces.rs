//! What the operator wants of spans.

use super::{Batch, Exporter, Otlp, Output, RemoteParent, Sampler, SamplingRule};

/// Spans.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TracesConfig {
    /// `OTEL_TRACES_EXPORTER`; empty = `none`.
    pub exporters: Vec<Exporter>,
    /// `OTEL_TRACES_SAMPLER` with its argument.
    pub sampler: Sampler,
    /// `TRACEWELL_SAMPLING_RULES`: they decide before the sampler does, and the first that holds counts.
    pub sampling_rules: Vec<SamplingRule>,
    /// `TRACEWELL_SAMPLING_REMOTE_PARENT`.
    pub remote_parent: RemoteParent,
    /// The batch processor.
    pub batch: Batch,
    /// What one span may hold.
    pub limits: SpanLimits,
    /// The OTLP exporter.
    pub otlp: Otlp,
    /// Further ways out.
    pub more: Vec<Output>,
}

impl TracesConfig {
    /// What decides in the end: the sampler with the rules before it.
    #[must_use]
    pub fn effective_sampler(&self) -> Sampler {
        self.sampler.with_rules(&self.sampling_rules, self.remote_parent == RemoteParent::Ignore)
    }
}

/// How much one span may hold (`OTEL_SPAN_*_LIMIT`, `OTEL_EVENT_*`, `OTEL_LINK_*`; specification, trace/sdk.md "Span
/// Limits").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpanLimits {
    /// Attributes per span.
    pub attributes: u32,
    /// Events per span.
    pub events: u32,
    /// Links per span.
    pub links: u32,
    /// Attributes per event.
    pub attributes_per_event: u32,
    /// Attributes per link.
    pub attributes_per_link: u32,
    /// Characters of a value, and bytes of a byte value; `None` = no limit.
    pub value_length: Option<u32>,
}
