//! Where we run: the resource that every span, point and record carries.
//!
//! Precedence: code, then the environment, then what is detected, then the service name given as a default
//! (specification, resource/sdk.md; semantic conventions 1.44, resource/README.md).

mod container;
mod detect;
mod kubernetes;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, path::Path};

pub(crate) use self::detect::host_name;
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_semantic_conventions::{SCHEMA_URL, resource as names};

use crate::{
    config::{AttributeValue, ResourceConfig, Source},
    redaction::Redactor,
};

/// What the program says about itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    /// Set in code: wins over everything.
    pub(crate) service_name: Option<String>,
    /// Set in code as a default: yields to everything but the detected name.
    pub(crate) default_service_name: Option<String>,
    /// Set in code: win over everything.
    pub(crate) attributes: Vec<KeyValue>,
}

/// The resource of this process.
pub(crate) fn resource(
    config: &ResourceConfig,
    identity: &Identity,
    source: &Source,
    redactor: &Redactor,
) -> Resource {
    below(Path::new("/"), config, identity, source, redactor)
}

fn below(
    root: &Path,
    config: &ResourceConfig,
    identity: &Identity,
    source: &Source,
    redactor: &Redactor,
) -> Resource {
    let mut attributes: Vec<KeyValue> = vec![
        KeyValue::new(names::TELEMETRY_SDK_NAME, "opentelemetry"),
        KeyValue::new(names::TELEMETRY_SDK_LANGUAGE, "rust"),
        KeyValue::new(names::TELEMETRY_SDK_VERSION, crate::OPENTELEMETRY_VERSION),
        KeyValue::new(names::TELEMETRY_DISTRO_NAME, env!("CARGO_PKG_NAME")),
        KeyValue::new(names::TELEMETRY_DISTRO_VERSION, env!("CARGO_PKG_VERSION")),
        KeyValue::new(names::SERVICE_INSTANCE_ID, uuid::Uuid::new_v4().to_string()),
    ];
    let detected = detect::all(&config.detectors, source, root).into_iter();
    attributes.extend(detected.filter(|attribute| config.detected.contains(attribute.key.as_str())));
    // a later attribute of the same name replaces an earlier one
    attributes.extend(config.attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())));
    attributes.extend(config.typed.iter().map(|(key, value)| KeyValue::new(key.clone(), typed(value))));
    attributes.extend(identity.attributes.iter().cloned());
    attributes.push(KeyValue::new(names::SERVICE_NAME, service_name(config, identity)));
    attributes.iter_mut().for_each(|attribute| redactor.attribute(attribute));
    let schema_url = config.schema_url.clone().map_or(SCHEMA_URL.into(), Cow::Owned);
    Resource::builder_empty().with_schema_url(attributes, schema_url).build()
}

fn typed(value: &AttributeValue) -> Value {
    match value.clone() {
        AttributeValue::String(value) => value.into(),
        AttributeValue::Bool(value) => value.into(),
        AttributeValue::Int(value) => value.into(),
        AttributeValue::Double(value) => value.into(),
        AttributeValue::Strings(values) => {
            Value::Array(Array::String(values.into_iter().map(Into::into).collect()))
        }
        AttributeValue::Bools(values) => Value::Array(Array::Bool(values)),
        AttributeValue::Ints(values) => Value::Array(Array::I64(values)),
        AttributeValue::Doubles(values) => Value::Array(Array::F64(values)),
    }
}

fn service_name(config: &ResourceConfig, identity: &Identity) -> Value {
    let in_code =
        identity.attributes.iter().rev().find(|attribute| attribute.key.as_str() == names::SERVICE_NAME);
    identity
        .service_name
        .clone()
        .map(Value::from)
        .or_else(|| in_code.map(|attribute| attribute.value.clone()))
        .or_else(|| config.service_name.clone().map(Value::from))
        .or_else(|| identity.default_service_name.clone().map(Value::from))
        .unwrap_or_else(|| format!("unknown_service:{}", detect::executable()).into())
}
