//! For handlers of axum: the request's entry as an argument, and an error type whose errors are seen.

use std::{convert::Infallible, error::Error, fmt};

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};

use super::{Cause, client::BoxError};
use crate::requests::{self, Current};

/// The error of a handler: a 500 without a word to the client, and a log record `http.server.request.exception` with the
/// error and its causes in the request's trace; see [`Cause`].
///
/// ```
/// use axum::{Router, routing::get};
/// use tracewell::http::{Failure, ServerLayer};
///
/// async fn report() -> Result<String, Failure> {
///     Ok(std::fs::read_to_string("/no/such/report")?)
/// }
///
/// let app: Router = Router::new().route("/report", get(report)).layer(ServerLayer::new());
/// # drop(app);
/// ```
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    cause: Cause,
}

impl Failure {
    /// This error, answered with 500.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, cause: Cause::new(error) }
    }

    /// The same error, answered with this status; it is logged from 500 on, since below it is the client's (RFC 9110, section 15.5).
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.status.canonical_reason().unwrap_or("error")).into_response();
        response.extensions_mut().insert(self.cause);
        response
    }
}

/// There is no entry of the request: no [`ServerLayer`](super::ServerLayer) observes it. Answered with 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotObserved;

impl fmt::Display for NotObserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no ServerLayer observes this request: add one to the router, or ask for an Option<Current>",
        )
    }
}

impl Error for NotObserved {}

impl IntoResponse for NotObserved {
    fn into_response(self) -> Response {
        Failure::new(self).into_response()
    }
}

/// The request's entry, for its stages, annotations and attributes.
///
/// ```
/// use axum::{Router, routing::get};
/// use tracewell::{http::ServerLayer, requests::Current};
///
/// async fn user(request: Current) -> &'static str {
///     request.set_stage("waiting for the database");
///     request.set_attribute("shop.tenant", "acme");
///     "a user"
/// }
///
/// let app: Router = Router::new().route("/users/{id}", get(user)).layer(ServerLayer::new());
/// # drop(app);
/// ```
impl<S: Send + Sync> FromRequestParts<S> for Current {
    type Rejection = NotObserved;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, NotObserved> {
        requests::current().ok_or(NotObserved)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Current {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(requests::current())
    }
}
