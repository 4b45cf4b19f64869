//! YAML 1.2 text to a tree: one document, bounded in depth and size, aliases and their copies included.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::{
    node::{Node, Value},
    scalar,
    substitution::substitute,
};
use crate::config::Source;

/// Bytes of a file.
pub(super) const LARGEST: usize = 1 << 20;
/// Levels of lists and mappings in each other. The schema has fewer than 20.
const DEEPEST: usize = 64;
/// Nodes, those that aliases repeat included.
const MOST: usize = 20_000;

/// What is wrong, and on which line; 0 = the text as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) line: usize,
    pub(super) what: String,
}

/// Reads a document and replaces references to variables in its values.
///
/// # Errors
/// The first problem of the syntax, or every reference that is none: there is no partial result.
pub(super) fn read(text: &str, source: &Source) -> Result<Node, Vec<Problem>> {
    if text.len() > LARGEST {
        let what = format!("{} bytes; accepted are at most {LARGEST}", text.len());
        return Err(vec![Problem { line: 0, what }]);
    }
    let first = parse(text, source, str::to_owned);
    // in a flow collection a brace ends an unquoted value: that of a reference is not meant so
    match (&first, masked(text)) {
        (Err(problems), Some(masked)) if problems.iter().any(Problem::is_syntax) => {
            match parse(&masked, source, unmasked) {
                Err(problems) if problems.iter().any(Problem::is_syntax) => first,
                second => second,
            }
        }
        _ => first,
    }
}

/// What stands for the braces of references while the syntax is read.
const MASKS: [(char, char); 2] = [('{', '\u{E000}'), ('}', '\u{E001}')];

/// The text with the braces of references masked; `None` where there are none, or could not be told from the text's own.
fn masked(text: &str) -> Option<String> {
    if !text.contains("${") || text.contains(MASKS.map(|(_, mask)| mask)) {
        return None;
    }
    let (mut braces, mut open, mut before) = (Vec::new(), Vec::new(), ' ');
    for (at, c) in text.char_indices() {
        match c {
            '{' if before == '$' => open.push(at),
            // those of a default that looks like a reference are in pairs too
            '}' => braces.extend(open.pop().into_iter().flat_map(|begin| [begin, at])),
            '\n' => open.clear(),
            _ => {}
        }
        before = c;
    }
    braces.sort_unstable();
    let (mut masked, mut from) = (String::with_capacity(text.len()), 0);
    for at in braces {
        masked.push_str(&text[from..at]);
        masked.push(if text[at..].starts_with('{') { MASKS[0].1 } else { MASKS[1].1 });
        from = at + 1;
    }
    masked.push_str(&text[from..]);
    Some(masked)
}

fn unmasked(text: &str) -> String {
    MASKS
        .iter()
        .fold(text.to_owned(), |text, (brace, mask)| text.replace(*mask, brace.encode_utf8(&mut [0; 4])))
}

/// `whole` makes of a scalar what it was.
fn parse(text: &str, source: &Source, whole: fn(&str) -> String) -> Result<Node, Vec<Problem>> {
    let mut builder = Builder {
        source,
        whole,
        stack: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        nodes: 0,
        problems: Vec::new(),
    };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let step = match event {
            Err(error) => {
                Err(Problem { line: error.marker().line(), what: format!("{NO_YAML}{}", error.info()) })
            }
            Ok((Event::DocumentStart(_), span)) => {
                documents += 1;
                match documents {
                    1 => Ok(()),
                    _ => Err(problem(span, "a second document; accepted is one per file")),
                }
            }
            Ok((event, span)) => builder.event(event, span),
        };
        if let Err(problem) = step {
            builder.problems.push(problem);
            return Err(builder.problems);
        }
    }
    if !builder.problems.is_empty() {
        return Err(builder.problems);
    }
    builder.root.ok_or_else(|| vec![Problem { line: 0, what: "the file is empty".to_owned() }])
}

impl Problem {
    fn is_syntax(&self) -> bool {
        self.what.starts_with(NO_YAML)
    }
}

const NO_YAML: &str = "no YAML: ";

fn problem(span: Span, what: impl Into<String>) -> Problem {
    Problem { line: span.start.line(), what: what.into() }
}

/// A list or mapping whose end has not come yet.
struct Open {
    anchor: usize,
    line: usize,
    /// Of a mapping; the key whose value comes next.
    key: Option<String>,
    value: Value,
}

