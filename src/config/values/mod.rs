//! The value types of the configuration: parsed once, never re-validated; none shows a secret.

mod attribute;
mod component;
mod endpoint;
mod enums;
mod headers;
mod ip_range;
mod link;
mod mistake;
mod rule;
mod rule_text;
mod sampler;

pub(crate) use self::attribute::matches;
pub(crate) use self::enums::SLOW;
pub(super) use self::enums::Word;
pub(super) use self::mistake::{redacted, shortened};
pub(crate) use self::rule::{Condition, ParentKind};
pub(super) use self::rule::{parent_kind, span_kind};
pub(super) use self::rule_text::sampling_rules;
pub use self::{
    attribute::{AttributeValue, Patterns},
    component::{Component, ComponentKind},
    endpoint::Endpoint,
    enums::{
        AccessLog, Compression, Detector, DropPolicy, ExemplarFilter, Exporter, HistogramAggregation,
        LogFormat, LogLevel, LogRotation, Preset, Propagator, Protocol, ProxyHeaders, RemoteParent, Signal,
        Temporality, Translation,
    },
    headers::Headers,
    ip_range::IpRange,
    link::ConsoleLink,
    mistake::{Mistake, Secret},
    rule::SamplingRule,
    sampler::{ParentSamplers, Sampler},
};

/// Percent-decodes strictly: every `%` needs two hex digits, and the result must be UTF-8.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| *b == b'%') {
        match rest.get(at + 1..at + 3) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => rest = &rest[at + 3..],
            _ => return None,
        }
    }
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}
