//! Everything that was captured at one moment, with the ways from a span to its parents.

use std::collections::HashMap;

use crate::testing::{Captured, CapturedLog, CapturedSpan};

/// What an assertion looks at.
#[derive(Debug, Clone)]
pub(in crate::testing) struct Scene {
    spans: Vec<CapturedSpan>,
    logs: Vec<CapturedLog>,
    /// Name and parent of every span, open ones too, by its id.
    named: HashMap<String, (String, String)>,
    pub(super) tree: String,
}

impl Scene {
    pub(in crate::testing) fn new(captured: &Captured) -> Self {
        Self {
            spans: captured.spans().to_vec(),
            logs: captured.logs().to_vec(),
            named: captured.lineage(),
            tree: captured.tree(),
        }
    }

    pub(super) fn spans(&self, name: &str) -> Vec<CapturedSpan> {
        self.spans.iter().filter(|span| span.name() == name).cloned().collect()
    }

    pub(super) fn logs(&self, message: &str) -> Vec<CapturedLog> {
        self.logs.iter().filter(|log| log.message() == message).cloned().collect()
    }

    pub(super) fn logs_of<'a>(&'a self, span: &'a CapturedSpan) -> impl Iterator<Item = &'a CapturedLog> {
        self.logs.iter().filter(|log| log.span_id() == span.span_id() && log.trace_id() == span.trace_id())
    }

    pub(super) fn name(&self, span_id: &str) -> Option<&str> {
        self.named.get(span_id).map(|(name, _)| &**name)
    }

    /// The name of the span that both ids lead to.
    pub(super) fn leads(&self, trace_id: &str, span_id: &str) -> Option<&str> {
        let elsewhere =
            self.spans.iter().any(|span| span.span_id() == span_id && span.trace_id() != trace_id);
        self.name(span_id).filter(|_| !elsewhere && !trace_id.is_empty())
    }

    /// The names from the span with this id upwards.
    pub(super) fn upwards(&self, span_id: &str) -> Vec<&str> {
        let mut names = Vec::new();
        let mut next = self.named.get(span_id);
        while let Some((name, parent)) = next {
            names.push(&**name);
            // ids that count may meet those of a caller: nobody is upwards of himself
            next = self.named.get(parent).filter(|_| names.len() <= self.named.len());
        }
        names
    }

    /// Where something with this parent stands.
    pub(super) fn place(&self, parent_id: &str) -> String {
        let quoted: Vec<String> = self.upwards(parent_id).iter().map(|name| format!("{name:?}")).collect();
        match (parent_id, &quoted[..]) {
            ("", _) => "in no span".to_owned(),
            (id, []) => format!("in span {id}, which was not captured"),
            (_, names) => format!("in {}", names.join(" in ")),
        }
    }
}
