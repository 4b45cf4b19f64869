//! What rules of sampling look at: the request whose span is about to start, and what the span itself says.

use std::{borrow::Cow, cell::RefCell};

use opentelemetry::{Array, KeyValue, Value, trace::SpanKind};

use crate::{
    config::{Condition, ParentKind, Patterns, SamplingRule},
    http::{METHOD, PATH, REQUEST_HEADER, ROUTE},
};

thread_local! {
    static FACTS: RefCell<Option<Facts>> = const { RefCell::new(None) };
}

/// What is known of the request whose span this thread is about to start.
///
/// Attributes would say the same, but they are made only for spans that are kept, and not of headers.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) method: String,
    pub(crate) path: String,
    /// `None` = the layer is outside of the router, or no route has matched.
    pub(crate) route: Option<String>,
    /// Those that rules are about, each value on its own; names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Facts {
    /// Runs `start`, which starts a span, with these at hand.
    pub(crate) fn around<T>(self, start: impl FnOnce() -> T) -> T {
        struct Cleared(Option<Facts>);
        impl Drop for Cleared {
            fn drop(&mut self) {
                // a thread on its way out has nothing left to say
                let _ = FACTS.try_with(|facts| *facts.borrow_mut() = self.0.take());
            }
        }
        let before = FACTS.try_with(|facts| facts.replace(Some(self))).ok().flatten();
        let _cleared = Cleared(before);
        start()
    }

    /// The facts of the span being started, if it is a request's.
    pub(crate) fn with<T>(look: impl Fn(Option<&Self>) -> T) -> T {
        let seen = FACTS.try_with(|facts| facts.try_borrow().ok().map(|facts| look(facts.as_ref())));
        seen.ok().flatten().unwrap_or_else(|| look(None))
    }
}

/// A span that is about to start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) facts: Option<&'a Facts>,
    pub(crate) name: &'a str,
    pub(crate) kind: &'a SpanKind,
    pub(crate) attributes: &'a [KeyValue],
    pub(crate) parent: ParentKind,
}

impl Asked<'_> {
    /// Whether all conditions of a rule hold.
    pub(crate) fn obeys(&self, rule: &SamplingRule) -> bool {
        rule.conditions.iter().all(|condition| self.meets(condition))
    }

    fn meets(&self, condition: &Condition) -> bool {
        // a request's own span is known by its request, any other by its attributes
        let request = |fact: fn(&Facts) -> Option<&str>, key: &str, patterns: &Patterns| match self.facts {
            Some(facts) => fact(facts).is_some_and(|fact| patterns.contains(fact)),
            None => self.has(key, |value| patterns.contains(value)),
        };
        match condition {
            Condition::Route(patterns) => request(|facts| facts.route.as_deref(), ROUTE, patterns),
            Condition::Method(patterns) => request(|facts| Some(&facts.method), METHOD, patterns),
            Condition::Path(patterns) => request(|facts| Some(&facts.path), PATH, patterns),
            Condition::Name(patterns) => patterns.contains(self.name),
            Condition::Header(name, patterns) => match self.facts {
                Some(facts) => {
                    facts.headers.iter().any(|(known, value)| known == name && patterns.contains(value))
                }
                None => self.has(&format!("{REQUEST_HEADER}{name}"), |value| patterns.contains(value)),
            },
            Condition::Attribute(key, patterns) => self.has(key, |value| patterns.contains(value)),
            Condition::AttributeIs(key, values) => {
                self.has(key, |value| values.iter().any(|one| one == value))
            }
            Condition::Kind(kinds) => kinds.contains(self.kind),
            Condition::Parent(parents) => parents.contains(&self.parent),
        }
    }

    /// Whether an attribute, or one item of it, is such a value.
    fn has(&self, key: &str, is: impl Fn(&str) -> bool) -> bool {
        let found = self.attributes.iter().filter(|attribute| attribute.key.as_str() == key);
        found.map(|attribute| &attribute.value).any(|value| match value {
            Value::Array(items) => texts(items).iter().any(|item| is(item)),
            value => is(&value.as_str()),
        })
    }
}

fn texts(items: &Array) -> Vec<Cow<'_, str>> {
    match items {
        Array::Bool(items) => items.iter().map(|item| item.to_string().into()).collect(),
        Array::I64(items) => items.iter().map(|item| item.to_string().into()).collect(),
        Array::F64(items) => items.iter().map(|item| item.to_string().into()).collect(),
        Array::String(items) => items.iter().map(|item| item.as_str().into()).collect(),
        // whatever else there will be
        _ => Vec::new(),
    }
}
