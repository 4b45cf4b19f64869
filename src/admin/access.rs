//! Who may see more than a status.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{Request, header, uri::Authority};
use subtle::ConstantTimeEq as _;

use crate::config::{AdminConfig, IpRange, Secret};

/// The rule of access.
#[derive(Debug)]
pub(super) struct Access {
    token: Option<Secret>,
    allow: Vec<IpRange>,
}

impl Access {
    pub(super) fn new(config: &AdminConfig) -> Self {
        Self { token: config.token.clone(), allow: config.allow.clone() }
    }

    /// Whether the caller may see everything: by its address, or by the token. What a proxy passes on comes from
    /// somebody else than its address says.
    pub(super) fn trusts<B>(&self, request: &Request<B>) -> bool {
        let peer =
            request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical());
        let is_own = !FORWARDED.iter().any(|name| request.headers().contains_key(*name));
        peer.is_some_and(|peer| is_own && self.trusts_address(peer, request)) || self.has_token(request)
    }

    fn trusts_address<B>(&self, address: IpAddr, request: &Request<B>) -> bool {
        let listed = || self.allow.iter().any(|range| range.contains(address));
        (address.is_loopback() && is_for_this_machine(request)) || listed()
    }

    /// Whether the caller gave the token, wherever it is.
    pub(super) fn has_token<B>(&self, request: &Request<B>) -> bool {
        let Some(token) = &self.token else { return false };
        let mut given = request.headers().get_all(header::AUTHORIZATION).iter();
        // of two headers nobody knows which one is meant
        let (Some(given), None) = (given.next(), given.next()) else { return false };
        match given.as_bytes().split_at_checked("Bearer ".len()) {
            Some((scheme, given)) => {
                scheme.eq_ignore_ascii_case(b"Bearer ") && same(given, token.expose().as_bytes())
            }
            None => false,
        }
    }
}

/// What proxies say of whom they pass on.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/// Whether the request was meant for loopback. A page in a browser on this machine reaches it under a name of its own
/// that it makes resolve to 127.0.0.1 (DNS rebinding): that page's requests come from loopback too.
fn is_for_this_machine<B>(request: &Request<B>) -> bool {
    let named = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or("?"));
    let Some(named) = request.uri().authority().map(Authority::as_str).or(named) else { return true };
    let Ok(authority) = named.parse::<Authority>() else { return false };
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    // nobody can register a name without a dot
    address.parse::<IpAddr>().is_ok() || !host.contains('.') || host.ends_with(".localhost")
}

/// Compares every byte whatever they are: the time tells whether the lengths are the same, and nothing else.
fn same(given: &[u8], expected: &[u8]) -> bool {
    given.ct_eq(expected).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(token: Option<&str>, allow: &[&str]) -> Access {
        let allow = allow.iter().map(|range| IpRange::parse(range).unwrap()).collect();
        Access { token: token.map(Secret::new), allow }
    }

    fn request(peer: Option<&str>, authorization: Option<&str>) -> Request<()> {
        let mut request = Request::new(());
        if let Some(peer) = peer {
            let address = SocketAddr::new(peer.parse().unwrap(), 1);
            request.extensions_mut().insert(ConnectInfo(address));
        }
        if let Some(authorization) = authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        request
    }

    #[test]
    fn a_page_that_calls_loopback_by_a_name_of_its_own_is_not_trusted() {
        let access = access(Some("s3cret"), &["10.0.0.0/8"]);
        for (peer, host, expected) in [
            ("127.0.0.1", "127.0.0.1:9470", true),
            ("::1", "[::1]:9470", true),
            ("127.0.0.1", "localhost:9470", true),
            ("127.0.0.1", "LOCALHOST.", true),
            ("127.0.0.1", "storefront:9470", true),
            ("127.0.0.1", "shop.localhost", true),
            ("127.0.0.1", "evil.example:9470", false),
            ("127.0.0.1", "127.0.0.1.evil.example", false),
            ("127.0.0.1", "localhost.evil.example", false),
            ("127.0.0.1", "", false),
            // whoever listed an address knows its clients
            ("10.1.2.3", "shop.internal:9470", true),
        ] {
            let mut by_header = request(Some(peer), None);
            by_header.headers_mut().insert(header::HOST, host.parse().unwrap());
            assert_eq!(access.trusts(&by_header), expected, "{peer} {host:?}");
            if !host.is_empty() {
                let mut by_target = request(Some(peer), None);
                *by_target.uri_mut() = format!("http://{host}/metrics").parse().unwrap();
                assert_eq!(access.trusts(&by_target), expected, "{peer} {host:?}");
            }
            let mut with_token = request(Some(peer), Some("Bearer s3cret"));
            with_token.headers_mut().insert(header::HOST, host.parse().unwrap());
            assert!(access.trusts(&with_token));
        }
    }

    #[test]
    fn loopback_the_list_and_the_token_are_trusted_and_nobody_else() {
        let access = access(Some("s3cret"), &["10.0.0.0/8"]);
        for (peer, authorization, expected) in [
            (Some("127.0.0.1"), None, true),
            (Some("::ffff:127.0.0.1"), None, true),
            (Some("::1"), None, true),
            (Some("10.1.2.3"), None, true),
            (Some("11.1.2.3"), None, false),
            (None, None, false),
            (None, Some("Bearer s3cret"), true),
            (Some("11.1.2.3"), Some("bearer s3cret"), true),
            (None, Some("Bearer s3cre"), false),
            (None, Some("Bearer s3crett"), false),
            (None, Some("Bearer "), false),
            (None, Some("s3cret"), false),
            (None, Some("Basic s3cret"), false),
        ] {
            assert_eq!(access.trusts(&request(peer, authorization)), expected, "{peer:?} {authorization:?}");
        }
    }

    #[test]
    fn no_other_text_is_the_token_however_near_it_is() {
        let long = "t0ken-".repeat(300);
        for token in ["s3cret", "x", long.as_str()] {
            let access = access(Some(token), &[]);
            let trusts = |given: &str| access.trusts(&request(None, Some(&format!("Bearer {given}"))));
            assert!(trusts(token));
            for end in 0..token.len() {
                assert!(!trusts(&token[..end]), "its beginning");
                let other = if &token[end..=end] == "y" { "z" } else { "y" };
                assert!(
                    !trusts(&format!("{}{other}{}", &token[..end], &token[end + 1..])),
                    "one byte at {end}"
                );
            }
            for more in [format!("{token}y"), format!("{token}{token}"), format!("{token},{token}")] {
                assert!(!trusts(&more), "{more}");
            }
        }
        let mut twice = request(None, Some("Bearer s3cret"));
        twice.headers_mut().append(header::AUTHORIZATION, "Bearer wrong".parse().unwrap());
        assert!(!access(Some("s3cret"), &[]).trusts(&twice));
    }

    #[test]
    fn what_a_proxy_passes_on_is_not_trusted_for_the_proxys_address() {
        let access = access(Some("s3cret"), &["10.0.0.0/8"]);
        for name in FORWARDED {
            for (peer, authorization, expected) in [
                ("127.0.0.1", None, false),
                ("10.1.2.3", None, false),
                ("127.0.0.1", Some("Bearer s3cret"), true),
            ] {
                let mut request = request(Some(peer), authorization);
                request.headers_mut().insert(name, "192.0.2.7".parse().unwrap());
                assert_eq!(access.trusts(&request), expected, "{name} {peer} {authorization:?}");
            }
        }
    }

    #[test]
    fn without_a_token_no_token_is_right() {
        let access = access(None, &[]);
        assert!(!access.trusts(&request(None, Some("Bearer "))));
    }
}
