//! Runs the stacks in processes of their own, and prints what they cost as a table.

use std::{fmt, io::Write as _, process::Command};

use crate::{
    FEWER, Failure, MORE,
    stacks::{Flags, Stack},
};

/// Prints a line.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    // whoever reads this may have gone
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// One row: what runs, and the rows it is compared with, which have its flags.
struct Row {
    what: &'static str,
    stack: Stack,
    flags: Flags,
}

const DEFAULT: Flags =
    Flags { parent: false, no_log: false, unsampled: false, no_exemplars: false, scoped: false };
const PARENT: Flags = Flags { parent: true, ..DEFAULT };
const NO_LOG: Flags = Flags { no_log: true, ..DEFAULT };
const UNSAMPLED: Flags = Flags { unsampled: true, ..DEFAULT };
const NO_EXEMPLARS: Flags = Flags { no_exemplars: true, ..DEFAULT };

const fn row(what: &'static str, stack: Stack, flags: Flags) -> Row {
    Row { what, stack, flags }
}

const ROWS: [Row; 19] = [
    row("bare axum", Stack::Bare, DEFAULT),
    row("hand-wired", Stack::HandWired, DEFAULT),
    row("instrumentation-tower", Stack::Tower, DEFAULT),
    row("instrumentation-tower, tracewell's subscriber and log", Stack::TowerOnTracewell, DEFAULT),
    row("**tracewell**", Stack::Tracewell, DEFAULT),
    row("**tracewell**, exemplars off", Stack::Tracewell, NO_EXEMPLARS),
    row("bare axum, remote parent", Stack::Bare, PARENT),
    row("hand-wired, remote parent", Stack::HandWired, PARENT),
    row("instrumentation-tower, remote parent", Stack::Tower, PARENT),
    row("instrumentation-tower, tracewell's …, remote parent", Stack::TowerOnTracewell, PARENT),
    row("**tracewell**, remote parent", Stack::Tracewell, PARENT),
    row("hand-wired, no log record", Stack::HandWired, NO_LOG),
    row("instrumentation-tower, no log record", Stack::Tower, NO_LOG),
    row("instrumentation-tower, tracewell's …, no log record", Stack::TowerOnTracewell, NO_LOG),
    row("**tracewell**, no log record", Stack::Tracewell, NO_LOG),
    row("hand-wired, unsampled", Stack::HandWired, UNSAMPLED),
    row("instrumentation-tower, unsampled", Stack::Tower, UNSAMPLED),
    row("instrumentation-tower, tracewell's …, unsampled", Stack::TowerOnTracewell, UNSAMPLED),
    row("**tracewell**, unsampled", Stack::Tracewell, UNSAMPLED),
];

/// What one request costs.
#[derive(Clone, Copy)]
struct Cost {
    instructions: Option<f64>,
    allocations: f64,
    bytes: f64,
}

/// Measures every row and prints the table.
pub(crate) fn table() -> Result<(), Failure> {
    let valgrind =
        Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success());
    if !valgrind {
        say(format_args!("valgrind was not found: allocations only\n"));
    }
    let mut costs = Vec::new();
    for row in &ROWS {
        costs.push(measure(row, valgrind)?);
    }
    say(format_args!(
        "| per request | instructions | over bare | of hand-wired | of instrumentation-tower¹ | allocations (over bare) \
         | bytes (over bare) |\n|---|---:|---:|---:|---:|---:|---:|"
    ));
    for (row, cost) in ROWS.iter().zip(&costs) {
        let of = |stack| {
            let flags = Flags { no_exemplars: false, ..row.flags };
            ROWS.iter().position(|other| other.stack == stack && other.flags == flags).map(|at| costs[at])
        };
        // the bare service logs nothing and samples nothing: only the request itself may differ
        let bare_flags = Flags { parent: row.flags.parent, ..DEFAULT };
        let bare = ROWS.iter().position(|other| other.stack == Stack::Bare && other.flags == bare_flags);
        let bare = bare.map_or(*cost, |at| costs[at]);
        let over = |cost: Cost| Some(cost.instructions? - bare.instructions?);
        let ratio = |stack| Some(over(*cost)? / over(of(stack)?)?);
        let observed = row.stack != Stack::Bare;
        say(format_args!(
            "| {} | {} | {} | {} | {} | {:.1} ({:.1}) | {:.0} ({:.0}) |",
            row.what,
            number(cost.instructions, 0),
            number(over(*cost), 0),
            number(ratio(Stack::HandWired).filter(|_| observed), 2),
            number(ratio(Stack::TowerOnTracewell).filter(|_| observed), 2),
            cost.allocations,
            cost.allocations - bare.allocations,
            cost.bytes,
            cost.bytes - bare.bytes,
        ));
    }
    say(format_args!("\n¹ With the same subscriber, log, queues and meter provider: tracewell's."));
    Ok(())
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

fn measure(row: &Row, valgrind: bool) -> Result<Cost, Failure> {
    let per_request = (MORE - FEWER) as f64;
    let instructions = if valgrind {
        let difference = instructions(row, MORE)?.saturating_sub(instructions(row, FEWER)?);
        Some(difference as f64 / per_request)
    } else {
        None
    };
    let printed = run(Command::new(std::env::current_exe()?), "alloc", row, MORE - FEWER)?;
    let mut numbers = printed.0.split_whitespace().map(str::parse::<f64>);
    let mut next = || numbers.next().ok_or("a number is missing");
    Ok(Cost { instructions, allocations: next()??, bytes: next()?? })
}

/// Instructions of a whole process.
fn instructions(row: &Row, requests: u64) -> Result<u64, Failure> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe()?);
    let (_, said) = run(command, "count", row, requests)?;
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    let (_, count) = collected.ok_or("callgrind said no number")?;
    Ok(count.trim().parse()?)
}

/// Runs one row; what it printed to stdout and stderr.
fn run(mut command: Command, what: &str, row: &Row, requests: u64) -> Result<(String, String), Failure> {
    let output =
        command.args([what, row.stack.name(), &requests.to_string()]).args(row.flags.words()).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("{what} {}: {}\n{said}", row.what, output.status).into());
    }
    Ok((String::from_utf8_lossy(&output.stdout).into_owned(), said))
}

/// Each row with ten requests: everything that is measured was really recorded.
pub(crate) fn smoke() -> Result<(), Failure> {
    for row in &ROWS {
        run(Command::new(std::env::current_exe()?), "check", row, 10)?;
        run(Command::new(std::env::current_exe()?), "alloc", row, 10)?;
        say(format_args!("{}: ok", row.what));
    }
    Ok(())
}
