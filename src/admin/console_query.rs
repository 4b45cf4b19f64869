//! What a caller of the console asks for; what cannot be read is named, with what is accepted.

use std::{str::FromStr, time::Duration};

use http::Uri;
use opentelemetry::{TraceId, logs::Severity};
use percent_encoding::percent_decode_str;

use crate::console::{LogFilter, StatusFilter, TraceFilter};

const MOST_TRACES: usize = 500;
const MOST_LOGS: usize = 1000;
const MOST_READINGS: usize = 2000;

/// The parameters of a query, each at most once; one without a value counts as not given.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn read(uri: &Uri, accepted: &[&str]) -> Result<Self, String> {
        let mut found: Vec<(String, String)> = Vec::new();
        for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name), decoded(value));
            if !accepted.contains(&name.as_str()) {
                return Err(format!("{name:?} is no parameter; accepted are {}", accepted.join(", ")));
            }
            if found.iter().any(|(known, _)| *known == name) {
                return Err(format!("{name} is there twice; accepted is once"));
            }
            found.push((name, value));
        }
        Ok(Self(found))
    }

    fn text(&self, name: &str) -> Option<String> {
        let found = self.0.iter().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.clone())
    }

    fn parsed<T>(
        &self,
        name: &str,
        accepted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, String> {
        match self.text(name) {
            None => Ok(None),
            Some(text) => match parse(&text) {
                Some(value) => Ok(Some(value)),
                None => Err(format!("{name}={text:?}; accepted is {accepted}")),
            },
        }
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        self.parsed(name, "a whole number", |text| text.parse().ok())
    }

    fn millis(&self, name: &str) -> Result<Option<Duration>, String> {
        self.parsed(name, "a number of milliseconds, 0 or more", |text| {
            let millis: f64 = text.parse().ok()?;
            Duration::try_from_secs_f64(millis / 1e3).ok()
        })
    }

    fn limit(&self, default: usize, most: usize) -> Result<usize, String> {
        let accepted = format!("a whole number from 1 to {most}");
        let limit = self
            .parsed("limit", &accepted, |text| text.parse().ok().filter(|limit| (1..=most).contains(limit)));
        Ok(limit?.unwrap_or(default))
    }

    fn trace_id(&self, name: &str) -> Result<Option<TraceId>, String> {
        self.parsed(name, "32 hexadecimal digits", trace_id)
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.0.iter().any(|(known, value)| known == name && value != "0" && value != "false")
    }
}

/// `+` is a space, as forms have it.
fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// The id in a path or a parameter.
pub(super) fn trace_id(text: &str) -> Option<TraceId> {
    let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| TraceId::from_hex(text).ok()).flatten()
}

/// Which traces, from where on, and how many at most.
pub(super) fn traces(uri: &Uri) -> Result<(TraceFilter, Option<u64>, usize), String> {
    let asked = Parameters::read(
        uri,
        &["route", "method", "status", "outcome", "min_ms", "max_ms", "attribute", "text", "limit", "before"],
    )?;
    let status =
        asked.parsed("status", "ok, error, or a status code from 100 to 599", |text| match text {
            "ok" => Some(StatusFilter::Ok),
            "error" => Some(StatusFilter::Error),
            code => code.parse().ok().filter(|code| (100..600).contains(code)).map(StatusFilter::Code),
        })?;
    let attribute = asked.parsed("attribute", "key=value, percent-encoded", |text| {
        let (key, value) = text.split_once('=')?;
        (!key.is_empty()).then(|| (key.to_owned(), value.to_owned()))
    })?;
    let outcomes = "completed, failed, cancelled, panicked, aborted or interrupted";
    let outcome = asked.parsed("outcome", outcomes, |text| {
        outcomes.split([',', ' ']).any(|word| word == text && word != "or").then(|| text.to_owned())
    })?;
    let filter = TraceFilter {
        route: asked.text("route"),
        method: asked.text("method"),
        status,
        outcome,
        min: asked.millis("min_ms")?,
        max: asked.millis("max_ms")?,
        attribute,
        text: asked.text("text"),
    };
    Ok((filter, asked.number("before")?, asked.limit(50, MOST_TRACES)?))
}

/// Which log records, from where on, and how many at most.
pub(super) fn logs(uri: &Uri) -> Result<(LogFilter, Option<u64>, usize), String> {
    let asked = Parameters::read(uri, &["min_level", "target", "text", "trace_id", "limit", "before"])?;
    let min_level = asked.parsed("min_level", "trace, debug, info, warn or error", |text| {
        Some(match text.to_ascii_lowercase().as_str() {
            "trace" => Severity::Trace,
            "debug" => Severity::Debug,
            "info" => Severity::Info,
            "warn" => Severity::Warn,
            "error" => Severity::Error,
            _ => return None,
        })
    })?;
    let filter = LogFilter {
        min_level,
        target: asked.text("target"),
        text: asked.text("text"),
        trace_id: asked.trace_id("trace_id")?,
    };
    Ok((filter, asked.number("before")?, asked.limit(200, MOST_LOGS)?))
}

/// How many readings of a metric.
pub(super) fn readings(uri: &Uri) -> Result<usize, String> {
    Parameters::read(uri, &["limit"])?.limit(120, MOST_READINGS)
}

/// What a stream of events is to tell of.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Views {
    pub(super) overview: bool,
    pub(super) requests: bool,
    pub(super) traces: bool,
    pub(super) logs: bool,
    pub(super) metrics: bool,
}

/// Without `views`, all of them.
pub(super) fn views(uri: &Uri) -> Result<Views, String> {
    let asked = Parameters::read(uri, &["views"])?.text("views");
    let mut views = Views::default();
    for word in asked.as_deref().unwrap_or("overview,requests,traces,logs,metrics").split(',') {
        match word.trim() {
            "overview" => views.overview = true,
            "requests" => views.requests = true,
            "traces" => views.traces = true,
            "logs" => views.logs = true,
            "metrics" => views.metrics = true,
            other => {
                let accepted = "overview, requests, traces, logs and metrics, comma separated";
                return Err(format!("views={other:?}; accepted are {accepted}"));
            }
        }
    }
    Ok(views)
}
