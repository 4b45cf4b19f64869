//! A value of a resource attribute that is not only text.

use std::fmt;

/// A value of a resource attribute, typed as in the configuration file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AttributeValue {
    /// Text.
    String(String),
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// Texts.
    Strings(Vec<String>),
    /// Booleans.
    Bools(Vec<bool>),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// Numbers.
    Doubles(Vec<f64>),
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(value) => f.write_str(value),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Double(value) => write!(f, "{value}"),
            Self::Strings(values) => write!(f, "{values:?}"),
            Self::Bools(values) => write!(f, "{values:?}"),
            Self::Ints(values) => write!(f, "{values:?}"),
            Self::Doubles(values) => write!(f, "{values:?}"),
        }
    }
}

/// Which names count: those that match an `included` pattern, except those that match an `excluded` one.
///
/// In a pattern `*` stands for any characters and `?` for any one; case matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Patterns {
    /// Empty = every name.
    pub included: Vec<String>,
    /// Wins over `included`.
    pub excluded: Vec<String>,
}

impl Patterns {
    /// Whether the name counts.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, name));
        (self.included.is_empty() || any(&self.included)) && !any(&self.excluded)
    }
}

/// `*` and `?`, in time that grows with the product of the lengths at most.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                // the star takes one more character
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_stars_and_question_marks_and_mind_the_case() {
        for (pattern, name, expected) in [
            ("process.*", "process.pid", true),
            ("process.*", "process", false),
            ("*.p?d", "process.pid", true),
            ("?", "", false),
            ("*", "", true),
            ("Process.*", "process.pid", false),
            ("a*b*c", "a-b-x-b-c", true),
            ("a*b*c", "a-c-b", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        let patterns = Patterns { included: vec!["a.*".to_owned()], excluded: vec!["*.secret".to_owned()] };
        assert!(patterns.contains("a.b") && !patterns.contains("a.secret") && !patterns.contains("b.a"));
    }
}
