//! What can go wrong at the start and at the end, for the person who has to change something.

use std::{fmt, panic::Location};

use crate::{config::Mistake, shutdown::end::ShutdownReport};

/// Why telemetry could not be set up. The service decides whether it starts without.
///
/// Its `Debug` is the same sentence as its `Display`: what a `main` that returns it prints.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// A second `install` in one process. Keep the first one's [`Telemetry`](crate::Telemetry), or use
    /// [`build`](crate::Builder::build), which touches no global.
    #[error("telemetry was installed already, at {at}; accepted is one install() per process")]
    AlreadyInstalled {
        /// Where the first one was.
        at: &'static Location<'static>,
    },
    /// Another `tracing` subscriber is the global one. Use [`build`](crate::Builder::build) and add
    /// [`Telemetry::layers`](crate::Telemetry::layers) to it.
    #[error(
        "another global tracing subscriber is set; accepted is none before install(), or Telemetry::builder().build() \
         with its layers added to that subscriber"
    )]
    SubscriberAlreadySet,
    /// With `TRACEWELL_STRICT`: variables that could not be used as they are. All of them.
    #[error("the configuration has mistakes: {}", joined(.0))]
    Mistakes(Vec<Mistake>),
    /// A value given in code, an endpoint or a certificate cannot be used, or a thread could not be started. All of them.
    #[error("telemetry cannot be set up: {}", .0.join("; "))]
    Unusable(Vec<String>),
}

impl fmt::Debug for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn joined(items: &[impl fmt::Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The shutdown ended, and something was lost in it. The report says what, to the unit.
///
/// Its `Debug` is the same sentence as its `Display`: what a `main` that returns it prints.
#[derive(Clone)]
pub struct ShutdownError {
    /// What became of every signal.
    pub report: ShutdownReport,
}

impl fmt::Debug for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("telemetry was lost in the shutdown: ")?;
        let lost =
            self.report.signals.iter().filter(|signal| self.report.lost_in_shutdown(signal.signal) > 0);
        for (index, signal) in lost.enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            let lost = self.report.lost_in_shutdown(signal.signal);
            write!(f, "{separator}{lost} of {}", signal.signal)?;
            if let Some((_, cause)) = &signal.last_error {
                write!(f, " ({cause})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ShutdownError {}
