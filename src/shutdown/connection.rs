//! One connection's stream and the tasks of its streams: their end is the end of the requests that became tunnels.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::rt::Executor;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
};

use crate::http::ConnectionScope;

/// A TCP stream that holds its connection's scope, wherever it goes: hyper hands it to whoever upgrades the connection.
///
/// Nobody else can close it then, so it closes itself once the server is gone.
#[derive(Debug)]
pub(super) struct ScopedStream {
    stream: TcpStream,
    scope: ConnectionScope,
    server: Server,
}

/// The server, seen from a connection. Reader and writer of a tunnel may be two tasks: each has a place to wait.
struct Server {
    open: watch::Receiver<()>,
    waits: [Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>; 2],
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("open", &self.open).finish_non_exhaustive()
    }
}

const READER: usize = 0;
const WRITER: usize = 1;

impl Server {
    /// Whether the sender of `open` is gone; if not, the task is woken then.
    fn is_gone(&mut self, who: usize, cx: &mut Context<'_>) -> bool {
        let open = &self.open;
        let wait = self.waits[who].get_or_insert_with(|| {
            let mut open = open.clone();
            Box::pin(async move { while open.changed().await.is_ok() {} })
        });
        wait.as_mut().poll(cx).is_ready()
    }
}

impl ScopedStream {
    /// A stream that lives as long as the sender of `open`, if it becomes a tunnel.
    pub(super) fn new(stream: TcpStream, scope: ConnectionScope, open: watch::Receiver<()>) -> Self {
        Self { stream, scope, server: Server { open, waits: [None, None] } }
    }

    fn is_closed(&mut self, who: usize, cx: &mut Context<'_>) -> bool {
        self.scope.is_tunnel() && (self.server.open.has_changed().is_err() || self.server.is_gone(who, cx))
    }
}

fn closed<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the server has shut down")))
}

impl AsyncRead for ScopedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_closed(READER, cx) {
            return closed();
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ScopedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_closed(WRITER, cx) {
            return closed();
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_closed(WRITER, cx) {
            return closed();
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

tokio::task_local! {
    /// The scope of the HTTP/2 stream whose task runs.
    static STREAM: ConnectionScope;
}

/// Runs the streams of HTTP/2, each in a scope of its own.
///
/// A connection of HTTP/2 outlives its tunnels. hyper runs the tunnel's writing half as a task of its own that it starts
/// inside the task of the stream: the two share the scope, which ends with the later of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ScopedExecutor;

impl<F> Executor<F> for ScopedExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        let scope = STREAM.try_with(Clone::clone).unwrap_or_default();
        let entered = scope.clone();
        tokio::spawn(STREAM.scope(scope, async move { entered.scope(task).await }));
    }
}
