//! Any value of any variable through the real parsing.

use super::{Config, Explanation, Mistake, Source, Variable, variables};
use crate::redaction::Redactor;

/// Must be seen nowhere.
const PLANTED: &str = "pl4ntedZq9v";

/// A line a variable, `NAME=value`; a name that is none stands for one of the known ones.
pub fn configuration(data: &[u8]) {
    let pairs: Vec<_> = data.split(|byte| *byte == b'\n').filter_map(pair).collect();
    for (name, value) in &pairs {
        alone(name, value);
    }
    let source = Source::from_pairs(pairs.iter().map(|(name, value)| (*name, os(value))));
    resolved(&source);
}

fn pair(line: &[u8]) -> Option<(&'static str, Vec<u8>)> {
    let equals = line.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (&line[..equals], &line[equals + 1..]);
    let known = variables().find(|variable| variable.name.as_bytes() == name);
    let number = name.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
    let variable = known.or_else(|| variables().nth(number % variables().count()))?;
    // in the place of every other variable, and mangled in tests of its own
    if variable.name.ends_with("CONFIG_FILE") {
        return None;
    }
    // a path names a file of this machine
    let harmless = !variable.name.ends_with("CERTIFICATE") && !variable.name.ends_with("_KEY");
    (harmless || !value.starts_with(b"/")).then(|| (variable.name, planted(variable, value)))
}

/// The value with a secret where such a value may hold one.
fn planted(variable: &Variable, value: &[u8]) -> Vec<u8> {
    let around = |before: &str, after: &str| [before.as_bytes(), value, after.as_bytes()].concat();
    match variable.name {
        name if name.contains("OTLP") && name.ends_with("_HEADERS") => {
            around("", &format!(",x-tenant={PLANTED}"))
        }
        name if name.ends_with("_ENDPOINT") && value.first().is_some_and(|byte| byte % 2 == 0) => {
            around(&format!("https://user:{PLANTED}@"), "")
        }
        "OTEL_RESOURCE_ATTRIBUTES" => around("", &format!(",api_key={PLANTED}")),
        _ if variable.secret => around("", PLANTED),
        _ => value.to_vec(),
    }
}

/// One variable by itself: a value that was refused as a whole changes nothing.
fn alone(name: &'static str, value: &[u8]) {
    let (explanation, mistakes) = resolved(&Source::from_pairs([(name, os(value))]));
    let refused = mistakes.iter().find(|mistake| mistake.variable == name && !mistake.partly);
    if refused.is_some() {
        let (default, _) = resolved(&Source::from_pairs::<&str, &str>([]));
        let value = |explanation: &Explanation| explanation.get(name).map(|setting| setting.value.clone());
        assert_eq!(value(&explanation), value(&default), "{name}: {refused:?}");
    }
}

fn resolved(source: &Source) -> (Explanation, Vec<Mistake>) {
    let (config, mistakes) = Config::resolve(source);
    let redactor = Redactor::default();
    let explanation = Explanation::new(source, &config, &config, &mistakes, &redactor);
    let shown = format!("{explanation}\n{explanation:?}\n{config:?}\n{source:?}\n{mistakes:?}");
    assert!(!shown.contains(PLANTED), "{shown}");
    for mistake in &mistakes {
        let line = mistake.to_string();
        assert!(!mistake.variable.is_empty() && line.starts_with(&*mistake.variable), "{line}");
        assert!(mistake.problem.len() > 3 && line.len() < 4096, "{line}");
        assert!(!line.contains(['\n', '\r']), "{line:?}");
    }
    for setting in &explanation.settings {
        assert!(!setting.value.contains(char::is_control), "{}: {:?}", setting.name, setting.value);
        assert!(setting.value.len() < 4096, "{}: {} bytes", setting.name, setting.value.len());
    }
    (explanation, mistakes)
}

#[cfg(unix)]
fn os(value: &[u8]) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(value.to_vec())
}

#[cfg(not(unix))]
fn os(value: &[u8]) -> std::ffi::OsString {
    String::from_utf8_lossy(value).into_owned().into()
}
