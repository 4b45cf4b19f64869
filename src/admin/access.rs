//! Who may see more than a status.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{Request, header};

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

    /// Whether the caller may see everything: by its address, or by the token.
    pub(super) fn trusts<B>(&self, request: &Request<B>) -> bool {
        let peer =
            request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical());
        peer.is_some_and(|peer| self.trusts_address(peer)) || self.has_token(request)
    }

    fn trusts_address(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.allow.iter().any(|range| range.contains(address))
    }

    /// Whether the caller gave the token, wherever it is.
    pub(super) fn has_token<B>(&self, request: &Request<B>) -> bool {
        let Some(token) = &self.token else { return false };
        let given = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().get(..7 + MAX_TOKEN).or(Some(value.as_bytes())));
        given.is_some_and(|given| match given.split_at_checked("Bearer ".len()) {
            Some((scheme, given)) => {
                scheme.eq_ignore_ascii_case(b"Bearer ") && same(given, token.expose().as_bytes())
            }
            None => false,
        })
    }
}

/// More of a header than this is not looked at.
const MAX_TOKEN: usize = 1024;

/// Compares in a time that depends on the given text only, not on where it differs.
fn same(given: &[u8], expected: &[u8]) -> bool {
    let mut difference = u8::from(given.len() != expected.len());
    for (index, byte) in given.iter().enumerate() {
        let expected = expected.get(index).copied().unwrap_or(!byte);
        difference |= std::hint::black_box(byte ^ expected);
    }
    difference == 0
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
    fn without_a_token_no_token_is_right() {
        let access = access(None, &[]);
        assert!(!access.trusts(&request(None, Some("Bearer "))));
    }
}
