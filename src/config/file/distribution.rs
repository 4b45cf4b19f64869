//! `distribution.tracewell`: our own variables in the file, each under its name without the prefix, in lower case.

use std::collections::BTreeMap;

use super::{
    node::{Node, Path, Value},
    report::{Report, close},
};
use crate::config::{Mistake, Source, source::Place, variables as all};

const VENDOR: &str = "tracewell";

/// The key that stands for a variable; `None` for those of OpenTelemetry, which the schema has.
pub(super) fn key(variable: &str) -> Option<String> {
    match variable {
        "RUST_LOG" => Some("rust_log".to_owned()),
        _ => variable.strip_prefix("TRACEWELL_").map(str::to_ascii_lowercase),
    }
}

/// The variables that the file sets, and where.
pub(super) fn variables(
    tree: &Node,
    report: &mut Report,
) -> (Vec<(String, String)>, BTreeMap<String, String>) {
    let (mut found, mut places) = (Vec::new(), BTreeMap::new());
    let Some(own) = tree.get("distribution").and_then(|vendors| vendors.get(VENDOR)) else {
        return (found, places);
    };
    let path = Path::default().key("distribution").key(VENDOR);
    for (key, node) in own.entries() {
        let path = path.key(key);
        let Some(variable) = self::variable(key) else {
            let known: Vec<String> = known().collect();
            let near = known.iter().filter(|known| close(known, key));
            let mut near: Vec<&str> = near.map(String::as_str).collect();
            if near.is_empty() {
                near = known.iter().map(String::as_str).collect();
            }
            report.unknown(&path, node, key, near.into_iter(), false);
            continue;
        };
        match text(node) {
            Some(value) => {
                places.insert(variable.to_owned(), path.to_string());
                found.push((variable.to_owned(), value));
            }
            None if node.is_null() => {}
            None => report.wrong(&path, node, "accepted is a value, or a list of values", ""),
        }
    }
    (found, places)
}

fn variable(key: &str) -> Option<&'static str> {
    all().map(|variable| variable.name).find(|name| self::key(name).as_deref() == Some(key))
}

fn known() -> impl Iterator<Item = String> {
    all().filter_map(|variable| key(variable.name))
}

fn text(node: &Node) -> Option<String> {
    match &node.value {
        Value::Null | Value::Map(_) => None,
        Value::List(items) => {
            let items: Option<Vec<String>> = items.iter().map(text).collect();
            items.map(|items| items.join(","))
        }
        _ => Some(node.text.clone()),
    }
}

/// A mistake about a variable that the file sets speaks of the file.
pub(super) fn placed(mistake: Mistake, source: &Source, places: &BTreeMap<String, String>) -> Mistake {
    match places.get(&*mistake.variable) {
        Some(path) if source.place(&mistake.variable) == Place::File => {
            Mistake { variable: path.clone().into(), ..mistake }
        }
        _ => mistake,
    }
}
