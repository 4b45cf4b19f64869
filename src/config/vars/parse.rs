//! One parser per kind of value.

use std::{fmt::Display, fs::File, io::Read, net::SocketAddr, path::PathBuf, time::Duration};

use tracing_subscriber::EnvFilter;

use super::{
    misspelt,
    reader::{Parsed, bad, because, partly, quoted},
};
use crate::config::{
    ConsoleLink, Detector, Exporter, Headers, IpRange, Propagator, Sampler, SamplingRule, Secret, Signal,
    values::{self, Word, percent_decoded},
};

/// The specification's range for integers; a duration within it can be added to any clock reading.
const MOST: u32 = i32::MAX.unsigned_abs();

/// A PEM file is some kilobytes; more is not looked at.
const PEM_LIMIT: u64 = 4 << 20;

pub(super) fn boolean(text: &str) -> Parsed<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(bad()),
    }
}

pub(super) fn count(text: &str) -> Parsed<u32> {
    text.parse().ok().filter(|n| *n <= MOST).ok_or_else(bad)
}

pub(super) fn size(text: &str) -> Parsed<usize> {
    let size = count(text).ok().filter(|n| *n > 0);
    size.and_then(|n| usize::try_from(n).ok()).ok_or_else(bad)
}

pub(super) fn millis(text: &str) -> Parsed<Duration> {
    let millis = count(text).map_err(|_| bad())?;
    Ok(Duration::from_millis(millis.into()))
}

/// `0` = no limit.
pub(super) fn timeout(text: &str) -> Parsed<Option<Duration>> {
    let millis = millis(text).map_err(|_| bad())?;
    Ok(Some(millis).filter(|limit| !limit.is_zero()))
}

pub(super) fn interval(text: &str) -> Parsed<Duration> {
    millis(text).ok().filter(|interval| !interval.is_zero()).ok_or_else(bad)
}

pub(super) fn ratio(text: &str) -> Parsed<f64> {
    text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or_else(bad)
}

pub(super) fn port(text: &str) -> Parsed<u16> {
    text.parse().map_err(|_| bad())
}

pub(in crate::config) fn host(text: &str) -> Parsed<String> {
    let bare = text.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(text);
    let is_name = bare.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
    if is_name || bare.parse::<std::net::IpAddr>().is_ok() { Ok(bare.to_owned()) } else { Err(bad()) }
}

pub(super) fn address(text: &str) -> Parsed<SocketAddr> {
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    local.as_deref().unwrap_or(text).parse().map_err(|_| bad())
}

pub(super) fn text(text: &str) -> Parsed<String> {
    Ok(text.to_owned())
}

pub(super) fn secret(text: &str) -> Parsed<Secret> {
    if text.bytes().all(|b| b.is_ascii_graphic()) { Ok(Secret::new(text)) } else { Err(bad()) }
}

pub(super) fn word<T: Word>(text: &str) -> Parsed<T> {
    T::from_word(text).ok_or_else(bad)
}

pub(super) fn filter(text: &str) -> Parsed<String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => unless_misspelt(text),
        Err(_) => Err(bad()),
    }
}

/// A word that is nearly a level is a target to the filter, and would silence everything else without a word.
fn unless_misspelt(text: &str) -> Parsed<String> {
    match misspelt::level(text) {
        Some(word) => Err(partly(misspelt::no_level(word), text.to_owned(), format!("{word} as a target"))),
        None => Ok(text.to_owned()),
    }
}

/// A filter of one place where lines go.
pub(super) fn levels(text: &str) -> Parsed<String> {
    match crate::config::levels(text) {
        Ok(_) => unless_misspelt(text),
        Err(_) => Err(bad()),
    }
}

/// `0` = never.
pub(super) fn bytes(text: &str) -> Parsed<Option<u64>> {
    let bytes: i64 = text.parse().map_err(|_| bad())?;
    u64::try_from(bytes).map(|bytes| Some(bytes).filter(|bytes| *bytes > 0)).map_err(|_| bad())
}

pub(super) fn backups(text: &str) -> Parsed<u32> {
    count(text).ok().filter(|backups| *backups <= 1000).ok_or_else(bad)
}

