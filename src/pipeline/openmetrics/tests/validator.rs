//! A strict reader of exposition pages: the OpenMetrics grammar and the rules around it, or those of text 0.0.4.

use std::collections::HashSet;

/// What a valid page holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) families: usize,
    pub(super) samples: usize,
    pub(super) exemplars: usize,
}

type Labels = Vec<(String, String)>;

#[derive(Default)]
struct Family {
    name: String,
    kind: String,
    seen: HashSet<&'static str>,
    has_samples: bool,
    /// labels (without `le`) of the histogram being read
    group: String,
    last: Option<(f64, u64)>,
    total: Option<u64>,
    has_sum: bool,
    has_count: bool,
    negative: bool,
}

pub(super) fn validate(text: &str, openmetrics: bool) -> Result<Page, String> {
    let body = match (openmetrics, text.strip_suffix("# EOF\n")) {
        (true, Some(body)) => body,
        (true, None) => return Err("no EOF".into()),
        (false, _) => text,
    };
    ensure(body.is_empty() || body.ends_with('\n'), "last line is open")?;
    let (mut page, mut family) = (Page::default(), Family::default());
    let (mut names, mut series) = (HashSet::new(), HashSet::new());
    for line in body.split_terminator('\n') {
        let result = match line.strip_prefix("# ") {
            Some(rest) => descriptor(rest, &mut family, &mut names, openmetrics, &mut page),
            None => sample(line, &mut family, &mut series, openmetrics, &mut page),
        };
        result.map_err(|reason| format!("{reason}: {line}"))?;
    }
    end_group(&mut family, openmetrics)?;
    Ok(page)
}

fn ensure(condition: bool, reason: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(reason.to_owned()) }
}

fn descriptor(
    rest: &str,
    family: &mut Family,
    names: &mut HashSet<String>,
    openmetrics: bool,
    page: &mut Page,
) -> Result<(), String> {
    let mut parts = rest.splitn(3, ' ');
    let (Some(word), Some(name), Some(value)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("short descriptor".into());
    };
    ensure(is_name(name, ":"), "metric name")?;
    if name != family.name || family.has_samples {
        end_group(family, openmetrics)?;
        *family = Family { name: name.to_owned(), ..Family::default() };
        page.families += 1;
        ensure(names.insert(name.to_owned()), "family name taken")?;
    }
    let word = match word {
        "HELP" => {
            ensure(is_escaped(value, openmetrics), "help")?;
            "HELP"
        }
        "TYPE" => {
            family.kind = value.to_owned();
            for suffix in suffixes(value, openmetrics)? {
                let sample = format!("{name}{suffix}");
                ensure(suffix.is_empty() || names.insert(sample), "sample name taken")?;
            }
            "TYPE"
        }
        "UNIT" if openmetrics => {
            ensure(name.strip_suffix(value).is_some_and(|rest| rest.ends_with('_')), "unit")?;
            ensure(value.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c)), "unit")?;
            "UNIT"
        }
        _ => return Err("descriptor".into()),
    };
    ensure(family.seen.insert(word), "descriptor twice")
}

fn suffixes(kind: &str, openmetrics: bool) -> Result<&'static [&'static str], String> {
    Ok(match kind {
        "counter" if openmetrics => &["_total"],
        "counter" | "gauge" => &[""],
        "info" if openmetrics => &["_info"],
        "histogram" => &["_bucket", "_sum", "_count"],
        "summary" => &["", "_sum", "_count"],
        _ => return Err("kind".into()),
    })
}

fn sample(
    line: &str,
    family: &mut Family,
    series: &mut HashSet<String>,
    openmetrics: bool,
    page: &mut Page,
) -> Result<(), String> {
    family.has_samples = true;
    page.samples += 1;
    let at = line.find(['{', ' ']).ok_or("no value")?;
    let (name, rest) = line.split_at(at);
    let suffix = name.strip_prefix(family.name.as_str()).ok_or("foreign sample")?;
    ensure(suffixes(&family.kind, openmetrics)?.contains(&suffix), "suffix")?;
    let (mut labels, rest) = labels(rest)?;
    let identity = format!("{name}{labels:?}");
    ensure(series.insert(identity), "series twice")?;
    let rest = rest.strip_prefix(' ').ok_or("space")?;
    let (value, exemplar) = match rest.split_once(" # ") {
        Some((value, exemplar)) => (value, Some(exemplar)),
        None => (rest, None),
    };
    let value = number(value)?;
    let special = match family.kind.as_str() {
        "histogram" if suffix == "_bucket" => "le",
        "summary" if suffix.is_empty() => "quantile",
        _ => "",
    };
    let mut threshold = None;
    if !special.is_empty() {
        let at = labels.iter().position(|(name, _)| name == special).ok_or("no le or quantile")?;
        let text = labels.remove(at).1;
        threshold = Some(number(&text)?);
        let is_float = text.contains(['.', 'e', 'I']);
        ensure(is_float == openmetrics || text.contains(['.', 'e', 'I']), "canonical threshold")?;
    }
    let counts = matches!(family.kind.as_str(), "counter" | "histogram");
    ensure(!(counts && openmetrics) || value >= 0.0, "counter below zero or NaN")?;
    if family.kind == "histogram" {
        histogram(family, suffix, &labels, threshold, value, openmetrics)?;
    }
    if special == "quantile" {
        ensure(threshold.is_some_and(|at| (0.0..=1.0).contains(&at)), "quantile")?;
    }
    if let Some(text) = exemplar {
        let lower = family.last.filter(|_| special == "le").map_or(f64::NEG_INFINITY, |(lower, _)| lower);
        ensure(openmetrics && (special == "le" || family.kind == "counter"), "exemplar here")?;
        self::exemplar(text, lower, threshold.unwrap_or(f64::INFINITY))?;
        page.exemplars += 1;
    }
    if let Some(threshold) = threshold.filter(|_| special == "le") {
        family.last = Some((threshold, value as u64));
    }
    Ok(())
}

