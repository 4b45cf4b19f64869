//! The body of a call that came in: what tells a caller's stream from a single message.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::messages::Messages;
use crate::requests::{Current, STREAMING};

/// Not countable.
const LOST: u64 = u64::MAX;

/// How many messages a caller has sent so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Received(Arc<AtomicU64>);

impl Received {
    /// `None` when they could not be counted.
    pub(super) fn count(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|count| *count != LOST)
    }
}

#[derive(Debug)]
struct Seen {
    messages: Messages,
    received: Received,
    entry: Current,
    streams: bool,
}

pin_project! {
    /// The body of an observed call, as the services inside get it.
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

impl<B: Body> Body for RequestBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        if let (Some(seen), Some(Ok(frame))) = (this.seen, &frame) {
            if let Some(data) = frame.data_ref() {
                seen.messages.see(data);
                let count = seen.messages.count();
                seen.received.0.store(count.unwrap_or(LOST), Ordering::Relaxed);
                if !seen.streams && count.is_some_and(|count| count > 1) {
                    seen.streams = true;
                    seen.entry.set_stage(STREAMING);
                }
            }
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
