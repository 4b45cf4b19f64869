//! Calls that go out: what span and metric of a client say (http/http-spans.md "HTTP Client", http/http-metrics.md).

use std::{borrow::Cow, error::Error, io, net::SocketAddr, sync::Arc};

use http::{StatusCode, Uri, Version};
use opentelemetry::{KeyValue, StringValue};

use super::{
    ADDRESS, ERROR_TYPE, METHOD, METHOD_ORIGINAL, Method, OTHER, OUTCOME, PEER_ADDRESS, PEER_PORT, PORT,
    PROTOCOL_VERSION, STATUS,
    values::{address_text, clip, protocol_version, redact_query},
};

pub(in crate::http) const DURATION: &str = "http.client.request.duration";

const RESEND_COUNT: &str = "http.request.resend_count";
const FULL: &str = "url.full";
const TEMPLATE: &str = "url.template";

/// Longest URL that becomes an attribute, in bytes.
const MAX_URL: usize = 2048;
/// Links of an error's chain that are looked at.
const MAX_CHAIN: usize = 16;

/// How a call ended, as attributes tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Ending {
    /// As the status code says.
    Answered,
    /// With an error, before or after the headers.
    Failed(&'static str),
    /// Given up before the headers.
    Cancelled,
    /// Its body was left before the end.
    Aborted,
}

/// Who is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(in crate::http) host: Arc<str>,
    pub(in crate::http) port: Option<u16>,
}

impl Target {
    pub(crate) fn of(uri: &Uri) -> Self {
        let port = uri.port_u16().or_else(|| match uri.scheme_str() {
            Some("http" | "ws") => Some(80),
            Some("https" | "wss") => Some(443),
            _ => None,
        });
        Self { host: uri.host().unwrap_or("").into(), port }
    }

    pub(crate) fn is_known(&self) -> bool {
        !self.host.is_empty()
    }

    /// `server.address` and `server.port`, as far as they are known.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = KeyValue> + use<> {
        let host = self.is_known().then(|| KeyValue::new(ADDRESS, Arc::clone(&self.host)));
        host.into_iter().chain(self.port.map(|port| KeyValue::new(PORT, i64::from(port))))
    }

    /// With the port where that is not the usual one.
    pub(crate) fn shown(&self) -> String {
        match self.port {
            Some(80 | 443) | None => self.host.as_ref().to_owned(),
            Some(port) => format!("{}:{port}", self.host),
        }
    }
}

/// What is known of a call when it starts.
pub(in crate::http) fn start(
    (sent, uri): (&http::Method, &Uri),
    method: Method,
    target: &Target,
    template: Option<&'static str>,
    resend_count: u32,
) -> Vec<KeyValue> {
    // the name and what is known at the end need no growth
    let mut attributes = Vec::with_capacity(12);
    attributes.push(KeyValue::new(METHOD, method.name()));
    if method.name() == OTHER {
        attributes.push(KeyValue::new(METHOD_ORIGINAL, clip(sent.as_str(), 64).to_owned()));
    }
    attributes.extend(target.attributes());
    attributes.push(KeyValue::new(FULL, full_url(uri)));
    if let Some(template) = template {
        attributes.push(KeyValue::new(TEMPLATE, template));
    }
    if resend_count > 0 {
        attributes.push(KeyValue::new(RESEND_COUNT, i64::from(resend_count)));
    }
    attributes
}

/// Attributes of the duration.
pub(in crate::http) fn point(
    method: Method,
    target: &Target,
    template: Option<&'static str>,
    end: (Option<(StatusCode, Version)>, Ending),
) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(8);
    attributes.push(KeyValue::new(METHOD, method.name()));
    attributes.extend(target.attributes());
    if let Some(template) = template {
        attributes.push(KeyValue::new(TEMPLATE, template));
    }
    self::end(end.0, end.1, &mut attributes);
    attributes
}

/// What is known at the end, the same for span and metric.
pub(in crate::http) fn end(
    answer: Option<(StatusCode, Version)>,
    ending: Ending,
    attributes: &mut Vec<KeyValue>,
) {
    if let Some((status, version)) = answer {
        attributes.push(KeyValue::new(STATUS, i64::from(status.as_u16())));
        if let Some(version) = protocol_version(version) {
            attributes.push(KeyValue::new(PROTOCOL_VERSION, version));
        }
    }
    if let Some(error) = error_type(answer.map(|(status, _)| status), ending) {
        let error: StringValue = match error {
            Cow::Borrowed(error) => error.into(),
            Cow::Owned(error) => error.into(),
        };
        attributes.push(KeyValue::new(ERROR_TYPE, error));
    }
    match ending {
        Ending::Cancelled => attributes.push(KeyValue::new(OUTCOME, "cancelled")),
        Ending::Aborted => attributes.push(KeyValue::new(OUTCOME, "aborted")),
        Ending::Answered | Ending::Failed(_) => {}
    }
}

/// The peer of the connection, on the span alone.
pub(in crate::http) fn peer(peer: Option<SocketAddr>, attributes: &mut Vec<KeyValue>) {
    if let Some(peer) = peer {
        attributes.push(KeyValue::new(PEER_ADDRESS, address_text(peer.ip().to_canonical())));
        attributes.push(KeyValue::new(PEER_PORT, i64::from(peer.port())));
    }
}

/// `error.type`: the kind of failure, or the code from 400 on; a call that the caller gave up is no error.
pub(in crate::http) fn error_type(status: Option<StatusCode>, ending: Ending) -> Option<Cow<'static, str>> {
    if let Ending::Failed(kind) = ending {
        return Some(kind.into());
    }
    let failed = status.filter(|status| status.is_client_error() || status.is_server_error());
    failed.map(|status| status.as_str().to_owned().into())
}

