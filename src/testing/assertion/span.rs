//! Assertions on spans.

use std::sync::Arc;

use super::{Expected, Narrowed, Scene, all, fail, found};
use crate::testing::CapturedSpan;

/// Ended spans of one name, narrowed down call by call: at least one must fulfil everything.
///
/// Made by [`Capture::assert_span`](crate::testing::Capture::assert_span). A demand that nobody fulfils ends the test with
/// a message that shows each span that was left, what it has instead, and the whole tree.
#[derive(Debug, Clone)]
pub struct SpanAssertion {
    scene: Arc<Scene>,
    spans: Narrowed<CapturedSpan>,
}

#[expect(clippy::return_self_not_must_use, reason = "called for what it checks")]
#[expect(clippy::must_use_candidate, reason = "called for what it checks")]
impl SpanAssertion {
    #[track_caller]
    pub(in crate::testing) fn new(scene: Scene, name: &str) -> Self {
        let spans = Narrowed { demanded: format!("span {name:?}"), left: scene.spans(name) };
        if spans.left.is_empty() {
            fail(&format!("no {} has ended", spans.demanded), "", &[], &scene.tree);
        }
        Self { scene: Arc::new(scene), spans }
    }

    #[track_caller]
    fn narrow(
        mut self,
        demand: &str,
        keep: impl Fn(&CapturedSpan) -> bool,
        instead: impl Fn(&CapturedSpan) -> String,
    ) -> Self {
        let scene = Arc::clone(&self.scene);
        let line = |span: &CapturedSpan| format!("{:?}: {}", span.name(), instead(span));
        self.spans.narrow(demand, keep, line, || scene.tree.clone());
        self
    }

    /// Has this attribute, with this value and its type.
    ///
    /// # Panics
    ///
    /// When no span that is left has.
    #[track_caller]
    pub fn has(self, key: &str, value: impl Into<Expected>) -> Self {
        let value = value.into();
        let keep = |span: &CapturedSpan| value.is(span.attributes().get(key));
        self.narrow(&format!(" with {key} = {value}"), keep, |span| found(span.attributes(), key))
    }

    /// Does not have this attribute.
    ///
    /// # Panics
    ///
    /// When every span that is left has.
    #[track_caller]
    pub fn lacks(self, key: &str) -> Self {
        let keep = |span: &CapturedSpan| span.attributes().get(key).is_none();
        self.narrow(&format!(" without {key}"), keep, |span| found(span.attributes(), key))
    }

    /// Its parent is a span of this name, ended or still open.
    ///
    /// # Panics
    ///
    /// When no span that is left has such a parent.
    #[track_caller]
    pub fn child_of(self, name: &str) -> Self {
        let scene = Arc::clone(&self.scene);
        let keep = |span: &CapturedSpan| scene.name(span.parent_span_id()) == Some(name);
        self.narrow(&format!(" as a child of {name:?}"), keep, |span| scene.place(span.parent_span_id()))
    }

    /// A span of this name is its parent, or the parent's parent, and so on.
    ///
    /// # Panics
    ///
    /// When no span that is left has such an ancestor.
    #[track_caller]
    pub fn within(self, name: &str) -> Self {
        let scene = Arc::clone(&self.scene);
        let keep = |span: &CapturedSpan| scene.upwards(span.parent_span_id()).contains(&name);
        self.narrow(&format!(" within {name:?}"), keep, |span| scene.place(span.parent_span_id()))
    }

    /// Has no parent, neither here nor in another process.
    ///
    /// # Panics
    ///
    /// When every span that is left has one.
    #[track_caller]
    pub fn root(self) -> Self {
        let scene = Arc::clone(&self.scene);
        self.narrow(" as a root", CapturedSpan::is_root, |span| scene.place(span.parent_span_id()))
    }

    /// Is `internal`, `server`, `client`, `producer` or `consumer`.
    ///
    /// # Panics
    ///
    /// When no span that is left is.
    #[track_caller]
    pub fn kind(self, kind: &str) -> Self {
        let keep = |span: &CapturedSpan| span.kind() == kind;
        self.narrow(&format!(" of kind {kind}"), keep, |span| format!("of kind {}", span.kind()))
    }

    /// Its status is Error.
    ///
    /// # Panics
    ///
    /// When no span's that is left is.
    #[track_caller]
    pub fn error(self) -> Self {
        self.narrow(" with an error", CapturedSpan::is_error, |span| {
            format!("no error, {}", all(span.attributes()))
        })
    }

    /// Its status is not Error.
    ///
    /// # Panics
    ///
    /// When every span's that is left is.
    #[track_caller]
    pub fn no_error(self) -> Self {
        let instead = |span: &CapturedSpan| match span.status_message() {
            "" => format!("error, {}", all(span.attributes())),
            message => format!("error {message:?}, {}", all(span.attributes())),
        };
        self.narrow(" without an error", |span| !span.is_error(), instead)
    }

    /// A log record with this message was made in it: in the span itself, not in a child.
    ///
    /// # Panics
    ///
    /// When none was in any span that is left.
    #[track_caller]
    pub fn logged(self, message: &str) -> Self {
        let scene = Arc::clone(&self.scene);
        let keep = |span: &CapturedSpan| scene.logs_of(span).any(|log| log.message() == message);
        let instead = |span: &CapturedSpan| {
            let logged: Vec<_> = scene.logs_of(span).map(|log| format!("{:?}", log.message())).collect();
            if logged.is_empty() {
                "logged nothing".to_owned()
            } else {
                format!("logged {}", logged.join(", "))
            }
        };
        self.narrow(&format!(" that logged {message:?}"), keep, instead)
    }

    /// Is linked to a span of this name.
    ///
    /// # Panics
    ///
    /// When no span that is left is.
    #[track_caller]
    pub fn linked_to(self, name: &str) -> Self {
        let scene = Arc::clone(&self.scene);
        let keep = |span: &CapturedSpan| span.links().iter().any(|(_, id)| scene.name(id) == Some(name));
        let instead = |span: &CapturedSpan| {
            let one =
                |(_, id): &(String, String)| scene.name(id).map_or_else(|| id.clone(), |n| format!("{n:?}"));
            let links: Vec<_> = span.links().iter().map(one).collect();
            if links.is_empty() { "no links".to_owned() } else { format!("linked to {}", links.join(", ")) }
        };
        self.narrow(&format!(" linked to {name:?}"), keep, instead)
    }

    /// Exactly so many spans fulfil everything.
    ///
    /// # Panics
    ///
    /// When more or fewer do.
    #[track_caller]
    pub fn times(self, times: usize) -> Self {
        let line = |span: &CapturedSpan| format!("{:?}: {}", span.name(), all(span.attributes()));
        self.spans.times(times, line, || self.scene.tree.clone());
        self
    }

    /// The first span that fulfils everything.
    #[must_use]
    pub fn get(&self) -> &CapturedSpan {
        // an assertion that left none did not return
        &self.spans.left[0]
    }
}
