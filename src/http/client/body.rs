//! The body: carries the call to the last byte.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{call::Call, layer::BoxError};

pin_project! {
    /// The body of an observed call's answer.
    ///
    /// Dropped before its end, its call ends as aborted. Its errors are the body's own, boxed: `downcast` finds them.
    #[derive(Debug)]
    pub struct CallBody<B> {
        #[pin]
        inner: B,
        call: Option<Call>,
    }
}

impl<B> CallBody<B> {
    pub(super) fn observed(inner: B, call: Call) -> Self {
        Self { inner, call: Some(call) }
    }

    pub(super) fn unobserved(inner: B) -> Self {
        Self { inner, call: None }
    }
}

impl<B: Default> Default for CallBody<B> {
    fn default() -> Self {
        Self::unobserved(B::default())
    }
}

impl<B> Body for CallBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        // not inside of the call's span: entering it once a frame costs more than anything else here
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        Poll::Ready(match frame {
            None => {
                if let Some(call) = this.call.take() {
                    call.delivered();
                }
                None
            }
            Some(Ok(frame)) => {
                if let Some(call) = this.call.as_mut() {
                    call.passed(&frame);
                }
                // readers need not ask for more after the frame that says it is the last
                if frame.is_trailers() || this.inner.is_end_stream() {
                    if let Some(call) = this.call.take() {
                        call.delivered();
                    }
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                let error = error.into();
                if let Some(call) = this.call.take() {
                    call.failed(&*error, std::any::type_name::<B::Error>());
                }
                Some(Err(error))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
