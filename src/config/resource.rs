//! Who the service is, as the operator says.

use std::fmt;

use super::{AttributeValue, Detector, Patterns, values};

/// Who this service is (`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`; specification, resource/sdk.md).
#[derive(Clone)]
#[non_exhaustive]
pub struct ResourceConfig {
    /// The name the operator chose: `OTEL_SERVICE_NAME`, else `service.name` of `OTEL_RESOURCE_ATTRIBUTES`.
    /// `None` = neither is set; the detected default applies.
    pub service_name: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`, percent-decoded, without `service.name`; empty when any pair was malformed.
    pub attributes: Vec<(String, String)>,
    /// `OTEL_RUST_RESOURCE_DETECTORS`; empty = `none`.
    pub detectors: Vec<Detector>,
    /// What of that is kept.
    pub detected: Patterns,
    /// Attributes that are not text; only a configuration file has them.
    pub typed: Vec<(String, AttributeValue)>,
    /// The schema that the attributes follow; `None` = that of the conventions this crate follows.
    pub schema_url: Option<String>,
}

// an attribute's value may be a secret
impl fmt::Debug for ResourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redactor = crate::redaction::Redactor::default();
        let seen = |(key, value): &(String, String)| (key.clone(), redactor.value(key, value).into_owned());
        f.debug_struct("ResourceConfig")
            .field("service_name", &self.service_name)
            .field("attributes", &self.attributes.iter().map(seen).collect::<Vec<_>>())
            .field("detectors", &self.detectors)
            .finish_non_exhaustive()
    }
}

impl Default for ResourceConfig {
    fn default() -> Self {
        let detectors = <Detector as values::Word>::ALL.to_vec();
        Self {
            service_name: None,
            attributes: Vec::new(),
            detectors,
            detected: Patterns::default(),
            typed: Vec::new(),
            schema_url: None,
        }
    }
}
