//! A rule of sampling: which spans it is about, and what becomes of them; written `drop path=/health|/ready`.

use std::fmt;

use http::HeaderName;
use opentelemetry::trace::SpanKind;

use super::{Patterns, Sampler, redacted, shortened};

/// A rule of sampling. It decides where all of its conditions hold; without any, wherever it is asked.
///
/// `Display` writes it as `TRACEWELL_SAMPLING_RULES` reads it.
///
/// ```
/// use tracewell::config::SamplingRule;
///
/// let rule = SamplingRule::per_second(5.0).with_route("/search").with_method("GET");
/// assert_eq!(rule.to_string(), "5/s route=/search method=GET");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingRule {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) sampler: Sampler,
}

/// What must hold. Patterns are as in [`Patterns`], and one of them is enough.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    Route(Patterns),
    Method(Patterns),
    Path(Patterns),
    /// The span's name.
    Name(Patterns),
    /// The header's name, in lower case; without a pattern it must only be there.
    Header(String, Patterns),
    Attribute(String, Patterns),
    /// One of these values exactly.
    AttributeIs(String, Vec<String>),
    Kind(Vec<SpanKind>),
    Parent(Vec<ParentKind>),
}

/// Where a span's parent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParentKind {
    None,
    Remote,
    Local,
}

const KINDS: [(&str, SpanKind); 5] = [
    ("internal", SpanKind::Internal),
    ("server", SpanKind::Server),
    ("client", SpanKind::Client),
    ("producer", SpanKind::Producer),
    ("consumer", SpanKind::Consumer),
];

const PARENTS: [(&str, ParentKind); 3] =
    [("none", ParentKind::None), ("remote", ParentKind::Remote), ("local", ParentKind::Local)];

/// The kind of this name.
pub(in crate::config) fn span_kind(word: &str) -> Option<SpanKind> {
    KINDS.iter().find(|(name, _)| *name == word).map(|(_, kind)| kind.clone())
}

/// The kind of parent of this name.
pub(in crate::config) fn parent_kind(word: &str) -> Option<ParentKind> {
    PARENTS.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind)
}

impl SamplingRule {
    /// What is decided by `sampler`. In a rule [`Sampler::AlwaysOn`] is a share of 100 %, and said to be one in `tracestate`.
    #[must_use]
    pub fn new(sampler: Sampler) -> Self {
        let sampler = if sampler == Sampler::AlwaysOn { Sampler::TraceIdRatio(1.0) } else { sampler };
        Self { conditions: Vec::new(), sampler }
    }

    /// Every trace is kept.
    #[must_use]
    pub fn keep() -> Self {
        Self::new(Sampler::AlwaysOn)
    }

    /// None is kept.
    #[must_use]
    pub fn drop() -> Self {
        Self::new(Sampler::AlwaysOff)
    }

    /// This share of the traces is kept, from 0 to 1, chosen by trace id.
    #[must_use]
    pub fn ratio(ratio: f64) -> Self {
        Self::new(Sampler::TraceIdRatio(ratio))
    }

    /// So many traces a second are kept, whichever come first; see [`Sampler::PerSecond`].
    #[must_use]
    pub fn per_second(traces: f64) -> Self {
        Self::new(Sampler::PerSecond(traces))
    }

    /// Requests of this route, such as `/users/{id}`. It is known where the layer is inside of the router
    /// (`axum::Router::layer`), and nowhere else.
    #[must_use]
    pub fn with_route(self, pattern: impl Into<String>) -> Self {
        self.and(Condition::Route(one(pattern)))
    }

    /// Requests with this method.
    #[must_use]
    pub fn with_method(self, pattern: impl Into<String>) -> Self {
        self.and(Condition::Method(one(pattern)))
    }

    /// Requests with this path, without the query.
    #[must_use]
    pub fn with_path(self, pattern: impl Into<String>) -> Self {
        self.and(Condition::Path(one(pattern)))
    }

    /// Requests that have this header; case does not matter. Whoever calls writes headers.
    #[must_use]
    pub fn with_header(self, name: impl AsRef<str>) -> Self {
        self.and(Condition::Header(name.as_ref().to_ascii_lowercase(), Patterns::default()))
    }

