//! Assertions on what was captured: each narrows what is left, and a failed one shows what was there instead.

mod expected;
mod log;
mod metric;
mod registry;
mod scene;
mod span;

pub(super) use self::scene::Scene;
pub use self::{
    expected::Expected, log::LogAssertion, metric::MetricAssertion, registry::assert_nothing_active,
    span::SpanAssertion,
};

use std::fmt::Write as _;

use super::Attributes;
use crate::testing::collector::shown;

/// What fulfils everything that was demanded so far, and the words for it.
#[derive(Debug, Clone)]
struct Narrowed<T> {
    /// Such as `span "GET /" with http.route = "/"`.
    demanded: String,
    left: Vec<T>,
}

impl<T> Narrowed<T> {
    /// Keeps what fulfils one more demand, or fails with a line for each that did not.
    #[track_caller]
    fn narrow(
        &mut self,
        demand: &str,
        keep: impl Fn(&T) -> bool,
        instead: impl Fn(&T) -> String,
        scene: impl FnOnce() -> String,
    ) {
        let refused: Vec<String> = self.left.iter().filter(|one| !keep(one)).map(instead).collect();
        self.left.retain(keep);
        self.demanded.push_str(demand);
        if self.left.is_empty() {
            fail(&format!("no {}", self.demanded), "instead", &refused, &scene());
        }
    }

    #[track_caller]
    fn times(&self, times: usize, line: impl Fn(&T) -> String, scene: impl FnOnce() -> String) {
        let found = self.left.len();
        if found != times {
            let message = format!("{found} of {}, not {times}", self.demanded);
            fail(&message, "found", &self.left.iter().map(line).collect::<Vec<_>>(), &scene());
        }
    }
}

/// Ends the test with a message, the lines that belong to it, and everything that was captured.
#[track_caller]
fn fail(message: &str, heading: &str, lines: &[String], scene: &str) -> ! {
    let mut text = message.to_owned();
    for (heading, body) in [(heading, &*lines.join("\n")), ("captured", scene)] {
        if !body.is_empty() {
            // writing to a String cannot fail
            let _ = write!(text, "\n{heading}:");
            for line in body.lines() {
                let _ = write!(text, "\n  {line}");
            }
        }
    }
    if scene.is_empty() {
        text.push_str("\nnothing was captured");
    }
    panic!("{text}")
}

/// One attribute as it was found.
fn found(attributes: Attributes<'_>, key: &str) -> String {
    attributes.get(key).map_or_else(
        || format!("no {key}, but {}", all(attributes)),
        |value| format!("{key} = {}", shown(value)),
    )
}

/// Every attribute, in a line.
fn all(attributes: Attributes<'_>) -> String {
    let one = |key| attributes.get(key).map(|value| format!("{key} = {}", shown(value)));
    let all: Vec<String> = attributes.keys().filter_map(one).collect();
    if all.is_empty() { "no attributes".to_owned() } else { all.join(", ") }
}
