//! Headers that somebody wants to see, as attributes (http/http-spans.md, `http.request.header.<key>`).

use http::{HeaderMap, HeaderName};
use opentelemetry::{Array, Key, KeyValue, StringValue, Value};

use super::values::clip;
use crate::redaction::Redactor;

/// Values of one header that become an attribute.
const MAX_VALUES: usize = 32;
/// The longest of them, in bytes.
const MAX_VALUE: usize = 1024;

/// Headers that are to become attributes, each with its key.
pub(crate) type Captured = Vec<(HeaderName, Key)>;

/// What a captured header's attribute begins with.
pub(crate) const REQUEST_HEADER: &str = "http.request.header.";
const RESPONSE_HEADER: &str = "http.response.header.";

/// The headers of requests with these names; what is no name of a header was refused before.
pub(in crate::http) fn request_headers(names: &[String]) -> Captured {
    captured(REQUEST_HEADER, names)
}

/// The same of responses.
pub(in crate::http) fn response_headers(names: &[String]) -> Captured {
    captured(RESPONSE_HEADER, names)
}

/// Headers that are to become attributes with this prefix.
pub(crate) fn captured(prefix: &str, names: &[String]) -> Captured {
    let names = names.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
    names.map(|name| (name.clone(), Key::new(format!("{prefix}{name}")))).collect()
}

/// The attributes of the headers that are there: arrays, because a header may come more than once.
pub(crate) fn header_attributes(
    wanted: &Captured,
    headers: &HeaderMap,
    redactor: &Redactor,
) -> Vec<KeyValue> {
    let found = wanted.iter().filter_map(|(name, key)| {
        let values = headers.get_all(name).iter().take(MAX_VALUES).filter_map(|value| value.to_str().ok());
        let seen =
            |value| StringValue::from(redactor.value(name.as_str(), clip(value, MAX_VALUE)).into_owned());
        let values: Vec<StringValue> = values.map(seen).collect();
        (!values.is_empty()).then(|| KeyValue::new(key.clone(), Value::Array(Array::String(values))))
    });
    found.collect()
}
