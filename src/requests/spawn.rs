//! Carrying the current entry, span and context into other futures, tasks and threads.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context as Poller, Poll},
};

use opentelemetry::Context;
use pin_project_lite::pin_project;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use super::{current::Scope, entry::TaskCount};

/// The current entry, tracing span and OpenTelemetry context, captured to be installed elsewhere.
struct Carried {
    scope: Scope,
    span: tracing::Span,
    context: Context,
    #[cfg(feature = "testing")]
    subscriber: Option<tracing::Dispatch>,
}

impl Carried {
    #[track_caller]
    fn capture() -> Self {
        Self {
            scope: Scope::capture(),
            span: tracing::Span::current(),
            context: Context::current(),
            #[cfg(feature = "testing")]
            subscriber: super::carried_subscriber::current(),
        }
    }

    fn run<R>(&mut self, work: impl FnOnce() -> R) -> R {
        #[cfg(feature = "testing")]
        let _subscriber = self.subscriber.as_ref().map(tracing::dispatcher::set_default);
        let _entry = self.scope.enter();
        // the span first: entering it may activate its own context, and the captured one is the more exact
        let _span = self.span.enter();
        let _context = self.context.clone().attach();
        work()
    }
}

pin_project! {
    /// A future that runs, and is dropped, with the entry, span and context that were current when it was made.
    #[must_use = "futures do nothing unless polled"]
    pub struct InCurrent<F> {
        #[pin]
        // `None` once it was dropped inside of the context
        future: Option<F>,
        carried: Carried,
        // after the future in drop order: it is counted until it is gone
        count: Option<TaskCount>,
    }

    impl<F> PinnedDrop for InCurrent<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            this.carried.run(|| this.future.set(None));
        }
    }
}

impl<F: Future> Future for InCurrent<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.future.as_pin_mut() {
            Some(future) => this.carried.run(|| future.poll(poller)),
            // never seen: only `drop` empties it
            None => Poll::Pending,
        }
    }
}

impl<F> fmt::Debug for InCurrent<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InCurrent").field("entry", &self.carried.scope.entry()).finish_non_exhaustive()
    }
}

/// Carries what is current now (entry, `tracing` span, OpenTelemetry context) into `future`, wherever it is polled.
///
/// Cancel safety: dropping the result drops `future`, inside of the same context.
#[track_caller]
pub fn in_current<F: Future>(future: F) -> InCurrent<F> {
    InCurrent { future: Some(future), carried: Carried::capture(), count: None }
}

/// [`tokio::spawn`] that carries what is current now, like [`in_current`].
///
/// The entry counts the task until it is done: see [`Current::tasks_running`](super::Current::tasks_running). As with tokio,
/// dropping the handle does not end the task.
///
/// # Panics
///
/// Outside of a tokio runtime, as `tokio::spawn` does.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(counted(future))
}

/// [`tokio::task::spawn_local`] that carries what is current now, like [`spawn`].
///
/// # Panics
///
/// Outside of a `LocalSet`, as `tokio::task::spawn_local` does.
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    tokio::task::spawn_local(counted(future))
}

/// [`tokio::task::spawn_blocking`] that carries what is current now, like [`spawn`].
///
/// # Panics
///
/// Outside of a tokio runtime, as `tokio::task::spawn_blocking` does.
#[track_caller]
pub fn spawn_blocking<F, R>(work: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    tokio::task::spawn_blocking(counted_work(work))
}

/// The forms of [`spawn`] for a [`JoinSet`].
pub trait JoinSetExt<T>: sealed::Sealed {
    /// [`JoinSet::spawn`] that carries what is current now, like [`spawn`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[track_caller]
    fn spawn_in_current<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send;

    /// [`JoinSet::spawn_local`] that carries what is current now, like [`spawn`].
    ///
    /// # Panics
    ///
    /// Outside of a `LocalSet`.
    #[track_caller]
    fn spawn_local_in_current<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static;

    /// [`JoinSet::spawn_blocking`] that carries what is current now, like [`spawn`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[track_caller]
    fn spawn_blocking_in_current<F>(&mut self, work: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send;
}

impl<T: 'static> JoinSetExt<T> for JoinSet<T> {
    fn spawn_in_current<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.spawn(counted(future))
    }

    fn spawn_local_in_current<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.spawn_local(counted(future))
    }

    fn spawn_blocking_in_current<F>(&mut self, work: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.spawn_blocking(counted_work(work))
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "nobody else shall implement it")]
    pub trait Sealed {}
    impl<T> Sealed for tokio::task::JoinSet<T> {}
}

#[track_caller]
fn counted<F: Future>(future: F) -> InCurrent<F> {
    let mut future = in_current(future);
    future.count = count_task(&future.carried);
    future
}

#[track_caller]
fn counted_work<R>(work: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let mut carried = Carried::capture();
    let count = count_task(&carried);
    move || {
        let _count = count;
        carried.run(work)
    }
}

fn count_task(carried: &Carried) -> Option<TaskCount> {
    carried.scope.entry().map(super::Current::count_task)
}
