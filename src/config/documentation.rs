//! The table of `docs/configuration.md` is the table of the code.

use std::{fmt::Write as _, fs, path::Path};

use super::{Variable, variables};

const BEGIN: &str = "<!-- generated from src/config/vars/table.rs -->\n";
const END: &str = "<!-- end of the generated part -->\n";

fn cell(text: &str) -> String {
    let text = text.replace('|', "\\|").replace('<', "&lt;");
    // rustdoc would take them for links
    text.replace('[', "\\[")
}

fn table() -> String {
    let mut table = String::from("| variable | default | accepted | effect |\n|---|---|---|---|\n");
    for Variable { name, default, development, test, accepted, effect, .. } in variables() {
        let mut default = match *default {
            "" => "none".to_owned(),
            described if described.starts_with('(') => cell(described.trim_matches(['(', ')'])),
            plain => format!("`{plain}`"),
        };
        for (preset, value) in [("development", development), ("test", test)] {
            if let Some(value) = value {
                let _ = write!(default, ", `{value}` in `{preset}`");
            }
        }
        let _ = writeln!(table, "| `{name}` | {default} | {} | {} |", cell(accepted), cell(effect));
    }
    table
}

#[test]
fn the_documented_table_is_the_table_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/configuration.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the mark of the generated part");
    let (written, after) = rest.split_once(END).expect("the end of the generated part");
    let table = table();
    if super::Source::process().get("TRACEWELL_REGENERATE").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert!(
        written == table,
        "src/docs/configuration.md is stale; regenerate it with\n\
         TRACEWELL_REGENERATE=1 cargo test --lib the_documented_table"
    );
}
