//! The future: lends its exchange to every poll and hands it on to the body.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Response, StatusCode};
use pin_project_lite::pin_project;

use super::{
    body::ResponseBody,
    exchange::{End, Exchange},
};

pin_project! {
    /// The response of an observed request.
    ///
    /// Dropped before it is ready, its request ends as cancelled: the service's future goes first, inside of the request's span.
    /// A panic of the service ends the request and goes on. Polled after it was ready, it stays pending.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        // `None` once dropped, so that it is dropped inside the request's span
        #[pin]
        inner: Option<F>,
        exchange: Option<Exchange>,
    }

    impl<F> PinnedDrop for ResponseFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(exchange) = this.exchange.take() {
                exchange.leave(|| this.inner.set(None));
            }
        }
    }
}

impl<F> ResponseFuture<F> {
    pub(crate) fn unobserved(inner: F) -> Self {
        Self { inner: Some(inner), exchange: None }
    }

    /// The exchange has begun; `call` calls the service. If anything of the user's `runs` there, it may do its work, or
    /// panic, before it returns its future.
    pub(crate) fn begun(exchange: Exchange, runs: bool, call: impl FnOnce() -> F) -> Self {
        let mut exchange = Some(exchange);
        let inner = if runs { Exchange::run_in(&mut exchange, call) } else { call() };
        Self { inner: Some(inner), exchange }
    }
}

/// Polled after it was ready, or after a panic: as `async` blocks do, but without another panic.
fn poll<F: Future>(inner: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<F::Output> {
    inner.as_pin_mut().map_or(Poll::Pending, |inner| inner.poll(cx))
}

/// What the client of a cancelled request sees.
fn cancelled<B>() -> Response<ResponseBody<B>> {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: http_body::Body,
    E: std::fmt::Display,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.as_mut().project();
        let Some(exchange) = this.exchange.as_mut() else {
            return poll(this.inner, cx).map_ok(|response| response.map(ResponseBody::unobserved));
        };
        if exchange.is_cancelled(cx) {
            self.set(Self { inner: None, exchange: None });
            return Poll::Ready(Ok(cancelled()));
        }
        let polled = Exchange::run_in(this.exchange, || {
            let polled = poll(this.inner.as_mut(), cx);
            if polled.is_ready() {
                // the service's own state goes while its span is entered
                this.inner.set(None);
            }
            polled
        });
        let result = ready!(polled);
        let Some(exchange) = this.exchange.take() else { return Poll::Pending };
        Poll::Ready(match result {
            Ok(response) => Ok(exchange.answer(response)),
            Err(error) => {
                exchange.end(End::Error { name: std::any::type_name::<E>(), message: &error });
                Err(error)
            }
        })
    }
}
