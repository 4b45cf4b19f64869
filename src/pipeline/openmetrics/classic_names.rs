//! OpenTelemetry names to Prometheus names, as Prometheus itself does for OTLP (`UnderscoreEscapingWithSuffixes`).

/// What a family is, as its TYPE line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }

    /// What is appended to the family's name on the lines of its samples.
    pub(super) fn suffixes(self, has_total: bool) -> &'static [&'static str] {
        match self {
            Self::Counter if has_total => &["_total"],
            Self::Counter | Self::Gauge => &[""],
            Self::Histogram => &["_bucket", "_sum", "_count"],
            Self::Summary => &["", "_sum", "_count"],
        }
    }
}

/// A family's name, without the `_total` of counters, and the unit it ends with (empty: none).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FamilyName {
    pub(super) name: String,
    pub(super) unit: String,
    /// a counter's samples end with `_total`
    pub(super) has_total: bool,
}

/// Translates an instrument's name and UCUM unit; `is_ratio` if unit `1` means a ratio, which it does on gauges alone.
///
/// `None` when no character of the name survives.
pub(super) fn family_name(name: &str, unit: &str, kind: Kind, is_ratio: bool) -> Option<FamilyName> {
    let mut tokens: Vec<&str> =
        name.split(|c: char| !is_metric_char(c)).filter(|token| !token.is_empty()).collect();
    if tokens.is_empty() {
        return None;
    }
    let (main, per) = unit_words(unit);
    let per = if per.is_empty() { per } else { format!("per_{per}") };
    let (has_main, has_per) =
        (tokens.iter().any(|token| *token == main), tokens.iter().any(|token| *token == per));
    if !main.is_empty() && !has_main {
        tokens.push(&main);
    }
    if !per.is_empty() && !has_per {
        tokens.push(&per);
    }
    if kind == Kind::Counter {
        tokens.retain(|token| *token != "total");
    }
    let is_ratio = is_ratio && unit == "1";
    if is_ratio {
        tokens.retain(|token| *token != "ratio");
        tokens.push("ratio");
    }
    if tokens.is_empty() {
        tokens.push("total");
    }
    let mut full = tokens.join("_");
    if full.starts_with(|c: char| c.is_ascii_digit()) {
        full.insert(0, '_');
    }
    Some(FamilyName::of_unit(full, is_ratio, main, &per))
}

impl FamilyName {
    /// A family's name whose unit is said when the name ends in it: a scraper refuses the whole page when it does not.
    pub(super) fn of_unit(name: String, is_ratio: bool, main: String, per: &str) -> Self {
        let unit = match (is_ratio, main.is_empty(), per.is_empty()) {
            (true, ..) => "ratio".to_owned(),
            (_, false, false) => format!("{main}_{per}"),
            _ => main + per,
        };
        let is_suffix = name.strip_suffix(unit.as_str()).is_some_and(|rest| rest.ends_with('_'));
        Self { name, unit: if is_suffix { unit } else { String::new() }, has_total: true }
    }
}

/// Appends the label's name for an attribute key to `out`.
///
/// Runs collapse at the ends too, so no key becomes a label a scraper acts on, such as `__name__`.
pub(super) fn push_label_name(out: &mut String, prefix: &str, key: &str) {
    out.push_str(prefix);
    if prefix.is_empty() && key.starts_with(|c: char| c.is_ascii_digit()) {
        out.push_str("key_");
    }
    let mut after_underscore = prefix.ends_with('_');
    for c in key.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c);
            after_underscore = false;
        } else if !after_underscore {
            out.push('_');
            after_underscore = true;
        }
    }
    if prefix.is_empty() && key.is_empty() {
        out.push('_');
    }
}

fn is_metric_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

/// The words of a unit and of what follows its `/`; annotations (`{request}`) and `1` have none.
pub(super) fn unit_words(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    (clean_unit(main, main_word), clean_unit(per, per_word))
}

fn clean_unit(unit: &str, word: fn(&str) -> &str) -> String {
    let unit = unit.trim();
    if unit.contains(['{', '}']) {
        return String::new();
    }
    let parts = word(unit).split(|c: char| !is_metric_char(c)).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("_")
}

fn main_word(unit: &str) -> &str {
    match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        other => other,
    }
}

fn per_word(unit: &str) -> &str {
    match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        other => other,
    }
}
