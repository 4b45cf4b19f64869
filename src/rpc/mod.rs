//! gRPC: a call comes in, a call goes out.
//!
//! [`ServerLayer`] and [`ClientLayer`] are tower layers over `http::Request` and `http::Response`, for `tonic` and for
//! whatever else speaks gRPC over HTTP/2. They are the guard of [`http`](crate::http), in the words of the RPC conventions
//! (1.44, rpc/rpc-spans.md, rpc/rpc-metrics.md, rpc/grpc.md, release candidate): a span `package.Service/Method`, a
//! duration with exemplars (`rpc.server.call.duration`, `rpc.client.call.duration`, s) and, of a call that came in, an
//! entry among the [active requests](crate::requests). All end together, exactly once, with the stream: at its trailers, or
//! when it is dropped, reset, cut, cancelled or panics before.
//!
//! | what happens | outcome | `rpc.response.status_code` | span, `error.type` |
//! |---|---|---|---|
//! | `OK`, or a code that is the caller's business | completed | the code | unset |
//! | `UNKNOWN`, `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`, `INTERNAL`, `UNAVAILABLE`, `DATA_LOSS` | failed | the code | Error, the code |
//! | the caller leaves, or its stream is cut, before the headers | cancelled | `CANCELLED` | unset |
//! | the same after the headers | aborted | `CANCELLED` | unset |
//! | the same once `grpc-timeout` has passed | cancelled, aborted | `DEADLINE_EXCEEDED` | Error, the code |
//! | a panic | panicked | none | Error, `panic` |
//! | the inner service returns an error, or the body fails | failed, aborted | none | Error, type name |
//!
//! On a client every code but `OK` is an error; a call that its caller drops has `CANCELLED`, one that never got through
//! `UNAVAILABLE` with `error.type` = `connect`, `dns` or `tls`, one whose stream was reset the code that the reset means, one
//! that a panic ends `UNKNOWN` with `error.type` = `panic`.
//! An answer without `grpc-status` has the code that its HTTP status means. The status's words are the span's status
//! description.
//!
//! A call that streams, which a second message or a wait between two shows, is in the stage
//! [`STREAMING`](crate::requests::STREAMING) until its end; unlike server-sent events, its duration is recorded there. Its
//! entry's route is the method, its deadline an annotation (and `tracewell.rpc.timeout` on the span, s), the messages of
//! both directions are counted on the span.
//!
//! # Beside `http::ServerLayer`
//!
//! `ServerLayer` lets pass what is no call (by its content type), so that both layers can be around one router. Inside of
//! an [`http::ServerLayer`](crate::http::ServerLayer), in the same task, a call shares the HTTP request's entry and is a
//! child of its span: the registry counts it once, and so does each metric. One of the two is enough: `ServerLayer` around
//! the services, `http::ServerLayer` around the other routes.
//!
//! # Methods that nobody has
//!
//! `rpc.method` is `_OTHER` where the answer is `UNIMPLEMENTED` and the method never answered anything else, with the name
//! in `rpc.method_original` on the span alone: strangers cannot make up series.

mod instruments;
mod messages;
mod metadata;
mod method;
mod semconv;

// a call comes in
mod request_body;
mod served;
mod server;

// a call goes out
mod client;
mod made;

// may traffic come
#[cfg(feature = "grpc")]
mod health;

#[cfg(feature = "grpc")]
pub use self::health::HealthService;
pub use self::{
    client::{ClientLayer, ClientService},
    request_body::RequestBody,
    server::{ServerLayer, ServerService},
};
pub(crate) use self::{made::Made, served::Served, server::Serving};
