//! Whether a tree is what the schema says. What is not is reported and taken out, so that its default stands in.

use super::{
    node::{Node, Path, Value, number},
    report::Report,
    schema::{Effect, Field, Shape},
};

/// Checks the root's keys. Others than the known ones are allowed there.
pub(super) fn root(node: &mut Node, fields: &'static [Field], report: &mut Report) -> bool {
    if !matches!(node.value, Value::Map(_)) {
        report.wrong(&Path::default(), node, "accepted is a mapping with file_format and the other keys", "");
        return false;
    }
    fields_of(&Path::default(), node, fields, report, true)
}

/// Whether the node can stay where it is.
fn check(path: &Path, node: &mut Node, shape: &'static Shape, used: &str, report: &mut Report) -> bool {
    match shape {
        Shape::Object { null: true, .. } if node.is_null() => true,
        Shape::Object { fields, .. } => {
            if !matches!(node.value, Value::Map(_)) {
                report.wrong(path, node, &accepted(shape), used);
                return false;
            }
            fields_of(path, node, fields, report, false)
        }
        Shape::List { of, least } => list(path, node, (of, *least), used, report),
        Shape::Choice { of, kind } => choice(path, node, of, kind.is_some(), report),
        Shape::Vendors => vendors(path, node, report),
        scalar if is_scalar(scalar, node) => true,
        scalar => {
            report.wrong(path, node, &accepted(scalar), used);
            false
        }
    }
}

fn is_scalar(shape: &Shape, node: &Node) -> bool {
    match (shape, &node.value) {
        (Shape::Text | Shape::TextOrNull, Value::Text(_)) | (Shape::Bool, Value::Bool(_)) => true,
        // only text without a default of its own must be there
        (Shape::TextOrNull | Shape::Bool | Shape::Int { .. } | Shape::Word(_), Value::Null) => true,
        (Shape::Number { least, .. }, Value::Null) => *least > f64::MIN,
        (Shape::Int { least, most }, Value::Int(value)) => (least..=most).contains(&value),
        (Shape::Number { least, most }, value) => {
            number(value).is_some_and(|value| (*least..=*most).contains(&value))
        }
        (Shape::Word(words), Value::Text(text)) => words.contains(&text.as_str()),
        (Shape::Attribute, Value::List(items)) => {
            let alike = |item: &Node| {
                let same = |is: fn(&Value) -> bool| is(&items[0].value) && is(&item.value);
                same(|value| matches!(value, Value::Text(_)))
                    || same(|value| matches!(value, Value::Bool(_)))
                    || same(|value| number(value).is_some())
            };
            !items.is_empty() && items.iter().all(alike)
        }
        (Shape::Attribute, value) => !matches!(value, Value::Map(_)),
        (Shape::Version, value) => matches!(value, Value::Text(_) | Value::Float(_)),
        (Shape::Foreign, value) => matches!(value, Value::Map(_) | Value::Null),
        _ => false,
    }
}

fn fields_of(
    path: &Path,
    node: &mut Node,
    fields: &'static [Field],
    report: &mut Report,
    open: bool,
) -> bool {
    let line = node.line;
    let Value::Map(entries) = &mut node.value else { return false };
    let mut complete = true;
    for field in fields.iter().filter(|field| field.required) {
        if !entries.iter().any(|(key, _)| key == field.key) {
            complete = false;
            report.missing(&path.key(field.key), line, &accepted(field.shape));
        }
    }
    entries.retain_mut(|(key, node)| {
        let path = path.key(key);
        let Some(field) = fields.iter().find(|field| field.key == key) else {
            report.unknown(&path, node, key, fields.iter().map(|field| field.key), open);
            return false;
        };
        let fine = valued(&path, node, field, report);
        complete &= fine || !field.required;
        fine
    });
    complete
}

/// A field that is known: what it does here, then what it holds.
fn valued(path: &Path, node: &mut Node, field: &Field, report: &mut Report) -> bool {
    match field.effect {
        Effect::Used | Effect::Limited(_) => check(path, node, field.shape, field.default, report),
        Effect::Ignored(why) => {
            if check(path, node, field.shape, field.default, report) && !node.is_null() {
                report.notice(path, node, &format!("accepted without effect: {why}"));
            }
            false
        }
        Effect::Refused(why) => {
            report.wrong(path, node, why, "");
            false
        }
    }
}

