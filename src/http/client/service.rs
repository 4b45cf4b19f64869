//! The service: begins a call and hands it to the future.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use opentelemetry::Context as OtelContext;
use tower_service::Service;

use super::{
    body::CallBody,
    call::{Asked, Call},
    future::CallFuture,
    layer::{BoxError, Shared},
};

/// A client whose calls are observed; made by [`ClientLayer`](super::ClientLayer).
///
/// Its errors are those of the inner service, boxed: `downcast` finds them. Panics pass through, once they are recorded. The
/// answer's future may be dropped at any time: the call ends as cancelled.
#[derive(Debug, Clone)]
pub struct ClientService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> ClientService<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for ClientService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    ResBody: http_body::Body,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<CallBody<ResBody>>;
    type Error = BoxError;
    type Future = CallFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        if OtelContext::is_current_telemetry_suppressed() {
            return CallFuture::unobserved(self.inner.call(request));
        }
        let (call, sent) = Call::begin(&self.shared, &Asked::of(&request));
        sent.write(&self.shared, request.headers_mut());
        let inner = {
            let _entered = call.enter();
            self.inner.call(request)
        };
        CallFuture::observed(inner, call)
    }
}
