//! Checks that many services need.

use std::{
    fmt,
    time::{Duration, Instant},
};
#[cfg(unix)]
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Check, Verdict};
use crate::{
    resilience::{Breaker, State},
    runtime::process,
};

impl Check {
    /// Passes when `ping`, a question to a database such as `SELECT 1`, is answered without an error. `system` is the
    /// database's name in the words of the semantic conventions, such as `postgresql`, `mysql`, `sqlite` or `redis`.
    ///
    /// ```
    /// use tracewell::health::Check;
    ///
    /// # #[derive(Clone)] struct Pool;
    /// # impl Pool { async fn ping(&self) -> Result<(), std::io::Error> { Ok(()) } }
    /// # let pool = Pool;
    /// let check = Check::database("postgresql", move || {
    ///     let pool = pool.clone();
    ///     async move { pool.ping().await }
    /// });
    /// # drop(check);
    /// ```
    pub fn database<F, R, T, E>(system: &'static str, ping: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, E>> + Send + 'static,
        T: Send,
        E: fmt::Display,
    {
        Self::new(move || {
            let answer = ping();
            async move {
                let verdict = match answer.await {
                    Ok(_) => Verdict::pass(format!("{system} answers")),
                    Err(error) => Verdict::fail(format!("{system}: {error}")),
                };
                verdict.with_data("db.system.name", system)
            }
        })
    }

    /// Fails when the file system of `path` has less than `limit` bytes left for this process, and warns below twice
    /// that. On a file system that hangs it fails too, and takes one thread until that ends.
    #[cfg(unix)]
    pub fn disk_space(path: impl Into<PathBuf>, limit: u64) -> Self {
        let path: PathBuf = path.into();
        // a file system that hangs takes one thread, not one per run
        let asking = Arc::new(tokio::sync::Semaphore::new(1));
        Self::new(move || {
            let (path, asking) = (path.clone(), Arc::clone(&asking));
            async move {
                let Ok(permit) = asking.try_acquire_owned() else {
                    return Verdict::fail(format!("{}: an earlier question is not answered", path.display()));
                };
                let asked = tokio::task::spawn_blocking(move || {
                    let _permit = permit;
                    space(&path, limit)
                });
                asked.await.unwrap_or_else(|_| Verdict::fail("its runtime has ended"))
            }
        })
    }

    /// Passes when a TCP connection to `target`, such as `db.internal:5432`, is accepted; it is closed at once. A name is
    /// looked up anew for each run; what cannot be looked up fails.
    #[cfg(feature = "axum")]
    pub fn tcp(target: impl Into<String>) -> Self {
        let target: String = target.into();
        Self::new(move || {
            let target = target.clone();
            async move {
                match tokio::net::TcpStream::connect(&target).await {
                    Ok(_) => Verdict::pass(format!("{target} accepts connections")),
                    Err(error) => Verdict::fail(format!("{target}: {error}")),
                }
            }
        })
    }

    /// Warns when the process's resident memory is above `limit` bytes. Passes where it cannot be read.
    pub fn memory(limit: u64) -> Self {
        Self::new(move || async move {
            let Some(resident) = process::read().resident else {
                return Verdict::pass("the memory in use cannot be read here");
            };
            let verdict = if resident > limit {
                Verdict::warn(format!("{resident} bytes are resident, more than {limit}"))
            } else {
                Verdict::pass(format!("{resident} bytes are resident"))
            };
            verdict.with_data("resident_bytes", resident).with_data("limit_bytes", limit)
        })
    }

    /// Warns when `usage`, which says how many of a pool's connections are in use and how many there may be, shows that
    /// none is left. It should not block.
    pub fn pool(usage: impl Fn() -> (u64, u64) + Send + Sync + 'static) -> Self {
        Self::new(move || {
            let (used, size) = usage();
            let message = format!("{used} of {size} in use");
            let verdict = if used >= size { Verdict::warn(message) } else { Verdict::pass(message) };
            std::future::ready(verdict.with_data("used", used).with_data("size", size))
        })
    }

    /// Fails while the breaker is open: the service is not ready while it cannot reach what it calls. Answered from memory.
    ///
    /// Think twice: when all instances call the same target, all of them become unready together, and
    /// [`non_critical`](Self::non_critical) or a [fallback](crate::resilience::Fallback) may be the better answer.
    pub fn breaker(breaker: &Breaker) -> Self {
        let breaker = breaker.clone();
        let check = Self::new(move || {
            let now = breaker.snapshot();
            let message = format!("the breaker of {} is {}", now.target, now.state);
            let verdict = match now.state {
                State::Open => Verdict::fail(message),
                State::HalfOpen => Verdict::warn(message),
                State::Closed => Verdict::pass(message),
            };
            std::future::ready(verdict.with_data("good", now.good).with_data("bad", now.bad))
        });
        // there is nothing to spare it
        check.with_success_cache(None).with_failure_cache(None)
    }

    /// Warns when the runtime wakes a timer more than `limit` too late: its workers are blocked or overloaded.
    pub fn event_loop_lag(limit: Duration) -> Self {
        const PAUSE: Duration = Duration::from_millis(5);
        Self::new(move || async move {
            let begun = Instant::now();
            tokio::time::sleep(PAUSE).await;
            let lag = begun.elapsed().saturating_sub(PAUSE);
            let message = format!("a timer was {:.1} ms late", lag.as_secs_f64() * 1e3);
            let verdict = if lag > limit { Verdict::warn(message) } else { Verdict::pass(message) };
            verdict.with_data("lag_ms", lag.as_secs_f64() * 1e3)
        })
    }
}

#[cfg(unix)]
fn space(path: &Path, limit: u64) -> Verdict {
    let statistics = match nix::sys::statvfs::statvfs(path) {
        Ok(statistics) => statistics,
        Err(error) => return Verdict::fail(format!("{}: {error}", path.display())),
    };
    // their widths differ from system to system
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "not u64 everywhere")]
    let (unit, available, total) =
        (statistics.fragment_size() as u64, statistics.blocks_available() as u64, statistics.blocks() as u64);
    let (available, total) = (available.saturating_mul(unit), total.saturating_mul(unit));
    let message = format!("{}: {available} bytes of {total} are available", path.display());
    let verdict = match available {
        available if available < limit => Verdict::fail(message),
        available if available < limit.saturating_mul(2) => Verdict::warn(message),
        _ => Verdict::pass(message),
    };
    verdict
        .with_data("available_bytes", available)
        .with_data("total_bytes", total)
        .with_data("limit_bytes", limit)
}