    /// Requests with such a value of a header. Whoever calls writes headers.
    #[must_use]
    pub fn with_header_value(self, name: impl AsRef<str>, pattern: impl Into<String>) -> Self {
        self.and(Condition::Header(name.as_ref().to_ascii_lowercase(), one(pattern)))
    }

    /// Spans that start with such a value of an attribute; what is not text is compared as it is written, and of a list
    /// one value is enough.
    #[must_use]
    pub fn with_attribute(self, key: impl Into<String>, pattern: impl Into<String>) -> Self {
        self.and(Condition::Attribute(key.into(), one(pattern)))
    }

    /// Spans of this name, such as a task's.
    #[must_use]
    pub fn with_name(self, pattern: impl Into<String>) -> Self {
        self.and(Condition::Name(one(pattern)))
    }

    pub(crate) fn and(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Whether it is about names of spans.
    pub(crate) fn is_named(&self) -> bool {
        self.conditions.iter().any(|condition| matches!(condition, Condition::Name(_)))
    }

    /// What cannot be meant.
    pub(crate) fn validate(&self) -> Result<(), String> {
        for condition in &self.conditions {
            if let Condition::Header(name, _) = condition {
                let known = HeaderName::from_bytes(name.as_bytes());
                known.map_err(|_| {
                    format!("{:?} is no name of a header; accepted is one such as x-debug", shortened(name))
                })?;
            }
        }
        self.sampler.validate()
    }
}

fn one(pattern: impl Into<String>) -> Patterns {
    Patterns { included: vec![pattern.into()], excluded: Vec::new() }
}

impl fmt::Display for SamplingRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sampler {
            Sampler::AlwaysOff => f.write_str("drop")?,
            Sampler::TraceIdRatio(1.0) => f.write_str("keep")?,
            Sampler::TraceIdRatio(ratio) => write!(f, "{}%", percent(*ratio))?,
            Sampler::PerSecond(traces) => write!(f, "{traces}/s")?,
            other => write!(f, "{other}")?,
        }
        self.conditions.iter().try_for_each(|condition| write!(f, " {condition}"))
    }
}

/// 0.07 is 7 and not 7.000000000000001.
fn percent(ratio: f64) -> f64 {
    let percent = ratio * 100.0;
    let rounded = (percent * 1e9).round() / 1e9;
    if rounded / 100.0 == ratio { rounded } else { percent }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(patterns) => write!(f, "route={}", Listed(patterns)),
            Self::Method(patterns) => write!(f, "method={}", Listed(patterns)),
            Self::Path(patterns) => write!(f, "path={}", Listed(patterns)),
            Self::Name(patterns) => write!(f, "name={}", Listed(patterns)),
            Self::Header(name, patterns) if *patterns == Patterns::default() => write!(f, "header.{name}"),
            Self::Header(name, patterns) => write!(f, "header.{name}={}", Listed(patterns)),
            Self::Attribute(key, patterns) => write!(f, "attribute.{key}={}", Listed(patterns)),
            Self::AttributeIs(key, values) => {
                write!(f, "attribute.{key}=")?;
                alternatives(f, values)
            }
            Self::Kind(kinds) => {
                let names = KINDS.iter().filter(|(_, kind)| kinds.contains(kind)).map(|(name, _)| *name);
                write!(f, "kind={}", names.collect::<Vec<_>>().join("|"))
            }
            Self::Parent(kinds) => {
                let names = PARENTS.iter().filter(|(_, kind)| kinds.contains(kind)).map(|(name, _)| *name);
                write!(f, "parent={}", names.collect::<Vec<_>>().join("|"))
            }
        }
    }
}

struct Listed<'a>(&'a Patterns);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.included.is_empty() {
            f.write_str("*")?;
        }
        alternatives(f, &self.0.included)?;
        if self.0.excluded.is_empty() {
            return Ok(());
        }
        // only a configuration file can say so
        f.write_str("!")?;
        alternatives(f, &self.0.excluded)
    }
}

fn alternatives(f: &mut fmt::Formatter<'_>, values: &[String]) -> fmt::Result {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            f.write_str("|")?;
        }
        if value.is_empty() || value.contains([' ', '\t', ',', '|', '"', '\\']) {
            write!(f, "\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))?;
        } else {
            f.write_str(value)?;
        }
    }
    Ok(())
}

