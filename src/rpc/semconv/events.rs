//! What is logged about calls that come in (exceptions/exceptions-logs.md, and the completion record).

use std::time::Duration;

use super::{Code, Conclusion, METHOD, OUTCOME, STATUS_CODE};
use crate::config::AccessLog;

/// The event of an error that ended a call (exceptions/exceptions-logs.md).
pub(crate) fn log_exception(kind: &str, message: &dyn std::fmt::Display, method: &str) {
    tracing::event!(
        name: "rpc.server.call.exception",
        target: "tracewell::rpc",
        tracing::Level::ERROR,
        exception.type = kind,
        exception.message = %message,
        { METHOD } = method,
        "the call failed: {message}"
    );
}

/// Whether the words of such a status are an error that a person should read.
pub(crate) fn is_told(code: Code) -> bool {
    matches!(code, Code::UNKNOWN | Code::INTERNAL | Code::UNAVAILABLE | Code::DATA_LOSS)
}

/// A caller that leaves is no error: seen by who looks for it.
pub(crate) fn log_left(outcome: &'static str, method: &str) {
    tracing::event!(
        target: "tracewell::rpc",
        tracing::Level::DEBUG,
        { OUTCOME } = outcome,
        { METHOD } = method,
        "the caller left, or the call was given up"
    );
}

/// The completion record of a call (`TRACEWELL_ACCESS_LOG`); `duration` in seconds, as the histogram has it.
pub(crate) fn log_access(
    wanted: AccessLog,
    method: &str,
    conclusion: &Conclusion,
    outcome: &'static str,
    duration: Duration,
) {
    if wanted.wants(outcome == "completed", duration) {
        tracing::event!(
            name: "tracewell.access",
            target: "tracewell::access",
            tracing::Level::INFO,
            { METHOD } = method,
            { STATUS_CODE } = conclusion.code.map(Code::name),
            { OUTCOME } = outcome,
            duration = duration.as_secs_f64(),
            "{method}"
        );
    }
}
