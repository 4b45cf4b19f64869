//! The body: carries the exchange to the last byte.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::exchange::{End, Exchange};
use crate::{http::BoxError, requests::Cancelled};

pin_project! {
    /// The body of an observed response.
    ///
    /// Dropped before its end, its request ends as aborted. That is the frame that says it is the last, or as many bytes as
    /// `Content-Length` announced (RFC 9112, section 6.3): a server asks for no more. A panic of the body ends the request and
    /// goes on.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        inner: Option<B>,
        exchange: Option<Exchange>,
    }

    impl<B> PinnedDrop for ResponseBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(exchange) = this.exchange.take() {
                exchange.leave(|| this.inner.set(None));
            }
        }
    }
}

impl<B> ResponseBody<B> {
    pub(super) fn observed(inner: B, exchange: Exchange) -> Self {
        Self { inner: Some(inner), exchange: Some(exchange) }
    }

    pub(super) fn unobserved(inner: B) -> Self {
        Self { inner: Some(inner), exchange: None }
    }

    /// Nothing, for a client whose request was cancelled.
    pub(super) fn empty() -> Self {
        Self { inner: None, exchange: None }
    }
}

impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::unobserved(B::default())
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    /// The body's own error, or [`Cancelled`](crate::requests::Cancelled).
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.as_mut().project();
        let Some(mut inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let Some(exchange) = this.exchange.as_mut() else {
            return inner.poll_frame(cx).map_err(Into::into);
        };
        if exchange.is_cancelled(cx) {
            self.set(Self::empty());
            return Poll::Ready(Some(Err(Cancelled.into())));
        }
        let polled = Exchange::run_in(this.exchange, || inner.as_mut().poll_frame(cx));
        let Some(exchange) = this.exchange.as_mut() else { return polled.map_err(Into::into) };
        let Poll::Ready(frame) = polled else {
            exchange.waits();
            return Poll::Pending;
        };
        let frame = frame.map(|frame| frame.map_err(Into::<BoxError>::into));
        let ended = match &frame {
            None => true,
            Some(Ok(frame)) => {
                exchange.passed(frame);
                // a server does not ask for a frame after the one that says it is the last, nor past the length it announced
                frame.is_trailers() || inner.is_end_stream() || exchange.is_complete()
            }
            Some(Err(_)) => true,
        };
        if ended {
            if let Some(exchange) = this.exchange.take() {
                match &frame {
                    Some(Err(error)) => {
                        exchange.end(End::Error { name: std::any::type_name::<B::Error>(), message: error });
                    }
                    _ => exchange.end_of_body(),
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
