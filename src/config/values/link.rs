//! A link from the console to another tool.

use std::fmt;

/// A link that the console's page shows beside a trace: a label, and a URL in which `{trace_id}`, `{span_id}`, `{start_ms}`,
/// `{end_ms}` and `{service}` are filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsoleLink {
    /// What it leads to, such as `Jaeger`.
    pub label: String,
    /// With the placeholders.
    pub url: String,
}

impl ConsoleLink {
    /// A link to an `http://` or `https://` URL.
    ///
    /// # Errors
    /// What is wrong with the label or the URL, and what is accepted.
    pub fn new(label: impl Into<String>, url: impl Into<String>) -> Result<Self, String> {
        let (label, url) = (label.into(), url.into());
        let visible = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        if !visible(&label) {
            return Err(format!("console link {label:?}; accepted is a label that can be read"));
        }
        // a page that follows `javascript:` would run it
        let lower = url.to_ascii_lowercase();
        let host = lower.strip_prefix("http://").or_else(|| lower.strip_prefix("https://"));
        if !visible(&url) || host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
            return Err(format!("console link {label:?}: accepted is a URL with http:// or https://"));
        }
        // it is shown to whoever may see the page
        let authority = host.and_then(|host| host.split(['/', '?', '#']).next());
        if authority.is_some_and(|authority| authority.contains('@')) {
            return Err(format!("console link {label:?}: accepted is a URL without credentials"));
        }
        Ok(Self { label, url })
    }
}

/// As it stands in the variable.
impl fmt::Display for ConsoleLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.label, self.url)
    }
}
