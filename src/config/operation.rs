//! What the operator wants of the service's operation: the endpoints, the way out, reload, redaction.

use std::{net::SocketAddr, time::Duration};

use super::{ConsoleLink, IpRange, Secret};

/// The operator's endpoints.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AdminConfig {
    /// `TRACEWELL_ADMIN_ADDR`; `None` = no admin server.
    pub addr: Option<SocketAddr>,
    /// `TRACEWELL_ADMIN_TOKEN`.
    pub token: Option<Secret>,
    /// `TRACEWELL_ADMIN_ALLOW`: addresses trusted without the token, beside loopback.
    pub allow: Vec<IpRange>,
    /// `TRACEWELL_LIVENESS_STALL_MS`; `None` = never.
    pub liveness_stall: Option<Duration>,
    /// `TRACEWELL_CHECKS_DISABLED`.
    pub checks_disabled: Vec<String>,
    /// `TRACEWELL_CONSOLE`.
    pub console: bool,
    /// What the console's store keeps, if it is on.
    pub console_store: ConsoleConfig,
    /// `TRACEWELL_ADMIN_CANCEL`: whether whoever has the token may cancel requests and tasks.
    pub cancel: bool,
}

/// The console: its store's bounds, and where its page leads.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ConsoleConfig {
    /// `TRACEWELL_CONSOLE_MAX_BYTES`.
    pub max_bytes: usize,
    /// `TRACEWELL_CONSOLE_MAX_AGE_MS`.
    pub max_age: Duration,
    /// `TRACEWELL_CONSOLE_LINKS`.
    pub links: Vec<ConsoleLink>,
}

/// The way out.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ShutdownConfig {
    /// `TRACEWELL_SHUTDOWN_MS`: the one deadline of the flush of all signals.
    pub flush: Duration,
    /// `TRACEWELL_DRAIN_MS`: how long running requests may take to finish.
    pub drain: Duration,
    /// `TRACEWELL_PRESTOP_MS`: how long the service goes on accepting after it became unready.
    pub prestop: Duration,
}

/// When the configuration is read again while the service runs.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct ReloadConfig {
    /// `TRACEWELL_CONFIG_RELOAD_MS`: between two looks at the configuration file; `None` = never.
    pub every: Option<Duration>,
    /// `TRACEWELL_CONFIG_RELOAD_SIGHUP`.
    pub sighup: bool,
}

/// What is hidden, in everything that is sent or shown, beside what the program says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedactionConfig {
    /// `TRACEWELL_REDACT_NAMES`; see [`Redactor::with_names`](crate::redaction::Redactor::with_names).
    pub names: Vec<String>,
    /// `TRACEWELL_REDACT_EXCEPT`; see
    /// [`Redactor::with_harmless_names`](crate::redaction::Redactor::with_harmless_names).
    pub except: Vec<String>,
}
