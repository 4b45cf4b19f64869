//! HTTP instrumentation: a request comes in, a call goes out.
//!
//! [`ServerLayer`] works with any tower HTTP service. For every request it makes a span, five metrics with exemplars and
//! an entry among the [active requests](crate::requests), and it ends all of them together, exactly once, however the
//! request ends:
//!
//! | what happens | outcome | span | `http.server.request.duration` |
//! |---|---|---|---|
//! | response below 500, body delivered or nothing to send | completed | status unset | with the status code |
//! | response with 5xx | failed | Error, `error.type` = the code | with `error.type` |
//! | the inner service returns an error | failed | Error, `error.type` = type name | with `error.type`, no status code |
//! | the future is dropped: client gone, timeout outside | cancelled | unset, ends then | `tracewell.outcome`=`cancelled` |
//! | a panic | panicked | Error, `error.type`=`panic` | with `error.type`; the panic goes on |
//! | the body is dropped before its end, or fails | aborted | unset, or Error when it failed | code and outcome |
//! | upgrade (101, CONNECT), `text/event-stream` | its stream's own end | ends at the headers | recorded at the headers |
//!
//! A request that an operator cancelled ends as cancelled, or as aborted once its headers were sent; so does one that the
//! service's shutdown cut off. `tracewell.cancel.reason` on its span, `operator` or `shutdown`, tells them from a client
//! that left. The error behind a 5xx is logged where a handler gives it: [`Cause`].
//!
//! Delivered means that the server took the last frame, or as many bytes as were announced; what the network loses
//! behind it nobody here can see. A body that ends before the length it announced has failed (`body_truncated`). An
//! upgraded request stays active until its connection closes, or its stream of HTTP/2, where the server keeps a
//! [`ConnectionScope`]; elsewhere it ends at the headers.
//!
//! Who calls is a choice of trust. By default a caller's trace is continued, and the peer of the connection is the client.
//! [`ServerLayer::with_public_endpoint`] starts a trace of its own and links the caller's;
//! [`ServerLayer::with_trusted_proxies`] takes `Forwarded` and `X-Forwarded-*` at the word of those proxies, and of nobody
//! else, for `client.address`, `server.address` and the scheme.
//!
//! Which route a request takes only its router knows: axum's says it, for others there are [`RouteTemplate`] and
//! [`requests::set_route`](crate::requests::set_route). Without a route, `http.route` is absent and the span's name the method.
//!
//! Metrics: `http.server.request.duration` (s, until the last byte of the body),
//! `tracewell.http.server.time_to_first_byte` (s, until the headers), `http.server.active_requests` ({request}),
//! `http.server.request.body.size` and `http.server.response.body.size` (By). Conventions 1.44, http/http-spans.md and
//! http/http-metrics.md. Neither `Host` nor the raw path is ever a metric's attribute, an unknown method is `_OTHER`, and
//! secrets in the query are redacted.

mod cause;
mod client;
#[cfg(feature = "axum")]
mod handler;
mod metrics;
mod route;
mod semconv;
mod server;
mod texts;

pub use self::cause::Cause;
#[cfg(feature = "reqwest")]
pub use self::client::ClientMiddleware;
pub(crate) use self::client::{BoxError, given_up, giving_up_on};
pub use self::client::{CallBody, CallFuture, ClientLayer, ClientService, ResendCount, UrlTemplate};
#[cfg(feature = "axum")]
pub use self::handler::{Failure, NotObserved};
pub use self::route::RouteTemplate;
pub use self::server::{ConnectionScope, Peer, ResponseBody, ResponseFuture, ServerLayer, ServerService};
pub(crate) use self::{
    client::{Call, Shared as ClientShared},
    metrics::instruments_made,
    semconv::{
        Ending as ServerEnding, METHOD, PATH, ROUTE, SECONDS, address_text,
        client::{Ending as ClientEnding, Target, failure},
        clip,
        headers::{Captured, REQUEST_HEADER, captured, header_attributes},
        server as server_asked,
    },
    server::{Settings, Shared as ServerShared, begin_call, configure},
    texts::shared as shared_text,
};
