//! Bounded texts: what an entry keeps of a text never exceeds a stated number of bytes.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    sync::Arc,
};

/// The length of the longest start of `text` that has at most `max` bytes and ends between two characters.
fn boundary(text: &str, max: usize) -> usize {
    if text.len() <= max {
        return text.len();
    }
    (0..=max).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0)
}

/// Cuts a text that is longer than `max` bytes.
#[inline]
pub(super) fn cut(text: Cow<'static, str>, max: usize) -> Cow<'static, str> {
    if text.len() <= max { text } else { cut_long(text, max) }
}

#[cold]
fn cut_long(text: Cow<'static, str>, max: usize) -> Cow<'static, str> {
    let end = boundary(&text, max);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(text) => Cow::Owned(text[..end].to_owned()),
    }
}

/// Cuts a boxed text that is longer than `max` bytes.
#[inline]
pub(super) fn cut_box(text: Box<str>, max: usize) -> Box<str> {
    if text.len() <= max { text } else { text[..boundary(&text, max)].into() }
}

/// Cuts a shared text that is longer than `max` bytes.
#[inline]
pub(super) fn cut_shared(text: Option<Arc<str>>, max: usize) -> Option<Arc<str>> {
    let text = text?;
    Some(if text.len() <= max { text } else { text[..boundary(&text, max)].into() })
}

/// Formats `value` and keeps its first `max` bytes; never holds more than these.
pub(super) fn format_bounded(value: impl fmt::Display, max: usize) -> Box<str> {
    let mut out = Bounded { text: String::new(), max };
    // the error says that the rest was cut
    let _ = write!(out, "{value}");
    out.text.into_boxed_str()
}

struct Bounded {
    text: String,
    max: usize,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let end = boundary(piece, self.max - self.text.len());
        self.text.push_str(&piece[..end]);
        if end == piece.len() {
            return Ok(());
        }
        // a value that goes on after the error adds nothing behind the cut
        self.max = self.text.len();
        Err(fmt::Error)
    }
}
