//! `tracewell config`: what a configuration would do, and what is wrong with it, without starting anything.

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use tracewell::config::{Config, Explanation, Mistake, Source};

const USAGE: &str = "\
usage: tracewell config check [FILE]   what is wrong with the configuration
       tracewell config print [FILE]   what would be used, and where each value comes from

FILE is a declarative configuration file (.yaml or .yml); without it OTEL_CONFIG_FILE or the other variables count.
Secrets are never shown. Exit codes: 0 the configuration is fine, 1 it has mistakes, 2 the command is not understood.
";

/// The configuration has mistakes.
const MISTAKES: u8 = 1;
/// The command is not understood, or its output is not wanted.
const USAGE_ERROR: u8 = 2;

enum Command {
    Check,
    Print,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let words: Vec<OsString> = arguments.by_ref().collect();
    let outcome = match parse(&words) {
        Some(Ok((command, source))) => run(&command, &source, &mut io::stdout().lock()),
        Some(Err(help)) => write!(io::stdout().lock(), "{help}").map(|()| ExitCode::SUCCESS),
        None => write!(io::stderr().lock(), "{USAGE}").map(|()| ExitCode::from(USAGE_ERROR)),
    };
    // whoever read the output may have had enough of it
    outcome.unwrap_or(ExitCode::from(USAGE_ERROR))
}

/// `Err` = the help that was asked for.
fn parse(words: &[OsString]) -> Option<Result<(Command, Source), &'static str>> {
    let text = |at: usize| words.get(at).and_then(|word| word.to_str());
    if matches!(text(0), Some("help" | "--help" | "-h")) && words.len() == 1 {
        return Some(Err(USAGE));
    }
    let command = match (text(0)?, text(1)?) {
        ("config", "check") => Command::Check,
        ("config", "print") => Command::Print,
        ("config", "help" | "--help" | "-h") if words.len() == 2 => return Some(Err(USAGE)),
        _ => return None,
    };
    let source = match words.get(2..) {
        Some([]) => Source::process(),
        Some([file]) if !file.as_encoded_bytes().starts_with(b"-") => {
            Source::process().with_override("OTEL_CONFIG_FILE", file)
        }
        _ => return None,
    };
    Some(Ok((command, source)))
}

fn run(command: &Command, source: &Source, out: &mut impl Write) -> io::Result<ExitCode> {
    let (config, mistakes) = Config::resolve(source);
    if let Command::Print = command {
        let explanation = Explanation::of(source);
        // the mistakes come below, in the words of both commands
        let settings = Explanation::to_string(&explanation);
        for line in settings.lines().filter(|line| !line.starts_with("! ")) {
            writeln!(out, "{line}")?;
        }
    }
    for component in &config.components {
        writeln!(
            out,
            "note: {}: the program must register the {} {:?}",
            component.path, component.kind, component.name
        )?;
    }
    let (warnings, errors): (Vec<&Mistake>, Vec<&Mistake>) = mistakes.iter().partition(|found| found.warning);
    for warning in &warnings {
        writeln!(out, "warning: {warning}")?;
    }
    for error in &errors {
        writeln!(out, "error: {error}")?;
    }
    if let Command::Check = command {
        let what = match &config.file {
            Some(file) => file.path.display().to_string(),
            None => "environment".to_owned(),
        };
        writeln!(out, "{what}: {} mistakes, {} warnings", errors.len(), warnings.len())?;
    }
    out.flush()?;
    Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(MISTAKES) })
}
