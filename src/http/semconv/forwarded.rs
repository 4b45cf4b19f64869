//! Who the client is and whom it asked for, as trusted proxies tell it: `Forwarded` (RFC 7239), else `X-Forwarded-*`.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header};
use opentelemetry::KeyValue;

use super::{ADDRESS, CLIENT, PORT, Scheme};
use crate::config::{IpRange, ProxyHeaders};

/// More than this of a header is nobody's honest list of proxies.
const MAX_HEADER: usize = 4096;
/// Longest host name that becomes an attribute.
const MAX_HOST: usize = 255;

/// The proxies whose word counts.
#[derive(Debug, Clone)]
pub(in crate::http) struct TrustedProxies {
    ranges: Vec<IpRange>,
    headers: ProxyHeaders,
}

impl Default for TrustedProxies {
    fn default() -> Self {
        Self::new(&[], ProxyHeaders::Any)
    }
}

/// What trusted proxies tell of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct Origin {
    /// `None` when they do not say.
    client: Option<IpAddr>,
    scheme: Option<Scheme>,
    host: Option<(String, Option<u16>)>,
}

/// What one proxy added: who asked it, how, and for whom.
#[derive(Debug, Default)]
struct Hop {
    client: Option<IpAddr>,
    scheme: Option<Scheme>,
    host: Option<String>,
}

impl TrustedProxies {
    pub(in crate::http) fn new(ranges: &[IpRange], headers: ProxyHeaders) -> Self {
        Self { ranges: ranges.to_vec(), headers }
    }

    pub(in crate::http) fn change(&mut self, ranges: Option<&[IpRange]>, headers: Option<ProxyHeaders>) {
        if let Some(ranges) = ranges {
            self.ranges = ranges.to_vec();
        }
        self.headers = headers.unwrap_or(self.headers);
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(address))
    }

    /// What is told of a request; `None` when its peer is not trusted, or tells nothing that can be understood.
    pub(in crate::http) fn origin(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Option<Origin> {
        if self.ranges.is_empty() || !self.trusts(peer?.ip()) {
            return None;
        }
        let standard = || self.by_forwarded(&forwarded(&list(headers, &header::FORWARDED)?)?);
        let usual = || self.by_x_forwarded(headers);
        match self.headers {
            ProxyHeaders::Forwarded => standard(),
            ProxyHeaders::XForwarded => usual(),
            ProxyHeaders::Any if !headers.contains_key(header::FORWARDED) => usual(),
            ProxyHeaders::Any => {
                let beside = headers.keys().any(|name| name.as_str().starts_with("x-forwarded-"));
                // the proxy wrote one of them; the other may be the client's own
                if beside { standard()?.agreed(&usual()?) } else { standard() }
            }
        }
    }

    /// How many hops count, from the last one on: each trusted client is a proxy whose own word is the hop before.
    fn reach(&self, clients: impl Iterator<Item = Option<IpAddr>>) -> usize {
        let mut reached = 0;
        for client in clients {
            reached += 1;
            if !client.is_some_and(|client| self.trusts(client)) {
                break;
            }
        }
        reached
    }

    fn by_forwarded(&self, hops: &[Hop]) -> Option<Origin> {
        let reached = self.reach(hops.iter().rev().map(|hop| hop.client));
        // the outermost proxy's word; where it says nothing, that of the next one inwards
        let told = &hops[hops.len() - reached..];
        Some(Origin {
            client: told.first()?.client,
            scheme: told.iter().find_map(|hop| hop.scheme),
            host: told.iter().find_map(|hop| hop.host.as_deref()).and_then(split_host),
        })
    }

    fn by_x_forwarded(&self, headers: &HeaderMap) -> Option<Origin> {
        const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
        const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
        const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
        const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
        let clients = list(headers, &FOR).unwrap_or_default();
        let clients: Vec<_> = elements(&clients).map(node).collect();
        let reached = self.reach(clients.iter().rev().copied());
        // lists grow at their ends, and the same proxies wrote them all
        let outermost = |name: &HeaderName| {
            let list = list(headers, name)?;
            let values: Vec<&str> = elements(&list).collect();
            values.get(values.len().saturating_sub(reached.max(1))).map(|value| (*value).to_owned())
        };
        let mut host = outermost(&HOST).as_deref().and_then(split_host);
        if let Some((_, port @ None)) = &mut host {
            *port = outermost(&PORT).and_then(|port| port.parse().ok());
        }
        let scheme = outermost(&PROTO).as_deref().and_then(scheme);
        let client = clients.len().checked_sub(reached).and_then(|at| clients.get(at).copied());
        if client.is_none() && scheme.is_none() && host.is_none() {
            return None;
        }
        Some(Origin { client: client.flatten(), scheme, host })
    }
}

