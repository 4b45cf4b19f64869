//! What a secret looks like, one function a shape. Each is called at the end of the word `start..end`.

use std::ops::Range;

use super::{
    REDACTED, Rules, Shape,
    scan::{Hit, is_word},
};

/// Bytes looked ahead in a URL.
const AHEAD: usize = 512;

/// Shortest run of characters that may be a random string.
const RANDOM: usize = 32;

/// Shortest part of it, between dashes and the like, that counts.
const PART: usize = 12;

pub(super) fn url(bytes: &[u8], start: usize, end: usize, rules: &Rules) -> Option<Hit> {
    if !rules.has(Shape::UrlPassword) || end == start {
        return None;
    }
    let (scheme, begin) = (&bytes[start..end], end + 3);
    let ahead = &bytes[begin..bytes.len().min(begin + AHEAD)];
    let stop = |stops: &[u8]| ahead.iter().position(|byte| stops.contains(byte)).unwrap_or(ahead.len());
    let authority = &ahead[..stop(b"/?# \t\r\n\"'<>")];
    let credentials = match authority.iter().rposition(|byte| *byte == b'@') {
        Some(at) => at,
        None => {
            // a password with a "/" in it: what follows the colon is no port
            let colon = authority.iter().position(|byte| *byte == b':').filter(|_| authority[0] != b'[')?;
            if authority[colon + 1..].iter().all(u8::is_ascii_digit) && colon + 1 < authority.len() {
                return None;
            }
            ahead[..stop(b" \t\r\n\"'<>")].iter().rposition(|byte| *byte == b'@')?
        }
    };
    let given = &ahead[..credentials];
    let web = scheme.len() >= 4 && scheme[..4].eq_ignore_ascii_case(b"http");
    let with = match given.iter().position(|byte| *byte == b':') {
        Some(colon) if colon + 1 < given.len() => "REDACTED:REDACTED",
        _ if web && !given.is_empty() => REDACTED,
        _ => return None,
    };
    (given != with.as_bytes()).then_some((begin..begin + credentials, with))
}

/// Whether the word is one of the schemes whose credentials follow it.
fn is_scheme(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"bearer") || word.eq_ignore_ascii_case(b"basic")
}

fn is_credential_byte(byte: u8) -> bool {
    is_word(byte) || matches!(byte, b'.' | b'~' | b'/' | b'=')
}

pub(super) fn bearer(bytes: &[u8], start: usize, end: usize, rules: &Rules) -> Option<Hit> {
    if !rules.has(Shape::Bearer) || !is_scheme(&bytes[start..end]) {
        return None;
    }
    let begin = end + 1;
    let length = bytes[begin..].iter().take_while(|byte| is_credential_byte(**byte)).count();
    let credentials = &bytes[begin..begin + length];
    let trimmed = credentials.strip_suffix(b".").unwrap_or(credentials);
    // "Bearer tokens", "Basic Authentication"
    let is_prose = trimmed.get(1..).is_none_or(|rest| rest.iter().all(u8::is_ascii_lowercase)) && length < 20;
    let hidden = trimmed == REDACTED.as_bytes();
    (length >= 4 && !is_prose && !hidden).then_some((begin..begin + trimmed.len(), REDACTED))
}

/// The end of a value that may be a scheme with its credentials: `Bearer abc`.
pub(super) fn past_scheme(bytes: &[u8], value: Range<usize>) -> usize {
    if is_scheme(&bytes[value.clone()]) && bytes.get(value.end) == Some(&b' ') {
        let rest = &bytes[value.end + 1..];
        return value.end + 1 + rest.iter().take_while(|byte| is_credential_byte(**byte)).count();
    }
    value.end
}

pub(super) fn jwt(bytes: &[u8], start: usize, end: usize, rules: &Rules) -> Option<Hit> {
    if !rules.has(Shape::Jwt) || end - start < 8 || !bytes[start..end].starts_with(b"eyJ") {
        return None;
    }
    let part = |from: usize| bytes[from..].iter().take_while(|byte| is_word(**byte)).count();
    let mut at = end + 1 + part(end + 1);
    if at - end < 8 {
        return None;
    }
    // signature, or the three parts more of an encrypted one
    while bytes.get(at) == Some(&b'.') && part(at + 1) > 0 {
        at += 1 + part(at + 1);
    }
    Some((start..at, REDACTED))
}

