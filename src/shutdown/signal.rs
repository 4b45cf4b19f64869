//! The operator's wish to stop.

use std::{future::Future, io};

/// Resolves at the first SIGTERM or SIGINT (elsewhere than on Unix: Ctrl-C) after the call, polled or not.
///
/// Where no handler can be set it never resolves, and stderr says so. Cancel safe; but from the call on, the process
/// does not end by these signals any more.
///
/// # Panics
/// Outside of a tokio runtime with its I/O driver on, as tokio's own signals do.
#[cfg(unix)]
pub fn signal() -> impl Future<Output = ()> + Send + 'static {
    use tokio::signal::unix::{SignalKind, signal};
    let (interrupted, terminated) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async move {
        tokio::select! {
            () = received(interrupted) => {}
            () = received(terminated) => {}
        }
    }
}

/// Resolves at the first Ctrl-C, from its first poll on.
///
/// Where no handler can be set it never resolves, and stderr says so. Cancel safe.
///
/// # Panics
/// Outside of a tokio runtime with its I/O driver on, as tokio's own signals do.
#[cfg(not(unix))]
pub fn signal() -> impl Future<Output = ()> + Send + 'static {
    async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            impossible(&error).await;
        }
    }
}

#[cfg(unix)]
async fn received(signal: io::Result<tokio::signal::unix::Signal>) {
    match signal {
        // `None` would say that there will be no further one
        Ok(mut signal) => {
            if signal.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        }
        Err(error) => impossible(&error).await,
    }
}

async fn impossible(error: &io::Error) {
    crate::diagnostics::warn("signal", format_args!("a signal handler cannot be set: {error}"));
    std::future::pending::<()>().await;
}
