//! What the operator wants of log records and of their lines.

use std::{path::PathBuf, time::Duration};

use tracing_subscriber::filter::Targets;

use super::{AccessLog, Batch, Exporter, LogFormat, LogRotation, Otlp, Output};

/// Log records, over OTLP and as lines.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LogsConfig {
    /// `OTEL_LOGS_EXPORTER`; empty = `none`. Lines do not depend on it.
    pub exporters: Vec<Exporter>,
    /// The batch processor.
    pub batch: Batch,
    /// The OTLP exporter.
    pub otlp: Otlp,
    /// Further ways out.
    pub more: Vec<Output>,
    /// What one record may hold.
    pub limits: LogLimits,
    /// `RUST_LOG`; the directives as given, validated.
    pub filter: String,
    /// `TRACEWELL_LOG_FORMAT`, of stdout and stderr; `None` = by whether it is a terminal.
    pub format: Option<LogFormat>,
    /// `TRACEWELL_ACCESS_LOG`.
    pub access_log: AccessLog,
    /// `TRACEWELL_LOG_STDOUT`: which events are lines on stdout; `None` = as `filter`.
    pub stdout: Option<String>,
    /// `TRACEWELL_LOG_STDERR`: which events are lines on stderr; `None` = none.
    pub stderr: Option<String>,
    /// `TRACEWELL_LOG_FILE`, and those that are given in code.
    pub files: Vec<LogFile>,
    /// `TRACEWELL_LOG_ON_FAILURE`.
    pub on_failure: OnFailure,
    /// `TRACEWELL_LOG_SAMPLED`: which further events are logged inside of a sampled trace.
    pub sampled: Option<String>,
    /// `TRACEWELL_LOG_SPAN_FIELDS`: fields of spans that records inside of them carry.
    pub span_fields: Vec<String>,
    /// `TRACEWELL_LOG_CODE`: whether records say where in the code they were made.
    pub code: bool,
    /// `TRACEWELL_LOG_REPEATS_MS`: for so long, repetitions of a record are counted instead of logged.
    pub repeats: Option<Duration>,
    /// `TRACEWELL_LOG_RATE`: records a second of one place in the code.
    pub rate: Option<u32>,
}

/// Events that are kept back with their request or task, and logged if it fails.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnFailure {
    /// `TRACEWELL_LOG_ON_FAILURE`: which events, of those that `RUST_LOG` leaves out; `None` = none.
    pub filter: Option<String>,
    /// `TRACEWELL_LOG_ON_FAILURE_BYTES`: memory of one request or task at most.
    pub bytes: usize,
    /// `TRACEWELL_LOG_ON_FAILURE_TOTAL_BYTES`: memory of all of them at most.
    pub total_bytes: usize,
}

/// A file of log lines, rotated.
///
/// What was `app.log` becomes `app.log.1`, what was that `app.log.2`, and so on.
///
/// ```
/// use tracewell::config::{LogFile, LogRotation};
///
/// let file = LogFile::new("/var/log/shop/shop.log").with_filter("info").with_rotation(LogRotation::Daily);
/// let builder = tracewell::Telemetry::builder().with_log_file(file);
/// # drop(builder);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogFile {
    /// Where it is; folders that are missing are made.
    pub path: PathBuf,
    /// Which events it has, as levels by target; `None` = as `RUST_LOG`.
    pub filter: Option<String>,
    /// How its lines look; `json` unless said otherwise.
    pub format: LogFormat,
    /// Size in bytes from which on it is rotated, 100 MiB unless said otherwise; `None` = never by size.
    pub max_bytes: Option<u64>,
    /// When it is rotated whatever its size; never unless said otherwise.
    pub rotation: LogRotation,
    /// Rotated files that are kept, 5 unless said otherwise.
    pub backups: u32,
}

impl LogFile {
    pub(super) const MAX_BYTES: u64 = 100 << 20;
    pub(super) const BACKUPS: u32 = 5;

