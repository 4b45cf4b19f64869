//! Semantic conventions for HTTP, version 1.44: requests and responses into attributes. Pure, and the only file that
//! knows names starting with `http.` and `url.`.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, StatusCode, Uri, Version, header};
use opentelemetry::{KeyValue, StringValue};

use super::texts;
use crate::config::AccessLog;

/// Requests from this on are slow for the access log.
const SLOW: Duration = Duration::from_secs(1);

/// Methods a settings value can hold at most, `_OTHER` included.
pub(super) const METHODS_MAX: usize = 32;

/// Longest path, query and header value that becomes an attribute, in bytes.
const MAX_TEXT: usize = 1024;
/// Longest host name (RFC 1035 section 2.3.4 has 255).
const MAX_HOST: usize = 255;

pub(super) const DURATION: &str = "http.server.request.duration";
pub(super) const ACTIVE: &str = "http.server.active_requests";
pub(super) const REQUEST_SIZE: &str = "http.server.request.body.size";
pub(super) const RESPONSE_SIZE: &str = "http.server.response.body.size";
/// Not of the conventions: they have no name for it.
pub(super) const FIRST_BYTE: &str = "tracewell.http.server.time_to_first_byte";
/// Bucket boundaries of both times (http/http-metrics.md), in seconds.
pub(crate) const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Bucket boundaries of sizes, in bytes: powers of four from 64 B to 64 MiB; the conventions advise none.
pub(super) const BYTES: [f64; 11] = [
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

pub(super) const PEER_ADDRESS: &str = "network.peer.address";
pub(super) const PEER_PORT: &str = "network.peer.port";
pub(crate) const METHOD: &str = "http.request.method";
const METHOD_ORIGINAL: &str = "http.request.method_original";
const STATUS: &str = "http.response.status_code";
pub(crate) const ROUTE: &str = "http.route";
pub(crate) const PATH: &str = "url.path";
const QUERY: &str = "url.query";
const SCHEME: &str = "url.scheme";
const PROTOCOL_VERSION: &str = "network.protocol.version";
const ERROR_TYPE: &str = "error.type";
const OUTCOME: &str = "tracewell.outcome";

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

/// The methods a service knows, by index; the last one is `_OTHER`.
#[derive(Debug, Clone)]
pub(super) struct Methods(Vec<&'static str>);

/// A method of [`Methods`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Method {
    index: u8,
    name: &'static str,
}

impl Methods {
    /// The first [`METHODS_MAX`] − 1 of these names. What is not among the usual ones lives as long as the process.
    pub(super) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let usual = |name: &str| KNOWN.into_iter().find(|known| *known == name);
        let known = names.into_iter().take(METHODS_MAX - 1);
        let known = known.map(|name| usual(name).unwrap_or_else(|| Box::leak(Box::<str>::from(name))));
        Self(known.chain([OTHER]).collect())
    }

    pub(super) fn find(&self, method: &http::Method) -> Method {
        let known = &self.0[..self.0.len() - 1];
        let index = known.iter().position(|name| *name == method.as_str()).unwrap_or(known.len());
        Method { index: u8::try_from(index).unwrap_or(u8::MAX), name: self.0[index] }
    }
}

impl Default for Methods {
    fn default() -> Self {
        Self::new(KNOWN)
    }
}

/// RFC 9110, PATCH (RFC 5789) and QUERY.
const KNOWN: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "TRACE", "QUERY"];
const OTHER: &str = "_OTHER";

impl Method {
    pub(super) fn name(self) -> &'static str {
        self.name
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.index)
    }

    /// A span is named after the method, and `HTTP` where that is unknown.
    pub(super) fn span_name(self) -> &'static str {
        if self.name == OTHER { "HTTP" } else { self.name }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(super) fn of(uri: &Uri) -> Self {
        if uri.scheme_str() == Some("https") { Self::Https } else { Self::Http }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// How a request ended, as attributes tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Ending {
    /// As the status code says.
    Answered,
    /// With an error of the inner service, by its type's name.
    Error(&'static str),
    Panicked,
    Cancelled,
    Aborted,
    /// The body failed, by the name of its error's type.
    BodyError(&'static str),
}

/// What all metrics of a request have as attributes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point<'a> {
    pub(super) method: Method,
    pub(super) scheme: Scheme,
    pub(super) version: Version,
    pub(super) route: Option<&'a str>,
    pub(super) status: Option<StatusCode>,
    pub(super) ending: Ending,
}

/// Attributes of the duration and the sizes.
pub(super) fn point(point: &Point<'_>) -> Vec<KeyValue> {
    let mut attributes = active(point.method, point.scheme);
    if let Some(version) = protocol_version(point.version) {
        attributes.push(KeyValue::new(PROTOCOL_VERSION, version));
    }
    if let Some(route) = point.route {
        attributes.push(KeyValue::new(ROUTE, route.to_owned()));
    }
    attributes.extend(end(point.status, point.ending));
    attributes
}

/// Attributes of the number of active requests: what is known when they start and stays.
pub(super) fn active(method: Method, scheme: Scheme) -> Vec<KeyValue> {
    vec![KeyValue::new(METHOD, method.name()), KeyValue::new(SCHEME, scheme.as_str())]
}

/// Attributes that are known at the end, the same for span and metrics.
pub(super) fn end(status: Option<StatusCode>, ending: Ending) -> impl Iterator<Item = KeyValue> {
    let code = status.map(|status| KeyValue::new(STATUS, i64::from(status.as_u16())));
    let error = error_type(status, ending).map(|error| match error {
        Cow::Borrowed(error) => KeyValue::new(ERROR_TYPE, error),
        Cow::Owned(error) => KeyValue::new(ERROR_TYPE, error),
    });
    let outcome = match ending {
        Ending::Cancelled => Some(KeyValue::new(OUTCOME, "cancelled")),
        Ending::Aborted | Ending::BodyError(_) => Some(KeyValue::new(OUTCOME, "aborted")),
        Ending::Answered | Ending::Error(_) | Ending::Panicked => None,
    };
    [code, error, outcome].into_iter().flatten()
}

/// `error.type`; never on success, and a client that leaves is no error (http/http-spans.md "Status").
pub(super) fn error_type(status: Option<StatusCode>, ending: Ending) -> Option<Cow<'static, str>> {
    match ending {
        Ending::Error(name) | Ending::BodyError(name) => Some(name.into()),
        Ending::Panicked => Some("panic".into()),
        Ending::Answered | Ending::Cancelled | Ending::Aborted => {
            status.filter(StatusCode::is_server_error).map(|status| status.as_str().to_owned().into())
        }
    }
}

