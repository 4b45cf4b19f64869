//! What a program wants of its log records and lines.

use std::time::Duration;

use super::Builder;
use crate::config::{self, AccessLog, LogFile, LogFormat};

impl Builder {
    /// Whether lines are written to stdout, and to stderr where they are wanted; `true` unless said otherwise.
    pub fn with_stdout(mut self, lines: bool) -> Self {
        self.additions.silent = !lines;
        self
    }

    /// How lines on stdout and stderr look; unless said otherwise JSON, and on a terminal a form for people.
    pub fn with_log_format(self, format: LogFormat) -> Self {
        self.change(move |config| {
            config.logs.format = Some(format);
            Ok(())
        })
    }

    /// Which events are logged, in the words of `RUST_LOG`; up to INFO unless said otherwise. Spans do not depend on it.
    pub fn with_log_filter(self, directives: impl Into<String>) -> Self {
        let directives = directives.into();
        self.change(move |config| match directives.parse::<tracing_subscriber::EnvFilter>() {
            Ok(_) => {
                config.logs.filter.clone_from(&directives);
                Ok(())
            }
            Err(error) => {
                Err(format!("log filter {directives:?}: {error}; accepted are RUST_LOG directives"))
            }
        })
    }

    /// Which requests have a completion record: route, status, outcome, and the duration in ms that span and histogram
    /// have too. None unless said otherwise.
    pub fn with_access_log(self, requests: AccessLog) -> Self {
        self.change(move |config| {
            config.logs.access_log = requests;
            Ok(())
        })
    }

    /// Which events are lines on stdout: levels by target, such as `info,my_crate=debug`, or `off`. As the log filter
    /// otherwise.
    pub fn with_stdout_filter(self, directives: impl Into<String>) -> Self {
        let directives = directives.into();
        self.change(move |config| {
            config::levels(&directives)?;
            config.logs.stdout = Some(directives.clone());
            Ok(())
        })
    }

    /// Which events are lines on stderr: levels by target. None otherwise.
    pub fn with_stderr_filter(self, directives: impl Into<String>) -> Self {
        let directives = directives.into();
        self.change(move |config| {
            config::levels(&directives)?;
            config.logs.stderr = Some(directives.clone());
            Ok(())
        })
    }

    /// A file that log lines are written to. Of several files each has its own lines; one of the same path takes the place of
    /// that of `TRACEWELL_LOG_FILE`.
    pub fn with_log_file(self, file: LogFile) -> Self {
        self.change(move |config| {
            if let Some(filter) = &file.filter {
                config::levels(filter)?;
            }
            config.logs.files.retain(|known| known.path != file.path);
            config.logs.files.push(file.clone());
            Ok(())
        })
    }

    /// Which events, of those that the log filter leaves out, are kept back with their request or task and logged only if
    /// it fails: ends other than a good one, a status of 500 or above, a panic, a log record of the level ERROR.
    ///
    /// They keep their own times and ids, and memory is bounded: `TRACEWELL_LOG_ON_FAILURE_BYTES`,
    /// `TRACEWELL_LOG_ON_FAILURE_TOTAL_BYTES`.
    pub fn with_log_on_failure(self, directives: impl Into<String>) -> Self {
        let directives = directives.into();
        self.change(move |config| {
            config::levels(&directives)?;
            config.logs.on_failure.filter = Some(directives.clone());
            Ok(())
        })
    }

    /// Which events are logged inside of a sampled trace, beside those that the log filter takes.
    pub fn with_log_sampled(self, directives: impl Into<String>) -> Self {
        let directives = directives.into();
        self.change(move |config| {
            config::levels(&directives)?;
            config.logs.sampled = Some(directives.clone());
            Ok(())
        })
    }

    /// Fields of spans, by name, that the log records inside of them carry, those recorded later included. Of several spans
    /// the nearest counts. Spans below INFO are not looked at.
    pub fn with_log_span_fields<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        self.change(move |config| {
            config.logs.span_fields.clone_from(&names);
            Ok(())
        })
    }

    /// Whether log records say where in the code they were made: `code.file.path` and `code.line.number`.
    pub fn with_log_code(self, code: bool) -> Self {
        self.change(move |config| {
            config.logs.code = code;
            Ok(())
        })
    }

    /// For so long after a log record, further ones that say the same (all but time and ids) are counted instead of logged;
    /// then one record has their number. Zero = each one is logged.
    pub fn with_log_repeats(self, window: Duration) -> Self {
        self.change(move |config| {
            config.logs.repeats = Some(window).filter(|window| !window.is_zero());
            Ok(())
        })
    }

    /// How many log records a second one place in the code may make; what is beyond is counted, and one record has the
    /// number. Zero = no limit.
    pub fn with_log_rate(self, per_second: u32) -> Self {
        self.change(move |config| {
            config.logs.rate = Some(per_second).filter(|rate| *rate > 0);
            Ok(())
        })
    }
}
