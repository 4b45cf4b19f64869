//! One request from its arrival to its last byte: the guard that is moved call → future → body and ends once.

use std::{cell::Cell, fmt, panic::resume_unwind, sync::Arc, task::Context, thread};

use bytes::Buf;
use http::{Request, Response};
use http_body::Frame;

use super::{
    body::ResponseBody,
    connection::ConnectionScope,
    layer::Resolved,
    state::{Entered, Next, State},
};
use crate::{
    quietly::{contained, quietly, resume_in_drop},
    rpc::Served,
};

/// How an exchange can end.
#[derive(Clone, Copy)]
pub(super) enum End<'a> {
    /// The last frame was handed over, or there was nothing to send.
    Delivered,
    /// The service or the body failed.
    Error {
        name: &'static str,
        message: &'a dyn fmt::Display,
    },
    Panicked,
    /// Dropped before its end: the client left, or something outside gave up.
    Left,
}

/// A request that is being served. Dropped, it ends as [`End::Left`].
///
/// What is known of it stays in one place while the guard is moved on, and its memory goes on to the thread's next request.
pub(crate) struct Exchange(Memory);

/// `None` once it has ended.
type Memory = Option<Box<Option<State>>>;

thread_local! {
    /// Of the exchange that ended last on this thread; empty.
    static SPARE: Cell<Memory> = const { Cell::new(None) };
}

impl Exchange {
    /// Starts span, gauge and entry.
    pub(super) fn begin<B>(shared: &Arc<Resolved>, request: &Request<B>) -> Self {
        Self::of(State::begin(shared, request))
    }

    #[inline]
    pub(super) fn of(state: State) -> Self {
        // a thread on its way out keeps nothing
        let mut memory = SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default();
        *memory = Some(state);
        Self(Some(memory))
    }

    fn state(&mut self) -> Option<&mut State> {
        self.0.as_deref_mut()?.as_mut()
    }

    /// What makes this exchange a call of gRPC, if it is one.
    pub(crate) fn served(&self) -> Option<&Served> {
        self.0.as_deref()?.as_ref()?.call.as_deref()
    }

    /// Runs code of the program's inside of the request's span and entry, and gives back its panic.
    fn run<T>(&mut self, run: impl FnOnce() -> T) -> thread::Result<T> {
        contained(|| -> Option<Entered<'_>> { self.state().map(State::enter) }, run)
    }

    /// Runs a poll, or the call before it, inside of the request's span and entry; where there is no exchange any more, as it is.
    /// A panic ends the exchange and goes on.
    pub(super) fn run_in<T>(exchange: &mut Option<Self>, run: impl FnOnce() -> T) -> T {
        let Some(running) = exchange else { return run() };
        match running.run(run) {
            Ok(result) => result,
            Err(panic) => {
                if let Some(exchange) = exchange.take() {
                    exchange.end(End::Panicked);
                }
                resume_unwind(panic)
            }
        }
    }

    /// What carries the exchange is dropped before its end: `drop_inner` drops what it carries, inside of the request's span.
    pub(super) fn leave(mut self, drop_inner: impl FnOnce()) {
        match self.run(drop_inner) {
            Ok(()) => self.end(End::Left),
            Err(panic) => {
                self.end(End::Panicked);
                resume_in_drop(panic);
            }
        }
    }

    /// Whether an operator wants it gone; its task is woken then.
    pub(super) fn is_cancelled(&mut self, cx: &mut Context<'_>) -> bool {
        self.state().is_some_and(|state| state.is_cancelled(cx))
    }

    /// The headers are there: the exchange ends here when nothing follows, and moves into the body otherwise.
    pub(super) fn answer<B: http_body::Body>(
        mut self,
        mut response: Response<B>,
    ) -> Response<ResponseBody<B>> {
        match self.state().map(|state| state.answer(&mut response)) {
            Some(Next::Body) => return response.map(|body| ResponseBody::observed(body, self)),
            // the connection, or the stream of HTTP/2, carries the exchange, where the server said which one that is
            Some(Next::Tunnel) => match ConnectionScope::current() {
                Some(connection) => connection.keep(self),
                None => self.end(End::Delivered),
            },
            Some(Next::Nothing) | None => self.end(End::Delivered),
        }
        response.map(ResponseBody::unobserved)
    }

    /// A frame is handed over.
    pub(super) fn passed<D: Buf>(&mut self, frame: &Frame<D>) {
        if let Some(state) = self.state() {
            state.passed(frame);
        }
    }

    /// The body makes the client wait for its next frame.
    pub(super) fn waits(&mut self) {
        if let Some(call) = self.state().and_then(|state| state.call.as_mut()) {
            call.waits();
        }
    }

    /// Whether everything that the headers announced was handed over.
    pub(super) fn is_complete(&mut self) -> bool {
        self.state().is_some_and(|state| state.is_complete())
    }

    /// The body has ended by itself. That is too early for a client to whom more was announced.
    pub(super) fn end_of_body(mut self) {
        if let Some(state) = self.state() {
            state.end_of_body();
        }
    }

    /// Ends the exchange.
    pub(super) fn end(mut self, end: End<'_>) {
        if let Some(state) = self.state() {
            state.finish(end);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Some(mut memory) = self.0.take() else { return };
        if let Some(state) = &mut *memory {
            state.finish(End::Left);
            // layers of the user's hear that the span closes
            quietly(|| state.release());
        }
        *memory = None;
        // a thread on its way out keeps nothing
        let _ = SPARE.try_with(|spare| spare.set(Some(memory)));
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.0.as_deref().and_then(Option::as_ref).and_then(State::status);
        f.debug_struct("Exchange").field("status", &status).finish_non_exhaustive()
    }
}
