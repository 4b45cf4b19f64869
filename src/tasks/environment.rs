//! The trace context in environment variables: into child processes, and out of a parent's (OpenTelemetry specification,
//! "Environment Variables as Context Propagation Carriers").

use std::collections::HashMap;

use opentelemetry::{Context, propagation::Extractor};

use super::context::inject_from;
use crate::config::Source;

/// The current trace context and baggage as environment variables for a child process or a job: `TRACEPARENT`,
/// `TRACESTATE` and `BAGGAGE`, or what `OTEL_PROPAGATORS` says. What this process inherited and has no value now is
/// empty, so that the child does not take it for its own.
///
/// ```
/// use tracewell::tasks;
///
/// let mut child = std::process::Command::new("true"); // or tokio's
/// child.envs(tasks::child_env());
/// ```
#[must_use = "the variables are for the child's environment"]
pub fn child_env() -> Vec<(String, String)> {
    let mut fields = HashMap::new();
    inject_from(&Context::current(), &mut fields);
    let inherited = Source::process();
    let known = opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.fields().map(variable).collect::<Vec<_>>()
    });
    let mut variables: Vec<_> = fields.into_iter().map(|(field, value)| (variable(&field), value)).collect();
    for name in known {
        if variables.iter().all(|(set, _)| *set != name) && inherited.get(&name).is_some() {
            variables.push((name, String::new()));
        }
    }
    variables
}

/// The context that the parent process left in this one's environment; empty without one. Attached at the start, it makes
/// the parent's trace go on here:
///
/// ```
/// let _parent = tracewell::tasks::env_context().attach();
/// tracing::info_span!("nightly report").in_scope(|| { /* in the trace of whoever started this process */ });
/// ```
#[must_use]
pub fn env_context() -> Context {
    extract_env(&Source::process())
}

/// The same from these variables, such as those of a job's description.
#[must_use]
pub fn extract_env(variables: &Source) -> Context {
    opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.extract_with_context(&Context::new(), &Variables::of(variables, propagator.fields()))
    })
}

/// What a field is called as a variable: upper case, and `_` for what a name may not have.
fn variable(field: &str) -> String {
    let upper = |char: char| if char.is_ascii_alphanumeric() { char.to_ascii_uppercase() } else { '_' };
    let name: String = field.chars().map(upper).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// Values by the fields' own names.
struct Variables(HashMap<String, String>);

impl Variables {
    fn of<'a>(source: &Source, fields: impl Iterator<Item = &'a str>) -> Self {
        let found =
            |field: &'a str| source.get(&variable(field)).map(|value| (field.to_ascii_lowercase(), value));
        Self(fields.filter_map(found).collect())
    }
}

impl Extractor for Variables {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(&key.to_ascii_lowercase()).map(String::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}