pub(super) fn private_key(bytes: &[u8], start: usize, end: usize, rules: &Rules) -> Option<Hit> {
    if !rules.has(Shape::PrivateKey) || !bytes[start..end].ends_with(b"-----BEGIN") {
        return None;
    }
    let label = &bytes[end..bytes.len().min(end + 48)];
    find(label, b"PRIVATE KEY-----")?;
    let begin = end - b"-----BEGIN".len();
    let last = find(&bytes[end..], b"-----END").map(|at| end + at + b"-----END".len());
    let close = last
        .and_then(|last| find(&bytes[last..bytes.len().min(last + 48)], b"-----").map(|at| last + at + 5));
    Some((begin..close.or(last).unwrap_or(bytes.len()), REDACTED))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Prefix and the least number of characters behind it.
const PREFIXES: [(&[u8], usize); 20] = [
    (b"ghp_", 16),
    (b"gho_", 16),
    (b"ghu_", 16),
    (b"ghs_", 16),
    (b"ghr_", 16),
    (b"github_pat_", 16),
    (b"glpat-", 16),
    (b"xoxa-", 10),
    (b"xoxb-", 10),
    (b"xoxp-", 10),
    (b"xoxr-", 10),
    (b"xoxs-", 10),
    (b"sk_live_", 10),
    (b"sk_test_", 10),
    (b"rk_live_", 10),
    (b"sk-ant-", 16),
    (b"sk-proj-", 16),
    (b"AIza", 30),
    (b"npm_", 30),
    (b"dop_v1_", 30),
];

/// A key with its maker's prefix.
pub(super) fn is_key(word: &[u8], rules: &Rules) -> bool {
    if word.len() < 15 || !rules.has(Shape::ApiKey) {
        return false;
    }
    let amazon = || {
        word.len() == 20
            && (word.starts_with(b"AKIA") || word.starts_with(b"ASIA"))
            && word.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    matches!(word[0], b'g' | b'x' | b's' | b'r' | b'A' | b'n' | b'd')
        && (amazon()
            || PREFIXES
                .iter()
                .any(|(prefix, least)| word.starts_with(prefix) && word.len() >= prefix.len() + least))
}

/// See [`Shape::RandomString`].
pub(super) fn is_random(bytes: &[u8], start: usize, end: usize, rules: &Rules) -> bool {
    let word = &bytes[start..end];
    if word.len() < RANDOM || !rules.has(Shape::RandomString) || is_digest(bytes, start, word) {
        return false;
    }
    let (mut length, mut digits, mut cases, mut seen) = (0, 0, 0, 0u128);
    let (mut has_upper, mut has_lower) = (false, false);
    for part in word.split(|byte| !byte.is_ascii_alphanumeric()) {
        // names of pods and builds end in short or hexadecimal parts
        if part.len() < PART || part.iter().all(u8::is_ascii_hexdigit) {
            continue;
        }
        length += part.len();
        has_upper |= part.iter().any(u8::is_ascii_uppercase);
        has_lower |= part.iter().any(u8::is_ascii_lowercase);
        seen |= part.iter().fold(0, |seen, byte| seen | 1 << (byte & 127));
        for pair in part.windows(2) {
            let (digit, was_digit) = (pair[1].is_ascii_digit(), pair[0].is_ascii_digit());
            digits += usize::from(digit != was_digit);
            let case = pair[0].is_ascii_uppercase() != pair[1].is_ascii_uppercase();
            cases += usize::from(!digit && !was_digit && case);
        }
    }
    let alternates = match has_upper && has_lower {
        true => digits >= length / 8 && cases >= length / 8,
        false => digits >= length / 5,
    };
    length >= 2 * PART && alternates && seen.count_ones() >= 12
}

/// `sha256-…` and `SHA256:…`: an algorithm's name says that it is no secret.
fn is_digest(bytes: &[u8], start: usize, word: &[u8]) -> bool {
    let named = |name: &[u8]| name.len() >= 3 && name[..3].eq_ignore_ascii_case(b"sha");
    let before = &bytes[..start];
    named(word)
        || before.strip_suffix(b":").is_some_and(|before| named(&before[before.len().saturating_sub(6)..]))
}

/// See [`Shape::CardNumber`].
pub(super) fn card(bytes: &[u8], start: usize, end: usize, rules: &Rules) -> Option<Hit> {
    if !rules.has(Shape::CardNumber) || !bytes[start].is_ascii_digit() || bytes[start] == b'0' {
        return None;
    }
    let mut digits = Vec::with_capacity(19);
    let mut close = start;
    let mut gap = false;
    for (offset, byte) in bytes[start..].iter().take(40).enumerate() {
        match byte {
            b'0'..=b'9' => {
                digits.push(byte - b'0');
                close = start + offset + 1;
                gap = false;
            }
            b' ' | b'-' if !gap => gap = true,
            _ => break,
        }
    }
    let letter = bytes.get(close).is_some_and(u8::is_ascii_alphanumeric);
    ((13..=19).contains(&digits.len()) && close >= end && !letter && luhn(&digits))
        .then_some((start..close, REDACTED))
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum % 10 == 0
}

/// See [`Shape::Email`]. Called at the `@`.
pub(super) fn email(bytes: &[u8], _: usize, end: usize, rules: &Rules) -> Option<Hit> {
    if !rules.has(Shape::Email) {
        return None;
    }
    let local = |byte: &&u8| is_word(**byte) || **byte == b'.';
    let before = bytes[..end].iter().rev().take(64).take_while(local).count();
    let domain =
        bytes[end + 1..].iter().take(253).take_while(|byte| is_word(**byte) || **byte == b'.').count();
    let trimmed = &bytes[end + 1..end + 1 + domain];
    let trimmed = trimmed.strip_suffix(b".").unwrap_or(trimmed);
    let dot = trimmed.iter().rposition(|byte| *byte == b'.')?;
    let top = trimmed.len() - dot - 1;
    (before > 0 && dot > 0 && top >= 2).then_some((end - before..end + 1 + trimmed.len(), REDACTED))
}