/// The sampler with its ratio still to be filled in.
pub(super) fn sampler(text: &str) -> Parsed<Sampler> {
    let lower = text.to_ascii_lowercase();
    let root = match lower.strip_prefix("parentbased_").unwrap_or(&lower) {
        "always_on" => Sampler::AlwaysOn,
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => Sampler::TraceIdRatio(1.0),
        "jaeger_remote" => return Err(because("not supported yet")),
        "xray" if lower == "xray" => return Err(because("not supported yet")),
        _ => return Err(bad()),
    };
    Ok(if lower.starts_with("parentbased_") { Sampler::parent_based(root) } else { root })
}

/// One that cannot be read and none is used: what it was to decide would be decided by those after it.
pub(super) fn sampling_rules(text: &str) -> Parsed<Vec<SamplingRule>> {
    values::sampling_rules(text).map_err(because)
}

pub(super) fn exporters(text: &str, signal: Signal) -> Parsed<Vec<Exporter>> {
    words(text, |entry| match (Exporter::from_word(entry), signal) {
        (Some(Exporter::Prometheus), Signal::Traces | Signal::Logs) => Err("is for metrics only"),
        (Some(exporter), _) => Ok(exporter),
        (None, _) => Err(match entry.to_ascii_lowercase().as_str() {
            "zipkin" | "jaeger" | "logging" => "is deprecated and not supported",
            "otlp/stdout" => "is not supported yet",
            _ => "is unknown",
        }),
    })
}

pub(super) fn propagators(text: &str) -> Parsed<Vec<Propagator>> {
    words(text, |entry| {
        Propagator::from_word(entry).ok_or(match entry.to_ascii_lowercase().as_str() {
            "xray" => "is not supported yet",
            "jaeger" | "ottrace" => "is deprecated and not supported",
            _ => "is unknown",
        })
    })
}

pub(super) fn detectors(text: &str) -> Parsed<Vec<Detector>> {
    words(text, |entry| Detector::from_word(entry).ok_or("is unknown"))
}

/// Only one way of the two is there.
pub(super) fn exception_signal(text: &str) -> Parsed<()> {
    match text.to_ascii_lowercase().as_str() {
        "logs" => Ok(()),
        "logs/dup" => Err(because("span events are not emitted as well")),
        _ => Err(bad()),
    }
}

/// A list of words without duplicates, or `none`.
fn words<T: Copy + PartialEq + Display>(
    list: &str,
    one: impl Fn(&str) -> Result<T, &'static str>,
) -> Parsed<Vec<T>> {
    let has_none = entries(list).any(|entry| entry.eq_ignore_ascii_case("none"));
    let others = || entries(list).filter(|entry| !entry.eq_ignore_ascii_case("none"));
    if has_none && others().next().is_none() {
        return Ok(Vec::new());
    }
    let mut problems = Vec::new();
    if has_none {
        problems.push("\"none\" must stand alone".to_owned());
    }
    let mut found = Vec::new();
    for entry in others() {
        match one(entry) {
            Ok(value) if found.contains(&value) => {}
            Ok(value) => found.push(value),
            Err(why) => problems.push(format!("{} {why}", quoted(list, entry))),
        }
    }
    if problems.is_empty() && !found.is_empty() {
        return Ok(found);
    }
    let (why, shown) = (problems.join(", "), joined(&found));
    Err(match (found.is_empty(), has_none) {
        (false, _) => partly(why, found, shown),
        (true, true) => partly(why, found, "none".to_owned()),
        (true, false) => because(why),
    })
}

/// A list of which the good entries are used whatever the others are.
fn list<T: Display>(list: &str, one: impl Fn(&str) -> Option<T>) -> Parsed<Vec<T>> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for entry in entries(list) {
        match one(entry) {
            Some(value) => found.push(value),
            None => problems.push(quoted(list, entry)),
        }
    }
    if problems.is_empty() && !found.is_empty() {
        return Ok(found);
    }
    let why = if problems.is_empty() { String::new() } else { format!("{} is not one", problems.join(", ")) };
    let shown = joined(&found);
    Err(if found.is_empty() { because(why) } else { partly(why, found, shown) })
}

pub(super) fn ranges(text: &str) -> Parsed<Vec<IpRange>> {
    list(text, |entry| IpRange::parse(entry).ok())
}

