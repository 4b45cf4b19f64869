//! The table of `docs/configuration.md` is the table of the code.

use std::{fmt::Write as _, fs, path::Path};

use super::{Explanation, Preset, Source, Variable, variables};

const BEGIN: &str = "<!-- generated from src/config/vars/table.rs -->\n";
const END: &str = "<!-- end of the generated part -->\n";

const PRESETS_BEGIN: &str = "<!-- presets, generated from src/config/vars/table.rs -->\n";
const PRESETS_END: &str = "<!-- end of the presets -->\n";

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

/// Where presets differ: what is not here is the same in all of them.
fn presets() -> String {
    let presets = [Preset::Production, Preset::Development, Preset::Test];
    let mut table = String::from("| variable |");
    for preset in presets {
        let _ = write!(table, " `{preset}` |");
    }
    table.push_str("\n|---|---|---|---|\n");
    let differs =
        |variable: &&Variable| presets.iter().any(|preset| variable.default_in(*preset) != variable.default);
    for variable in variables().filter(differs) {
        let _ = write!(table, "| `{}` |", variable.name);
        for preset in presets {
            let _ = write!(table, " `{}` |", variable.default_in(preset));
        }
        table.push('\n');
    }
    table
}

#[test]
fn the_documented_table_is_the_table_of_the_code() {
    documented(BEGIN, END, &table());
    documented(PRESETS_BEGIN, PRESETS_END, &presets());
}

/// A preset is its row of the documented table, and nothing else: an explicit setting wins over it.
#[test]
fn a_preset_changes_what_its_table_says_and_yields_to_what_is_set() {
    for preset in [Preset::Production, Preset::Development, Preset::Test] {
        let source = |more: &[(&'static str, &'static str)]| {
            Source::from_pairs([&[("TRACEWELL_PRESET", preset.as_str())], more].concat())
        };
        let explanation = Explanation::of(&source(&[]));
        let usual = Explanation::of(&Source::from_pairs(Vec::<(String, String)>::new()));
        for setting in &explanation.settings {
            let variable = variables().find(|variable| variable.name == setting.name).unwrap();
            let differs = [variable.development, variable.test].iter().any(Option::is_some);
            let value = &usual.get(setting.name).unwrap().value;
            if differs {
                assert_eq!(setting.value, variable.default_in(preset), "{} in {preset}", setting.name);
            } else if setting.name != "TRACEWELL_PRESET" {
                assert_eq!(setting.value, *value, "{} in {preset}", setting.name);
            }
        }
        let explicit = Explanation::of(&source(&[("OTEL_BSP_SCHEDULE_DELAY", "4321")]));
        assert_eq!(explicit.get("OTEL_BSP_SCHEDULE_DELAY").unwrap().value, "4321");
    }
}

fn documented(begin: &str, end: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/configuration.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(begin).expect("the mark of the generated part");
    let (written, after) = rest.split_once(end).expect("the end of the generated part");
    if super::Source::process().get("TRACEWELL_REGENERATE").is_some() {
        fs::write(&path, format!("{before}{begin}{table}{end}{after}")).unwrap();
        return;
    }
    assert!(
        written == table,
        "src/docs/configuration.md is stale; regenerate it with\n\
         TRACEWELL_REGENERATE=1 cargo test --lib the_documented_table"
    );
}
