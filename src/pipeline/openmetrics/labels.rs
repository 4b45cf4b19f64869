//! The labels of one point: names sanitised, collisions joined, sorted by name, in buffers used again and again.

use std::ops::Range;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    metrics::v1::ScopeMetrics,
};

use super::{naming::Naming, text::push_any_value};

const SCOPE_LABELS: [&str; 3] = ["otel_scope_name", "otel_scope_version", "otel_scope_schema_url"];

/// Collects labels; `'a` is the request's lifetime.
#[derive(Debug, Default)]
pub(super) struct LabelSet<'a> {
    entries: Vec<Entry<'a>>,
    names: String,
    naming: Naming,
    joined: String,
}

#[derive(Debug)]
struct Entry<'a> {
    /// where the sanitised name is in `names`
    name: Range<usize>,
    key: &'a str,
    value: LabelValue<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum LabelValue<'a> {
    Text(&'a str),
    Any(&'a AnyValue),
}

impl<'a> LabelSet<'a> {
    pub(super) fn new(naming: Naming) -> Self {
        Self { naming, ..Self::default() }
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.names.clear();
    }

    pub(super) fn push(&mut self, key: &'a str, value: LabelValue<'a>) {
        self.push_prefixed("", key, value);
    }

    /// Adds attributes. One that would become `reserved`, the label the format itself uses on this family, is renamed
    /// as Prometheus does with labels in its way.
    pub(super) fn push_attributes(&mut self, attributes: &'a [KeyValue], reserved: &str) {
        for attribute in attributes {
            let Some(value) = &attribute.value else { continue };
            self.push(&attribute.key, any(value));
            self.rename_last(reserved);
        }
    }

    pub(super) fn push_scope(&mut self, scope: &'a ScopeMetrics) {
        if let Some(InstrumentationScope { name, version, attributes, .. }) = &scope.scope {
            self.push(SCOPE_LABELS[0], LabelValue::Text(name));
            self.push(SCOPE_LABELS[1], LabelValue::Text(version));
            for attribute in attributes {
                let Some(value) = &attribute.value else { continue };
                let before = self.entries.len();
                self.push_prefixed("otel_scope_", &attribute.key, any(value));
                let naming = self.naming;
                let is_own = |name: &str| SCOPE_LABELS.iter().any(|own| naming.label(own) == name);
                if self.last_name().is_some_and(is_own) {
                    self.entries.truncate(before);
                }
            }
        }
        self.push(SCOPE_LABELS[2], LabelValue::Text(&scope.schema_url));
    }

    /// Calls `each` with name and unescaped value of every label, sorted by name; values of the same name are joined
    /// by `;` in the order of their keys.
    ///
    /// Labels with an empty value are left out: to a scraper they are the same as absent ones.
    pub(super) fn for_each(&mut self, mut each: impl FnMut(&str, &str)) {
        let Self { entries, names, joined, .. } = self;
        entries.sort_by(|a, b| names[a.name.clone()].cmp(&names[b.name.clone()]).then(a.key.cmp(b.key)));
        for group in entries.chunk_by(|a, b| names[a.name.clone()] == names[b.name.clone()]) {
            let name = &names[group[0].name.clone()];
            let value = match group {
                [Entry { value: LabelValue::Text(text), .. }] => *text,
                _ => {
                    joined.clear();
                    for (nth, entry) in group.iter().enumerate() {
                        joined.push_str(if nth > 0 { ";" } else { "" });
                        match entry.value {
                            LabelValue::Text(text) => joined.push_str(text),
                            LabelValue::Any(value) => push_any_value(joined, value),
                        }
                    }
                    joined.as_str()
                }
            };
            if !value.is_empty() {
                each(name, value);
            }
        }
    }

    fn push_prefixed(&mut self, prefix: &str, key: &'a str, value: LabelValue<'a>) {
        // An empty one would only leave a lone `;` behind where names collide.
        if matches!(value, LabelValue::Text("")) {
            return;
        }
        let start = self.names.len();
        self.naming.push_label(&mut self.names, prefix, key);
        self.entries.push(Entry { name: start..self.names.len(), key, value });
    }

    fn last_name(&self) -> Option<&str> {
        self.entries.last().map(|entry| &self.names[entry.name.clone()])
    }

    fn rename_last(&mut self, reserved: &str) {
        if self.last_name() == Some(reserved) {
            let start = self.names.len();
            self.names.push_str("exported_");
            self.names.push_str(reserved);
            if let Some(entry) = self.entries.last_mut() {
                entry.name = start..self.names.len();
            }
        }
    }
}

pub(super) fn any(value: &AnyValue) -> LabelValue<'_> {
    match &value.value {
        Some(Value::StringValue(text)) => LabelValue::Text(text),
        _ => LabelValue::Any(value),
    }
}