impl Origin {
    /// What both say; nothing when they name different clients.
    fn agreed(self, other: &Self) -> Option<Self> {
        let same_client = self.client.is_some() && self.client == other.client;
        same_client.then(|| Self {
            client: self.client,
            scheme: self.scheme.filter(|_| self.scheme == other.scheme),
            host: self.host.filter(|host| other.host.as_ref() == Some(host)),
        })
    }

    /// Into the attributes of a server span, over what the connection itself says. Who the client is unknown to the
    /// proxies is unknown here.
    pub(in crate::http) fn apply(&self, attributes: &mut Vec<KeyValue>) {
        attributes.retain(|attribute| {
            let key = attribute.key.as_str();
            key != CLIENT && (self.host.is_none() || (key != ADDRESS && key != PORT))
        });
        if let Some(client) = self.client {
            attributes.push(KeyValue::new(CLIENT, client.to_string()));
        }
        if let Some((host, port)) = &self.host {
            attributes.push(KeyValue::new(ADDRESS, host.clone()));
            if let Some(port) = port {
                attributes.push(KeyValue::new(PORT, i64::from(*port)));
            }
        }
    }
}

/// The scheme that the client used: as trusted proxies tell it, else the connection's.
pub(in crate::http) fn scheme_used(origin: Option<&Origin>, uri: &http::Uri) -> Scheme {
    origin.and_then(|origin| origin.scheme).unwrap_or_else(|| Scheme::of(uri))
}

/// All lines of a header as one list (RFC 9110 section 5.3).
fn list(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut lines = headers.get_all(name).iter();
    let mut list = lines.next()?.to_str().ok()?.to_owned();
    for line in lines {
        list.push(',');
        list.push_str(line.to_str().ok()?);
    }
    (list.len() <= MAX_HEADER).then_some(list)
}

fn elements(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|element| !element.is_empty())
}

/// The elements of `Forwarded` (RFC 7239 section 4); `None` for what does not follow it.
fn forwarded(list: &str) -> Option<Vec<Hop>> {
    let mut hops = vec![Hop::default()];
    let mut rest = list.trim_start();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(',') {
            hops.push(Hop::default());
            rest = after.trim_start();
            continue;
        }
        if let Some(after) = rest.strip_prefix(';') {
            rest = after.trim_start();
            continue;
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = value(after)?;
        let hop = hops.last_mut()?;
        match name {
            name if name.eq_ignore_ascii_case("for") => hop.client = node(&value),
            name if name.eq_ignore_ascii_case("proto") => hop.scheme = scheme(&value),
            name if name.eq_ignore_ascii_case("host") => hop.host = Some(value),
            name if !name.is_empty() && name.bytes().all(is_token) => {}
            _ => return None,
        }
        rest = after.trim_start();
        if !(rest.is_empty() || rest.starts_with([',', ';'])) {
            return None;
        }
    }
    Some(hops)
}

/// A token or a quoted string, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.bytes().position(|byte| !is_token(byte)).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            char => value.push(char),
        }
    }
    None
}

/// RFC 9110 section 5.6.2; with ':' and brackets, which many proxies do not quote as they should.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:[]".contains(&byte)
}

/// An address, with or without a port; `unknown` and names that hide it are none (RFC 7239 section 6).
fn node(text: &str) -> Option<IpAddr> {
    let address = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((address, _)) => address.parse().ok(),
        None => text
            .parse()
            .ok()
            .or_else(|| text.rsplit_once(':')?.0.parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4)),
    };
    address.map(|address: IpAddr| address.to_canonical())
}

fn scheme(text: &str) -> Option<Scheme> {
    match text {
        text if text.eq_ignore_ascii_case("https") => Some(Scheme::Https),
        text if text.eq_ignore_ascii_case("http") => Some(Scheme::Http),
        _ => None,
    }
}

