//! The configuration is read again while the service runs: by call, by signal, or when the file has changed.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    builder::Change,
    config::{self, Config, Explanation, LogsConfig, Mistake, RedactionConfig, Source},
    diagnostics::{self, Severity},
    redaction::Redactor,
    telemetry::{Inner, Telemetry},
};

/// Settings that change while the service runs.
const LIVE: [&str; 11] = [
    "RUST_LOG",
    "TRACEWELL_LOG_STDOUT",
    "TRACEWELL_LOG_FILE_FILTER",
    "TRACEWELL_LOG_ON_FAILURE",
    "TRACEWELL_LOG_SAMPLED",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "TRACEWELL_SAMPLING_RULES",
    "TRACEWELL_SAMPLING_REMOTE_PARENT",
    "TRACEWELL_REDACT_NAMES",
    "TRACEWELL_REDACT_EXCEPT",
];

/// What a reload has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// Settings that have changed, by their variables.
    pub changed: Vec<&'static str>,
    /// Settings that are different now and count from the next start on, by their variables.
    pub at_restart: Vec<&'static str>,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.changed.as_slice() {
            [] => f.write_str("nothing has changed")?,
            changed => write!(f, "changed: {}", changed.join(", "))?,
        }
        match self.at_restart.as_slice() {
            [] => Ok(()),
            later => write!(f, "; a restart is needed for {}", later.join(", ")),
        }
    }
}

/// Why nothing was reloaded. What was in use stays in use.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the configuration is not reloaded, that of before stays: {}", .0.join("; "))]
#[non_exhaustive]
pub struct ReloadError(
    /// What is wrong, one sentence each.
    pub Vec<String>,
);

/// What a reload needs.
pub(crate) struct Reload {
    source: Source,
    changes: Vec<Change>,
    /// As the program has it.
    redactor: Redactor,
    state: Mutex<State>,
    /// Dropped, it ends the thread that watches.
    watching: Mutex<Option<oneshot::Sender<()>>>,
}

#[derive(Clone)]
struct State {
    config: Arc<Config>,
    explanation: Arc<Explanation>,
}

impl Reload {
    pub(crate) fn new(
        source: Source,
        changes: Vec<Change>,
        redactor: Redactor,
        config: &Config,
        explanation: Explanation,
    ) -> Self {
        let state = State { config: Arc::new(config.clone()), explanation: Arc::new(explanation) };
        Self { source, changes, redactor, state: Mutex::new(state), watching: Mutex::new(None) }
    }

