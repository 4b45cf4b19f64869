//! The future: lends its call to every poll and hands it on to the body.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;

use super::{body::CallBody, call::Call, layer::BoxError};

pin_project! {
    /// The answer to an observed call.
    ///
    /// Dropped before it is ready, its call ends as cancelled.
    #[derive(Debug)]
    pub struct CallFuture<F> {
        // the inner future goes first, then the call ends
        #[pin]
        inner: F,
        call: Option<Call>,
    }
}

impl<F> CallFuture<F> {
    pub(crate) fn observed(inner: F, call: Call) -> Self {
        Self { inner, call: Some(call) }
    }

    pub(crate) fn unobserved(inner: F) -> Self {
        Self { inner, call: None }
    }
}

impl<F, B, E> Future for CallFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: http_body::Body,
    E: Into<BoxError>,
{
    type Output = Result<Response<CallBody<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = {
            let _entered = this.call.as_ref().map(Call::enter);
            ready!(this.inner.poll(cx)).map_err(Into::into)
        };
        Poll::Ready(match (result, this.call.take()) {
            (Ok(response), Some(call)) => Ok(call.answered(response)),
            (Ok(response), None) => Ok(response.map(CallBody::unobserved)),
            (Err(error), Some(call)) => {
                call.failed(&*error, std::any::type_name::<E>());
                Err(error)
            }
            (Err(error), None) => Err(error),
        })
    }
}
