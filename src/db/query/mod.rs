//! A query's text as it may be shown: without its literals, bounded, and as a summary of few words.
//!
//! One pass over the text makes both. Nothing is parsed: tokens are told apart, and where two dialects would disagree on
//! where a literal ends, the rest of the text is hidden.

mod dialect;
mod lexer;
mod summary;
mod text;

#[cfg(test)]
mod tests;

use self::{dialect::Dialect, lexer::Lexer, summary::Summary, text::Text};

/// Bytes of a query that are read; what is beyond is hidden.
const MAX_INPUT: usize = 64 * 1024;
/// Bytes of the text that is shown, before the dots that say it was cut.
pub(super) const MAX_TEXT: usize = 4096;
/// Bytes of a summary (database spans, "Generating a summary of the query": 255 characters).
pub(super) const MAX_SUMMARY: usize = 255;

/// What may be shown of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) text: String,
    pub(super) summary: Option<String>,
}

/// Reads `sql` as `system` would.
pub(super) fn read(system: &str, sql: &str) -> Shown {
    let mut end = sql.len().min(MAX_INPUT);
    while !sql.is_char_boundary(end) {
        end -= 1;
    }
    let cut = end < sql.len();
    let (mut text, mut summary) = (Text::default(), Summary::default());
    for token in Lexer::new(&sql[..end], Dialect::of(system)) {
        summary.read(&token);
        if !text.write(&token) && summary.is_full() {
            break;
        }
    }
    Shown { text: text.finish(cut), summary: summary.finish() }
}
