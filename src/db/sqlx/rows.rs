//! Rows as they come: the operation ends with the last one.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::{Stream, stream::BoxStream};
use sqlx::{Either, Error};

use super::classify;
use crate::db::{PoolMetrics, Running};

/// The results and rows of a query.
pub(super) struct Rows<'e, R, Row> {
    // the stream goes first, then the operation ends
    rows: BoxStream<'e, Result<Either<R, Row>, Error>>,
    running: Option<Running>,
    pool: Option<PoolMetrics>,
}

impl<'e, R, Row> Rows<'e, R, Row> {
    pub(super) fn new(
        rows: BoxStream<'e, Result<Either<R, Row>, Error>>,
        running: Running,
        pool: Option<PoolMetrics>,
    ) -> Self {
        Self { rows, running: Some(running), pool }
    }
}

impl<R, Row> Stream for Rows<'_, R, Row> {
    type Item = Result<Either<R, Row>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, poller: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(mut running) = this.running.take() else { return this.rows.as_mut().poll_next(poller) };
        // should the driver panic, the guard is dropped by the unwinding, and ends as failed
        let polled = {
            let _entered = running.enter();
            this.rows.as_mut().poll_next(poller)
        };
        let Poll::Ready(next) = polled else {
            this.running = Some(running);
            return Poll::Pending;
        };
        match &next {
            None => running.succeed(),
            Some(Err(error)) => {
                if let (Error::PoolTimedOut, Some(pool)) = (error, &this.pool) {
                    pool.timed_out();
                }
                running.fail(classify(error));
            }
            Some(Ok(item)) => {
                if item.is_right() {
                    running.add_rows(1);
                }
                this.running = Some(running);
            }
        }
        Poll::Ready(next)
    }
}
