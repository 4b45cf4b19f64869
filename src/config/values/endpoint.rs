//! The URL that OTLP requests are sent to.

use std::{fmt, net::Ipv6Addr};

use http::{HeaderValue, Uri, uri::Authority};

use super::{Protocol, Signal};

/// What [`Endpoint::parse`] accepts.
const ACCEPTED: &str = "accepted is an http:// or https:// URL";

/// A validated `http` or `https` URL.
///
/// Credentials (`https://user:password@host`) are taken out: they are sent as [`authorization`](Self::authorization)
/// and shown as `REDACTED:REDACTED@`. `Display` and `Debug` hide a query too.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    text: String,
    uri: Uri,
    authorization: Option<HeaderValue>,
}

impl Endpoint {
    /// Reads a URL; a missing path is `/`.
    ///
    /// # Errors
    /// Says what is accepted. The text given is not in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(ACCEPTED)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => "http",
            "https" => "https",
            _ => return Err(ACCEPTED.to_owned()),
        };
        let uri: Uri = format!("{scheme}://{rest}").parse().map_err(|_| ACCEPTED)?;
        let authority = uri.authority().ok_or(ACCEPTED)?;
        let (credentials, place) = match authority.as_str().rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, authority.as_str()),
        };
        check_place(authority, place)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        // most likely credentials with a "/" or "?" in them, which would then be shown
        if path.contains('@') {
            return Err(format!("{ACCEPTED}, with \"@\", \"/\" and \"?\" of credentials percent-encoded"));
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        let text = format!("{scheme}://{place}{slash}{path}");
        let uri = text.parse().map_err(|_| ACCEPTED)?;
        Ok(Self { text, uri, authorization: credentials.filter(|given| !given.is_empty()).and_then(basic) })
    }

    /// Where a signal's requests go when this text is the base of all signals: below its path for HTTP,
    /// to its origin for gRPC, where the scheme may be missing and `insecure` then decides between http and https.
    ///
    /// # Errors
    /// Says what is accepted.
    pub fn of_base(text: &str, signal: Signal, protocol: Protocol, insecure: bool) -> Result<Self, String> {
        match protocol {
            Protocol::Grpc => Self::origin_of(text, insecure),
            Protocol::HttpProtobuf | Protocol::HttpJson => Self::parse(text)?.below(signal.path()),
        }
    }

    /// Where requests go when this text is one signal's own endpoint: as it stands for HTTP, to its origin for gRPC.
    ///
    /// # Errors
    /// Says what is accepted.
    pub fn of_signal(text: &str, protocol: Protocol, insecure: bool) -> Result<Self, String> {
        match protocol {
            Protocol::Grpc => Self::origin_of(text, insecure),
            Protocol::HttpProtobuf | Protocol::HttpJson => Self::parse(text),
        }
    }

    /// The URL without credentials.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The URL without credentials.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Host, an IPv6 address without brackets, and port, the scheme's own when none is written.
    #[must_use]
    pub fn host_and_port(&self) -> (&str, u16) {
        let host = self.uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        (host, self.uri.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 }))
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// The value of an `authorization` header with the credentials the URL held; marked sensitive.
    #[must_use]
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    fn origin_of(text: &str, insecure: bool) -> Result<Self, String> {
        let text = text.trim();
        let given = if text.contains("://") {
            Self::parse(text)
        } else {
            Self::parse(&format!("{}://{text}", if insecure { "http" } else { "https" }))
        };
        let mut endpoint = given.map_err(|problem| format!("{problem} or host:port"))?;
        let scheme = if endpoint.is_https() { "https" } else { "http" };
        let place = endpoint.uri.authority().map_or("", Authority::as_str);
        endpoint.text = format!("{scheme}://{place}");
        endpoint.uri = endpoint.text.parse().map_err(|_| ACCEPTED)?;
        Ok(endpoint)
    }

    fn below(mut self, path: &str) -> Result<Self, String> {
        let (base, query) = match self.text.split_once('?') {
            Some((base, query)) => (base, format!("?{query}")),
            None => (self.text.as_str(), String::new()),
        };
        let text = format!("{}{path}{query}", base.trim_end_matches('/'));
        self.uri = text.parse().map_err(|_| ACCEPTED)?;
        self.text = text;
        Ok(self)
    }
}

/// `http` lets an empty host, a port beyond 65535 and any text in brackets pass.
fn check_place(authority: &Authority, place: &str) -> Result<(), String> {
    let host = authority.host();
    let bad_ip6 = host.starts_with('[') && host.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_err();
    let port = place.strip_prefix(host).ok_or(ACCEPTED)?;
    let bad_port = !port.is_empty() && authority.port_u16().is_none();
    if host.is_empty() || bad_ip6 || bad_port {
        return Err(format!("{ACCEPTED} with a host and a port up to 65535"));
    }
    Ok(())
}

/// `user:password`, percent-encoded, as the value of an `authorization` header.
fn basic(credentials: &str) -> Option<HeaderValue> {
    let mut plain: Vec<u8> = percent_encoding::percent_decode_str(credentials).collect();
    if !credentials.contains(':') {
        plain.push(b':');
    }
    let mut value = HeaderValue::from_str(&format!("Basic {}", base64(&plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let sextet = (group >> (18 - 6 * digit) & 0x3f) as usize;
            text.push(if digit <= chunk.len() { char::from(ALPHABET[sextet]) } else { '=' });
        }
    }
    text
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.text.split_once("://").unwrap_or(("", &self.text));
        let credentials = if self.authorization.is_some() { "REDACTED:REDACTED@" } else { "" };
        match rest.split_once('?') {
            Some((rest, _)) => write!(f, "{scheme}://{credentials}{rest}?REDACTED"),
            None => write!(f, "{scheme}://{credentials}{rest}"),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
