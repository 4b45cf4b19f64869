//! What a prober is answered, as far as a program may replace it.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use http::{HeaderMap, Response, StatusCode};

use super::{CheckResult, Status};

/// Which question a prober asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Probe {
    /// Does it live: `/health`, `/livez`.
    Liveness,
    /// May traffic come: `/ready`, `/readyz`.
    Readiness,
    /// Is the start over: `/startup`.
    Startup,
    /// How is everything: `/healthcheck`.
    All,
}

impl Probe {
    /// As Kubernetes' own endpoints are named in the last line of their verbose text.
    #[cfg(feature = "admin")]
    pub(crate) fn short(self) -> &'static str {
        match self {
            Self::Liveness => "livez",
            Self::Readiness => "readyz",
            Self::Startup => "startup",
            Self::All => "healthz",
        }
    }
}

/// An answer about to be given.
#[derive(Debug)]
#[non_exhaustive]
pub struct Answering<'a> {
    /// What was asked.
    pub probe: Probe,
    /// The outcome.
    pub status: Status,
    /// Whether the caller may see more than the status. What is put into the answer of one who may not is public.
    pub trusted: bool,
    /// The checks behind the outcome; empty for callers who may see the status only, and for liveness, which has none.
    pub results: &'a [CheckResult],
    /// The request's headers.
    pub headers: &'a HeaderMap,
}

/// What the probes answer; liveness keeps 200 and 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatusCodes {
    /// All critical checks pass.
    pub pass: StatusCode,
    /// Some check warns, or one that is not critical fails.
    pub warn: StatusCode,
    /// A critical check fails, or no traffic may come.
    pub fail: StatusCode,
}

impl Default for StatusCodes {
    fn default() -> Self {
        let ok = StatusCode::OK;
        Self { pass: ok, warn: ok, fail: StatusCode::SERVICE_UNAVAILABLE }
    }
}

impl StatusCodes {
    /// The code of a status.
    #[must_use]
    pub const fn of(&self, status: Status) -> StatusCode {
        match status {
            Status::Pass => self.pass,
            Status::Warn => self.warn,
            Status::Fail => self.fail,
        }
    }
}

type Render = dyn Fn(&Answering<'_>, Response<String>) -> Response<String> + Send + Sync;

/// Makes another answer out of the one that would be given.
#[derive(Clone)]
pub(crate) struct Renderer(Arc<Render>);

impl fmt::Debug for Renderer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Renderer")
    }
}

impl Renderer {
    pub(crate) fn new(
        render: impl Fn(&Answering<'_>, Response<String>) -> Response<String> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(render))
    }

    /// A panic leaves the answer as it was; liveness keeps its code, which restarts the service when it is wrong.
    #[cfg_attr(
        not(feature = "admin"),
        expect(dead_code, reason = "answers are given by the admin endpoints")
    )]
    pub(crate) fn render(&self, answering: &Answering<'_>, answer: Response<String>) -> Response<String> {
        let (code, spare) = (answer.status(), answer.clone());
        let rendered = catch_unwind(AssertUnwindSafe(|| (self.0)(answering, answer)));
        let mut rendered = rendered.unwrap_or(spare);
        if answering.probe == Probe::Liveness {
            *rendered.status_mut() = code;
        }
        rendered
    }
}
