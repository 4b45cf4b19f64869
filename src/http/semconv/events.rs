//! What is logged about requests that come in (exceptions/exceptions-logs.md, and the completion record).

use std::time::Duration;

use http::StatusCode;

use super::{METHOD, Method, OUTCOME, ROUTE, STATUS};
use crate::config::AccessLog;

/// The event of an error that ended a request, or is behind its 5xx (exceptions/exceptions-logs.md).
pub(in crate::http) fn log_exception(
    kind: &str,
    message: &dyn std::fmt::Display,
    stacktrace: Option<&str>,
    method: Method,
    route: &str,
) {
    tracing::event!(
        name: "http.server.request.exception",
        target: "tracewell::http",
        tracing::Level::ERROR,
        exception.type = kind,
        exception.message = %message,
        exception.stacktrace = stacktrace,
        { METHOD } = method.name(),
        { ROUTE } = route,
        "the request failed: {message}"
    );
}

/// A client that leaves is no error (http/http-spans.md "Status"): seen by who looks for it.
pub(in crate::http) fn log_left(outcome: &'static str) {
    tracing::event!(
        target: "tracewell::http",
        tracing::Level::DEBUG,
        { OUTCOME } = outcome,
        "the client left, or the request was given up"
    );
}

/// The completion record of a request (`TRACEWELL_ACCESS_LOG`); `duration` in seconds, as the histogram has it.
pub(in crate::http) fn log_access(
    wanted: AccessLog,
    method: Method,
    route: &str,
    status: Option<StatusCode>,
    outcome: &'static str,
    duration: Duration,
) {
    if wanted.wants(outcome == "completed", duration) {
        tracing::event!(
            name: "tracewell.access",
            target: "tracewell::access",
            tracing::Level::INFO,
            { METHOD } = method.name(),
            { ROUTE } = route,
            { STATUS } = status.map(|status| status.as_u16()),
            { OUTCOME } = outcome,
            duration = duration.as_secs_f64(),
            "{} {route}",
            method.name()
        );
    }
}
