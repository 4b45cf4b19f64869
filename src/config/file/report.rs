//! What is wrong in a file: each mistake with its path, its line, its value and what is accepted.

use super::node::{Node, Path, Value};
use crate::{config::Mistake, redaction::Redactor};

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) mistakes: Vec<Mistake>,
    /// The file says that it is of a format that is not known whole: unknown keys are what is to be expected.
    pub(super) lenient: bool,
}

impl Report {
    /// A value that cannot be used.
    pub(super) fn wrong(&mut self, path: &Path, node: &Node, problem: &str, used: &str) {
        let mistake = mistake(path, node, problem, used);
        self.mistakes.push(mistake);
    }

    /// A value of which a part is used.
    pub(super) fn partly(&mut self, path: &Path, node: &Node, problem: &str, used: &str) {
        let mistake = mistake(path, node, problem, used).in_part(true);
        self.mistakes.push(mistake);
    }

    /// A value that is accepted, and something to know about it.
    pub(super) fn notice(&mut self, path: &Path, node: &Node, problem: &str) {
        self.mistakes.push(mistake(path, node, problem, "").warned());
    }

    pub(super) fn missing(&mut self, path: &Path, line: usize, accepted: &str) {
        let problem = format!("required and missing; {accepted}");
        let mistake = Mistake::new(path.to_string(), "", problem, "").without_value().at_line(line);
        self.mistakes.push(mistake);
    }

    /// A key that the schema does not have. `open` = the schema allows others.
    pub(super) fn unknown<'a>(
        &mut self,
        path: &Path,
        node: &Node,
        key: &str,
        known: impl Iterator<Item = &'a str>,
        open: bool,
    ) {
        let known: Vec<&str> = known.collect();
        let meant = known.iter().find(|known| close(known, key));
        let problem = match (meant, known.as_slice()) {
            (Some(meant), _) => format!("unknown key; did you mean {meant}?"),
            (None, []) => "unknown key; accepted is none here".to_owned(),
            (None, known) => format!("unknown key; accepted are {}", known.join(", ")),
        };
        let mut mistake = mistake(path, node, &problem, "");
        // a secret under a name with a typing error in it
        let secret = |name: &str| Redactor::default().is_secret_name(name) || name.starts_with("headers");
        if meant.is_some_and(|meant| secret(meant)) && mistake.value.is_some() {
            mistake = mistake.hiding_value();
        }
        // the root may hold more, such as what anchors are for; a typing error is one all the same
        let warning = self.lenient || (open && meant.is_none());
        self.mistakes.push(if warning { mistake.warned() } else { mistake });
    }
}

fn mistake(path: &Path, node: &Node, problem: &str, used: &str) -> Mistake {
    let path = path.to_string();
    let last = path.rsplit('.').next().unwrap_or_default();
    // where a key is, is not the key
    let secret =
        path.contains(".headers") || (!last.ends_with("_file") && Redactor::default().is_secret_name(last));
    let mistake = Mistake::new(path.clone(), &node.text, problem, used).at_line(node.line);
    match &node.value {
        Value::List(_) | Value::Map(_) => mistake.without_value(),
        Value::Null => Mistake { value: Some("null".to_owned()), ..mistake },
        _ if secret => mistake.hiding_value(),
        _ => mistake,
    }
}

/// Whether one is most likely a typing error of the other: at most two edits, and fewer than half of it.
pub(super) fn close(known: &str, given: &str) -> bool {
    let (known, given): (Vec<char>, Vec<char>) = (known.chars().collect(), given.chars().take(100).collect());
    if known.len().abs_diff(given.len()) > 2 {
        return false;
    }
    let mut row: Vec<usize> = (0..=given.len()).collect();
    for (i, a) in known.iter().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, b) in given.iter().enumerate() {
            let cost = if a == b { before } else { 1 + before.min(row[j]).min(row[j + 1]) };
            before = row[j + 1];
            row[j + 1] = cost;
        }
    }
    row.last().is_some_and(|edits| *edits <= 2 && edits * 2 < known.len())
}