struct Builder<'a> {
    source: &'a Source,
    whole: fn(&str) -> String,
    stack: Vec<Open>,
    anchors: HashMap<usize, (Node, usize, usize)>,
    root: Option<Node>,
    nodes: usize,
    /// References that are none: all are named.
    problems: Vec<Problem>,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(&(self.whole)(&text), style, tag.as_deref(), span)?;
                self.finished(node, anchor, span)
            }
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), "seq", span)?;
                self.open(Open { anchor, line, key: None, value: Value::List(Vec::new()) }, span)
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), "map", span)?;
                self.open(Open { anchor, line, key: None, value: Value::Map(Vec::new()) }, span)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Open { anchor, line, value, .. }) => {
                    self.finished(Node { line, text: String::new(), value }, anchor, span)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let Some((node, size, depth)) = self.anchors.get(&anchor) else {
                    return Err(problem(span, "an alias of something that has not ended"));
                };
                // the size is counted before the copy is made
                self.nodes = self.nodes.saturating_add(*size);
                if self.nodes > MOST || self.stack.len() + depth > DEEPEST {
                    return Err(too_much(span));
                }
                let node = node.clone();
                self.finished(node, 0, span)
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, open: Open, span: Span) -> Result<(), Problem> {
        self.nodes += 1;
        if self.stack.len() >= DEEPEST || self.nodes > MOST {
            return Err(too_much(span));
        }
        if self.awaits_key() {
            return Err(problem(span, "a key that is a list or a mapping; accepted is text"));
        }
        self.stack.push(open);
        Ok(())
    }

    /// Whether what comes next is a mapping's key.
    fn awaits_key(&self) -> bool {
        self.stack.last().is_some_and(|open| open.key.is_none() && matches!(open.value, Value::Map(_)))
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<Node, Problem> {
        self.nodes += 1;
        if self.nodes > MOST {
            return Err(too_much(span));
        }
        let line = span.start.line();
        if self.awaits_key() {
            // keys are never substituted
            return Ok(Node { line, text: text.to_owned(), value: Value::Text(text.to_owned()) });
        }
        let text = match substitute(text, self.source) {
            Ok(text) => text,
            Err(what) => {
                self.problems.push(Problem { line, what });
                String::new()
            }
        };
        let value = match tag {
            // a quoted scalar is text, whatever it looks like
            None if style == ScalarStyle::Plain => scalar::resolve(&text),
            None => Value::Text(text.clone()),
            Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Value::Text(text.clone()),
            Some(tag) if tag.is_yaml_core_schema() => {
                scalar::tagged(&tag.suffix, &text).ok_or_else(|| {
                    problem(span, format!("the value is not of the type that its tag !!{} says", tag.suffix))
                })?
            }
            Some(tag) => return Err(unknown_tag(tag, span)),
        };
        Ok(Node { line, text, value })
    }

    /// Puts a node that is complete into what it is part of.
    fn finished(&mut self, node: Node, anchor: usize, span: Span) -> Result<(), Problem> {
        if anchor > 0 {
            let (size, depth) = extent(&node);
            self.anchors.insert(anchor, (node.clone(), size, depth));
            // the copy that is kept
            self.nodes = self.nodes.saturating_add(size);
            if self.nodes > MOST {
                return Err(too_much(span));
            }
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.value {
            Value::List(items) => items.push(node),
            Value::Map(entries) => match open.key.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let Value::Text(key) = node.value else {
                        return Err(problem(
                            span,
                            format!("a key that is {}; accepted is text", node.value.kind()),
                        ));
                    };
                    if entries.iter().any(|(known, _)| *known == key) {
                        return Err(problem(span, format!("the key {key:?} is there twice")));
                    }
                    open.key = Some(key);
                }
            },
            _ => {}
        }
        Ok(())
    }
}

/// How many nodes there are, and how deep.
fn extent(node: &Node) -> (usize, usize) {
    let parts: Box<dyn Iterator<Item = &Node>> = match &node.value {
        Value::List(items) => Box::new(items.iter()),
        Value::Map(entries) => Box::new(entries.iter().map(|(_, node)| node)),
        _ => return (1, 0),
    };
    parts.map(extent).fold((1, 1), |(size, depth), (more, deeper)| (size + more, depth.max(deeper + 1)))
}

fn check_tag(tag: Option<&Tag>, own: &str, span: Span) -> Result<(), Problem> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == own) => Err(unknown_tag(tag, span)),
        _ => Ok(()),
    }
}

fn unknown_tag(tag: &Tag, span: Span) -> Problem {
    problem(span, format!("the tag {tag} is unknown; accepted are those of YAML's core schema"))
}

fn too_much(span: Span) -> Problem {
    problem(
        span,
        format!("too much; accepted are {DEEPEST} levels and {MOST} values, what aliases repeat included"),
    )
}
