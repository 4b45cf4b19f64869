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
    let (mut pattern, mut name) = (pattern, name);
    // the pattern after the last star, and what of the name the star has not taken yet
    let mut star: Option<(&str, &str)> = None;
    loop {
        let (mut wanted, mut given) = (pattern.chars(), name.chars());
        match (wanted.next(), given.next()) {
            (Some('*'), _) => {
                pattern = wanted.as_str();
                star = Some((pattern, name));
            }
            (Some(one), Some(c)) if one == '?' || one == c => {
                (pattern, name) = (wanted.as_str(), given.as_str())
            }
            (None, None) => return true,
            _ => {
                // the star takes one more character
                let Some((after, taken)) = star else { return false };
                let mut rest = taken.chars();
                if rest.next().is_none() {
                    return false;
                }
                (pattern, name) = (after, rest.as_str());
                star = Some((after, name));
            }
        }
    }
}
