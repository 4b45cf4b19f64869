//! How names appear on a page: by the translation that was chosen, in the escaping that was negotiated.
//!
//! Translation is the operator's choice, escaping the scraper's (<https://prometheus.io/docs/instrumenting/escaping_schemes/>).
//! Names that stay in UTF-8 are quoted where the scraper allows that.

use std::fmt::Write as _;

use super::{
    classic_names::{FamilyName, Kind, family_name, push_label_name, unit_words},
    format::Escaping,
    text::push_label_value,
};
use crate::config::Translation;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Naming {
    pub(super) translation: Option<Translation>,
    pub(super) escaping: Escaping,
}

impl Naming {
    pub(super) fn new(translation: Translation, escaping: Escaping) -> Self {
        Self { translation: Some(translation), escaping }
    }

    /// A family's name; `None` when nothing is left of it.
    pub(super) fn family(self, name: &str, unit: &str, kind: Kind, is_ratio: bool) -> Option<FamilyName> {
        let mut family = match self.translation.unwrap_or(Translation::UnderscoreEscapingWithSuffixes) {
            Translation::UnderscoreEscapingWithSuffixes => family_name(name, unit, kind, is_ratio),
            Translation::UnderscoreEscapingWithoutSuffixes => bare(&underscored(name), kind),
            Translation::NoUTF8EscapingWithSuffixes => suffixed(name, unit, kind, is_ratio),
            Translation::NoTranslation => bare(name, kind),
        }?;
        if self.changes(&family.name, is_metric_name) {
            family.name = self.escaped(&family.name, is_metric_char);
            let is_suffix = |unit: &str| family.name.ends_with(&format!("_{unit}"));
            if !is_suffix(&family.unit) {
                family.unit.clear();
            }
        }
        Some(family)
    }

    /// Appends the label's name for an attribute's key.
    pub(super) fn push_label(self, out: &mut String, prefix: &str, key: &str) {
        let start = out.len();
        // a name that begins like this is one a scraper acts on, such as `__name__`
        let keeps = self.keeps_utf8() && !key.is_empty() && !(prefix.is_empty() && key.starts_with("__"));
        if keeps {
            out.push_str(prefix);
            out.push_str(key);
        } else {
            push_label_name(out, prefix, key);
        }
        if self.changes(&out[start..], is_label_name) {
            let escaped = self.escaped(&out[start..], is_label_char);
            out.truncate(start);
            out.push_str(&escaped);
        }
    }

    /// The label's name for a key of our own.
    pub(super) fn label(self, key: &str) -> String {
        let mut name = String::with_capacity(key.len());
        self.push_label(&mut name, "", key);
        name
    }

    fn keeps_utf8(self) -> bool {
        matches!(self.translation, Some(Translation::NoUTF8EscapingWithSuffixes | Translation::NoTranslation))
    }

    fn changes(self, name: &str, is_classic: fn(&str) -> bool) -> bool {
        match self.escaping {
            Escaping::AllowUtf8 => false,
            Escaping::Dots => true,
            Escaping::Underscores | Escaping::Values => !is_classic(name),
        }
    }

    /// As the scraper's own library escapes names.
    fn escaped(self, name: &str, is_classic: fn(char) -> bool) -> String {
        let mut escaped = String::with_capacity(name.len() + 8);
        if self.escaping == Escaping::Values {
            escaped.push_str("U__");
        }
        for (at, c) in name.char_indices() {
            let fits = is_classic(c) && !(at == 0 && c.is_ascii_digit());
            match self.escaping {
                Escaping::Dots | Escaping::Values if c == '_' => escaped.push_str("__"),
                Escaping::Dots if c == '.' => escaped.push_str("_dot_"),
                _ if fits => escaped.push(c),
                Escaping::Dots => escaped.push_str("__"),
                Escaping::Values => {
                    let _ = write!(escaped, "_{:x}_", u32::from(c));
                }
                Escaping::Underscores | Escaping::AllowUtf8 => escaped.push('_'),
            }
        }
        escaped
    }

    /// A metric's name as the scraper wants it, for what is not translated.
    pub(super) fn fixed(self, name: &str) -> String {
        if self.changes(name, is_metric_name) { self.escaped(name, is_metric_char) } else { name.to_owned() }
    }
}

/// No suffix but one that the name has already.
fn bare(name: &str, kind: Kind) -> Option<FamilyName> {
    let stem = name.strip_suffix("_total").filter(|stem| kind == Kind::Counter && !stem.is_empty());
    let name =
        FamilyName { name: stem.unwrap_or(name).to_owned(), unit: String::new(), has_total: stem.is_some() };
    (!name.name.is_empty()).then_some(name)
}

/// Every character as it is, with the suffixes of unit and kind.
fn suffixed(name: &str, unit: &str, kind: Kind, is_ratio: bool) -> Option<FamilyName> {
    if name.is_empty() {
        return None;
    }
    let is_ratio = is_ratio && unit == "1";
    let mut full = if is_ratio { without(name, "ratio") } else { name };
    if kind == Kind::Counter {
        full = without(full, "total");
    }
    let (main, per) = unit_words(unit);
    let per = if per.is_empty() { per } else { format!("per_{per}") };
    if !per.is_empty() {
        full = without(full, &per);
    }
    let mut full = full.to_owned();
    if !main.is_empty() && !full.ends_with(&main) {
        full.push('_');
        full.push_str(&main);
    }
    for word in [per.as_str(), if is_ratio { "ratio" } else { "" }] {
        if !word.is_empty() {
            full.push('_');
            full.push_str(word);
        }
    }
    Some(FamilyName::of_unit(full, is_ratio, main, &per))
}

/// The name without a suffix and the character before it.
fn without<'a>(name: &'a str, suffix: &str) -> &'a str {
    let Some(rest) = name.strip_suffix(suffix) else { return name };
    let mut chars = rest.chars();
    match chars.next_back() {
        Some(_) if !chars.as_str().is_empty() => chars.as_str(),
        _ => name,
    }
}

fn underscored(name: &str) -> String {
    let parts = name.split(|c: char| !is_metric_char(c)).filter(|part| !part.is_empty());
    let mut joined = parts.collect::<Vec<_>>().join("_");
    if joined.chars().all(|c| c == '_') {
        joined.clear();
    }
    if joined.starts_with(|c: char| c.is_ascii_digit()) {
        joined.insert(0, '_');
    }
    joined
}

/// Appends a name for its place between braces, quoted where it must be.
pub(super) fn push_quoted(out: &mut String, name: &str, is_classic: fn(&str) -> bool) {
    if is_classic(name) {
        out.push_str(name);
    } else {
        out.push('"');
        push_label_value(out, name);
        out.push('"');
    }
}

pub(super) fn is_metric_name(name: &str) -> bool {
    name.starts_with(|c: char| !c.is_ascii_digit()) && name.chars().all(is_metric_char)
}

pub(super) fn is_label_name(name: &str) -> bool {
    name.starts_with(|c: char| !c.is_ascii_digit()) && name.chars().all(is_label_char)
}

fn is_metric_char(c: char) -> bool {
    is_label_char(c) || c == ':'
}

fn is_label_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