    /// The file at this path, with the defaults of the variables.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            filter: None,
            format: LogFormat::Json,
            max_bytes: Some(Self::MAX_BYTES),
            rotation: LogRotation::Never,
            backups: Self::BACKUPS,
        }
    }

    /// Which events it has: levels by target, such as `info,my_crate=debug`.
    #[must_use]
    pub fn with_filter(mut self, directives: impl Into<String>) -> Self {
        self.filter = Some(directives.into());
        self
    }

    /// How its lines look.
    #[must_use]
    pub const fn with_format(mut self, format: LogFormat) -> Self {
        self.format = format;
        self
    }

    /// The size in bytes from which on it is rotated; 0 = never by size.
    #[must_use]
    pub const fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = if bytes == 0 { None } else { Some(bytes) };
        self
    }

    /// When it is rotated whatever its size.
    #[must_use]
    pub const fn with_rotation(mut self, rotation: LogRotation) -> Self {
        self.rotation = rotation;
        self
    }

    /// How many rotated files are kept; with 0, what is rotated is gone.
    #[must_use]
    pub const fn with_backups(mut self, backups: u32) -> Self {
        self.backups = backups;
        self
    }
}

/// Levels by target. Spans and fields, which `RUST_LOG` knows too, are for one filter alone.
///
/// # Errors
/// The sentence that says what is wrong and what is accepted.
pub(crate) fn levels(directives: &str) -> Result<Targets, String> {
    let part =
        |char: char| char.is_alphanumeric() || matches!(char, '_' | ':' | '-' | '.' | '/' | '=' | ',' | ' ');
    directives.parse().ok().filter(|_| directives.chars().all(part)).ok_or_else(|| {
        format!(
            "log filter {directives:?}; accepted are levels by target such as info,my_crate=debug, or off"
        )
    })
}

impl LogsConfig {
    /// A setting's value in use, as one would write it.
    pub(super) fn value(&self, variable: &str) -> Option<String> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let file = self.files.first();
        Some(match variable.strip_prefix("TRACEWELL_LOG_")? {
            "FORMAT" => self.format.map_or_else(String::new, |format| format.to_string()),
            "STDOUT" => text(&self.stdout),
            "STDERR" => text(&self.stderr),
            "FILE" => file.map_or_else(String::new, |file| file.path.display().to_string()),
            "FILE_FILTER" => file.map_or_else(String::new, |file| text(&file.filter)),
            "FILE_FORMAT" => file.map_or(LogFormat::Json, |file| file.format).to_string(),
            "FILE_MAX_BYTES" => {
                file.map_or(Some(LogFile::MAX_BYTES), |file| file.max_bytes).unwrap_or(0).to_string()
            }
            "FILE_ROTATION" => file.map_or(LogRotation::Never, |file| file.rotation).to_string(),
            "FILE_BACKUPS" => file.map_or(LogFile::BACKUPS, |file| file.backups).to_string(),
            "ON_FAILURE" => text(&self.on_failure.filter),
            "ON_FAILURE_BYTES" => self.on_failure.bytes.to_string(),
            "ON_FAILURE_TOTAL_BYTES" => self.on_failure.total_bytes.to_string(),
            "SAMPLED" => text(&self.sampled),
            "SPAN_FIELDS" => self.span_fields.join(","),
            "CODE" => self.code.to_string(),
            "REPEATS_MS" => self.repeats.map_or(0, |window| window.as_millis()).to_string(),
            "RATE" => self.rate.unwrap_or(0).to_string(),
            _ => return None,
        })
    }
}

/// How much one log record may hold (`OTEL_LOGRECORD_*_LIMIT`; specification, logs/sdk.md "LogRecord Limits").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLimits {
    /// Attributes per record.
    pub attributes: u32,
    /// Characters of an attribute's value, and bytes of a byte value; `None` = no limit.
    pub value_length: Option<u32>,
}
