//! Rules of sampling as `TRACEWELL_SAMPLING_RULES` has them: `drop path=/health, keep header.x-debug, 10%`.

use super::{
    Patterns, Sampler, SamplingRule, redacted,
    rule::{Condition, KINDS, PARENTS, parent_kind, span_kind},
    shortened,
};

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
