//! How each signal's export is doing.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use super::account::{Account, Loss};
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

    /// The telemetry has ended because its handle was dropped.
    fn note_drop(&self) {}
}

impl<T: fmt::Debug + Send> AccountSource for super::queue::Queue<T> {
    fn account(&self) -> Account {
        Self::account(self)
    }

    fn note_drop(&self) {
        Self::note_drop(self);
    }
}

/// Several ways out of one signal.
#[derive(Debug)]
pub(crate) struct Together(pub(crate) Vec<Arc<dyn AccountSource>>);

impl AccountSource for Together {
    fn account(&self) -> Account {
        let mut sum = Account::default();
        self.0.iter().for_each(|source| sum.add(&source.account()));
        sum
    }

    fn note_drop(&self) {
        self.0.iter().for_each(|source| source.note_drop());
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
    outage: Option<Outage>,
    /// Items lost by the last success.
    lost_before: u64,
    /// Start of the current minute of down lines, and how many it has seen.
    said: (Instant, u32),
    /// When a line last spoke of items that did not fit, and how many had not by then.
    full: (Option<Instant>, u64),
}

/// Failures without a success between them.
#[derive(Debug)]
struct Outage {
    since: Instant,
    retryable: bool,
    said: bool,
}

/// A collector that is away for less than this, and for which nothing was lost, is not worth a line.
const TOLERATED: Duration = Duration::from_secs(1);
/// Lines are said at most so often ..
const MINUTE: Duration = Duration::from_secs(60);
/// .. and about so many outages: a collector that comes and goes must not fill stderr.
const OUTAGES_PER_MINUTE: u32 = 4;

impl SignalStatus {
    pub(crate) fn new(endpoint: Option<(Endpoint, Protocol)>, account: Arc<dyn AccountSource>) -> Arc<Self> {
        let current = if endpoint.is_some() { SignalState::Idle } else { SignalState::Off };
        let state = State {
            current,
            last_error: None,
            last_success: None,
            outage: None,
            lost_before: 0,
            said: (Instant::now(), 0),
            full: (None, 0),
        };
        Arc::new(Self { endpoint, account, state: Mutex::new(state) })
    }

    /// The telemetry has ended because its handle was dropped: what is emitted from now on is worth a line.
    pub(crate) fn note_drop(&self) {
        self.account.note_drop();
    }

    /// The collector took a request.
    pub(crate) fn succeeded(&self, signal: Signal) {
        let account = self.account.account();
        let mut state = self.lock();
        state.current = SignalState::Up;
        state.last_success = Some(SystemTime::now());
        let outage = state.outage.take().filter(|outage| outage.said);
        let lost = account.dropped + account.failed;
        let meanwhile = lost.saturating_sub(std::mem::replace(&mut state.lost_before, lost));
        let Some((endpoint, _)) = &self.endpoint else { return };
        let items = items(signal);
        let full = account.lost(Loss::QueueFull);
        if outage.is_some() {
            state.full.1 = full;
            drop(state);
            diagnostics::say(
                Severity::Info,
                format_args!(
                    "{signal}: {endpoint} takes them again; {meanwhile} {items} were lost meanwhile"
                ),
            );
        } else if full > state.full.1 && state.full.0.is_none_or(|last| last.elapsed() >= MINUTE) {
            let lost = full - state.full.1;
            state.full = (Some(Instant::now()), full);
            drop(state);
            diagnostics::say(
                Severity::Warn,
                format_args!(
                    "{signal}: {lost} {items} were lost: the queue was full, {endpoint} takes them too slowly; \
                     a larger queue or less sampling helps"
                ),
            );
        }
    }

    /// An attempt that `began` then failed.
    pub(crate) fn failed(&self, signal: Signal, cause: &str, retryable: bool, began: Instant) {
        let mut state = self.lock();
        state.current = SignalState::Down;
        state.last_error = Some((SystemTime::now(), cause.to_owned()));
        let outage = state.outage.get_or_insert(Outage { since: began, retryable, said: false });
        outage.retryable = retryable;
        if outage.since.elapsed() >= TOLERATED {
            self.say_down(signal, state);
        }
    }

    /// The shutdown's deadline cut an attempt short. That says less than a failure before it.
    pub(crate) fn cut_short(&self, signal: Signal, cause: &str, began: Instant) {
        if self.lock().outage.is_none() {
            self.failed(signal, cause, true, began);
        }
    }

    /// Items were lost. While the collector takes nothing that is worth a line at once.
    pub(crate) fn lost_items(&self, signal: Signal) {
        self.say_down(signal, self.lock());
    }

    fn say_down(&self, signal: Signal, mut state: MutexGuard<'_, State>) {
        let State { outage: Some(outage), said, last_error: Some((_, cause)), .. } = &mut *state else {
            return;
        };
        if outage.said {
            return;
        }
        if said.0.elapsed() >= MINUTE {
            *said = (Instant::now(), 0);
        }
        if said.1 >= OUTAGES_PER_MINUTE {
            return;
        }
        said.1 += 1;
        outage.said = true;
        let (cause, retryable) = (cause.clone(), outage.retryable);
        drop(state);
        let Some((endpoint, protocol)) = &self.endpoint else { return };
        let items = items(signal);
        let meanwhile = match signal {
            _ if !retryable => "what it refuses is lost",
            // they have no queue
            Signal::Metrics => "those that are outdated by the next collection are lost",
            _ => "they wait while the queue has room",
        };
        diagnostics::say(
            Severity::Warn,
            format_args!(
                "{signal}: {endpoint} ({protocol}) does not take {items}: {cause}; {meanwhile}, the service is not \
                 affected"
            ),
        );
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