fn split_host(text: &str) -> Option<(String, Option<u16>)> {
    // it parses what may stand in a URI, and nothing else
    let authority: http::uri::Authority = text.parse().ok()?;
    let host = authority.host();
    let plain = !host.is_empty() && host.len() <= MAX_HOST && !text.contains('@');
    plain.then(|| (host.to_owned(), authority.port_u16()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(headers: &[(&'static str, &str)]) -> Option<Origin> {
        origin_by(ProxyHeaders::Any, headers)
    }

    fn origin_by(wanted: ProxyHeaders, headers: &[(&'static str, &str)]) -> Option<Origin> {
        let ranges = ["10.0.0.0/8", "fd00::/8"].map(|range| IpRange::parse(range).unwrap());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        TrustedProxies::new(&ranges, wanted).origin(Some("10.0.0.1:4711".parse().unwrap()), &map)
    }

    /// Client, scheme and host.
    fn told(headers: &[(&'static str, &str)]) -> [String; 3] {
        let origin = origin(headers).expect("something is told");
        let text = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let host = origin.host.map(|(host, port)| port.map_or(host.clone(), |port| format!("{host} {port}")));
        [
            text(origin.client.map(|client| client.to_string())),
            text(origin.scheme.map(|scheme| format!("{scheme:?}"))),
            text(host),
        ]
    }

    #[test]
    fn the_client_is_the_last_one_that_is_not_a_trusted_proxy() {
        // whatever a client writes itself stands before what the proxies add
        let forged = "for=1.1.1.1;proto=http;host=evil.example, for=203.0.113.7;proto=https;host=\"shop.example:8443\"";
        assert_eq!(told(&[("forwarded", forged)]), ["203.0.113.7", "Https", "shop.example 8443"]);
        let chain =
            "For=\"[2001:db8::17]:4711\";Proto=HTTPS;host=shop.example, for=10.0.0.2;by=_b;proto=http";
        assert_eq!(told(&[("forwarded", chain)]), ["2001:db8::17", "Https", "shop.example"]);
        assert_eq!(told(&[("forwarded", "for=10.0.0.3"), ("forwarded", "for=10.0.0.2")])[0], "10.0.0.3");
        for hidden in ["for=unknown", "for=_secret", "proto=https;by=10.0.0.1"] {
            assert_eq!(told(&[("forwarded", hidden)])[0], "-", "{hidden}");
        }
    }

    #[test]
    fn x_forwarded_is_read_the_same_way() {
        let headers = [
            ("x-forwarded-for", "1.1.1.1, 203.0.113.7:555"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x-forwarded-proto", "http,https,http"),
            ("x-forwarded-host", "evil.example, shop.example, inner"),
            ("x-forwarded-port", "1, 8443, 80"),
        ];
        assert_eq!(told(&headers), ["203.0.113.7", "Https", "shop.example 8443"]);
        // a proxy that overwrites leaves one value, however long the chain
        let single = [("x-forwarded-for", "203.0.113.7, 10.0.0.2"), ("x-forwarded-proto", "https")];
        assert_eq!(told(&single), ["203.0.113.7", "Https", "-"]);
        assert_eq!(told(&[("x-forwarded-proto", "https")]), ["-", "Https", "-"]);
        assert_eq!(told(&[("x-forwarded-for", "not an address")])[0], "-");
    }

    #[test]
    fn of_two_kinds_of_headers_one_may_be_the_clients_own() {
        let forged = [("forwarded", "for=1.1.1.1;host=evil"), ("x-forwarded-for", "203.0.113.7")];
        assert_eq!(origin(&forged), None);
        let client = |wanted| origin_by(wanted, &forged).unwrap().client.unwrap().to_string();
        assert_eq!(client(ProxyHeaders::XForwarded), "203.0.113.7");
        assert_eq!(client(ProxyHeaders::Forwarded), "1.1.1.1");
        let own = [
            ("forwarded", "for=203.0.113.7;host=evil;proto=https"),
            ("x-forwarded-for", "203.0.113.7"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(told(&own), ["203.0.113.7", "Https", "-"], "the host is said by one of them alone");
        assert_eq!(origin(&[("forwarded", "for=unknown"), ("x-forwarded-for", "unknown")]), None);
    }

    #[test]
    fn nothing_is_told_by_strangers_or_by_what_is_malformed() {
        for malformed in ["for", "for=", "for=\"1.1.1.1", "for=1.1.1.1 evil", "=1", "for=\"\\"] {
            let beside = [("forwarded", malformed), ("x-forwarded-for", "1.1.1.1")];
            assert_eq!(origin(&beside), None, "{malformed}");
        }
        assert_eq!(origin(&[("forwarded", &format!("for={}", "1".repeat(MAX_HEADER)))]), None);
        assert_eq!(origin(&[]), None);
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "1.1.1.1".parse().unwrap());
        let proxies = TrustedProxies::new(&[IpRange::parse("10.0.0.0/8").unwrap()], ProxyHeaders::Any);
        assert_eq!(proxies.origin(Some("192.0.2.1:1".parse().unwrap()), &headers), None);
        assert_eq!(proxies.origin(None, &headers), None);
        assert_eq!(TrustedProxies::default().origin(Some("10.0.0.1:1".parse().unwrap()), &headers), None);
        assert_eq!(origin(&[("x-forwarded-host", "a b"), ("x-forwarded-proto", "gopher")]), None);
    }
}
