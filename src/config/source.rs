//! Where variables are read from: the process environment, or pairs given by a caller.

use std::{collections::HashMap, ffi::OsString, fmt, sync::Arc};

/// Where variables are read from. Cloning is cheap; `Debug` shows names only.
///
/// A value that is empty or all whitespace counts as unset; whitespace around a value is dropped.
#[derive(Clone)]
pub struct Source {
    origin: Origin,
    /// What counts where the origin has nothing.
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
    Defaults,
}

impl Source {
    /// The environment of this process, read when a variable is asked for.
    #[must_use]
    pub fn process() -> Self {
        Self { origin: Origin::Process, defaults: Arc::default() }
    }

    /// These variables and no others; of two with the same name the later one counts.
    #[must_use]
    pub fn from_pairs<N: Into<String>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let pairs = pairs.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self { origin: Origin::Pairs(Arc::new(pairs.collect())), defaults: Arc::default() }
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

    /// The trimmed value of a variable; `None` when it is unset, blank or not UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        match self.lookup(name) {
            Lookup::Set(value) => Some(value),
            Lookup::Unset | Lookup::NotUnicode => None,
        }
    }

    /// Where a variable is found, if it is set at all.
    pub(super) fn place(&self, name: &str) -> Place {
        if self.own(name) == Lookup::Unset { Place::Defaults } else { Place::Origin }
    }

    fn own(&self, name: &str) -> Lookup {
        Self::read(match &self.origin {
            Origin::Process => std::env::var_os(name),
            Origin::Pairs(pairs) => pairs.get(name).cloned(),
        })
    }

    pub(super) fn lookup(&self, name: &str) -> Lookup {
        match self.own(name) {
            Lookup::Unset => Self::read(self.defaults.get(name).cloned()),
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
