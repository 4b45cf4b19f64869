//! Where variables are read from: the process environment, or pairs given by a caller.

use std::{collections::HashMap, ffi::OsString, fmt, sync::Arc};

/// Where variables are read from. Cloning is cheap; `Debug` shows names only.
///
/// A value that is empty or all whitespace counts as unset; whitespace around a value is dropped.
#[derive(Clone)]
pub struct Source {
    origin: Origin,
    /// Set by the program, whatever the origin says.
    overrides: Vec<(String, OsString)>,
    /// What a configuration file says of our own variables; with a file, those of OpenTelemetry do not count.
    file: Option<Arc<HashMap<String, String>>>,
    /// What counts where the others have nothing.
    defaults: Arc<HashMap<String, OsString>>,
}

#[derive(Clone)]
enum Origin {
    Process,
    Pairs(Arc<HashMap<String, OsString>>),
}

/// What is known of one variable.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    Unset,
    NotUnicode,
    Set(String),
}

/// Where a variable that is set was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Origin,
    File,
    Defaults,
}

impl Source {
    /// The environment of this process, read when a variable is asked for.
    #[must_use]
    pub fn process() -> Self {
        Self { origin: Origin::Process, overrides: Vec::new(), file: None, defaults: Arc::default() }
    }

    /// These variables and no others; of two with the same name the later one counts.
    #[must_use]
    pub fn from_pairs<N: Into<String>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let pairs = pairs.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self {
            origin: Origin::Pairs(Arc::new(pairs.collect())),
            overrides: Vec::new(),
            file: None,
            defaults: Arc::default(),
        }
    }

    /// These variables where this source has none: a program's own defaults, below what its operator says.
    #[must_use]
    pub fn with_defaults<N, V>(mut self, pairs: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<OsString>,
    {
        let mut defaults = HashMap::clone(&self.defaults);
        defaults.extend(pairs.into_iter().map(|(name, value)| (name.into(), value.into())));
        self.defaults = Arc::new(defaults);
        self
    }

    /// The same with a configuration file: `variables` of ours, below the environment and above the program's defaults, and
    /// none of OpenTelemetry's (specification, configuration/sdk-environment-variables.md "Declarative configuration").
    pub(super) fn with_file(&self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { file: Some(Arc::new(variables.into_iter().collect())), ..self.clone() }
    }

    /// The same with this variable set, whatever it was.
    #[must_use]
    pub fn with_override(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.overrides.push((name.into(), value.into()));
        self
    }

    /// The trimmed value of a variable; `None` when it is unset, blank or not UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        match self.lookup(name) {
            Lookup::Set(value) => Some(value),
            Lookup::Unset | Lookup::NotUnicode => None,
        }
    }

    /// A variable's value as it stands, a configuration file or not; `None` when it is unset or not UTF-8.
    pub(super) fn exact(&self, name: &str) -> Option<String> {
        self.given(name)
            .or_else(|| self.defaults.get(name).cloned())
            .and_then(|value| value.into_string().ok())
    }

    /// Where a variable is found, if it is set at all.
    pub(super) fn place(&self, name: &str) -> Place {
        if self.own(name) != Lookup::Unset {
            return Place::Origin;
        }
        match &self.file {
            Some(file) if file.contains_key(name) => Place::File,
            _ => Place::Defaults,
        }
    }

    /// The names of the variables that are set and begin so, in their order.
    pub(super) fn names(&self, start: &str) -> Vec<String> {
        let given: Vec<String> = match &self.origin {
            Origin::Process => std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect(),
            Origin::Pairs(pairs) => pairs.keys().cloned().collect(),
        };
        let added = self.overrides.iter().map(|(name, _)| name).chain(self.defaults.keys()).cloned();
        let mut names: Vec<String> = given.into_iter().chain(added).collect();
        names.retain(|name| {
            name.starts_with(start) && self.exact(name).is_some_and(|value| !value.trim().is_empty())
        });
        names.sort_unstable();
        names.dedup();
        names
    }

    fn given(&self, name: &str) -> Option<OsString> {
        let set = self.overrides.iter().rev().find(|(known, _)| known == name);
        set.map(|(_, value)| value.clone()).or_else(|| match &self.origin {
            Origin::Process => std::env::var_os(name),
            Origin::Pairs(pairs) => pairs.get(name).cloned(),
        })
    }

    /// With a configuration file, what that file takes the place of.
    fn is_hidden(&self, name: &str) -> bool {
        self.file.is_some() && name.starts_with("OTEL_") && name != super::file::CONFIG_FILE
    }

    fn own(&self, name: &str) -> Lookup {
        if self.is_hidden(name) { Lookup::Unset } else { Self::read(self.given(name)) }
    }

    pub(super) fn lookup(&self, name: &str) -> Lookup {
        match self.own(name) {
            Lookup::Unset if self.is_hidden(name) => Lookup::Unset,
            Lookup::Unset => {
                let file = self.file.as_ref().and_then(|file| file.get(name)).map(OsString::from);
                Self::read(file.or_else(|| self.defaults.get(name).cloned()))
            }
            found => found,
        }
    }

    fn read(value: Option<OsString>) -> Lookup {
        match value.map(OsString::into_string) {
            None => Lookup::Unset,
            Some(Err(_)) => Lookup::NotUnicode,
            Some(Ok(text)) => match text.trim() {
                "" => Lookup::Unset,
                trimmed => Lookup::Set(trimmed.to_owned()),
            },
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Process => f.write_str("Source(process)"),
            Origin::Pairs(pairs) => {
                let mut names: Vec<_> = pairs.keys().collect();
                names.sort_unstable();
                f.write_str("Source")?;
                f.debug_set().entries(names).finish()
            }
        }
    }
}