    /// Nothing is watched any more.
    pub(crate) fn end(&self) {
        drop(self.watching.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(crate) fn explanation(&self) -> Arc<Explanation> {
        Arc::clone(&self.lock().explanation)
    }

    /// What is in use.
    pub(crate) fn current(&self) -> (Arc<Config>, Arc<Explanation>) {
        let state = self.lock().clone();
        (state.config, state.explanation)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is hidden: what the program says, and what its operator adds.
pub(crate) fn redactor(in_code: &Redactor, added: &RedactionConfig) -> Redactor {
    in_code.apart().with_names(&added.names).with_harmless_names(&added.except)
}

/// A mistake without what would be used instead: nothing is.
fn what(mistake: &Mistake) -> String {
    let line = mistake.to_string();
    line.rsplit_once("; ").map_or(line.clone(), |(what, _)| what.to_owned())
}

impl Inner {
    /// Reads the configuration and changes what can change. One reload at a time.
    fn reload(&self) -> Result<Reloaded, ReloadError> {
        let reload = &self.reload;
        let mut state = reload.lock();
        let (resolved, mistakes) = Config::resolve(&reload.source);
        let mut wanted = resolved.clone();
        let mut problems: Vec<String> =
            mistakes.iter().filter(|mistake| !mistake.warning).map(what).collect();
        problems.extend(reload.changes.iter().filter_map(|change| change(&mut wanted).err()));
        if !problems.is_empty() {
            return Err(ReloadError(problems));
        }
        // what is said in code and not by a change
        wanted.resource.service_name.clone_from(&state.config.resource.service_name);
        let differing = config::differences(&state.config, &wanted);
        let (changed, at_restart) = differing.into_iter().partition(|name| LIVE.contains(name));
        let mut used = Config::clone(&state.config);
        let sampler = wanted.traces.effective_sampler();
        // what has not changed goes on counting where it was
        if used.traces.effective_sampler() != sampler {
            self.pipeline.sampler.set(&sampler);
        }
        used.traces.sampler = wanted.traces.sampler;
        used.traces.sampling_rules = wanted.traces.sampling_rules;
        used.traces.remote_parent = wanted.traces.remote_parent;
        if used.redaction != wanted.redaction {
            self.pipeline.redactor().follow(&redactor(&reload.redactor, &wanted.redaction));
            used.redaction = wanted.redaction;
        }
        // a filter that somebody has set by hand stays until the configured one changes
        let filter = (used.logs.filter != wanted.logs.filter).then(|| wanted.logs.filter.clone());
        self.follow_log_rules(&wanted.logs, &mut used.logs);
        used.logs.filter = wanted.logs.filter;
        if let (Some(file), Some(now)) = (&mut used.file, resolved.file.clone()) {
            *file = now;
        }
        let redactor = self.pipeline.redactor();
        let explanation = Explanation::new(&reload.source, &resolved, &used, &mistakes, redactor);
        let explanation = Arc::new(explanation);
        config::reinstalled(&state.explanation, &explanation);
        *state = State { config: Arc::new(used), explanation };
        drop(state);
        // said as an event, which may come back here: without the lock
        if let Some(filter) = filter {
            // it was validated with the configuration
            let _ = self.log_level.set(&filter, None);
        }
        Ok(Reloaded { changed, at_restart })
    }

    /// Which events are lines where, kept back, or logged inside of sampled traces. Sinks stay as they are.
    fn follow_log_rules(&self, wanted: &LogsConfig, used: &mut LogsConfig) {
        used.stdout.clone_from(&wanted.stdout);
        used.on_failure.filter.clone_from(&wanted.on_failure.filter);
        used.sampled.clone_from(&wanted.sampled);
        for (used, wanted) in used.files.iter_mut().zip(&wanted.files) {
            if used.path == wanted.path {
                used.filter.clone_from(&wanted.filter);
            }
        }
        // they were validated with the configuration; where they are as before this changes nothing
        let _ = self.pipeline.set_log_rules(used);
        crate::init::follow_level();
    }

    /// The same, and says on stderr what came of it.
    fn reload_and_say(&self) -> Result<Reloaded, ReloadError> {
        let result = self.reload();
        match &result {
            Ok(reloaded) => {
                diagnostics::say(Severity::Info, format_args!("configuration reloaded; {reloaded}"));
            }
            Err(error) => diagnostics::say(Severity::Warn, format_args!("{error}")),
        }
        result
    }
}

impl Telemetry {
    /// Reads the configuration again: variables, and the configuration file. The log filter, those of stdout, of
    /// the file, on failure and of sampled traces, the sampler and rules of sampling, and what is redacted change at once;
    /// what else has changed is in [`Reloaded::at_restart`]. What is set in code still wins.
    /// One line on stderr says what came of it. Blocks for the reading of a file.
    ///
    /// `TRACEWELL_CONFIG_RELOAD_MS` and `TRACEWELL_CONFIG_RELOAD_SIGHUP` do it without a call.
    ///
    /// # Errors
    /// [`ReloadError`] when there is any mistake; nothing has changed then.
    pub fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.inner().reload_and_say()
    }
}

/// Starts the thread that watches, if it was asked for. `stamp` is what the file held at the start.
///
/// # Errors
/// The sentence that says why there is none.
pub(crate) fn watch(telemetry: &Telemetry, stamp: Option<u64>) -> Result<(), String> {
    let inner = telemetry.inner();
    let config::ReloadConfig { every, sighup, .. } = inner.config.reload;
    if every.is_none() && !sighup {
        return Ok(());
    }
    let (stop, stopped) = oneshot::channel();
    *inner.reload.watching.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop);
    let watched = Arc::downgrade(inner);
    let failed = |error: std::io::Error| format!("the configuration cannot be watched: {error}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    // the signal is ours from here on, not from when the thread gets to run
    let hangups = {
        let _inside = runtime.enter();
        Hangups::new(sighup).map_err(failed)?
    };
    let source = inner.reload.source.clone();
    let watcher = Watcher { watched, source, stamp, every, hangups };
    let thread = thread::Builder::new().name("tracewell-reload".into());
    thread.spawn(move || runtime.block_on(watcher.run(stopped))).map_err(failed)?;
    Ok(())
}

struct Watcher {
    watched: Weak<Inner>,
    source: Source,
    stamp: Option<u64>,
    every: Option<Duration>,
    hangups: Hangups,
}

impl Watcher {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                _ = &mut stopped => return,
                () = self.hangups.next() => self.stamp = config::stamp(&self.source),
                () = pause(self.every) => {
                    let now = config::stamp(&self.source);
                    // a file that is being replaced may be away for a moment
                    if now.is_none() || now == self.stamp {
                        continue;
                    }
                    self.stamp = now;
                }
            }
            let Some(inner) = self.watched.upgrade() else { return };
            // whoever reads stderr has been told
            let _ = inner.reload_and_say();
        }
    }
}

async fn pause(every: Option<Duration>) {
    match every {
        Some(every) => tokio::time::sleep(every).await,
        None => std::future::pending().await,
    }
}

/// The signal SIGHUP, where there is one.
struct Hangups {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    #[cfg(unix)]
    fn new(wanted: bool) -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { signal: wanted.then(|| signal(SignalKind::hangup())).transpose()? })
    }

    #[cfg(not(unix))]
    fn new(_: bool) -> std::io::Result<Self> {
        Ok(Self {})
    }

    /// Cancel safe.
    async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal {
            if signal.recv().await.is_some() {
                return;
            }
        }
        std::future::pending().await
    }
}
