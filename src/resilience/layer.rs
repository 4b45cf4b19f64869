//! A policy as a tower layer, for HTTP requests that can be cloned.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::{Failure, HttpJudge, Policy};
use crate::http::{BoxError, ResendCount};

/// Makes each request's attempts under a [`Policy`], as [`HttpJudge`] says. Its place is around
/// [`ClientLayer`](crate::http::ClientLayer), which then shows every attempt.
///
/// The future is boxed, one allocation a call; [`Policy::call_with`] has none. [`ResendCount`] is set for each attempt.
#[derive(Debug, Clone)]
pub struct PolicyLayer(Policy);

impl Policy {
    /// This policy as a layer.
    #[must_use]
    pub fn layer(&self) -> PolicyLayer {
        PolicyLayer(self.clone())
    }
}

impl<S> Layer<S> for PolicyLayer {
    type Service = PolicyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PolicyService { inner, policy: self.0.clone() }
    }
}

/// A client whose requests are made under a policy; made by [`PolicyLayer`].
///
/// Its errors are the client's own, [`BreakerOpen`](super::BreakerOpen) and [`TimedOut`](super::TimedOut), boxed.
#[derive(Debug, Clone)]
pub struct PolicyService<S> {
    inner: S,
    policy: Policy,
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
        let Self { inner, policy } = self.clone();
        Box::pin(async move {
            let judge = HttpJudge::of(&request);
            let result = policy.call_with(&judge, |resends| {
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
                Failure::Timeout(error) => error.into(),
            })
        })
    }
}
