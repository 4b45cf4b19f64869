//! A batch by scope: OTLP says the scope once for all of its items.

use std::hash::{Hash, Hasher};

use opentelemetry::InstrumentationScope;
use rustc_hash::FxHashMap;

/// Items of one scope, in the order in which they came.
#[derive(Debug)]
pub(super) struct Group<'a, T> {
    pub(super) name: &'a str,
    pub(super) scope: &'a InstrumentationScope,
    pub(super) items: Vec<&'a T>,
}

/// The groups, in the order in which their first items came.
#[derive(Debug)]
pub(super) struct Groups<'a, T> {
    groups: Vec<Group<'a, T>>,
    by_scope: FxHashMap<Named<'a>, usize>,
}

/// A scope under a name that may not be its own.
#[derive(Debug, Clone, Copy)]
struct Named<'a> {
    name: &'a str,
    scope: &'a InstrumentationScope,
}

impl PartialEq for Named<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && (std::ptr::eq(self.scope, other.scope)
                || self.scope.version() == other.scope.version()
                    && self.scope.schema_url() == other.scope.schema_url()
                    && self.scope.attributes().eq(other.scope.attributes()))
    }
}

impl Eq for Named<'_> {}

impl Hash for Named<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // scopes of one name rarely differ in anything else
        self.name.hash(state);
    }
}

impl<T> Default for Groups<'_, T> {
    fn default() -> Self {
        Self { groups: Vec::new(), by_scope: FxHashMap::default() }
    }
}

impl<'a, T> Groups<'a, T> {
    pub(super) fn add(&mut self, name: &'a str, scope: &'a InstrumentationScope, item: &'a T) {
        let at = *self.by_scope.entry(Named { name, scope }).or_insert_with(|| {
            self.groups.push(Group { name, scope, items: Vec::new() });
            self.groups.len() - 1
        });
        self.groups[at].items.push(item);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Group<'a, T>> {
        self.groups.iter()
    }
}
