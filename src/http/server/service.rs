//! The service: begins an exchange and hands it to the future.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use super::{body::ResponseBody, exchange::Exchange, future::ResponseFuture, layer::Shared};
use crate::http::route;

/// A service whose requests are observed; made by [`ServerLayer`](super::ServerLayer).
///
/// Errors and panics of the inner service pass through, once they are recorded. The response's future may be dropped at any
/// time, on any thread: the request ends as cancelled.
#[derive(Debug, Clone)]
pub struct ServerService<S> {
    inner: S,
    shared: Arc<Shared>,
    /// Nothing of the user's runs when `inner` is called.
    begins_when_polled: bool,
}

impl<S> ServerService<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared, begins_when_polled: route::begins_when_polled::<S>() }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for ServerService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: std::fmt::Display,
    ResBody: http_body::Body,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        if self.shared.lets_pass(&request) {
            return ResponseFuture::unobserved(self.inner.call(request));
        }
        let begun = catch_unwind(AssertUnwindSafe(|| Exchange::begin(self.shared.resolved(), &request)));
        // a panic in a sampler or a layer of the user's is said by the panic hook; the request is served without
        let Ok(exchange) = begun else { return ResponseFuture::unobserved(self.inner.call(request)) };
        ResponseFuture::begun(exchange, !self.begins_when_polled, || self.inner.call(request))
    }
}
