//! A policy as a tower layer, for HTTP requests that can be cloned.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response, StatusCode, Uri};
use tower_layer::Layer;
use tower_service::Service;

use super::{Failure, HttpJudge, Judge, Policy, Verdict};
use crate::http::{BoxError, ResendCount};

/// Makes each request's attempts under a [`Policy`], as [`HttpJudge`] says. Its place is around
/// [`ClientLayer`](crate::http::ClientLayer), which then shows every attempt.
///
/// The future is boxed, one allocation a call; [`Policy::call_with`] has none. [`ResendCount`] is set for each attempt.
#[derive(Debug, Clone)]
pub struct PolicyLayer {
    policy: Policy,
    errors: Errors,
}

impl Policy {
    /// This policy as a layer.
    #[must_use]
    pub fn layer(&self) -> PolicyLayer {
        PolicyLayer { policy: self.clone(), errors: Errors::default() }
    }
}

impl PolicyLayer {
    /// Says error by error what one means; [`Verdict::Retry`] otherwise. What may not be repeated is not, whatever it says.
    #[must_use]
    pub fn with_errors(
        mut self,
        verdict: impl Fn(&(dyn Error + 'static)) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        self.errors = Errors::judged_by(verdict);
        self
    }
}

impl<S> Layer<S> for PolicyLayer {
    type Service = PolicyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PolicyService { inner, policy: self.policy.clone(), errors: self.errors.clone() }
    }
}

/// What errors mean, by the user's word.
#[derive(Clone, Default)]
pub(super) struct Errors(Option<Arc<ErrorVerdict>>);

type ErrorVerdict = dyn Fn(&(dyn Error + 'static)) -> Verdict + Send + Sync;

impl Errors {
    pub(super) fn judged_by(
        verdict: impl Fn(&(dyn Error + 'static)) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(verdict)))
    }

    pub(super) fn with(&self, answers: HttpJudge) -> Both<'_> {
        Both { answers, errors: self }
    }
}

impl fmt::Debug for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Errors(chosen)" } else { "Errors(default)" })
    }
}

/// [`HttpJudge`] for answers, the user's word for errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Both<'a> {
    answers: HttpJudge,
    errors: &'a Errors,
}

/// What the clients' answers have in common.
pub(super) trait Answered {
    fn head(&self) -> (StatusCode, &HeaderMap);
}

impl<B> Answered for Response<B> {
    fn head(&self) -> (StatusCode, &HeaderMap) {
        (self.status(), self.headers())
    }
}

/// What the clients' errors have in common.
pub(super) trait AsError: fmt::Display {
    fn as_error(&self) -> &(dyn Error + 'static);
}

impl AsError for BoxError {
    fn as_error(&self) -> &(dyn Error + 'static) {
        &**self
    }
}

impl<T: Answered, E: AsError> Judge<T, E> for Both<'_> {
    fn verdict(&self, result: &Result<T, E>) -> Verdict {
        match (result, &self.errors.0) {
            (Ok(answer), _) => {
                let (status, headers) = answer.head();
                self.answers.answer(status, headers)
            }
            (Err(error), Some(verdict)) => self.answers.as_allowed(verdict(error.as_error())),
            (Err(_), None) => self.answers.as_allowed(Verdict::Retry),
        }
    }

    fn timed_out(&self) -> Verdict {
        self.answers.as_allowed(Verdict::Retry)
    }

    fn describe(&self, result: Result<&T, &E>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match result {
            Ok(answer) => write!(f, "the answer was {}", answer.head().0),
            // outer errors of clients say little: the causes are what tells two failures apart
            Err(error) => {
                error.fmt(f)?;
                let mut cause = error.as_error().source();
                while let Some(error) = cause {
                    write!(f, ": {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
        }
    }
}

/// A client whose requests are made under a policy; made by [`PolicyLayer`].
///
/// Its errors are the client's own, [`BreakerOpen`](super::BreakerOpen), [`BulkheadFull`](super::BulkheadFull) and
/// [`TimedOut`](super::TimedOut), boxed.
#[derive(Debug, Clone)]
pub struct PolicyService<S> {
    inner: S,
    policy: Policy,
    errors: Errors,
}

impl<S, B, R> Service<Request<B>> for PolicyService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Clone + Send + Sync + 'static,
    R: Send + Sync + 'static,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // each attempt waits for a service that is ready, within its own time
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Self { inner, policy, errors } = self.clone();
        Box::pin(async move {
            let judge = errors.with(HttpJudge::of(&request));
            let target = policy.is_per_target().then(|| target(request.uri())).flatten();
            let result = policy.call_to(target.as_deref(), &judge, |resends| {
                let mut request = request.clone();
                let mut inner = inner.clone();
                request.extensions_mut().insert(ResendCount(resends));
                async move {
                    std::future::poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
                    inner.call(request).await.map_err(Into::<BoxError>::into)
                }
            });
            result.await.map_err(|failure| match failure {
                Failure::Call(error) => error,
                Failure::Open(error) => error.into(),
                Failure::Full(error) => error.into(),
                Failure::Timeout(error) => error.into(),
            })
        })
    }
}

fn target(uri: &Uri) -> Option<String> {
    let host = uri.host()?;
    Some(uri.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}
