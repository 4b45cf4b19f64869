//! The configuration in use, each value with where it comes from.

mod origin;
mod values;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

pub use self::origin::Origin;
use self::origin::origin;
pub(super) use self::values::value;
use super::{Config, Mistake, Source, Variable, values::shortened, variables};
use crate::redaction::Redactor;

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// The variable that stands for it.
    pub name: &'static str,
    /// The value in use, as one would write it; secrets are hidden; empty = nothing.
    pub value: String,
    /// Where the value comes from.
    pub origin: Origin,
    /// The path in the configuration file, for a value from there: `tracer_provider.sampler`.
    pub place: Option<String>,
    /// What was wrong with what was given.
    pub mistake: Option<Mistake>,
}

impl Setting {
    /// Where the value comes from, for people: `environment`, `file: tracer_provider.sampler`.
    #[must_use]
    pub fn source(&self) -> String {
        match &self.place {
            Some(place) => format!("{}: {place}", self.origin),
            None => self.origin.to_string(),
        }
    }
}

/// Every setting, in the order of the documentation. `Display` is a table, one line a setting.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Explanation {
    /// The settings.
    pub settings: Vec<Setting>,
    /// Mistakes about variables that are no setting, such as unsupported ones.
    pub others: Vec<Mistake>,
}

impl Explanation {
    /// What a program would use with these variables, and their configuration file, and nothing set in code.
    #[must_use]
    pub fn of(source: &Source) -> Self {
        let (config, mistakes) = Config::resolve(source);
        Self::new(source, &config, &config, &mistakes, &Redactor::default())
    }

    /// The setting of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.name == name)
    }

    /// Explains `used`, of which `resolved` is what source and defaults say, and code has made the rest.
    pub(crate) fn new(
        source: &Source,
        resolved: &Config,
        used: &Config,
        mistakes: &[Mistake],
        redactor: &Redactor,
    ) -> Self {
        let setting = |variable: &'static Variable| {
            let value = value(used, variable);
            let (origin, place) = if value == self::value(resolved, variable) {
                origin(source, resolved, variable, mistakes)
            } else {
                (Origin::Code, None)
            };
            let mistake = mistakes.iter().find(|mistake| mistake.variable == variable.name).cloned();
            let value = match variable.secret {
                true => value,
                false => visible(&shortened(&redactor.text(&value))),
            };
            Setting { name: variable.name, value, origin, place, mistake }
        };
        let known = |mistake: &&Mistake| !variables().any(|variable| mistake.variable == variable.name);
        Self {
            settings: variables().map(setting).collect(),
            others: mistakes.iter().filter(known).cloned().collect(),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.settings.iter().map(|setting| setting.name.len()).max().unwrap_or(0);
        let sources: Vec<String> = self.settings.iter().map(Setting::source).collect();
        let source = sources.iter().map(String::len).max().unwrap_or(0).max(15);
        for (setting, from) in self.settings.iter().zip(&sources) {
            writeln!(f, "{:name$}  {from:source$}  {}", setting.name, setting.value)?;
        }
        let mistakes = self.settings.iter().filter_map(|setting| setting.mistake.as_ref());
        for mistake in mistakes.chain(&self.others) {
            writeln!(f, "! {mistake}")?;
        }
        Ok(())
    }
}

static INSTALLED: Mutex<Option<Arc<Explanation>>> = Mutex::new(None);

/// Replaces what is installed if it is that.
pub(crate) fn reinstalled(before: &Arc<Explanation>, explanation: &Arc<Explanation>) {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if installed.as_ref().is_some_and(|installed| Arc::ptr_eq(installed, before)) {
        *installed = Some(Arc::clone(explanation));
    }
}

pub(crate) fn installed(explanation: Arc<Explanation>) {
    *INSTALLED.lock().unwrap_or_else(PoisonError::into_inner) = Some(explanation);
}

/// The configuration that is installed in this process; before, what its environment would make.
///
/// ```
/// let explanation = tracewell::config::explain();
/// let sampler = explanation.get("OTEL_TRACES_SAMPLER").expect("every variable is there");
/// println!("{} from {}", sampler.value, sampler.origin);
/// println!("{explanation}");
/// ```
#[must_use]
pub fn explain() -> Arc<Explanation> {
    let installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    installed.unwrap_or_else(|| Arc::new(Explanation::of(&Source::process())))
}

/// Control characters escaped: a value must neither forge a line nor steer a terminal.
fn visible(value: &str) -> String {
    let mut shown = String::with_capacity(value.len());
    for char in value.chars() {
        if char.is_control() {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown
}
