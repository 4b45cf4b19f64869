//! Values of attributes, in the conventions' form: addresses, names, queries without their secrets, texts that are cut.

use std::{borrow::Cow, net::IpAddr};

use http::{HeaderMap, HeaderValue, Uri, Version, header};
use opentelemetry::StringValue;

use crate::http::texts;

/// Longest host name (RFC 1035 section 2.3.4 has 255).
const MAX_HOST: usize = 255;

/// Query parameters whose values are replaced (http/http-spans.md note 10); case-sensitive.
const SECRET_PARAMETERS: [&str; 7] = [
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "AWSAccessKeyId",
    "Signature",
    "sig",
    "X-Goog-Signature",
];

/// An address as text.
pub(crate) fn address_text(address: IpAddr) -> StringValue {
    texts::address(address, || address.to_string().into())
}

/// Whose name the client asked for: `:authority`, else `Host`.
pub(crate) fn server<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<(&'a str, Option<u16>)> {
    let host = match uri.authority() {
        Some(authority) => authority.as_str().rsplit('@').next()?,
        None => headers.get(header::HOST)?.to_str().ok()?,
    };
    if host.is_empty() || host.len() > MAX_HOST + ":65535".len() {
        return None;
    }
    // a name is short: no search for a character in it is as cheap as this
    let colon = host.bytes().rposition(|byte| byte == b':');
    match colon.map(|at| (&host[..at], &host[at + 1..])) {
        // a colon inside brackets belongs to an IPv6 address
        Some((name, port)) if !port.ends_with(']') => Some((name, port.parse().ok())),
        _ => Some((host, None)),
    }
}

/// The same as values; `host` is the header.
pub(in crate::http) fn server_values(
    uri: &Uri,
    headers: &HeaderMap,
    host: Option<&HeaderValue>,
) -> Option<(StringValue, Option<u16>)> {
    let asked = match uri.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => host?.as_bytes(),
    };
    texts::host(asked, || server(uri, headers))
}

/// `1.0`, `1.1`, `2` or `3`.
pub(in crate::http) fn protocol_version(version: Version) -> Option<&'static str> {
    Some(match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => return None,
    })
}

/// Replaces the values of the conventions' secret parameters; the others stay as they are.
pub(in crate::http) fn redact_query(query: &str) -> Cow<'_, str> {
    let secret = |pair: &str| pair.split_once('=').is_some_and(|(key, _)| SECRET_PARAMETERS.contains(&key));
    if !may_name_secrets(query) || !query.split('&').any(secret) {
        return Cow::Borrowed(query);
    }
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key, _)) if secret(pair) => format!("{key}=REDACTED"),
        _ => pair.to_owned(),
    });
    Cow::Owned(pairs.collect::<Vec<_>>().join("&"))
}

/// Whether a parameter begins as one of [`SECRET_PARAMETERS`] does: most queries are done with that.
fn may_name_secrets(query: &str) -> bool {
    let mut first = true;
    query.bytes().any(|byte| {
        let may = first && matches!(byte, b'X' | b'A' | b'S' | b's');
        first = byte == b'&';
        may
    })
}

/// The text's beginning, cut at a character.
pub(crate) fn clip(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seven_secret_parameters_lose_their_values_and_nothing_else_changes() {
        assert!(matches!(redact_query("a=1&b=sig"), Cow::Borrowed(_)));
        let query = "a=1&sig=S3CRET&X-Amz-Signature=x&Sig=kept&sig&b=%20";
        assert_eq!(redact_query(query), "a=1&sig=REDACTED&X-Amz-Signature=REDACTED&Sig=kept&sig&b=%20");
    }

    #[test]
    fn an_address_reads_as_its_display() {
        for address in ["0.9.10.99", "100.109.200.255", "1.1.1.1", "::1", "2001:db8::ff00:42:8329"] {
            assert_eq!(address_text(address.parse().unwrap()).as_str(), address);
        }
    }
}