fn list(
    path: &Path,
    node: &mut Node,
    (of, least): (&'static Shape, usize),
    used: &str,
    report: &mut Report,
) -> bool {
    let described = || format!("accepted is a list of {least} or more, each {}", described(of));
    let Value::List(items) = &mut node.value else {
        report.wrong(path, node, &described(), used);
        return false;
    };
    if items.len() < least {
        report.wrong(path, node, &described(), used);
        return false;
    }
    let mut index = 0;
    items.retain_mut(|item| {
        let place = path.index(index);
        index += 1;
        check(&place, item, of, "", report)
    });
    items.len() >= least
}

fn choice(path: &Path, node: &mut Node, of: &'static [Field], components: bool, report: &mut Report) -> bool {
    let names = || {
        let names = of.iter().map(|field| field.key).collect::<Vec<_>>().join(", ");
        let own = if components { ", or a component that the program registers" } else { "" };
        format!("accepted is one of {names}{own}")
    };
    let whole = node.clone();
    match &mut node.value {
        Value::Map(entries) if entries.len() == 1 => {
            let (key, node) = &mut entries[0];
            let place = path.key(key);
            match of.iter().find(|field| field.key == key) {
                Some(field) => valued(&place, node, field, report),
                None if components && matches!(node.value, Value::Map(_) | Value::Null) => true,
                None if components => {
                    report.wrong(&place, node, "accepted is a mapping with the component's properties", "");
                    false
                }
                None => {
                    report.unknown(&place, node, key, of.iter().map(|field| field.key), false);
                    false
                }
            }
        }
        Value::Map(entries) if entries.len() > 1 => {
            let keys = entries.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>().join(", ");
            report.wrong(path, &whole, &format!("{keys} exclude each other; {}", names()), "");
            false
        }
        _ => {
            report.wrong(path, &whole, &names(), "");
            false
        }
    }
}

fn vendors(path: &Path, node: &mut Node, report: &mut Report) -> bool {
    let Value::Map(entries) = &mut node.value else {
        report.wrong(path, node, "accepted is a mapping by names of vendors, such as tracewell", "");
        return false;
    };
    entries.retain(|(key, node)| {
        let fine = matches!(node.value, Value::Map(_));
        if !fine {
            report.wrong(&path.key(key), node, "accepted is a mapping", "");
        }
        fine
    });
    true
}

/// What is accepted, for people.
fn accepted(shape: &Shape) -> String {
    format!("accepted is {}", described(shape))
}

pub(super) fn described(shape: &Shape) -> String {
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::TextOrNull => "text or null".to_owned(),
        Shape::Bool => "true or false".to_owned(),
        Shape::Int { least, most } => format!("a whole number from {least} to {most}"),
        Shape::Number { least, .. } if *least == f64::MIN => "a finite number".to_owned(),
        Shape::Number { least, most } => format!("a number from {least} to {most}"),
        Shape::Word(words) => match words {
            [most @ .., last] => format!("{} or {last}", most.join(", ")),
            [] => String::new(),
        },
        Shape::Object { fields: [], .. } => "nothing, or an empty mapping".to_owned(),
        Shape::Object { fields, .. } => {
            let keys = fields.iter().map(|field| field.key).collect::<Vec<_>>().join(", ");
            format!("a mapping with {keys}")
        }
        Shape::List { of, .. } => format!("a list, each {}", described(of)),
        Shape::Choice { of, .. } => {
            let keys = of.iter().map(|field| field.key).collect::<Vec<_>>().join(", ");
            format!("a mapping with one of {keys}")
        }
        Shape::Attribute => "text, a number, a boolean, null, or a list of values of one type".to_owned(),
        Shape::Version => "a version such as \"1.1\"".to_owned(),
        Shape::Vendors | Shape::Foreign => "a mapping".to_owned(),
    }
}
