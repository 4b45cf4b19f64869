//! What must not be seen in what is shown: values with a telling name, credentials in URLs, and copies of either.

use std::{borrow::Cow, sync::OnceLock};

use serde_json::Value;

use crate::redaction::Redactor;

pub(super) const HIDDEN: &str = "******";

/// Parts of names whose values are secrets.
const TELLING: [&str; 20] = [
    "key",
    "token",
    "secret",
    "pass",
    "pwd",
    "credential",
    "auth",
    "cookie",
    "session",
    "private",
    "salt",
    "signature",
    "bearer",
    "jwt",
    "dsn",
    "headers",
    "connection_string",
    "connectionstring",
    "webhook",
    "sas",
];

/// How tokens of known makers begin.
const MAKERS: [&str; 14] = [
    "eyJ",
    "ghp_",
    "gho_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "sk-",
    "sk_live_",
    "AKIA",
    "AIza",
    "-----BEGIN",
];

/// Shorter secrets are too likely to be part of something else for their copies to be looked for.
const COPIED: usize = 6;

/// Whether a value with this name is not shown.
pub(super) fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    TELLING.iter().any(|part| name.contains(part))
}

/// A value as it may be shown.
pub(super) fn value<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    if value.is_empty() {
        Cow::Borrowed(value)
    } else if is_telling(name) || holds_secret(value) {
        Cow::Borrowed(HIDDEN)
    } else {
        match without_credentials(value) {
            // the environment is shown by stricter rules than telemetry is sent by: both apply
            Cow::Borrowed(value) => redactor().value(name, value),
            hidden => hidden,
        }
    }
}

fn redactor() -> &'static Redactor {
    static REDACTOR: OnceLock<Redactor> = OnceLock::new();
    REDACTOR.get_or_init(Redactor::new)
}

/// Whether a part of a value is a secret by its form: `password=…`, `"token": "…"`, or a maker's mark.
fn holds_secret(value: &str) -> bool {
    let quotes: &[char] = &['"', '\'', '{', '[', '(', '-'];
    let marked = value
        .split(|c: char| c.is_whitespace() || matches!(c, '=' | ':' | ',' | '"' | '\''))
        .any(|word| MAKERS.iter().any(|mark| word.starts_with(mark)));
    let pairs = value.split(|c: char| c.is_whitespace() || matches!(c, '&' | ';' | ',' | '?' | '#'));
    marked
        || value.to_ascii_lowercase().split_once("bearer ").is_some()
        || pairs.filter(|pair| !pair.contains("://")).any(|pair| {
            let named = pair.split_once(['=', ':']).map(|(name, _)| name);
            named.is_some_and(|name| is_telling(name.trim_matches(quotes)))
        })
}

/// A URL's user and password are not shown.
fn without_credentials(value: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = value.split_once("://") else { return Cow::Borrowed(value) };
    match rest.rsplit_once('@') {
        Some((_, rest)) => Cow::Owned(format!("{scheme}://{HIDDEN}@{rest}")),
        None => Cow::Borrowed(value),
    }
}

/// Arguments as they may be shown: `--token x`, `--token=x` and `TOKEN=x` alike.
pub(super) fn arguments(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut hide_next = false;
    let shown = arguments.map(|argument| {
        let follows = std::mem::replace(&mut hide_next, false);
        if follows && !argument.starts_with("--") {
            return HIDDEN.to_owned();
        }
        match argument.split_once('=') {
            Some((name, given)) => format!("{name}={}", value(name, given)),
            None => {
                hide_next = argument.starts_with('-') && is_telling(&argument);
                value("", &argument).into_owned()
            }
        }
    });
    shown.collect()
}

/// The values that nothing may show, wherever they turn up.
#[derive(Default)]
pub(super) struct Known(Vec<String>);

impl Known {
    pub(super) fn add(&mut self, secret: &str) {
        if secret.len() >= COPIED && !self.0.iter().any(|known| known == secret) {
            self.0.push(secret.to_owned());
        }
    }

    /// The values that [`value`] would hide among these variables.
    pub(super) fn add_variables(&mut self, variables: impl Iterator<Item = (String, String)>) {
        for (name, value) in variables {
            // a path to a key is no key
            if is_telling(&name) && !value.starts_with('/') {
                self.add(&value);
            }
            if let Some(password) = password(&value) {
                self.add(password);
            }
        }
        // of two where one is part of the other, the longer goes first
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    pub(super) fn hide(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                for secret in &self.0 {
                    if text.contains(secret.as_str()) {
                        *text = text.replace(secret.as_str(), HIDDEN);
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.hide(value)),
            Value::Object(values) => values.values_mut().for_each(|value| self.hide(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

fn password(url: &str) -> Option<&str> {
    let (credentials, _) = url.split_once("://")?.1.rsplit_once('@')?;
    Some(credentials.split_once(':')?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telling_names_credentials_and_marks_are_hidden_and_the_rest_is_shown() {
        for (name, given, expected) in [
            ("API_KEY", "abc", HIDDEN),
            ("DbPassword", "abc", HIDDEN),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=b", HIDDEN),
            ("DATABASE_URL", "postgres://u:p@ss@db/shop", "postgres://******@db/shop"),
            ("CALLBACK", "https://h/x?a=1&access_token=abc", HIDDEN),
            ("CONFIG", "{\"user\":\"a\",\"password\": \"b\"}", HIDDEN),
            ("CONN", "host=db user=a password=b", HIDDEN),
            ("X", "eyJhbGciOiJIUzI1NiJ9.e30.x", HIDDEN),
            ("HEADER", "Authorization: Bearer abc", HIDDEN),
            ("PATH", "/usr/bin:/bin", "/usr/bin:/bin"),
            ("HOME", "/root", "/root"),
            ("API_KEY", "", ""),
            ("ENDPOINT", "http://localhost:4318", "http://localhost:4318"),
        ] {
            assert_eq!(value(name, given), expected, "{name}={given}");
        }
    }

    #[test]
    fn arguments_are_hidden_in_each_of_their_spellings() {
        let given = [
            "shop",
            "--port",
            "80",
            "--db-password",
            "a",
            "--token=b",
            "--verbose",
            "API_KEY=c",
            "u://x:d@h",
        ];
        let shown = arguments(given.into_iter().map(str::to_owned));
        let expected = [
            "shop",
            "--port",
            "80",
            "--db-password",
            HIDDEN,
            "--token=******",
            "--verbose",
            "API_KEY=******",
            "u://******@h",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_copy_of_a_secret_is_hidden_wherever_it_is() {
        let mut known = Known::default();
        let variables = [("API_KEY", "s3cret-value"), ("DB", "pg://u:hunter22@h")];
        known.add_variables(variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
        let mut shown = serde_json::json!({ "note": ["was s3cret-value", { "deep": "hunter22" }], "n": 1 });
        known.hide(&mut shown);
        assert_eq!(shown, serde_json::json!({ "note": ["was ******", { "deep": HIDDEN }], "n": 1 }));
    }
}
