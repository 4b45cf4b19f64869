//! Semantic conventions for HTTP, version 1.44: requests, responses and calls into attributes. Pure, and the only folder that
//! knows names starting with `http.` and `url.`.
//!
//! | file | |
//! |---|---|
//! | `server.rs` | a request that comes in: span and metrics |
//! | `client.rs` | a call that goes out: span and metric |
//! | `events.rs` | what is logged about requests |
//! | `headers.rs` | headers that somebody wants to see |
//! | `forwarded.rs` | what trusted proxies say of a request |
//! | `method.rs`, `values.rs` | what these have in common |

pub(super) mod client;
mod events;
pub(super) mod forwarded;
pub(super) mod headers;
mod method;
mod server;
mod values;

use http::Uri;

use self::method::OTHER;
pub(super) use self::{
    events::{log_access, log_exception, log_left},
    method::{METHODS_MAX, Method, Methods},
    server::{
        ACTIVE, BYTES, DURATION, FIRST_BYTE, Point, REQUEST_SIZE, RESPONSE_SIZE, active, end, error_type,
        path, point, start, unremembered_route,
    },
};
pub(crate) use self::{
    server::Ending,
    values::{address_text, clip, server},
};

/// The names that several of these files write.
const ADDRESS: &str = "server.address";
const PORT: &str = "server.port";
const CLIENT: &str = "client.address";
const PEER_ADDRESS: &str = "network.peer.address";
const PEER_PORT: &str = "network.peer.port";
const PROTOCOL_VERSION: &str = "network.protocol.version";
pub(crate) const METHOD: &str = "http.request.method";
const METHOD_ORIGINAL: &str = "http.request.method_original";
const STATUS: &str = "http.response.status_code";
pub(crate) const ROUTE: &str = "http.route";
pub(crate) const PATH: &str = "url.path";
const ERROR_TYPE: &str = "error.type";
const OUTCOME: &str = "tracewell.outcome";

/// Bucket boundaries of both times (http/http-metrics.md), in seconds.
pub(crate) const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::http) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(in crate::http) fn of(uri: &Uri) -> Self {
        if uri.scheme_str() == Some("https") { Self::Https } else { Self::Http }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}