/// Names as they may stand in a `baggage` header: tokens of RFC 9110 section 5.6.2.
pub(super) fn tokens(text: &str) -> Parsed<Vec<String>> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    list(text, |entry| entry.bytes().all(is_token).then(|| entry.to_owned()))
}

pub(super) fn names(text: &str) -> Parsed<Vec<String>> {
    list(text, |entry| Some(entry.to_owned()))
}

pub(in crate::config) fn methods(text: &str) -> Parsed<Vec<String>> {
    list(text, |entry| http::Method::from_bytes(entry.as_bytes()).ok().map(|method| method.to_string()))
}

/// Lower-case.
pub(super) fn header_names(text: &str) -> Parsed<Vec<String>> {
    list(text, |entry| http::HeaderName::from_bytes(entry.as_bytes()).ok().map(|name| name.to_string()))
}

/// Names of attributes: letters, digits, dots, dashes and underscores.
pub(super) fn attribute_names(text: &str) -> Parsed<Vec<String>> {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    list(text, |entry| entry.bytes().all(part).then(|| entry.to_owned()))
}

/// From one mebibyte on: with less, one large trace would be all that is kept.
pub(super) fn console_bytes(text: &str) -> Parsed<usize> {
    size(text).ok().filter(|bytes| *bytes >= 1 << 20).ok_or_else(bad)
}

pub(super) fn console_age(text: &str) -> Parsed<Duration> {
    millis(text).ok().filter(|age| *age >= Duration::from_secs(1)).ok_or_else(bad)
}

pub(super) fn links(text: &str) -> Parsed<Vec<ConsoleLink>> {
    list(text, |entry| {
        let (label, url) = entry.split_once('=')?;
        ConsoleLink::new(label.trim(), url.trim()).ok()
    })
}

pub(super) fn log_lines(text: &str) -> Parsed<usize> {
    text.parse().ok().filter(|lines| *lines <= crate::requests::MAX_LINES).ok_or_else(bad)
}

/// All or nothing; of two pairs with one key the later counts.
pub(in crate::config) fn attributes(text: &str) -> Parsed<Vec<(String, String)>> {
    let mut found: Vec<(String, String)> = Vec::new();
    for (index, pair) in text.split(',').enumerate() {
        if pair.trim().is_empty() {
            continue;
        }
        let malformed = |why: &str| because(format!("pair {} {why}, so none is used", index + 1));
        let (key, value) = pair.split_once('=').ok_or_else(|| malformed("has no \"=\""))?;
        let decoded = percent_decoded(key.trim()).zip(percent_decoded(value.trim()));
        let (key, value) = decoded.ok_or_else(|| malformed("is not percent-encoded UTF-8"))?;
        if key.is_empty() {
            return Err(malformed("has no key"));
        }
        match found.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => found.push((key, value)),
        }
    }
    Ok(found)
}

pub(super) fn headers(text: &str) -> Parsed<Headers> {
    let (headers, problems) = Headers::parse_some(text);
    if problems.is_empty() {
        return Ok(headers);
    }
    let (why, shown) = (problems.join(", "), headers.names());
    Err(if headers.is_empty() { because(why) } else { partly(why, headers, shown) })
}

pub(in crate::config) fn certificates(path: &str) -> Parsed<PathBuf> {
    pem(path, |label| label == "CERTIFICATE" || label == "TRUSTED CERTIFICATE")
}

pub(in crate::config) fn private_key(path: &str) -> Parsed<PathBuf> {
    pem(path, |label| label.ends_with("PRIVATE KEY"))
}

/// A file that can be read now and holds a PEM section of the right kind.
fn pem(path: &str, wanted: impl Fn(&str) -> bool) -> Parsed<PathBuf> {
    let unreadable = |error: std::io::Error| because(format!("cannot be read ({})", error.kind()));
    // opening a pipe would wait for its writer
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(because("is not a file"));
    }
    let mut content = Vec::new();
    File::open(path).and_then(|file| file.take(PEM_LIMIT).read_to_end(&mut content)).map_err(unreadable)?;
    let content = String::from_utf8_lossy(&content);
    let label = |line: &str| {
        let label = line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
        wanted(label).then_some(())
    };
    if content.lines().any(|line| label(line).is_some()) {
        Ok(PathBuf::from(path))
    } else {
        Err(because("holds no such PEM section"))
    }
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

fn joined<T: Display>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}
