//! Our own voice: a few lines on stderr, rate-limited, never through the pipelines they speak about.
//!
//! | level | means |
//! |---|---|
//! | ERROR | a person must act: nothing works until they do |
//! | WARN | something was lost or is not as configured |
//! | INFO | a state changed back to normal, or what a choice came to |

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use crate::{config::LogLevel, line_writer::LineWriter, redaction::Redactor, timestamp};

/// The same kind of line is repeated after this time at the earliest.
const QUIET: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    Info,
    Warn,
    Error,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// The least that is said, as [`Severity`]'s number; one above all = nothing.
static LEAST: AtomicU8 = AtomicU8::new(Severity::Info as u8);

/// What of our own voice is heard from now on, for the whole process.
pub(crate) fn set_level(level: LogLevel) {
    let least = match level {
        LogLevel::None => Severity::Error as u8 + 1,
        LogLevel::Error => Severity::Error as u8,
        LogLevel::Warn => Severity::Warn as u8,
        LogLevel::Info | LogLevel::Debug | LogLevel::Trace => Severity::Info as u8,
    };
    LEAST.store(least, Ordering::Relaxed);
}

/// Says a line now. For changes of state, which limit themselves.
pub(crate) fn say(severity: Severity, message: fmt::Arguments<'_>) {
    if (severity as u8) < LEAST.load(Ordering::Relaxed) {
        return;
    }
    let mut line = String::with_capacity(160);
    timestamp::rfc3339_micros(SystemTime::now(), &mut line);
    // one line whatever the message holds: foreign text must neither forge another line nor steer the terminal
    let text = message.to_string().replace(char::is_control, " ");
    // an error's text may quote what must not be seen
    let text = Redactor::default().owned_text(text);
    line.push_str(&format!(" {} tracewell: {text}\n", severity.as_str()));
    LineWriter::stderr().write(line.as_bytes());
}

/// Says a line of the kind `key` unless that kind spoke within the last minute; the next one counts what was left out.
pub(crate) fn warn(key: &'static str, message: fmt::Arguments<'_>) {
    limited(Severity::Warn, key, message);
}

/// See [`warn`].
pub(crate) fn limited(severity: Severity, key: &'static str, message: fmt::Arguments<'_>) {
    static SPOKEN: OnceLock<Mutex<HashMap<&'static str, (Instant, u64)>>> = OnceLock::new();
    let now = Instant::now();
    let suppressed = {
        let mut spoken = SPOKEN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        match spoken.get_mut(key) {
            Some((last, suppressed)) if now.duration_since(*last) < QUIET => {
                *suppressed += 1;
                return;
            }
            Some((last, suppressed)) => {
                *last = now;
                std::mem::take(suppressed)
            }
            None => {
                spoken.insert(key, (now, 0));
                0
            }
        }
    };
    if suppressed > 0 {
        say(severity, format_args!("{message} ({suppressed} more like this were not shown)"));
    } else {
        say(severity, message);
    }
}

/// Waits until everything said so far is on stderr, until `deadline` at most.
pub(crate) fn flush(deadline: Instant) {
    LineWriter::stderr().flush(deadline, false);
}

/// Whether a [`flush`] has nothing to wait for.
pub(crate) fn is_idle() -> bool {
    LineWriter::stderr().is_idle()
}

/// The subscriber of threads whose work must not be recorded: it passes OpenTelemetry's own warnings on to stderr.
#[derive(Debug)]
pub(crate) struct Listener;

/// Makes the [`Listener`] this thread's subscriber until the guard is dropped.
pub(crate) fn listen() -> tracing::dispatcher::DefaultGuard {
    // one for the process: each new dispatcher makes `tracing` ask every call site again, and keeps its list locked meanwhile
    static LISTENER: OnceLock<tracing::Dispatch> = OnceLock::new();
    tracing::dispatcher::set_default(LISTENER.get_or_init(|| tracing::Dispatch::new(Listener)))
}

impl Listener {
    /// Whether an event is one of OpenTelemetry's own that a person should see.
    pub(crate) fn hears(metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("opentelemetry") && *metadata.level() <= tracing::Level::WARN
    }

    /// Says an event that [`hears`](Self::hears) approved.
    pub(crate) fn relay(event: &tracing::Event<'_>) {
        let mut text = String::new();
        event.record(&mut Words(&mut text));
        let metadata = event.metadata();
        let severity =
            if *metadata.level() == tracing::Level::ERROR { Severity::Error } else { Severity::Warn };
        // the name is one per call site: each kind of warning has its own limit
        limited(severity, metadata.name(), format_args!("{} {}:{text}", metadata.target(), metadata.name()));
    }
}

/// Fields as ` name=value`, the message without its name.
struct Words<'a>(&'a mut String);

impl tracing::field::Visit for Words<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        use fmt::Write as _;
        // writing to a String cannot fail
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

impl tracing::Subscriber for Listener {
    /// For what is not heard, the answer of the subscriber that is current here: `tracing` asks all subscribers of the
    /// process and keeps one answer per call site, and where they differ every span and event of the service would have to
    /// ask its own again.
    fn register_callsite(
        &self,
        metadata: &'static tracing::Metadata<'static>,
    ) -> tracing::subscriber::Interest {
        if metadata.is_event() && Self::hears(metadata) {
            return tracing::subscriber::Interest::always();
        }
        tracing::dispatcher::get_default(|current| {
            if current.is::<Self>() {
                tracing::subscriber::Interest::never()
            } else {
                current.register_callsite(metadata)
            }
        })
    }

    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && Self::hears(metadata)
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::WARN)
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        // a call site that the service always wants does not ask whether this thread does
        if Self::hears(event.metadata()) {
            Self::relay(event);
        }
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
