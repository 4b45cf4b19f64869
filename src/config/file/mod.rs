//! The declarative configuration file: `OTEL_CONFIG_FILE` (specification, configuration/{data-model,sdk}.md; schema 1.1).
//!
//! Text becomes a tree (`yaml`, `scalar`, `substitution`), the tree is checked against the schema (`schema`, `validate`),
//! and what is left is created from it: the same values as from variables (`create`, `exporters`, `metrics`).

mod create;
mod distribution;
#[cfg(test)]
mod documentation;
mod exporters;
mod metrics;
mod node;
mod report;
mod sampling;
mod scalar;
mod schema;
mod schema_instrumentation;
mod schema_metrics;
mod schema_sampling;
mod substitution;
#[cfg(test)]
mod tests;
mod validate;
mod yaml;

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::Read as _,
    path::{Path, PathBuf},
};

use self::{
    node::{Node, Value},
    report::Report,
};
use super::{Config, Mistake, Source, values::redacted, vars};
use crate::redaction::Redactor;

/// The variable that names the file.
pub(super) const CONFIG_FILE: &str = "OTEL_CONFIG_FILE";
/// Its name before the specification was stable.
const EXPERIMENTAL: &str = "OTEL_EXPERIMENTAL_CONFIG_FILE";

/// The configuration file in use.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileUse {
    /// Where it is.
    pub path: PathBuf,
    /// Its `file_format`; empty when nothing of it could be used.
    pub format: String,
    /// The path in the file that each setting comes from, by the variable that stands for the setting.
    pub(crate) places: BTreeMap<String, String>,
}

// a value meant for another variable may be a secret
impl fmt::Debug for FileUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display().to_string();
        let path = Redactor::default().owned_text(redacted(&path).into_owned());
        f.debug_struct("FileUse").field("path", &path).field("format", &self.format).finish_non_exhaustive()
    }
}

/// What the file holds now, as a number that changes with it; `None` without a file that can be read.
pub(crate) fn stamp(source: &Source) -> Option<u64> {
    let (_, path) = chosen(source)?;
    let text = contents(Path::new(&path)).ok()?;
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    Some(hasher.finish())
}

/// The file the environment names.
pub(super) fn chosen(source: &Source) -> Option<(&'static str, String)> {
    [CONFIG_FILE, EXPERIMENTAL].into_iter().find_map(|name| source.get(name).map(|path| (name, path)))
}

/// Reads the file and makes a configuration of it and of the variables that count beside it.
///
/// A file of which nothing can be used sends nothing: what it was to say is not guessed.
pub(super) fn resolve(source: &Source, variable: &'static str, path: &str) -> (Config, Vec<Mistake>) {
    let mut report = Report::default();
    if variable == EXPERIMENTAL {
        let problem = format!("deprecated; use {CONFIG_FILE}");
        report.mistakes.push(Mistake::new(variable, path, problem, path).warned());
    }
    let problem = |problem: &str, line: usize| {
        let mistake = Mistake::new(variable, path, problem, "none of it: nothing is sent");
        mistake.at_line(line)
    };
    let tree = match contents(Path::new(path)) {
        Err(what) => Err(vec![problem(&what, 0)]),
        Ok(text) => yaml::read(&text, source).map_err(|problems| {
            problems.into_iter().map(|found| problem(&found.what, found.line)).collect::<Vec<_>>()
        }),
    };
    let mut tree = match tree {
        Ok(tree) => tree,
        Err(problems) => {
            report.mistakes.extend(problems);
            return nothing(source, path, report);
        }
    };
    let format = match format(&tree, &mut report) {
        Ok(format) if validate::root(&mut tree, schema::ROOT, &mut report) => format,
        Ok(_) => return nothing(source, path, report),
        Err(what) => {
            let line = tree.get("file_format").map_or(0, |node| node.line);
            report.mistakes.push(problem(&what, line));
            return nothing(source, path, report);
        }
    };
    let (own, mut places) = distribution::variables(&tree, &mut report);
    let source = source.with_file(own);
    let (mut config, mistakes) = vars::resolve_variables(&source);
    report
        .mistakes
        .extend(mistakes.into_iter().map(|mistake| distribution::placed(mistake, &source, &places)));
    create::create(&tree, &source, &mut config, &mut report, &mut places);
    config.file = Some(FileUse { path: PathBuf::from(path), format, places });
    (config, report.mistakes)
}

/// What is used when nothing of the file can be.
fn nothing(source: &Source, path: &str, mut report: Report) -> (Config, Vec<Mistake>) {
    let empty = Node { line: 0, text: String::new(), value: Value::Map(Vec::new()) };
    let source = source.with_file(Vec::<(String, String)>::new());
    let (mut config, mistakes) = vars::resolve_variables(&source);
    report.mistakes.extend(mistakes);
    let mut places = BTreeMap::new();
    create::create(&empty, &source, &mut config, &mut report, &mut places);
    config.file = Some(FileUse { path: PathBuf::from(path), format: String::new(), places });
    (config, report.mistakes)
}

fn contents(path: &Path) -> Result<String, String> {
    let named = path.extension().and_then(|extension| extension.to_str());
    if !matches!(named, Some("yaml" | "yml")) {
        return Err("accepted is a YAML file whose name ends in .yaml or .yml".to_owned());
    }
    let unreadable = |error: std::io::Error| format!("cannot be read ({})", error.kind());
    // opening a pipe would wait for its writer
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("is not a file".to_owned());
    }
    let mut bytes = Vec::new();
    let limit = yaml::LARGEST as u64 + 1;
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}

/// The format that the file says it is of (opentelemetry-configuration, VERSIONING.md "File format").
fn format(tree: &Node, report: &mut Report) -> Result<String, String> {
    let (major, minor) = schema::FORMAT;
    let accepted = format!("accepted is a text from \"{major}.0\" to \"{major}.{minor}\"");
    let Some(node) = tree.get("file_format") else {
        return Err(format!("file_format is required and missing; {accepted}"));
    };
    // 1.0 without quotes is a number to YAML, and to people what the specification's own examples have
    let text = match &node.value {
        Value::Text(_) | Value::Float(_) => node.text.as_str(),
        _ => return Err(format!("file_format is {}; {accepted}", node.value.kind())),
    };
    let (version, meta) = text.split_once('-').map_or((text, None), |(version, meta)| (version, Some(meta)));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok()).flatten()
    };
    let parsed = version.split_once('.').and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
    let Some(given) = parsed.filter(|_| meta != Some("")) else {
        return Err(format!("file_format {text:?} is no version; {accepted}"));
    };
    if given.0 != major {
        return Err(format!("file_format {text:?} is of another major version; {accepted}"));
    }
    let path = node::Path::default().key("file_format");
    if given.1 > minor {
        report.lenient = true;
        let what = format!("newer than {major}.{minor}; what that version does not have is without effect");
        report.notice(&path, node, &what);
    } else if meta.is_some() {
        report.lenient = true;
        report.notice(&path, node, "a pre-release; what the release does not have is without effect");
    }
    Ok(text.to_owned())
}
