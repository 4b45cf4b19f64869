//! The future: lends its call to every poll and hands it on to the body.

use std::{
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;

use super::{body::CallBody, call::Call, layer::BoxError};
use crate::quietly::contained;

pin_project! {
    /// The answer to an observed call.
    ///
    /// Dropped before it is ready, its call ends as cancelled: the client's future goes first.
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
        let polled = match this.call.as_ref() {
            Some(call) => contained(|| call.enter(), || this.inner.poll(cx)),
            None => Ok(this.inner.poll(cx)),
        };
        let result = match polled {
            Ok(polled) => ready!(polled).map_err(Into::into),
            Err(panic) => {
                if let Some(call) = this.call.take() {
                    call.panicked();
                }
                resume_unwind(panic)
            }
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
