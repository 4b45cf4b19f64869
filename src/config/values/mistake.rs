//! A setting that could not be used as given, and the hiding of what must not be shown.

use std::{borrow::Cow, error::Error, fmt};

use crate::redaction::Redactor;

/// What stands where a secret was.
const HIDDEN: &str = "******";

/// Characters of a value shown at most.
const SHOWN: usize = 120;

/// A setting that could not be used as given, on one line:
/// `OTEL_TRACES_SAMPLER_ARG="1.5": accepted is a number from 0 to 1; using 1`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mistake {
    /// The variable, or the path in the configuration file: `tracer_provider.processors[0].batch`.
    pub variable: Cow<'static, str>,
    /// The value as given, shortened, secrets and credentials hidden; `None` = it cannot be shown as text.
    pub value: Option<String>,
    /// What is wrong and what is accepted.
    pub problem: String,
    /// What is used instead; empty = the setting is ignored.
    pub used: String,
    /// The line of the configuration file, from 1.
    pub line: Option<usize>,
    /// Something to know, not a mistake: `TRACEWELL_STRICT` lets it pass.
    pub warning: bool,
    /// A part of the value is used.
    pub(crate) partly: bool,
}

impl Mistake {
    /// A mistake whose value may be shown; credentials of a URL in it are hidden.
    pub(crate) fn new(
        variable: impl Into<Cow<'static, str>>,
        value: &str,
        problem: impl Into<String>,
        used: impl Into<String>,
    ) -> Self {
        let value = Redactor::default().owned_text(redacted(value).into_owned());
        let value = Some(shortened(&value).into_owned());
        Self {
            variable: variable.into(),
            value,
            problem: problem.into(),
            used: used.into(),
            line: None,
            warning: false,
            partly: false,
        }
    }

    /// The same, as something to know.
    pub(crate) fn warned(mut self) -> Self {
        self.warning = true;
        self
    }

    /// The same on a line of the configuration file.
    pub(crate) fn at_line(mut self, line: usize) -> Self {
        self.line = Some(line).filter(|line| *line > 0);
        self
    }

    /// The same where a part of the value is used.
    pub(crate) fn in_part(mut self, partly: bool) -> Self {
        self.partly = partly;
        self
    }

    /// The same with nothing of the value to be seen.
    pub(crate) fn hiding_value(mut self) -> Self {
        self.value = Some(HIDDEN.to_owned());
        self
    }

    /// The same for a value that is no text.
    pub(crate) fn without_value(mut self) -> Self {
        self.value = None;
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.variable)?;
        if let Some(line) = self.line {
            write!(f, " (line {line})")?;
        }
        match self.value.as_deref() {
            None => {}
            Some(HIDDEN) => write!(f, "={HIDDEN}")?,
            Some(value) => write!(f, "={value:?}")?,
        }
        write!(f, ": {}; ", self.problem)?;
        match self.used.as_str() {
            "" => f.write_str("ignored"),
            used => write!(f, "using {used}"),
        }
    }
}

impl Error for Mistake {}

/// A value that no output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the value in.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself: to compare or to send, never to show.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Hides what may be the credentials or the query of a URL, well-formed or not. A file's path stays as it is.
pub(in crate::config) fn redacted(value: &str) -> Cow<'_, str> {
    let has_scheme = value.contains("://");
    if value.starts_with(['/', '.']) && !value.starts_with("//") && !value.contains(':') {
        return Cow::Borrowed(value);
    }
    let (credentials, rest) = match value.rsplit_once('@') {
        Some((before, after)) => (Some(before), after),
        None => (None, value),
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, _)) if has_scheme || credentials.is_some() => (rest, "?REDACTED"),
        _ => (rest, ""),
    };
    let scheme = match credentials.and_then(|before| before.split_once("://")) {
        Some((scheme @ ("http" | "https"), _)) => format!("{scheme}://"),
        _ => String::new(),
    };
    match (credentials, query) {
        (None, "") => Cow::Borrowed(value),
        (None, query) => Cow::Owned(format!("{rest}{query}")),
        (Some(_), query) => Cow::Owned(format!("{scheme}REDACTED:REDACTED@{rest}{query}")),
    }
}

/// The beginning of a long value.
pub(in crate::config) fn shortened(value: &str) -> Cow<'_, str> {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", &value[..end])),
        None => Cow::Borrowed(value),
    }
}
