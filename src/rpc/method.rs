//! The methods that were called before: a bounded number of names, which callers cannot make up for ever.

use std::{
    borrow::Cow,
    collections::HashMap,
    hash::BuildHasherDefault,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use opentelemetry::KeyValue;
use rustc_hash::FxHasher;

use super::semconv;

/// Methods remembered; a program has its methods in its source.
const MAX: usize = 2048;
/// Of these, methods that nothing has answered for yet: a caller that leaves at once may have made its name up.
const MAX_UNANSWERED: usize = 256;

/// A method that was called before. It lives as long as the process.
#[derive(Debug)]
pub(crate) struct Method {
    /// `package.Service/Method`.
    pub(crate) full: &'static str,
    /// The same, for entries.
    pub(crate) shared: Arc<str>,
    /// Distinguishes methods in a series' key; 0 is "unknown".
    pub(crate) id: u32,
}

#[derive(Debug, Default)]
struct Methods {
    known: HashMap<&'static str, &'static Method, BuildHasherDefault<FxHasher>>,
    unanswered: usize,
}

fn methods() -> &'static RwLock<Methods> {
    static METHODS: OnceLock<RwLock<Methods>> = OnceLock::new();
    METHODS.get_or_init(RwLock::default)
}

/// The method, if it is remembered.
pub(crate) fn known(full: &str) -> Option<&'static Method> {
    methods().read().unwrap_or_else(PoisonError::into_inner).known.get(full).copied()
}

/// Remembers a method; `None` once too many are.
pub(crate) fn remember(full: &str, answered: bool) -> Option<&'static Method> {
    let mut methods = methods().write().unwrap_or_else(PoisonError::into_inner);
    if let Some(method) = methods.known.get(full) {
        return Some(method);
    }
    if methods.known.len() >= MAX || !answered && methods.unanswered >= MAX_UNANSWERED {
        return None;
    }
    methods.unanswered += usize::from(!answered);
    let id = u32::try_from(methods.known.len() + 1).unwrap_or(u32::MAX);
    let name: &'static str = Box::leak(Box::<str>::from(full));
    let method: &'static Method = Box::leak(Box::new(Method { full: name, shared: Arc::from(full), id }));
    methods.known.insert(name, method);
    Some(method)
}

/// The method of one call: remembered, or by the name that its caller gave.
#[derive(Debug, Clone)]
pub(crate) enum Called {
    Known(&'static Method),
    New(Arc<str>),
    /// The path names no method.
    Nothing,
}

impl Called {
    pub(crate) fn of(path: &str) -> Self {
        let Some(full) = semconv::method_of(path) else { return Self::Nothing };
        known(full).map_or_else(|| Self::New(full.into()), Self::Known)
    }

    /// The span's name, at its start.
    pub(crate) fn span_name(&self) -> Cow<'static, str> {
        match self {
            Self::Known(method) => method.full.into(),
            Self::New(full) => full.to_string().into(),
            Self::Nothing => semconv::UNKNOWN_NAME.into(),
        }
    }

    /// The method as a span's attributes at its start; `trusted` is whether a new name is nothing that a stranger made up,
    /// which only the end shows.
    pub(crate) fn attributes(&self, path: &str, trusted: bool) -> Vec<KeyValue> {
        match self {
            Self::Known(method) => vec![semconv::method(method.full)],
            Self::New(full) if trusted => vec![semconv::method(Arc::clone(full))],
            Self::New(_) => Vec::new(),
            Self::Nothing => semconv::other_method(path).into(),
        }
    }

    /// The route of the call's entry, as far as it is known to exist.
    pub(crate) fn route(&self) -> Option<Arc<str>> {
        match self {
            Self::Known(method) => Some(Arc::clone(&method.shared)),
            Self::New(_) | Self::Nothing => None,
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Known(method) => method.full,
            Self::New(full) => full,
            Self::Nothing => "",
        }
    }

    /// At the end, the method that metrics may name; `exists` is whether some service has it, if that is known.
    pub(crate) fn settled(&self, exists: Option<bool>) -> Option<&'static Method> {
        match self {
            Self::Known(method) => Some(method),
            Self::New(_) if exists == Some(false) => None,
            Self::New(full) => remember(full, exists.is_some()),
            Self::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_callers_make_up_are_bounded_and_leave_room_for_what_is_answered() {
        assert!(Called::of("/made.Up/Unimplemented").settled(Some(false)).is_none());
        let made_up =
            (0..2 * MAX_UNANSWERED).filter_map(|n| Called::of(&format!("/made.Up/M{n}")).settled(None));
        assert!(made_up.count() <= MAX_UNANSWERED);
        let real = Called::of("/real.Service/Get").settled(Some(true)).unwrap();
        assert_eq!(real.full, "real.Service/Get");
        // once known, always: also when it is unimplemented for a while
        assert_eq!(Called::of("/real.Service/Get").settled(Some(false)).unwrap().id, real.id);
    }
}
