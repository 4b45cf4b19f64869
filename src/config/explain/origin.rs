//! Where a value in use comes from.

use std::fmt;

use super::values::per_signal;
use crate::config::{
    Config, Mistake, Source, Variable,
    file::CONFIG_FILE,
    source::{Lookup, Place},
};

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The program, on the builder.
    Code,
    /// An environment variable: of this name, or for one signal's setting that of all signals.
    Environment,
    /// The configuration file; [`Setting::place`](super::Setting::place) says where in it.
    File,
    /// The program, as a default below the environment.
    ProgramDefault,
    /// `TRACEWELL_PRESET`.
    Preset,
    /// The table.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Code => "code",
            Self::Environment => "environment",
            Self::File => "file",
            Self::ProgramDefault => "program default",
            Self::Preset => "preset",
            Self::Default => "default",
        })
    }
}

/// Where a value that code did not change comes from.
pub(super) fn origin(
    source: &Source,
    resolved: &Config,
    variable: &'static Variable,
    mistakes: &[Mistake],
) -> (Origin, Option<String>) {
    let usable = |name: &str| {
        // a part of a list may be used all the same
        let refused = mistakes.iter().any(|mistake| mistake.variable == name && !mistake.partly);
        !refused && source.lookup(name) != Lookup::Unset
    };
    let mut names = vec![variable.name.to_owned()];
    names.extend(generic(variable.name));
    let file = resolved.file.as_ref();
    let place = file.and_then(|file| names.iter().find_map(|name| file.places.get(name)).cloned());
    // the file stands in the place of OpenTelemetry's own variables
    let replaced = file.is_some() && variable.name.starts_with("OTEL_") && variable.name != CONFIG_FILE;
    let found = names.iter().find(|name| !replaced && usable(name)).map(|name| source.place(name));
    match (found, place) {
        (Some(Place::Origin), _) => (Origin::Environment, None),
        (_, Some(place)) => (Origin::File, Some(place)),
        (Some(Place::File | Place::Defaults), None) => (Origin::ProgramDefault, None),
        (None, None) if variable.default_in(resolved.preset) != variable.default => (Origin::Preset, None),
        (None, None) => (Origin::Default, None),
    }
}

/// What a setting falls back to: that of all signals, that of all limits.
fn generic(name: &str) -> Option<String> {
    if let Some((_, suffix)) = per_signal(name) {
        return Some(format!("OTEL_EXPORTER_OTLP_{suffix}"));
    }
    match name {
        "OTEL_ATTRIBUTE_COUNT_LIMIT" | "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT" => None,
        _ if name.ends_with("_ATTRIBUTE_COUNT_LIMIT") => Some("OTEL_ATTRIBUTE_COUNT_LIMIT".to_owned()),
        _ if name.ends_with("_ATTRIBUTE_VALUE_LENGTH_LIMIT") => {
            Some("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT".to_owned())
        }
        _ => None,
    }
}