/// The URL without credentials, and without the values of secret parameters (http/http-spans.md note 10).
pub(in crate::http) fn full_url(uri: &Uri) -> String {
    let mut url = String::with_capacity(64);
    if let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) {
        let (credentials, host) = match authority.as_str().rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, authority.as_str()),
        };
        let mask = match credentials {
            Some(credentials) if credentials.contains(':') => "REDACTED:REDACTED@",
            Some(_) => "REDACTED@",
            None => "",
        };
        for part in [scheme, "://", mask, host] {
            url.push_str(part);
        }
    }
    url.push_str(uri.path());
    if let Some(query) = uri.query() {
        url.push('?');
        // redacted before it is cut: half a key is not found
        url.push_str(&redact_query(query));
    }
    let end = clip(&url, MAX_URL).len();
    url.truncate(end);
    url
}

/// `dns`, `connect`, `tls`, `timeout` or `reset`; `None` for what is none of these.
///
/// The whole chain is looked at, since clients wrap: the most specific kind wins, not the outermost.
pub(crate) fn failure(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut best: Option<Kind> = None;
    let mut link = Some(error);
    for _ in 0..MAX_CHAIN {
        let Some(error) = link else { break };
        best = best.max(kind(error));
        // an `io::Error` hides the error it carries: its source is that error's source
        link = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(carried) => Some(carried),
            None => error.source(),
        };
    }
    best.map(Kind::name)
}

/// In rising order of what they tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Connect,
    Reset,
    Timeout,
    Tls,
    Dns,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Dns => "dns",
        }
    }
}

fn kind(error: &(dyn Error + 'static)) -> Option<Kind> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        use io::ErrorKind as Io;
        match error.kind() {
            Io::ConnectionRefused | Io::HostUnreachable | Io::NetworkUnreachable | Io::AddrNotAvailable => {
                return Some(Kind::Connect);
            }
            Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof => {
                return Some(Kind::Reset);
            }
            Io::TimedOut => return Some(Kind::Timeout),
            _ => {}
        }
    }
    if error.is::<tokio::time::error::Elapsed>() {
        return Some(Kind::Timeout);
    }
    // the clients' own types are private, or of a crate that is not a dependency: their words have been stable for years
    let said = error.to_string();
    let starts = |words: &[&str]| words.iter().any(|word| said.starts_with(word));
    if starts(&["dns error", "failed to lookup address"]) {
        Some(Kind::Dns)
    } else if starts(&[
        "invalid peer certificate",
        "received fatal alert",
        "peer is incompatible",
        "peer misbehaved",
    ]) || starts(&["received corrupt message", "invalid server name", "tls handshake", "TLS "])
    {
        Some(Kind::Tls)
    } else if starts(&[
        "operation timed out",
        "request timed out",
        "deadline has elapsed",
        "no answer within",
        "Timeout expired",
    ]) {
        Some(Kind::Timeout)
    } else if starts(&[
        "connection closed before message completed",
        "end of file before message length reached",
        "operation was canceled",
    ]) || starts(&["unexpected EOF", "stream closed because of a broken pipe"])
        // RST_STREAM and GOAWAY
        || starts(&["stream error received", "connection error received"])
    {
        Some(Kind::Reset)
    } else if starts(&["tcp connect error", "client error (Connect)"]) {
        Some(Kind::Connect)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_shows_neither_credentials_nor_secret_values() {
        let shown = |uri: &str| full_url(&uri.parse().unwrap());
        assert_eq!(shown("https://a.example/p?x=1&sig=S"), "https://a.example/p?x=1&sig=REDACTED");
        assert_eq!(shown("http://me:pw@a.example:81/"), "http://REDACTED:REDACTED@a.example:81/");
        assert_eq!(shown("http://token@a.example/"), "http://REDACTED@a.example/");
        let long = shown(&format!("http://a.example/?a={}&sig=S3CRET", "x".repeat(4000)));
        assert!(long.len() == MAX_URL && !long.contains("S3CRET"));
    }

    #[test]
    fn the_target_has_the_port_that_its_scheme_implies() {
        let target = |uri: &str| Target::of(&uri.parse().unwrap());
        assert_eq!(target("https://a.example/").port, Some(443));
        assert_eq!(target("http://a.example:8081/").shown(), "a.example:8081");
        assert_eq!((target("/only/a/path").port, &*target("/").host), (None, ""));
    }

    #[test]
    fn the_most_specific_kind_of_the_chain_wins() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Link(&'static str, #[source] Option<io::Error>);
        let of = |said, cause| failure(&Link(said, cause));
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(of("client error (Connect)", Some(refused)), Some("connect"));
        assert_eq!(
            of("client error (Connect)", Some(io::Error::other(Link("dns error", None)))),
            Some("dns")
        );
        let certificate =
            io::Error::new(io::ErrorKind::InvalidData, Link("invalid peer certificate: x", None));
        assert_eq!(of("client error (Connect)", Some(certificate)), Some("tls"));
        let slow = io::Error::from(io::ErrorKind::TimedOut);
        assert_eq!(of("tcp connect error", Some(slow)), Some("timeout"));
        assert_eq!(of("connection closed before message completed", None), Some("reset"));
        assert_eq!(of("out of cheese", None), None);
    }

    #[test]
    fn errors_from_400_on_and_what_is_given_up_is_none() {
        let of = |status: u16, ending| error_type(StatusCode::from_u16(status).ok(), ending);
        assert_eq!(of(404, Ending::Answered).as_deref(), Some("404"));
        assert_eq!(of(302, Ending::Answered), None);
        assert_eq!(of(200, Ending::Aborted), None);
        assert_eq!(of(200, Ending::Failed("reset")).as_deref(), Some("reset"));
        assert_eq!(error_type(None, Ending::Cancelled), None);
    }
}
