//! A query as tokens: which part of it is a literal, a name, a parameter.

use super::dialect::{Dialect, DoubleQuotes, Nested};

/// A piece of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// White space or a comment.
    Space,
    /// A keyword or a plain name.
    Word(&'a str),
    /// A name in quotes, with them.
    Quoted(&'a str),
    /// A parameter, whose value is elsewhere.
    Parameter(&'a str),
    Literal,
    Mark(char),
    /// From here on it is not sure what is a literal: the last token.
    Hidden,
}

/// The tokens of a query. Every character belongs to one of them.
pub(super) struct Lexer<'a> {
    rest: &'a str,
    dialect: Dialect,
    /// The latest token that was no space.
    before: Token<'a>,
}

/// After these, SQLite can only mean a name.
const BEFORE_NAMES: [&str; 9] =
    ["FROM", "JOIN", "INTO", "UPDATE", "TABLE", "INDEX", "AS", "EXISTS", "REFERENCES"];

impl<'a> Lexer<'a> {
    pub(super) fn new(sql: &'a str, dialect: Dialect) -> Self {
        Self { rest: sql, dialect, before: Token::Space }
    }

    fn starts_with(&self, start: &str) -> bool {
        self.rest.starts_with(start)
    }

    /// The next `bytes` of the text; they end between two characters.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|next: char| !wanted(next)).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn hide(&mut self) -> Token<'a> {
        self.rest = "";
        Token::Hidden
    }

    fn token(&mut self) -> Option<Token<'a>> {
        let first = self.rest.chars().next()?;
        Some(match first {
            _ if first.is_whitespace() => {
                self.take_while(char::is_whitespace);
                Token::Space
            }
            '-' if self.starts_with("--") => self.line_comment(),
            '#' if self.dialect.hash_comments => self.line_comment(),
            '/' if self.starts_with("/*") => self.comment(),
            '\'' => self.string('\'', false),
            '"' => self.double_quoted(),
            '`' if self.dialect.backticks => self.quoted_name('`'),
            '[' if self.dialect.brackets => self.quoted_name(']'),
            '$' => self.dollar(),
            '?' | ':' => self.parameter(first),
            _ if first.is_ascii_digit() => self.number(),
            '.' if self.rest[1..].starts_with(|next: char| next.is_ascii_digit()) => self.number(),
            _ if first.is_alphabetic() || first == '_' => self.word(),
            _ => {
                self.take(first.len_utf8());
                Token::Mark(first)
            }
        })
    }

    fn line_comment(&mut self) -> Token<'a> {
        self.take_while(|next| next != '\n');
        Token::Space
    }

    fn comment(&mut self) -> Token<'a> {
        let mut depth = 1;
        self.take(2);
        while depth > 0 {
            let Some(at) = self.rest.find(['*', '/']) else { return self.hide() };
            self.take(at);
            if self.starts_with("*/") {
                depth -= 1;
                self.take(2);
            } else if self.starts_with("/*") && self.dialect.nested != Nested::Text {
                if self.dialect.nested == Nested::Unknown {
                    return self.hide();
                }
                depth += 1;
                self.take(2);
            } else {
                self.take(1);
            }
        }
        Token::Space
    }

    /// A string, its quote doubled inside. Whether a backslash before a quote hides it depends on the system and its
    /// settings: unless `escapes` says so, the rest is hidden there.
    fn string(&mut self, quote: char, escapes: bool) -> Token<'a> {
        self.take(1);
        loop {
            let Some(at) = self.rest.find(quote) else { return self.hide() };
            let before = self.take(at);
            let slashes = before.len() - before.trim_end_matches('\\').len();
            self.take(1);
            if slashes % 2 == 1 && (escapes || !self.dialect.plain_backslashes) {
                if !escapes {
                    return self.hide();
                }
            } else if self.rest.starts_with(quote) {
                self.take(1);
            } else {
                return Token::Literal;
            }
        }
    }

    fn double_quoted(&mut self) -> Token<'a> {
        let placed = match self.before {
            Token::Mark('.') => true,
            Token::Word(word) => BEFORE_NAMES.iter().any(|name| word.eq_ignore_ascii_case(name)),
            _ => false,
        };
        match self.dialect.double_quotes {
            DoubleQuotes::Names => self.quoted_name('"'),
            DoubleQuotes::Placed if placed => self.quoted_name('"'),
            DoubleQuotes::Placed => {
                let whole = self.rest;
                let token = self.string('"', false);
                let length = whole.len() - self.rest.len();
                match token {
                    Token::Literal if self.starts_with(".") => Token::Quoted(&whole[..length]),
                    token => token,
                }
            }
            DoubleQuotes::Strings => self.string('"', false),
        }
    }

    fn quoted_name(&mut self, end: char) -> Token<'a> {
        let whole = self.rest;
        self.take(1);
        loop {
            let Some(at) = self.rest.find(end) else { return self.hide() };
            self.take(at + 1);
            if !self.rest.starts_with(end) {
                return Token::Quoted(&whole[..whole.len() - self.rest.len()]);
            }
            self.take(1);
        }
    }

    /// `$1`, `$name` or `$tag$a string$tag$`.
    fn dollar(&mut self) -> Token<'a> {
        let whole = self.rest;
        self.take(1);
        let name = self.take_while(|next| next.is_alphanumeric() || next == '_');
        let is_number = name.starts_with(|first: char| first.is_ascii_digit());
        if is_number && !self.dialect.numbered_dollars {
            return Token::Literal;
        }
        if is_number || !self.starts_with("$") {
            let length = 1 + name.len();
            return if name.is_empty() { Token::Mark('$') } else { Token::Parameter(&whole[..length]) };
        }
        let tag = &whole[..name.len() + 2];
        self.take(1);
        let Some(at) = self.rest.find(tag) else { return self.hide() };
        self.take(at + tag.len());
        Token::Literal
    }

    /// `?`, `?1`, `:name`, `:1`; a cast's `::` is none.
    fn parameter(&mut self, first: char) -> Token<'a> {
        let whole = self.rest;
        self.take(1);
        if first == ':' && self.before == Token::Mark(':') {
            return Token::Mark(':');
        }
        let follows = self.rest.chars().next().unwrap_or(' ');
        let numbered = follows.is_ascii_digit() && self.dialect.numbered;
        let named = first == ':' && (follows.is_alphabetic() || follows == '_');
        if numbered {
            self.take_while(|next| next.is_ascii_digit());
        } else if named {
            self.take_while(|next| next.is_alphanumeric() || next == '_');
        } else if first == ':' {
            return Token::Mark(':');
        }
        Token::Parameter(&whole[..whole.len() - self.rest.len()])
    }

    /// Takes more rather than less: `1e-5`, `0xff`, `1_000`, `12abc`.
    fn number(&mut self) -> Token<'a> {
        loop {
            let part = self.take_while(|next| next.is_alphanumeric() || next == '_' || next == '.');
            let signed = part.ends_with(['e', 'E']) && !part.starts_with("0x") && !part.starts_with("0X");
            let goes_on = self.rest.starts_with(['+', '-'])
                && self.rest[1..].starts_with(|next: char| next.is_ascii_digit());
            if !(signed && goes_on) {
                return Token::Literal;
            }
            self.take(1);
        }
    }

    fn word(&mut self) -> Token<'a> {
        let word = self.take_while(|next| next.is_alphanumeric() || next == '_' || next == '$');
        let is = |name: &str| word.eq_ignore_ascii_case(name);
        if self.starts_with("'") {
            // what is glued to a string says how to read it
            if is("E") {
                return self.string('\'', true);
            }
            if is("B") || is("N") || is("X") || word.starts_with('_') {
                return self.string('\'', false);
            }
            if self.dialect.q_quotes && (is("Q") || is("NQ")) {
                return self.q_string();
            }
        }
        if is("U") && self.starts_with("&'") {
            self.take(1);
            return self.string('\'', false);
        }
        if is("TRUE") || is("FALSE") { Token::Literal } else { Token::Word(word) }
    }

    /// Oracle's `q'[…]'`, from the quote on.
    fn q_string(&mut self) -> Token<'a> {
        self.take(1);
        let Some(open) = self.rest.chars().next() else { return self.hide() };
        self.take(open.len_utf8());
        let close = match open {
            '[' => ']',
            '{' => '}',
            '(' => ')',
            '<' => '>',
            other => other,
        };
        let end = [close, '\''].iter().collect::<String>();
        let Some(at) = self.rest.find(&end) else { return self.hide() };
        self.take(at + end.len());
        Token::Literal
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.token()?;
        if token != Token::Space {
            self.before = token;
        }
        Some(token)
    }
}
