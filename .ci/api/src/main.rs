//! The public API, from rustdoc's JSON: held to the recorded listing and to the list of foreign crates.
//!
//! ```text
//! tracewell-api FILE.json FOLDER            compares with FOLDER/public.txt and FOLDER/foreign.txt
//! tracewell-api FILE.json FOLDER record     writes public.txt: on purpose, with a line in the changelog
//! ```
//!
//! `foreign.txt` has a line for each foreign crate whose types may appear: the crate, the path below which they may, and why.
//! An allowance that nothing needs is a mistake too.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs,
    path::Path,
    process::ExitCode,
};

const OWN: &str = "tracewell";
/// What is part of the language.
const LANGUAGE: [&str; 3] = ["core", "alloc", "std"];

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (json, folder, record) = match words[..] {
        [json, folder] => (json, Path::new(folder), false),
        [json, folder, "record"] => (json, Path::new(folder), true),
        _ => return Err("accepted are a rustdoc JSON file, a folder, and record".into()),
    };
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()?;
    // what pin-project-lite's macro makes is nobody's to use
    let lines = api.items().map(ToString::to_string).filter(|line| !line.contains("::__private::"));
    let lines: Vec<String> = lines.collect();
    let recorded = folder.join("public.txt");
    if record {
        fs::write(&recorded, lines.join("\n") + "\n")?;
    }
    let mut problems = foreign(&lines, &fs::read_to_string(folder.join("foreign.txt"))?)?;
    problems.extend(changes(&lines, &fs::read_to_string(&recorded)?));
    problems.extend(twice(&lines));
    for problem in &problems {
        eprintln!("api: {problem}");
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What came and what went.
fn changes(lines: &[String], recorded: &str) -> Vec<String> {
    let now: BTreeSet<&str> = lines.iter().map(String::as_str).collect();
    let then: BTreeSet<&str> = recorded.lines().collect();
    let gone = then.difference(&now).map(|line| format!("gone or changed: {line}"));
    let new = now.difference(&then).map(|line| format!("new or changed: {line}"));
    gone.chain(new).collect()
}

/// Foreign types where none is allowed, and allowances that nothing needs.
fn foreign(lines: &[String], allowed: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let mut rules: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    for line in allowed.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let (Some(name), Some(below), Some(_why)) = (words.next(), words.next(), words.next()) else {
            return Err(format!("foreign.txt: {line:?}; accepted is: crate, path, reason").into());
        };
        rules.insert((name, below), false);
    }
    let mut problems = Vec::new();
    // functions of a trait's implementation follow its line, and belong where the trait is
    let mut implemented = None;
    for line in lines {
        let paths = paths(line);
        if line.starts_with("impl") {
            implemented = line.split_once(" for ").and_then(|(implemented, _)| own(implemented));
        } else if !line.starts_with("pub fn") {
            implemented = None;
        }
        let Some(own) = implemented.or_else(|| own(line)) else { continue };
        for path in &paths {
            let name = path.split("::").next().unwrap_or_default();
            if name == OWN || LANGUAGE.contains(&name) {
                continue;
            }
            let rule =
                rules.iter_mut().find(|((allowed, below), _)| *allowed == name && own.starts_with(*below));
            match rule {
                Some((_, used)) => *used = true,
                None => problems.push(format!("{path} is not allowed in: {line}")),
            }
        }
    }
    let unused = rules.iter().filter(|(_, used)| !**used);
    problems.extend(
        unused.map(|((name, below), _)| format!("foreign.txt allows {name} in {below}: nothing needs it")),
    );
    Ok(problems)
}

/// The first path of this crate in a line.
fn own(line: &str) -> Option<&str> {
    paths(line).into_iter().find(|path| path.starts_with("tracewell::"))
}

/// Types and traits of one name in a module and in one around it: the same item, most likely, exported twice.
fn twice(lines: &[String]) -> Vec<String> {
    let mut seen: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let (Some("pub"), Some(kind @ ("struct" | "enum" | "trait"))) = (words.next(), words.next()) else {
            continue;
        };
        let Some((module, name)) = own(line).and_then(|path| path.rsplit_once("::")) else { continue };
        seen.entry((kind, name)).or_default().push(module);
    }
    let within = |a: &str, b: &str| b.strip_prefix(a).is_some_and(|rest| rest.starts_with("::"));
    let doubled = |modules: &Vec<&str>| modules.iter().any(|a| modules.iter().any(|b| within(a, b)));
    let twice = seen.iter().filter(|(_, modules)| doubled(modules));
    twice.map(|((kind, name), modules)| format!("{kind} {name} has several paths: {modules:?}")).collect()
}

/// Paths of at least two segments in a line, from their first segment on.
fn paths(line: &str) -> Vec<&str> {
    let part_of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    line.split(|c| !part_of_path(c))
        .map(|path| path.trim_matches(':'))
        .filter(|path| path.contains("::") && path.starts_with(|c: char| c.is_lowercase() || c == '_'))
        .collect()
}