fn histogram(
    family: &mut Family,
    suffix: &str,
    labels: &[(String, String)],
    le: Option<f64>,
    value: f64,
    openmetrics: bool,
) -> Result<(), String> {
    let group = format!("{labels:?}");
    if family.group != group || (le.is_some() && family.total.is_some()) {
        end_group(family, openmetrics)?;
        family.group = group;
    }
    match (suffix, le) {
        (_, Some(le)) => {
            ensure(value.fract() == 0.0, "bucket is no integer")?;
            if let Some((lower, count)) = family.last {
                ensure(lower < le && count <= value as u64, "buckets not cumulative")?;
            }
            family.negative |= le < 0.0;
            family.total = (le == f64::INFINITY).then_some(value as u64);
        }
        ("_sum", _) => family.has_sum = true,
        _ => {
            family.has_count = true;
            ensure(family.total == Some(value as u64), "count is not the last bucket")?;
        }
    }
    Ok(())
}

/// Closes a histogram's group of lines.
fn end_group(family: &mut Family, openmetrics: bool) -> Result<(), String> {
    if !family.group.is_empty() {
        ensure(family.total.is_some(), "no +Inf bucket")?;
        ensure(!openmetrics || family.has_sum == family.has_count, "count without sum")?;
        ensure(!(openmetrics && family.negative && family.has_sum), "sum beside negative buckets")?;
    }
    family.group.clear();
    (family.last, family.total) = (None, None);
    (family.has_sum, family.has_count, family.negative) = (false, false, false);
    Ok(())
}

fn exemplar(text: &str, lower: f64, upper: f64) -> Result<(), String> {
    let (labels, rest) = labels(text)?;
    ensure(text.starts_with('{'), "exemplar labels")?;
    let chars: usize = labels.iter().map(|(name, value)| name.len() + value.chars().count()).sum();
    ensure(chars <= 128, "exemplar too long")?;
    let mut parts = rest.strip_prefix(' ').ok_or("exemplar")?.split(' ');
    let value = number(parts.next().unwrap_or_default())?;
    ensure(
        (lower < value || lower == f64::NEG_INFINITY) && value <= upper,
        "exemplar outside of its bucket",
    )?;
    if let Some(timestamp) = parts.next() {
        ensure(number(timestamp)?.is_finite(), "timestamp")?;
    }
    ensure(parts.next().is_none(), "after the exemplar")
}

/// Reads `{…}` if there is one: the labels, unescaped, and the rest.
fn labels(text: &str) -> Result<(Labels, &str), String> {
    let Some(mut rest) = text.strip_prefix('{') else { return Ok((Vec::new(), text)) };
    let mut labels = Labels::new();
    while !rest.starts_with('}') {
        if !labels.is_empty() {
            rest = rest.strip_prefix(',').ok_or("comma")?;
        }
        let (name, after) = rest.split_once("=\"").ok_or("label")?;
        ensure(is_name(name, ""), "label name")?;
        ensure(labels.iter().all(|(other, _)| other != name), "label twice")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        loop {
            match chars.next().ok_or("open value")?.1 {
                '"' => break,
                '\\' => match chars.next().ok_or("open value")?.1 {
                    'n' => value.push('\n'),
                    c @ ('\\' | '"') => value.push(c),
                    _ => return Err("escape".into()),
                },
                '\0' => return Err("NUL".into()),
                c => value.push(c),
            }
        }
        rest = chars.as_str();
        labels.push((name.to_owned(), value));
    }
    Ok((labels, &rest[1..]))
}

fn number(text: &str) -> Result<f64, String> {
    let value = match text {
        "NaN" => f64::NAN,
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        _ if text.chars().all(|c| c.is_ascii_digit() || "+-.e".contains(c)) => {
            text.parse().map_err(|_| "number")?
        }
        _ => return Err("number".into()),
    };
    Ok(value)
}

fn is_name(name: &str, more: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || more.contains(c))
}

fn is_escaped(text: &str, quotes: bool) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let good = match c {
            '\\' => chars.next().is_some_and(|c| c == '\\' || c == 'n' || (quotes && c == '"')),
            '"' => !quotes,
            c => c != '\0',
        };
        if !good {
            return false;
        }
    }
    true
}
