//! Names that are nearly those of variables that are read, and words that are nearly levels: what would be ignored, or
//! taken for something else, without a word.

use super::{
    super::{Mistake, Source},
    table::{UNSUPPORTED, table},
};

/// What another program or another version may read is none of ours to judge.
const FOREIGN: usize = 2;
/// The levels of a filter.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Variables that are set, are not read, and are nearly one that is. With a configuration file, those of OpenTelemetry are
/// not read at all.
pub(super) fn variables(source: &Source, with_file: bool) -> Vec<Mistake> {
    let mut found = Vec::new();
    for name in source.names("TRACEWELL_") {
        // a name of ours that is not known is a mistake, unless it is too far from every other
        if let Some(meant) = nearest(&name, |suffix| (suffix / 3).max(FOREIGN)) {
            found.push(mistake(name, meant));
        }
    }
    for name in if with_file { Vec::new() } else { source.names("OTEL_") } {
        if let Some(meant) = nearest(&name, |_| FOREIGN) {
            found.push(mistake(name, meant).warned());
        }
    }
    found
}

/// Its value may be a secret as well.
fn mistake(name: String, meant: &str) -> Mistake {
    Mistake::new(name, "", format!("no such variable; accepted is {meant}"), "").without_value()
}

/// The variable that is meant, if the name is none that is known and so many letters at most are wrong.
fn nearest(name: &str, most: impl Fn(usize) -> usize) -> Option<&'static str> {
    let known = || table().map(|variable| variable.name);
    if known().chain(UNSUPPORTED.iter().map(|(name, _)| *name)).any(|known| known == name) {
        return None;
    }
    let suffix = |name: &str| name.split_once('_').map_or(0, |(_, suffix)| suffix.len());
    let most = most(suffix(name));
    let near = known().filter(|known| known.len().abs_diff(name.len()) <= most);
    let (meant, wrong) = near.map(|known| (known, distance(name, known))).min_by_key(|(_, wrong)| *wrong)?;
    (wrong <= most).then_some(meant)
}

/// What is wrong with a filter that has such a word.
pub(crate) fn misspelt_level(filter: &str) -> Option<String> {
    level(filter).map(no_level)
}

/// The first directive of a filter that is a single word, is no level, and is nearly one: it is taken for a target.
pub(super) fn level(filter: &str) -> Option<&str> {
    let mut words = filter.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.find(|word| {
        let lower = word.to_ascii_lowercase();
        let is_plain = word.len() >= 3 && word.bytes().all(|byte| byte.is_ascii_alphabetic());
        let near =
            |level: &&str| lower.starts_with(*level) || (level.len() > 3 && distance(&lower, level) <= 2);
        is_plain && !LEVELS.contains(&lower.as_str()) && LEVELS.iter().any(near)
    })
}

pub(super) fn no_level(word: &str) -> String {
    format!(
        "{word:?} is no level; accepted is one of {}, or {word}=info if that is a target",
        LEVELS.join(", ")
    )
}

/// How many letters to add, to leave out, to replace, or to exchange with their neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pairs: &[(&str, &str)], with_file: bool) -> Vec<(String, bool)> {
        let found = variables(&Source::from_pairs(pairs.iter().copied()), with_file);
        found.into_iter().map(|mistake| (mistake.to_string(), mistake.warning)).collect()
    }

    #[test]
    fn a_variable_that_is_nearly_one_is_named_with_the_one_that_is_meant_and_without_its_value() {
        for (name, meant, warning) in [
            ("OTEL_EXPORTER_OTLP_ENDPONT", "OTEL_EXPORTER_OTLP_ENDPOINT", true),
            ("OTEL_TRACE_SAMPLER", "OTEL_TRACES_SAMPLER", true),
            ("OTEL_SERVICE_NMAE", "OTEL_SERVICE_NAME", true),
            ("TRACEWELL_ADMIN_ADDRESS", "TRACEWELL_ADMIN_ADDR", false),
            ("TRACEWELL_ADMIN_TOKN", "TRACEWELL_ADMIN_TOKEN", false),
        ] {
            let expected = format!("{name}: no such variable; accepted is {meant}; ignored");
            assert_eq!(said(&[(name, "hunter2")], false), [(expected, warning)]);
            assert_eq!(said(&[(name, "hunter2")], true).len(), usize::from(!warning));
        }
        for name in table().map(|variable| variable.name) {
            assert_eq!(said(&[(name, "1")], false), [], "{name}");
        }
        let others = [
            "OTEL_SERVICE_VERSION",
            "OTEL_PYTHON_LOG_LEVEL",
            "OTEL_EXPORTER_ZIPKIN_ENDPOINT",
            "OTEL_EXPORTER_JAEGER_ENDPOINT",
            "OTEL_INSTRUMENTATION_HTTP_ENABLED",
            "TRACEWELL_REQUIRE_BACKENDS",
            "TRACEWELL_SOAK_SEED",
            "PATH",
        ];
        for name in others {
            assert_eq!(said(&[(name, "1")], false), [], "{name}");
        }
        assert_eq!(said(&[("TRACEWELL_ADMIN_ADRESS", " ")], false), [], "blank is unset");
    }

    #[test]
    fn a_word_that_is_nearly_a_level_is_found_and_targets_are_not() {
        for (filter, word) in [
            ("inof", Some("inof")),
            ("hyper=off, warning", Some("warning")),
            ("Debg,shop=info", Some("Debg")),
            ("INFO", None),
            ("shop", None),
            ("my_crate,info", None),
            ("inof=debug", None),
            ("[span{id=1}]", None),
            ("", None),
        ] {
            assert_eq!(level(filter), word, "{filter}");
        }
    }
}
