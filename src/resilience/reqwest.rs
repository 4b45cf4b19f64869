//! A policy for `reqwest`, as middleware.

use http::{Extensions, HeaderMap, StatusCode};
use reqwest::{Request, Response};
use reqwest_middleware::{Error, Middleware, Next, Result};

use super::{
    Failure, HttpJudge, Policy,
    layer::{Answered, AsError, Errors},
};
use crate::http::ResendCount;

/// Makes each request's attempts under a [`Policy`], as [`HttpJudge`] says; made by [`Policy::middleware`]. It comes before
/// (outside of) [`ClientMiddleware`](crate::http::ClientMiddleware), which then shows every attempt.
///
/// A request whose body is a stream is sent once. Errors of the policy itself ([`BreakerOpen`](super::BreakerOpen),
/// [`BulkheadFull`](super::BulkheadFull), [`TimedOut`](super::TimedOut)) are `Error::Middleware`, found by `downcast_ref`.
///
/// ```
/// use tracewell::{http::ClientLayer, resilience::{Breaker, Policy, Retry}};
///
/// # let client = reqwest::Client::new();
/// let users = Policy::new("users").with_retry(Retry::new()).with_breaker(Breaker::new("users"));
/// let client = reqwest_middleware::ClientBuilder::new(client)
///     .with(users.middleware())
///     .with(ClientLayer::new().middleware())
///     .build();
/// # drop(client);
/// ```
#[derive(Debug, Clone)]
pub struct PolicyMiddleware {
    policy: Policy,
    errors: Errors,
}

impl Policy {
    /// This policy for `reqwest`.
    #[must_use]
    pub fn middleware(&self) -> PolicyMiddleware {
        PolicyMiddleware { policy: self.clone(), errors: Errors::default() }
    }
}

impl PolicyMiddleware {
    /// Says error by error what one means; [`Verdict::Retry`](super::Verdict::Retry) otherwise.
    #[must_use]
    pub fn with_errors(
        mut self,
        verdict: impl Fn(&(dyn std::error::Error + 'static)) -> super::Verdict + Send + Sync + 'static,
    ) -> Self {
        self.errors = Errors::judged_by(verdict);
        self
    }
}

/// An answer, and what the middleware behind it left.
type Answer = (Response, Extensions);

impl Answered for Answer {
    fn head(&self) -> (StatusCode, &HeaderMap) {
        (self.0.status(), self.0.headers())
    }
}

impl AsError for Error {
    fn as_error(&self) -> &(dyn std::error::Error + 'static) {
        self
    }
}

#[async_trait::async_trait]
impl Middleware for PolicyMiddleware {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let judge = HttpJudge::for_request(request.method(), request.headers());
        // a body that is a stream is there once
        let again = request.try_clone();
        let judge = self.errors.with(if again.is_some() { judge } else { judge.once() });
        let target = self.policy.is_per_target().then(|| target(request.url())).flatten();
        let before = extensions.clone();
        let mut first = Some(request);
        let result = self.policy.call_to(target.as_deref(), &judge, |resends| {
            let request = first.take().or_else(|| again.as_ref().and_then(Request::try_clone));
            let mut extensions = before.clone();
            extensions.insert(ResendCount(resends));
            let next = next.clone();
            async move {
                let request = request.ok_or_else(|| Error::middleware(SentAlready))?;
                let response = next.run(request, &mut extensions).await?;
                Ok::<Answer, Error>((response, extensions))
            }
        });
        match result.await {
            Ok((response, left)) => {
                *extensions = left;
                Ok(response)
            }
            Err(Failure::Call(error)) => Err(error),
            Err(Failure::Open(error)) => Err(Error::middleware(error)),
            Err(Failure::Full(error)) => Err(Error::middleware(error)),
            Err(Failure::Timeout(error)) => Err(Error::middleware(error)),
        }
    }
}

/// A body that said it could be cloned, and then could not.
#[derive(Debug, thiserror::Error)]
#[error("the request's body cannot be sent again")]
struct SentAlready;

fn target(url: &reqwest::Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}