const ACTIONS: &str =
    "accepted is keep, drop, a share such as 10% or a rate such as 5/s, and conditions after it";
const CONDITIONS: &str = "accepted is route=, method=, path=, name=, kind=, parent=, header.<name>, header.<name>= or \
                          attribute.<name>= and a pattern";

/// Rules separated by commas.
///
/// # Errors
/// The first that cannot be read, and why.
pub(in crate::config) fn sampling_rules(text: &str) -> Result<Vec<SamplingRule>, String> {
    let read = || {
        let rules = split(text, |c| c == ',')?;
        let rules = rules.iter().enumerate().filter(|(_, rule)| !rule.trim().is_empty());
        let one =
            |(index, text): (usize, &&str)| rule(text).map_err(|why| format!("rule {}: {why}", index + 1));
        rules.map(one).collect::<Result<Vec<_>, String>>()
    };
    // what may hold credentials is not quoted
    read().map_err(|why: String| match redacted(text) {
        whole if whole == text => why,
        _ => format!("it is no list of rules; {ACTIONS}"),
    })
}

fn rule(text: &str) -> Result<SamplingRule, String> {
    let words = split(text, |c| c.is_ascii_whitespace())?;
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    let action = words.next().unwrap_or_default();
    let mut rule = SamplingRule::new(
        self::action(action).ok_or_else(|| format!("{:?} is no action; {ACTIONS}", shortened(action)))?,
    );
    for word in words {
        rule = rule.and(condition(word)?);
    }
    rule.validate().map(|()| rule)
}

fn action(text: &str) -> Option<Sampler> {
    let number = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        text.parse::<f64>().ok().filter(|number| digits && *number > 0.0)
    };
    if let Some(percent) = text.strip_suffix('%') {
        return number(percent).filter(|percent| *percent <= 100.0).map(|n| Sampler::TraceIdRatio(n / 100.0));
    }
    if let Some(rate) = text.strip_suffix("/s") {
        return number(rate).map(Sampler::PerSecond);
    }
    match text {
        "keep" => Some(Sampler::AlwaysOn),
        "drop" => Some(Sampler::AlwaysOff),
        _ => None,
    }
}

fn condition(word: &str) -> Result<Condition, String> {
    let unknown = || format!("{:?} is no condition; {CONDITIONS}", shortened(word));
    let (key, value) = match word.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (word, None),
    };
    if let (Some(name), None) = (key.strip_prefix("header."), value) {
        return Ok(Condition::Header(name.to_ascii_lowercase(), Patterns::default()));
    }
    let value = value.ok_or_else(unknown)?;
    let values: Vec<String> =
        split(value, |c| c == '|')?.into_iter().map(unquoted).collect::<Result<_, _>>()?;
    if values.iter().any(String::is_empty) && !value.contains('"') {
        return Err(format!(
            "{:?} has no value; accepted is a pattern, and \"\" for an empty one",
            shortened(word)
        ));
    }
    if let Some(name) = key.strip_prefix("attribute.").filter(|name| !name.is_empty()) {
        return Ok(Condition::Attribute(name.to_owned(), any(values)));
    }
    if let Some(name) = key.strip_prefix("header.") {
        return Ok(Condition::Header(name.to_ascii_lowercase(), any(values)));
    }
    Ok(match key {
        "route" => Condition::Route(any(values)),
        "method" => Condition::Method(any(values.iter().map(|method| method.to_ascii_uppercase()).collect())),
        "path" => Condition::Path(any(values)),
        "name" => Condition::Name(any(values)),
        "kind" => Condition::Kind(known(&values, span_kind, &KINDS.map(|(name, _)| name))?),
        "parent" => Condition::Parent(known(&values, parent_kind, &PARENTS.map(|(name, _)| name))?),
        _ => return Err(unknown()),
    })
}

fn any(included: Vec<String>) -> Patterns {
    Patterns { included, excluded: Vec::new() }
}

fn known<T>(words: &[String], one: impl Fn(&str) -> Option<T>, all: &[&str]) -> Result<Vec<T>, String> {
    let found = words.iter().map(|word| {
        one(word).ok_or_else(|| format!("{:?} is unknown; accepted is {}", shortened(word), all.join(", ")))
    });
    found.collect()
}