/// A request's path, as far as it is kept.
pub(super) fn path(uri: &Uri) -> Arc<str> {
    texts::path(clip(uri.path(), MAX_TEXT))
}

/// Attributes of a server span at its start, when samplers look at them.
pub(super) fn start<B>(
    request: &http::Request<B>,
    method: Method,
    scheme: Scheme,
    route: Option<&'static str>,
    peer: Option<SocketAddr>,
    path: Arc<str>,
) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(16);
    attributes.push(KeyValue::new(METHOD, method.name()));
    if method.name() == OTHER {
        attributes.push(KeyValue::new(METHOD_ORIGINAL, clip(request.method().as_str(), MAX_TEXT).to_owned()));
    }
    attributes.push(KeyValue::new(PATH, path));
    attributes.push(KeyValue::new(SCHEME, scheme.as_str()));
    if let Some(query) = request.uri().query() {
        attributes.push(KeyValue::new(QUERY, texts::path(&redact_query(clip(query, MAX_TEXT)))));
    }
    if let Some(route) = route {
        attributes.push(KeyValue::new(ROUTE, route));
    }
    if let Some(version) = protocol_version(request.version()) {
        attributes.push(KeyValue::new(PROTOCOL_VERSION, version));
    }
    if let Some((host, port)) = server(request.uri(), request.headers()) {
        attributes.push(KeyValue::new("server.address", texts::shared(host)));
        if let Some(port) = port {
            attributes.push(KeyValue::new("server.port", i64::from(port)));
        }
    }
    if let Some(peer) = peer {
        // the same text twice: shared, not copied
        let address = address_text(peer.ip().to_canonical());
        attributes.push(KeyValue::new("client.address", address.clone()));
        attributes.push(KeyValue::new(PEER_ADDRESS, address));
        attributes.push(KeyValue::new(PEER_PORT, i64::from(peer.port())));
    }
    if let Some(agent) = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok()) {
        attributes.push(KeyValue::new("user_agent.original", texts::shared(clip(agent, MAX_TEXT))));
    }
    attributes
}

/// An address as text. IPv4 without the formatting machinery, which would cost more than all other attributes together.
pub(crate) fn address_text(address: IpAddr) -> StringValue {
    let IpAddr::V4(address) = address else { return texts::shared(&address.to_string()) };
    let (mut text, mut length) = ([0; "255.255.255.255".len()], 0);
    let mut put = |byte| {
        text[length] = byte;
        length += 1;
    };
    for (index, octet) in address.octets().into_iter().enumerate() {
        if index > 0 {
            put(b'.');
        }
        if octet >= 100 {
            put(b'0' + octet / 100);
        }
        if octet >= 10 {
            put(b'0' + octet / 10 % 10);
        }
        put(b'0' + octet % 10);
    }
    texts::shared(std::str::from_utf8(&text[..length]).unwrap_or_default())
}

/// The route of a span whose route is not remembered.
pub(super) fn unremembered_route(route: &str) -> KeyValue {
    KeyValue::new(ROUTE, route.to_owned())
}

/// The event of an error that ended a request (exceptions/exceptions-logs.md).
pub(super) fn log_exception(name: &str, message: &dyn std::fmt::Display, method: Method, route: &str) {
    tracing::event!(
        name: "http.server.request.exception",
        target: "tracewell::http",
        tracing::Level::ERROR,
        exception.type = name,
        exception.message = %message,
        http.request.method = method.name(),
        http.route = route,
        "the request failed: {message}"
    );
}

