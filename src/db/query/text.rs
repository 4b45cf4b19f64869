//! A query's text without its literals.

use super::{MAX_TEXT, lexer::Token};

/// The list after `IN`, of which one value is as good as all.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum List {
    #[default]
    Outside,
    /// After the word `IN`.
    Announced,
    /// In the list; where its latest value starts, if the latest item is nothing but a value.
    Inside { value: Option<usize>, comma: bool },
}

/// Written token by token.
#[derive(Debug, Default)]
pub(super) struct Text {
    out: String,
    space: bool,
    list: List,
    cut: bool,
}

impl Text {
    /// False once nothing more fits.
    pub(super) fn write(&mut self, token: &Token<'_>) -> bool {
        if self.cut {
            return false;
        }
        if *token == Token::Space {
            self.space = true;
            return true;
        }
        let mut mark = [0; 4];
        let shown = match token {
            Token::Word(text) | Token::Quoted(text) | Token::Parameter(text) => text,
            Token::Mark(character) => &*character.encode_utf8(&mut mark),
            _ => "?",
        };
        if !self.is_another_value(token) {
            self.push(shown);
        }
        !self.cut
    }

    fn push(&mut self, shown: &str) {
        let space = self.space && !self.out.is_empty();
        self.space = false;
        if self.out.len() + usize::from(space) + shown.len() > MAX_TEXT {
            self.cut = true;
            return;
        }
        if space {
            self.out.push(' ');
        }
        self.out.push_str(shown);
    }

    /// Follows lists after `IN`; whether this token is only one more value in one.
    fn is_another_value(&mut self, token: &Token<'_>) -> bool {
        let is_value = matches!(token, Token::Literal | Token::Parameter(_));
        self.list = match (self.list, token) {
            (_, Token::Word(word)) if word.eq_ignore_ascii_case("IN") => List::Announced,
            (List::Announced, Token::Mark('(')) => List::Inside { value: None, comma: true },
            (List::Inside { value: Some(at), comma: false }, Token::Mark(',')) => {
                self.list = List::Inside { value: Some(at), comma: true };
                return true;
            }
            (List::Inside { value: Some(at), comma: true }, _) if is_value => {
                self.out.truncate(at);
                self.out.push('?');
                self.space = false;
                self.list = List::Inside { value: Some(at), comma: false };
                return true;
            }
            (List::Inside { value: None, comma: true }, _) if is_value => {
                List::Inside { value: Some(self.out.len()), comma: false }
            }
            (List::Inside { value: Some(_), comma: true }, _) => {
                // the comma that was held back
                let space = std::mem::replace(&mut self.space, false);
                self.push(",");
                self.space = space;
                List::Outside
            }
            _ => List::Outside,
        };
        false
    }

    /// The text; dots at its end say that there was more.
    pub(super) fn finish(mut self, more: bool) -> String {
        if self.cut || more {
            self.out.push_str("...");
        }
        self.out
    }
}
