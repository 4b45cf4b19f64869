//! How each signal's export is doing.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::queue::Account;
use crate::{
    config::{Endpoint, Protocol, Signal},
    diagnostics::{self, Severity},
};

/// What is counted: `spans`, `data points` or `log records`.
const fn items(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "spans",
        Signal::Metrics => "data points",
        Signal::Logs => "log records",
    }
}

/// How a signal's export is doing: the outcome of its last attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignalState {
    /// The collector took the last request.
    Up,
    /// The last attempt failed.
    Down,
    /// Nothing was sent yet.
    Idle,
    /// No exporter is configured.
    Off,
}

impl SignalState {
    /// `up`, `down`, `idle` or `off`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Idle => "idle",
            Self::Off => "off",
        }
    }
}

/// Where a signal's account is kept.
pub(crate) trait AccountSource: fmt::Debug + Send + Sync {
    fn account(&self) -> Account;
}

impl<T: fmt::Debug + Send> AccountSource for super::queue::Queue<T> {
    fn account(&self) -> Account {
        Self::account(self)
    }
}

/// A signal's state as one consistent snapshot.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SignalReport {
    /// Which signal.
    pub signal: Signal,
    /// Outcome of the last attempt.
    pub state: SignalState,
    /// Where it is sent, without credentials; `None` when it is off.
    pub endpoint: Option<String>,
    /// `grpc`, `http/protobuf` or `http/json`; `None` when it is off.
    pub protocol: Option<String>,
    /// What became of its items.
    pub account: Account,
    /// The last cause of a failure, and when.
    pub last_error: Option<(SystemTime, String)>,
    /// When the collector last took a request.
    pub last_success: Option<SystemTime>,
}

/// Follows one signal's attempts, and says a line when the collector goes away and when it is back.
#[derive(Debug)]
pub(crate) struct SignalStatus {
    endpoint: Option<(Endpoint, Protocol)>,
    account: Arc<dyn AccountSource>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    current: SignalState,
    last_error: Option<(SystemTime, String)>,
    last_success: Option<SystemTime>,
    /// Items lost when the collector went away.
    lost_before: u64,
}

impl SignalStatus {
    pub(crate) fn new(endpoint: Option<(Endpoint, Protocol)>, account: Arc<dyn AccountSource>) -> Arc<Self> {
        let current = if endpoint.is_some() { SignalState::Idle } else { SignalState::Off };
        let state = State { current, last_error: None, last_success: None, lost_before: 0 };
        Arc::new(Self { endpoint, account, state: Mutex::new(state) })
    }

    pub(crate) fn succeeded(&self, signal: Signal) {
        let lost = self.lost();
        let mut state = self.lock();
        let was = std::mem::replace(&mut state.current, SignalState::Up);
        state.last_success = Some(SystemTime::now());
        let meanwhile = lost.saturating_sub(state.lost_before);
        drop(state);
        if let (SignalState::Down, Some((endpoint, _))) = (was, &self.endpoint) {
            let items = items(signal);
            diagnostics::say(
                Severity::Info,
                format_args!(
                    "{signal}: {endpoint} takes them again; {meanwhile} {items} were lost meanwhile"
                ),
            );
        }
    }

    pub(crate) fn failed(&self, signal: Signal, cause: &str) {
        let lost = self.lost();
        let mut state = self.lock();
        let was = std::mem::replace(&mut state.current, SignalState::Down);
        state.last_error = Some((SystemTime::now(), cause.to_owned()));
        if was != SignalState::Down {
            state.lost_before = lost;
        }
        drop(state);
        if let (SignalState::Idle | SignalState::Up, Some((endpoint, protocol))) = (was, &self.endpoint) {
            let items = items(signal);
            diagnostics::say(
                Severity::Warn,
                format_args!(
                    "{signal}: {endpoint} ({protocol}) does not take {items}: {cause}; they wait while the queue has \
                     room, the service is not affected"
                ),
            );
        }
    }

    pub(crate) fn report(&self, signal: Signal) -> SignalReport {
        let account = self.account.account();
        let state = self.lock();
        SignalReport {
            signal,
            state: state.current,
            endpoint: self.endpoint.as_ref().map(|(endpoint, _)| endpoint.to_string()),
            protocol: self.endpoint.as_ref().map(|(_, protocol)| protocol.to_string()),
            account,
            last_error: state.last_error.clone(),
            last_success: state.last_success,
        }
    }

    fn lost(&self) -> u64 {
        let account = self.account.account();
        account.dropped + account.failed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
