//! The error behind a response that says no more than 5xx.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    error::Error,
    fmt::{self, Write as _},
    sync::Arc,
};

use super::client::BoxError;

/// Causes of causes that are looked at.
const MAX_CHAIN: usize = 32;

/// The error behind a response, as an extension of it: with a status of 500 or above, [`ServerLayer`](super::ServerLayer)
/// logs it, with its causes and in the request's trace, as `http.server.request.exception` (semantic conventions 1.44,
/// exceptions/exceptions-logs.md). The client sees nothing of it.
///
/// ```
/// use http::{Response, StatusCode};
/// use tracewell::http::Cause;
///
/// let error = std::io::Error::other("the disk is full");
/// let mut response = Response::new("try again later");
/// *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
/// response.extensions_mut().insert(Cause::new(error));
/// ```
///
/// With axum, `(StatusCode::BAD_GATEWAY, Extension(Cause::new(error)))` is such a response, and `http::Failure` is one
/// for `?`.
#[derive(Clone)]
pub struct Cause(Arc<Inner>);

struct Inner {
    kind: &'static str,
    error: BoxError,
    backtrace: Backtrace,
}

impl Cause {
    /// The error; with `RUST_BACKTRACE` set, the place where this is called comes with it.
    pub fn new<E: Into<BoxError>>(error: E) -> Self {
        Self(Arc::new(Inner {
            kind: std::any::type_name::<E>(),
            error: error.into(),
            backtrace: Backtrace::capture(),
        }))
    }

    /// The name of the error's type, for `exception.type`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.0.kind
    }

    /// The error.
    #[must_use]
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0.error
    }

    fn chain(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        std::iter::successors(self.0.error.source(), |cause| (*cause).source()).take(MAX_CHAIN)
    }

    /// The error and its causes in one line, without those that an error has in its own text already.
    pub(super) fn message(&self) -> String {
        let mut message = self.0.error.to_string();
        for cause in self.chain() {
            let cause = cause.to_string();
            if !message.ends_with(&cause) {
                message.push_str(": ");
                message.push_str(&cause);
            }
        }
        message
    }

    /// The error, its causes and the backtrace, one below the other; nothing where the message says it all.
    pub(super) fn stacktrace(&self) -> Option<String> {
        let traced = self.0.backtrace.status() == BacktraceStatus::Captured;
        if !traced && self.0.error.source().is_none() {
            return None;
        }
        let mut text = format!("{}: {}", self.0.kind, self.0.error);
        // writing to a String cannot fail
        for cause in self.chain() {
            let _ = write!(text, "\nCaused by: {cause}");
        }
        if traced {
            let _ = write!(text, "\n{}", self.0.backtrace);
        }
        Some(text)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cause").field(&self.0.error).finish()
    }
}
