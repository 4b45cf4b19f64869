//! The operator's wish to stop.

/// Resolves at the first SIGTERM or SIGINT (elsewhere than on Unix: Ctrl-C), from the call on.
///
/// Where no handler can be set it never resolves, and stderr says so. Cancel safe.
///
/// # Panics
/// Outside of a tokio runtime with its I/O driver on, as tokio's own signals do.
pub async fn signal() {
    let interrupted = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            impossible(&error);
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminated) => {
                tokio::select! {
                    () = interrupted => {}
                    _ = terminated.recv() => {}
                }
            }
            Err(error) => {
                impossible(&error);
                interrupted.await;
            }
        }
    }
    #[cfg(not(unix))]
    interrupted.await;
}

fn impossible(error: &std::io::Error) {
    crate::diagnostics::warn("signal", format_args!("a signal handler cannot be set: {error}"));
}
