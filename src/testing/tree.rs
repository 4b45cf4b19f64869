//! Spans and log records as an indented text that a test compares whole.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
};

use opentelemetry::SpanId;

use super::{
    capture::{CapturedLog, CapturedSpan, OpenSpan},
    collector::Attributes,
};

/// One line and where it belongs.
struct Node {
    order: u64,
    /// Empty for a log record.
    id: String,
    parent: String,
    line: String,
}

/// Children stand under their parent in the order of their starts; what has no parent here stands at the margin.
pub(super) fn render(
    spans: &[CapturedSpan],
    logs: &[CapturedLog],
    open: &HashMap<SpanId, OpenSpan>,
) -> String {
    let mut nodes: Vec<Node> = spans.iter().map(ended).chain(logs.iter().map(log)).collect();
    nodes.extend(open.iter().map(|(id, span)| still_open(*id, span)));
    nodes.sort_by_key(|node| node.order);

    let known: HashSet<&str> = nodes.iter().map(|node| &*node.id).filter(|id| !id.is_empty()).collect();
    let mut children: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for node in &nodes {
        let parent = known.get(&*node.parent).copied().unwrap_or_default();
        children.entry(parent).or_default().push(node);
    }
    let mut text = String::new();
    write(&children, "", 0, &mut text);
    text.truncate(text.trim_end().len());
    text
}

fn write(children: &BTreeMap<&str, Vec<&Node>>, parent: &str, depth: usize, text: &mut String) {
    for node in children.get(parent).into_iter().flatten() {
        for _ in 0..depth {
            text.push_str("  ");
        }
        text.push_str(&node.line);
        text.push('\n');
        if !node.id.is_empty() {
            write(children, &node.id, depth + 1, text);
        }
    }
}

fn ended(span: &CapturedSpan) -> Node {
    let mut line = one_line(span.name());
    if span.kind() != "internal" {
        // writing to a String cannot fail
        let _ = write!(line, " [{}]", span.kind());
    }
    let status = span.attributes().text("http.response.status_code");
    if let Some(status) = &status {
        let _ = write!(line, " {status}");
    }
    if span.is_error() {
        line.push_str(" error");
        // a status code says it already
        if let Some(kind) = span.attributes().text("error.type").filter(|kind| Some(kind) != status.as_ref())
        {
            let _ = write!(line, "={}", one_line(&kind));
        }
    }
    Node { order: span.order, id: span.span_id().to_owned(), parent: span.parent_span_id().to_owned(), line }
}

fn still_open(id: SpanId, span: &OpenSpan) -> Node {
    let line = format!("{} (open)", one_line(&span.name));
    Node { order: span.order, id: id.to_string(), parent: span.parent.to_string(), line }
}

fn log(log: &CapturedLog) -> Node {
    let mut line = log.level().to_owned();
    for word in [log.event_name(), log.message()].into_iter().filter(|word| !word.is_empty()) {
        let _ = write!(line, " {}", one_line(word));
    }
    write_attributes(log.attributes(), &mut line);
    Node { order: log.order, id: String::new(), parent: log.span_id().to_owned(), line }
}

fn write_attributes(attributes: Attributes<'_>, line: &mut String) {
    for key in attributes.keys() {
        let _ = write!(line, " {key}={}", one_line(&attributes.text(key).unwrap_or_default()));
    }
}

/// A line feed in a value must not look like another node.
fn one_line(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, char| {
        if char.is_control() {
            line.extend(char.escape_default());
        } else {
            line.push(char);
        }
        line
    })
}