/// A client that leaves is no error (http/http-spans.md "Status"): seen by who looks for it.
pub(super) fn log_left(outcome: &'static str) {
    tracing::event!(
        target: "tracewell::http",
        tracing::Level::DEBUG,
        { OUTCOME } = outcome,
        "the client left, or the request was given up"
    );
}

/// The completion record of a request (`TRACEWELL_ACCESS_LOG`); `duration` in seconds, as the histogram has it.
pub(super) fn log_access(
    wanted: AccessLog,
    method: Method,
    route: &str,
    status: Option<StatusCode>,
    outcome: &'static str,
    duration: Duration,
) {
    let wanted = match wanted {
        AccessLog::All => true,
        AccessLog::Slow => duration >= SLOW || outcome != "completed",
        AccessLog::Errors => outcome != "completed",
        _ => false,
    };
    if wanted {
        tracing::event!(
            name: "tracewell.access",
            target: "tracewell::access",
            tracing::Level::INFO,
            http.request.method = method.name(),
            http.route = route,
            http.response.status_code = status.map(|status| status.as_u16()),
            tracewell.outcome = outcome,
            duration = duration.as_secs_f64(),
            "{} {route}",
            method.name()
        );
    }
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

/// `1.0`, `1.1`, `2` or `3`.
pub(super) fn protocol_version(version: Version) -> Option<&'static str> {
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
pub(super) fn redact_query(query: &str) -> Cow<'_, str> {
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

    fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
        attributes
            .iter()
            .find(|attribute| attribute.key.as_str() == key)
            .map(|attribute| attribute.value.to_string())
    }

    fn started(request: &http::Request<()>) -> Vec<KeyValue> {
        let method = Methods::default().find(request.method());
        start(request, method, Scheme::of(request.uri()), None, None, path(request.uri()))
    }

    #[test]
    fn the_seven_secret_parameters_lose_their_values_and_nothing_else_changes() {
        assert!(matches!(redact_query("a=1&b=sig"), Cow::Borrowed(_)));
        let query = "a=1&sig=S3CRET&X-Amz-Signature=x&Sig=kept&sig&b=%20";
        assert_eq!(redact_query(query), "a=1&sig=REDACTED&X-Amz-Signature=REDACTED&Sig=kept&sig&b=%20");
    }

    #[test]
    fn an_unknown_method_is_other_with_its_name_kept_on_the_span_only() {
        let request = http::Request::builder().method("FOO").uri("/x").body(()).unwrap();
        let attributes = started(&request);
        assert_eq!(attribute(&attributes, "http.request.method").as_deref(), Some("_OTHER"));
        assert_eq!(attribute(&attributes, "http.request.method_original").as_deref(), Some("FOO"));
        assert_eq!(Methods::default().find(request.method()).span_name(), "HTTP");
        // case-sensitive, and a setting replaces the whole list
        assert_eq!(Methods::new(["get"]).find(&http::Method::GET).name(), "_OTHER");
    }

    #[test]
    fn an_address_reads_as_its_display() {
        for address in ["0.9.10.99", "100.109.200.255", "1.1.1.1", "::1", "2001:db8::ff00:42:8329"] {
            assert_eq!(address_text(address.parse().unwrap()).as_str(), address);
        }
    }

    #[test]
    fn the_server_is_authority_then_host_split_from_its_port() {
        let server_of = |uri: &str, host: Option<&str>| {
            let mut request = http::Request::builder().uri(uri);
            if let Some(host) = host {
                request = request.header("host", host);
            }
            let attributes = started(&request.body(()).unwrap());
            (attribute(&attributes, "server.address"), attribute(&attributes, "server.port"))
        };
        let pair = |host: &str, port: Option<&str>| (Some(host.to_owned()), port.map(str::to_owned));
        assert_eq!(server_of("/", Some("example.com:8080")), pair("example.com", Some("8080")));
        assert_eq!(server_of("http://user:pw@a.example/", Some("b.example")), pair("a.example", None));
        assert_eq!(server_of("/", Some("[::1]:80")), pair("[::1]", Some("80")));
        assert_eq!(server_of("/", Some("[::1]")), pair("[::1]", None));
        assert_eq!(server_of("/", Some(&"h".repeat(4000))), (None, None));
        assert_eq!(server_of("/", None), (None, None));
    }

    #[test]
    fn absurd_values_are_cut_at_a_character() {
        let path = format!("/{}", "a".repeat(5000));
        let attributes = started(&http::Request::builder().uri(&path).body(()).unwrap());
        assert_eq!(attribute(&attributes, "url.path").unwrap().len(), MAX_TEXT);
        assert_eq!(clip("aé", 2), "a");
    }

    #[test]
    fn only_errors_have_an_error_type_and_a_client_that_left_is_none() {
        let error = |status: u16, ending| error_type(StatusCode::from_u16(status).ok(), ending);
        assert_eq!(error(404, Ending::Answered), None);
        assert_eq!(error(503, Ending::Answered).as_deref(), Some("503"));
        assert_eq!(error(200, Ending::Aborted), None);
        assert_eq!(error_type(None, Ending::Cancelled), None);
        assert_eq!(error_type(None, Ending::Panicked).as_deref(), Some("panic"));
    }
}
