//! Reads variables one by one and collects the mistakes.

use std::fmt;

use super::table::{PerSignal, Variable};
use crate::config::{
    Mistake, Preset, Signal, Source,
    source::Lookup,
    values::{redacted, shortened},
};

/// Why a value cannot be used as it stands; what is accepted is added from the table.
pub(in crate::config) struct Bad<T> {
    /// What is wrong; empty = the value as a whole.
    pub(in crate::config) why: String,
    /// The part that can be used all the same, and how to show it.
    pub(in crate::config) instead: Option<Box<(T, String)>>,
}

// the value may be a secret
impl<T> fmt::Debug for Bad<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bad").field("why", &self.why).finish_non_exhaustive()
    }
}

pub(in crate::config) type Parsed<T> = Result<T, Bad<T>>;

/// The value as a whole is not what is accepted.
pub(super) fn bad<T>() -> Bad<T> {
    because(String::new())
}

pub(super) fn because<T>(why: impl Into<String>) -> Bad<T> {
    Bad { why: why.into(), instead: None }
}

/// Not all that was given can be used: `usable`, shown as `shown`, is.
pub(super) fn partly<T>(why: impl Into<String>, usable: T, shown: String) -> Bad<T> {
    Bad { why: why.into(), instead: Some(Box::new((usable, shown))) }
}

pub(super) struct Reader<'a> {
    pub(super) source: &'a Source,
    pub(super) preset: Preset,
    mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Self { source, preset: Preset::Production, mistakes: Vec::new() }
    }

    pub(super) fn is_set(&self, var: &Variable) -> bool {
        self.source.lookup(var.name) != Lookup::Unset
    }

    /// The variable's value, else its default.
    pub(super) fn get<T>(&mut self, var: &'static Variable, parse: impl Fn(&str) -> Parsed<T>) -> T {
        let default = var.default_in(self.preset);
        // a default is a literal of the table, and every one is read by the test of the empty environment
        self.read(var, default, &parse).unwrap_or_else(|| parse(default).expect("defaults are accepted"))
    }

    /// The variable's value, else nothing.
    pub(super) fn optional<T>(
        &mut self,
        var: &'static Variable,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        self.read(var, "", &parse)
    }

    /// The signal's own value, else that of all signals, else the default.
    pub(super) fn per_signal<T>(
        &mut self,
        group: &'static PerSignal,
        signal: Signal,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> T {
        let default = group.generic.default;
        self.optional_per_signal(group, signal, default, &parse)
            .unwrap_or_else(|| parse(default).expect("defaults are accepted"))
    }

    /// The signal's own value, else that of all signals; `default` says what the caller takes else.
    pub(super) fn optional_per_signal<T>(
        &mut self,
        group: &'static PerSignal,
        signal: Signal,
        default: &str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        let generic = self.read(&group.generic, default, &parse);
        let used = match &generic {
            Some(_) => format!("the value of {}", group.generic.name),
            None => default.to_owned(),
        };
        self.read(group.own(signal), &used, &parse).or(generic)
    }

    /// The variable's value if it is set and can be used; `used` = what the caller then takes instead.
    pub(super) fn read<T>(
        &mut self,
        var: &'static Variable,
        used: &str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        let value = match self.source.lookup(var.name) {
            Lookup::Unset => return None,
            Lookup::NotUnicode => {
                self.add(Mistake::new(var.name, "", "not valid UTF-8", used).without_value());
                return None;
            }
            Lookup::Set(value) => value,
        };
        match parse(&value) {
            Ok(parsed) => Some(parsed),
            Err(Bad { why, instead }) => {
                let (parsed, used) = match instead {
                    Some(usable) => (Some(usable.0), usable.1),
                    None => (None, used.to_owned()),
                };
                self.mistake_about(var, &value, &why, &used, parsed.is_some());
                parsed
            }
        }
    }

    pub(super) fn mistake(&mut self, var: &'static Variable, value: &str, why: &str, used: &str) {
        self.mistake_about(var, value, why, used, false);
    }

    fn mistake_about(&mut self, var: &'static Variable, value: &str, why: &str, used: &str, partly: bool) {
        let problem = match why {
            "" => format!("accepted is {}", var.accepted),
            // the parser knew better than the table what is accepted here
            why if why.contains("accepted is") => why.to_owned(),
            why => format!("{why}; accepted is {}", var.accepted),
        };
        let mistake = Mistake::new(var.name, value, problem, used).in_part(partly);
        self.add(if var.secret { mistake.hiding_value() } else { mistake });
    }

    /// One mistake a variable: what all signals share is read once for each.
    pub(super) fn add(&mut self, mistake: Mistake) {
        if self.mistakes.iter().all(|known| known.variable != mistake.variable) {
            self.mistakes.push(mistake);
        }
    }

    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes
    }
}

/// An entry of a list, to be named in a mistake; not when the list may hold credentials, whose parts would slip through.
pub(super) fn quoted(list: &str, entry: &str) -> String {
    match redacted(list) {
        whole if whole == list => format!("{:?}", shortened(entry)),
        _ => "an entry".to_owned(),
    }
}