/// The parts between separators that are not quoted.
fn split(text: &str, separates: impl Fn(char) -> bool) -> Result<Vec<&str>, String> {
    let (mut parts, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if !quoted && separates(c) => {
                parts.push(&text[from..at]);
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    if quoted {
        return Err(
            "a quote is open; accepted is a value in two quotes, with \\\" for a quote in it".to_owned()
        );
    }
    parts.push(&text[from..]);
    Ok(parts)
}

fn unquoted(text: &str) -> Result<String, String> {
    if !text.contains('"') {
        return Ok(text.to_owned());
    }
    let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let inside = inside.ok_or_else(|| {
        format!("{:?} is quoted in part; accepted is a value in two quotes", shortened(text))
    })?;
    let (mut value, mut escaped) = (String::with_capacity(inside.len()), false);
    for c in inside.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => {
                return Err(format!("{:?} is more than one quoted value; accepted is one", shortened(text)));
            }
            c => {
                value.push(c);
                escaped = false;
            }
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_and_means_the_same() {
        for (text, written) in [
            ("drop path=/health|/ready", "drop path=/health|/ready"),
            ("keep", "keep"),
            (" 10%  route=/users/{id}\tmethod=get ", "10% route=/users/{id} method=GET"),
            ("0.5/s header.X-Debug", "0.5/s header.x-debug"),
            (
                "100% header.x-tenant=gold*|\"a, \\\"b\\\" | c\"",
                "keep header.x-tenant=gold*|\"a, \\\"b\\\" | c\"",
            ),
            (
                "7% attribute.tenant=\"\" kind=server|client parent=none",
                "7% attribute.tenant=\"\" kind=server|client parent=none",
            ),
            ("drop name=a=b, ,keep", "drop name=a=b, keep"),
        ] {
            let rules = sampling_rules(text).unwrap();
            let shown: Vec<String> = rules.iter().map(SamplingRule::to_string).collect();
            assert_eq!(shown.join(", "), written, "{text}");
            assert_eq!(sampling_rules(&shown.join(",")).unwrap(), rules, "{text}");
        }
        let built = SamplingRule::ratio(0.1).with_route("/users/{id}").with_method("GET");
        assert_eq!(sampling_rules("10% route=/users/{id} method=GET").unwrap(), [built]);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_what_is_accepted() {
        for (text, why) in [
            (
                "keep, kep route=/x",
                "rule 2: \"kep\" is no action; accepted is keep, drop, a share such as 10%",
            ),
            ("0%", "rule 1: \"0%\" is no action"),
            ("101%", "rule 1: \"101%\" is no action"),
            ("1e2%", "rule 1: \"1e2%\" is no action"),
            ("0.1", "rule 1: \"0.1\" is no action"),
            ("0/s", "rule 1: \"0/s\" is no action"),
            ("9999999/s", "rule 1: sampler 9999999/s: accepted is a rate above 0 and up to 1000000/s"),
            ("route=/x", "rule 1: \"route=/x\" is no action"),
            ("keep routes=/x", "rule 1: \"routes=/x\" is no condition; accepted is route=, method=,"),
            ("keep route", "rule 1: \"route\" is no condition"),
            ("keep attribute.=x", "rule 1: \"attribute.=x\" is no condition"),
            (
                "keep route=",
                "rule 1: \"route=\" has no value; accepted is a pattern, and \"\" for an empty one",
            ),
            ("keep path=/a||/b", "rule 1: \"path=/a||/b\" has no value"),
            ("keep header.x:y", "rule 1: \"x:y\" is no name of a header; accepted is one such as x-debug"),
            ("keep kind=servers", "rule 1: \"servers\" is unknown; accepted is internal, server, client,"),
            ("keep path=\"/a", "a quote is open; accepted is a value in two quotes"),
            ("keep path=/a\"b\"", "rule 1: \"/a\\\"b\\\"\" is quoted in part"),
        ] {
            let told = sampling_rules(text).unwrap_err();
            assert!(told.starts_with(why), "{text}: {told}");
        }
    }
}
