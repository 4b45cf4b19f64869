//! The table of nodes in `docs/configuration_file.md` is the schema of the code.

use std::{collections::HashSet, fmt::Write as _, fs, path::Path};

use super::{
    schema::{Effect, Field, ROOT, Shape},
    validate::described,
};

const BEGIN: &str = "<!-- generated from src/config/file/schema.rs -->\n";
const END: &str = "<!-- end of the generated part -->\n";

fn rows(path: &str, fields: &'static [Field], seen: &mut HashSet<usize>, table: &mut String) {
    for field in fields {
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{}", field.key);
        let effect = match field.effect {
            Effect::Used => "supported".to_owned(),
            Effect::Limited(how) => format!("supported: {how}"),
            Effect::Ignored(why) => format!("accepted without effect: {why}"),
            Effect::Refused(why) => format!("refused: {why}"),
        };
        let required = if field.required { "required" } else { field.default };
        let holds = match field.shape {
            Shape::Object { .. } | Shape::Choice { .. } | Shape::Vendors | Shape::Foreign => String::new(),
            Shape::List { of: Shape::Object { .. } | Shape::Choice { .. }, .. } => "a list".to_owned(),
            scalar => described(scalar),
        };
        let _ = writeln!(table, "| `{path}` | {holds} | {required} | {effect} |");
        if matches!(field.effect, Effect::Used | Effect::Limited(_)) {
            inside(&path, field.shape, seen, table);
        }
    }
}

fn inside(path: &str, shape: &'static Shape, seen: &mut HashSet<usize>, table: &mut String) {
    match shape {
        Shape::List { of, .. } => inside(&format!("{path}[]"), of, seen, table),
        // what is there a second time, such as an exporter's settings, is written once
        Shape::Object { fields, .. } | Shape::Choice { of: fields, .. }
            if !fields.is_empty() && seen.insert(fields.as_ptr() as usize) =>
        {
            rows(path, fields, seen, table);
        }
        _ => {}
    }
}

#[test]
fn the_documented_nodes_are_the_nodes_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/configuration_file.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the mark of the generated part");
    let (written, after) = rest.split_once(END).expect("the end of the generated part");
    let mut table = String::from("| node | holds | default | |\n|---|---|---|---|\n");
    rows("", ROOT, &mut HashSet::new(), &mut table);
    if crate::config::Source::process().get("TRACEWELL_REGENERATE").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert!(
        written == table,
        "src/docs/configuration_file.md is stale; regenerate it with\n\
         TRACEWELL_REGENERATE=1 cargo test --lib the_documented"
    );
}
