//! The body of a call that came in: what tells a caller's stream from a single message.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::messages::Messages;
use crate::{
    http::{BoxError, failure},
    requests::{Current, STREAMING},
};

/// Not countable.
const LOST: u64 = u64::MAX;

/// How many messages a caller has sent so far, and whether it was cut off.
#[derive(Debug, Clone, Default)]
pub(super) struct Received(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    messages: AtomicU64,
    cut: AtomicBool,
}

impl Received {
    /// `None` when they could not be counted.
    pub(super) fn count(&self) -> Option<u64> {
        Some(self.0.messages.load(Ordering::Relaxed)).filter(|count| *count != LOST)
    }

    /// Whether the stream was reset, or its connection lost, before its end: nothing reaches the caller any more.
    pub(super) fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Seen {
    messages: Messages,
    received: Received,
    entry: Current,
    streams: bool,
}

impl Seen {
    fn frame<D: Buf>(&mut self, frame: &Frame<D>) {
        let Some(data) = frame.data_ref() else { return };
        self.messages.see(data);
        let count = self.messages.count();
        self.received.0.messages.store(count.unwrap_or(LOST), Ordering::Relaxed);
        if !self.streams && count.is_some_and(|count| count > 1) {
            self.streams = true;
            self.entry.set_stage(STREAMING);
        }
    }
}

pin_project! {
    /// The body of an observed call, as the services inside get it. Its errors are the body's own, boxed: `downcast` finds them,
    /// and so does `tonic`.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        inner: B,
        seen: Option<Seen>,
    }
}

impl<B> RequestBody<B> {
    pub(super) fn observed(inner: B, received: Received, entry: Current) -> Self {
        let seen = Seen { messages: Messages::default(), received, entry, streams: false };
        Self { inner, seen: Some(seen) }
    }

    pub(super) fn unobserved(inner: B) -> Self {
        Self { inner, seen: None }
    }
}

impl<B: Default> Default for RequestBody<B> {
    fn default() -> Self {
        Self::unobserved(B::default())
    }
}

impl<B> Body for RequestBody<B>
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
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx)).map(|frame| frame.map_err(Into::into));
        match (this.seen, &frame) {
            (Some(seen), Some(Ok(frame))) => seen.frame(frame),
            (Some(seen), Some(Err(error))) if failure(&**error) == Some("reset") => {
                seen.received.0.cut.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
