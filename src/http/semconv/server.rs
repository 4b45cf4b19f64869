//! Requests that come in: what span and metrics of a server say (http/http-spans.md "HTTP Server", http/http-metrics.md).

use std::{borrow::Cow, net::SocketAddr, sync::Arc};

use http::{StatusCode, Uri, Version};
use opentelemetry::KeyValue;

use super::{
    ADDRESS, CLIENT, ERROR_TYPE, METHOD, METHOD_ORIGINAL, Method, OTHER, OUTCOME, PATH, PEER_ADDRESS,
    PEER_PORT, PORT, PROTOCOL_VERSION, ROUTE, STATUS, Scheme,
    values::{address_text, clip, protocol_version, redact_query, server_values},
};
use crate::{http::texts, trace_parent::Sent};

/// Longest path, query and header value that becomes an attribute, in bytes.
pub(super) const MAX_TEXT: usize = 1024;

pub(in crate::http) const DURATION: &str = "http.server.request.duration";
pub(in crate::http) const ACTIVE: &str = "http.server.active_requests";
pub(in crate::http) const REQUEST_SIZE: &str = "http.server.request.body.size";
pub(in crate::http) const RESPONSE_SIZE: &str = "http.server.response.body.size";
/// Not of the conventions: they have no name for it.
pub(in crate::http) const FIRST_BYTE: &str = "tracewell.http.server.time_to_first_byte";
/// Bucket boundaries of sizes, in bytes: powers of four from 64 B to 64 MiB; the conventions advise none.
pub(in crate::http) const BYTES: [f64; 11] = [
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

const QUERY: &str = "url.query";
const SCHEME: &str = "url.scheme";

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
pub(in crate::http) struct Point<'a> {
    pub(in crate::http) method: Method,
    pub(in crate::http) scheme: Scheme,
    pub(in crate::http) version: Version,
    pub(in crate::http) route: Option<&'a str>,
    pub(in crate::http) status: Option<StatusCode>,
    pub(in crate::http) ending: Ending,
}

/// Attributes of the duration and the sizes.
pub(in crate::http) fn point(point: &Point<'_>) -> Vec<KeyValue> {
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
pub(in crate::http) fn active(method: Method, scheme: Scheme) -> Vec<KeyValue> {
    vec![KeyValue::new(METHOD, method.name()), KeyValue::new(SCHEME, scheme.as_str())]
}

/// Attributes that are known at the end, the same for span and metrics.
pub(in crate::http) fn end(status: Option<StatusCode>, ending: Ending) -> impl Iterator<Item = KeyValue> {
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
pub(in crate::http) fn error_type(status: Option<StatusCode>, ending: Ending) -> Option<Cow<'static, str>> {
    match ending {
        Ending::Error(name) | Ending::BodyError(name) => Some(name.into()),
        Ending::Panicked => Some("panic".into()),
        Ending::Answered | Ending::Cancelled | Ending::Aborted => {
            status.filter(StatusCode::is_server_error).map(|status| status.as_str().to_owned().into())
        }
    }
}

/// A request's path, as far as it is kept.
pub(in crate::http) fn path(uri: &Uri) -> Arc<str> {
    texts::path(clip(uri.path(), MAX_TEXT))
}

/// Attributes of a server span at its start, when samplers look at them.
pub(in crate::http) fn start<B>(
    (request, sent): (&http::Request<B>, &Sent<'_>),
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
    if let Some((host, port)) = server_values(request.uri(), request.headers(), sent.host) {
        attributes.push(KeyValue::new(ADDRESS, host));
        if let Some(port) = port {
            attributes.push(KeyValue::new(PORT, i64::from(port)));
        }
    }
    if let Some(peer) = peer {
        // the same text twice: shared, not copied
        let address = address_text(peer.ip().to_canonical());
        attributes.push(KeyValue::new(CLIENT, address.clone()));
        attributes.push(KeyValue::new(PEER_ADDRESS, address));
        attributes.push(KeyValue::new(PEER_PORT, i64::from(peer.port())));
    }
    if let Some(agent) = sent.user_agent.and_then(|agent| texts::header(agent, |agent| clip(agent, MAX_TEXT)))
    {
        attributes.push(KeyValue::new("user_agent.original", agent));
    }
    attributes
}

/// The route of a span whose route is not remembered.
pub(in crate::http) fn unremembered_route(route: &str) -> KeyValue {
    KeyValue::new(ROUTE, route.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::semconv::Methods;

    fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
        attributes
            .iter()
            .find(|attribute| attribute.key.as_str() == key)
            .map(|attribute| attribute.value.to_string())
    }

    fn started(request: &http::Request<()>) -> Vec<KeyValue> {
        let method = Methods::default().find(request.method());
        let sent = Sent::of(request.headers());
        start((request, &sent), method, Scheme::of(request.uri()), None, None, path(request.uri()))
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
