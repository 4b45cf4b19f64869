//! One pass over a text: word by word, and at each end of a word a look at what it and the next byte may be.
//!
//! Linear in the text: looks back and ahead are bounded, or end where the scan goes on.

use std::{borrow::Cow, ops::Range};

use super::{MOST, REDACTED, Rules, SECRET_PARAMETERS, shapes};

/// Bytes looked back for a name.
const NAME: usize = 64;

/// What is put in the place of a range.
pub(super) type Hit = (Range<usize>, &'static str);

const fn word_bytes() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'_' | b'-' | b'+');
        byte += 1;
    }
    table
}

static WORD: [bool; 256] = word_bytes();

pub(super) fn is_word(byte: u8) -> bool {
    WORD[usize::from(byte)]
}

/// Hides what the rules say; borrows when there is nothing to hide.
pub(super) fn scan<'a>(text: &'a str, rules: &Rules) -> Cow<'a, str> {
    let (seen, cut) = match text.len() {
        0..=MOST => (text, ""),
        _ => (&text[..floor(text, MOST)], "…[cut]"),
    };
    let bytes = seen.as_bytes();
    let mut out = String::new();
    let mut done = 0;
    let (mut start, mut at) = (0, 0);
    while at <= bytes.len() {
        let end = at + bytes[at..].iter().position(|byte| !is_word(*byte)).unwrap_or(bytes.len() - at);
        match look(bytes, start, end, rules) {
            Some((range, with)) => {
                let from = range.start.max(done);
                out.push_str(&seen[done..from]);
                out.push_str(with);
                done = range.end;
                // what was hidden is never looked at again; it ends behind this word, or with it
                (start, at) = (range.end, range.end);
                if range.end >= bytes.len() {
                    break;
                }
            }
            None => (start, at) = (end + 1, end + 1),
        }
    }
    if done == 0 && cut.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(&seen[done..]);
    out.push_str(cut);
    Cow::Owned(out)
}

/// The last character boundary up to `at`.
pub(super) fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// What is to be hidden at the end of the word `start..end`. A range ends behind `end`, or at it after a word.
fn look(bytes: &[u8], start: usize, end: usize, rules: &Rules) -> Option<Hit> {
    let next = bytes.get(end).copied().unwrap_or(0);
    if end - start >= 3 {
        let word = &bytes[start..end];
        let found = match next {
            b' ' => shapes::private_key(bytes, start, end, rules)
                .or_else(|| shapes::bearer(bytes, start, end, rules)),
            b'.' => shapes::jwt(bytes, start, end, rules),
            b'@' => shapes::email(bytes, start, end, rules),
            _ => None,
        };
        let found = found.or_else(|| shapes::card(bytes, start, end, rules));
        if found.is_some() {
            return found;
        }
        if shapes::is_key(word, rules) || shapes::is_random(bytes, start, end, rules) {
            let padding = bytes[end..].iter().take(2).take_while(|byte| **byte == b'=').count();
            return Some((start..end + padding, REDACTED));
        }
    }
    match next {
        b':' if bytes[end..].starts_with(b"://") => shapes::url(bytes, start, end, rules),
        b':' | b'=' => assigned(bytes, end, rules),
        b'@' => shapes::email(bytes, start, end, rules),
        _ => None,
    }
}

/// The value of a secret name: `name=value`, `"name": "value"`, `name: Some("value")`, `x-name: value`.
fn assigned(bytes: &[u8], sign: usize, rules: &Rules) -> Option<Hit> {
    let equals = bytes[sign] == b'=';
    let after = bytes.get(sign + 1).copied().unwrap_or(0);
    let before = sign.checked_sub(1).map_or(0, |at| bytes[at]);
    // comparisons, arrows and paths are no assignments
    if matches!(after, b'=' | b'>' | b'~') || matches!(before, b'=' | b'!' | b'<' | b'>' | b':') {
        return None;
    }
    if !equals && after == b':' {
        return None;
    }
    let name = name_before(bytes, sign)?;
    let quoted = name.end < sign && bytes[sign - 1] != b' ';
    let name = std::str::from_utf8(&bytes[name]).ok()?;
    let parameter = equals && SECRET_PARAMETERS.contains(&name);
    if !parameter && !rules.is_secret_name(name) {
        return None;
    }
    let spaces = bytes[sign + 1..].iter().take(4).take_while(|byte| **byte == b' ').count();
    let value = sign + 1 + spaces;
    if let Some(range) = quoted_value(bytes, value) {
        return keep_unless_secret(bytes, range);
    }
    let until = |stop: &[u8]| {
        value + bytes[value..].iter().position(|byte| stop.contains(byte)).unwrap_or(bytes.len() - value)
    };
    let end = if equals {
        until(b" \t\r\n&,;)}]\"'\\|")
    } else if name.eq_ignore_ascii_case("cookie") || name.eq_ignore_ascii_case("set-cookie") {
        until(b"\r\n\"")
    } else if name.contains('-') || (quoted && bytes.get(value).is_some_and(u8::is_ascii_digit)) {
        until(b" \t\r\n,;)}]\"'")
    } else {
        // in a sentence: "invalid password: too short"
        return None;
    };
    keep_unless_secret(bytes, value..shapes::past_scheme(bytes, value..end))
}

/// The name that ends before a sign, quotes around it and one space left out.
fn name_before(bytes: &[u8], sign: usize) -> Option<Range<usize>> {
    let mut end = sign;
    if end > 0 && bytes[end - 1] == b' ' {
        end -= 1;
    }
    let quotes =
        bytes[..end].iter().rev().take(4).take_while(|byte| matches!(byte, b'"' | b'\'' | b'\\')).count();
    end -= quotes;
    let part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let length = bytes[..end].iter().rev().take(NAME).take_while(part).count();
    (length > 0).then(|| end - length..end)
}

/// The inside of a quoted text at `at`, which may stand in brackets after names: `Some("…")`.
fn quoted_value(bytes: &[u8], mut at: usize) -> Option<Range<usize>> {
    for _ in 0..3 {
        let name =
            bytes[at..].iter().take(32).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
        let name = name.count();
        if name == 0 || bytes.get(at + name) != Some(&b'(') {
            break;
        }
        at += name + 1;
    }
    let escapes = bytes[at..].iter().take(7).take_while(|byte| **byte == b'\\').count();
    let quote = *bytes.get(at + escapes)?;
    if !matches!(quote, b'"' | b'\'') {
        return None;
    }
    let start = at + escapes + 1;
    let mut run = 0;
    for (offset, byte) in bytes[start..].iter().enumerate() {
        if *byte == quote && run <= escapes {
            return Some(start..start + offset - run);
        }
        run = if *byte == b'\\' { run + 1 } else { 0 };
    }
    Some(start..bytes.len())
}

/// Nothing to hide: an empty value, a truth value, one that is hidden.
fn keep_unless_secret(bytes: &[u8], range: Range<usize>) -> Option<Hit> {
    let value = &bytes[range.clone()];
    let plain: [&[u8]; 6] = [b"", b"true", b"false", b"None", b"null", REDACTED.as_bytes()];
    let hidden = value.iter().all(|byte| *byte == b'*');
    (!plain.contains(&value) && !hidden).then_some((range, REDACTED))
}
