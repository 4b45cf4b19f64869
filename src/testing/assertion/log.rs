//! Assertions on log records.

use std::sync::Arc;

use super::{Expected, Narrowed, Scene, all, fail, found};
use crate::testing::CapturedLog;

/// Log records of one message, narrowed down call by call: at least one must fulfil everything.
///
/// Made by [`Capture::assert_log`](crate::testing::Capture::assert_log). A demand that nobody fulfils ends the test with a
/// message that shows each record that was left, what it has instead, and the whole tree.
#[derive(Debug, Clone)]
pub struct LogAssertion {
    scene: Arc<Scene>,
    logs: Narrowed<CapturedLog>,
}

#[expect(clippy::return_self_not_must_use, reason = "called for what it checks")]
#[expect(clippy::must_use_candidate, reason = "called for what it checks")]
impl LogAssertion {
    #[track_caller]
    pub(in crate::testing) fn new(scene: Scene, message: &str) -> Self {
        let logs = Narrowed { demanded: format!("log record {message:?}"), left: scene.logs(message) };
        if logs.left.is_empty() {
            fail(&format!("no {}", logs.demanded), "", &[], &scene.tree);
        }
        Self { scene: Arc::new(scene), logs }
    }

    #[track_caller]
    fn narrow(
        mut self,
        demand: &str,
        keep: impl Fn(&CapturedLog) -> bool,
        instead: impl Fn(&CapturedLog) -> String,
    ) -> Self {
        let scene = Arc::clone(&self.scene);
        let line = |log: &CapturedLog| format!("{} {:?}: {}", log.level(), log.message(), instead(log));
        self.logs.narrow(demand, keep, line, || scene.tree.clone());
        self
    }

    /// Has this attribute, with this value and its type.
    ///
    /// # Panics
    ///
    /// When no record that is left has.
    #[track_caller]
    pub fn has(self, key: &str, value: impl Into<Expected>) -> Self {
        let value = value.into();
        let keep = |log: &CapturedLog| value.is(log.attributes().get(key));
        self.narrow(&format!(" with {key} = {value}"), keep, |log| found(log.attributes(), key))
    }

    /// Does not have this attribute.
    ///
    /// # Panics
    ///
    /// When every record that is left has.
    #[track_caller]
    pub fn lacks(self, key: &str) -> Self {
        let keep = |log: &CapturedLog| log.attributes().get(key).is_none();
        self.narrow(&format!(" without {key}"), keep, |log| found(log.attributes(), key))
    }

    /// Is of this level: `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    ///
    /// # Panics
    ///
    /// When no record that is left is.
    #[track_caller]
    pub fn level(self, level: &str) -> Self {
        let keep = |log: &CapturedLog| log.level() == level;
        self.narrow(&format!(" of level {level}"), keep, |log| format!("of level {}", log.level()))
    }

    /// Was made in a span of this name, ended or still open: in the span itself, not in a child.
    ///
    /// # Panics
    ///
    /// When no record that is left was.
    #[track_caller]
    pub fn in_span(self, name: &str) -> Self {
        let scene = Arc::clone(&self.scene);
        let keep = |log: &CapturedLog| scene.name(log.span_id()) == Some(name);
        self.narrow(&format!(" in span {name:?}"), keep, |log| scene.place(log.span_id()))
    }

    /// Was made in a span of this name or in whatever started in one.
    ///
    /// # Panics
    ///
    /// When no record that is left was.
    #[track_caller]
    pub fn within(self, name: &str) -> Self {
        let scene = Arc::clone(&self.scene);
        let keep = |log: &CapturedLog| scene.upwards(log.span_id()).contains(&name);
        self.narrow(&format!(" within {name:?}"), keep, |log| scene.place(log.span_id()))
    }

    /// Was made in no span: it has no trace id.
    ///
    /// # Panics
    ///
    /// When every record that is left was made in one.
    #[track_caller]
    pub fn in_no_span(self) -> Self {
        let scene = Arc::clone(&self.scene);
        self.narrow(" in no span", |log| log.trace_id().is_empty(), |log| scene.place(log.span_id()))
    }

    /// Exactly so many records fulfil everything.
    ///
    /// # Panics
    ///
    /// When more or fewer do.
    #[track_caller]
    pub fn times(self, times: usize) -> Self {
        let line =
            |log: &CapturedLog| format!("{} {:?}: {}", log.level(), log.message(), all(log.attributes()));
        self.logs.times(times, line, || self.scene.tree.clone());
        self
    }

    /// The first record that fulfils everything.
    #[must_use]
    pub fn get(&self) -> &CapturedLog {
        // an assertion that left none did not return
        &self.logs.left[0]
    }
}
