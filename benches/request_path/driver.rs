//! Runs each row in processes of its own, and prints what they cost as a table or compares it with what was recorded.

use std::{
    alloc::System,
    fmt::{self, Write as _},
    io::Write as _,
    process::Command,
    time::{Duration, Instant},
};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use crate::{
    Failure,
    service::{self, Flags, Running, Stack},
    sockets,
};

/// Adds one atomic to each allocation, and nothing else: cheap enough to stay in while instructions are counted.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Requests before and after which something is counted: both in the upper half of a queue of 2048.
const FEWER: u64 = 1100;
const MORE: u64 = 1900;

/// The figures over bare that tracewell's own rows had when somebody last recorded them on purpose.
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/request_path/recorded.txt");

/// By how much a figure may grow unnoticed.
const TOLERANCE: f64 = 1.05;

/// Stacks that the others are compared with, where they are there.
const COMPARED: [(&str, &str); 2] =
    [("hand-wired", "hand-wired"), ("tower-on-tracewell", "instrumentation-tower¹")];

/// Requests after which the console's store is waken, and the time that it then has.
const AT_ONCE: u64 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// How often a time is taken; the shortest counts.
const ROUNDS: usize = 9;

/// One row: what runs. It is compared with the rows of other stacks that have its flags.
pub(crate) struct Row {
    what: &'static str,
    stack: &'static Stack,
    flags: Flags,
}

pub(crate) const fn row(what: &'static str, stack: &'static Stack, flags: Flags) -> Row {
    Row { what, stack, flags }
}

impl Row {
    pub(crate) fn what(&self) -> &'static str {
        self.what
    }

    /// The command line that does something with it, but for numbers and endpoints.
    pub(crate) fn words(&self, command: &'static str) -> impl Iterator<Item = &'static str> {
        [command, self.stack.name, "0"].into_iter().chain(self.flags.words())
    }
}

/// Does what the command line says.
pub(crate) fn run(rows: &[Row]) -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let command = words.first().map_or("", String::as_str);
    match command {
        "count" | "alloc" | "time" | "check" | "export" | "serve" => {}
        "points" => {
            return service::points(words.get(1).ok_or("the number is missing")?.parse()?, endpoint(&words));
        }
        "exporting" => return exporting(rows),
        "sockets" => {
            let otelcol =
                words.get(1).ok_or("the Collector's program is missing: -- sockets path/to/otelcol")?;
            let usual = |row: &&Row| {
                row.flags
                    == Flags { lean: row.flags.lean, unsampled: row.flags.unsampled, ..service::DEFAULT }
            };
            return sockets::compare(&rows.iter().filter(usual).collect::<Vec<_>>(), otelcol);
        }
        "compare" => return compare(rows),
        "record" => return record(rows),
        // as other harnesses do: only `cargo bench` says `--bench`
        _ if words.iter().any(|word| word == "--test") || !std::env::args().any(|word| word == "--bench") => {
            return smoke(rows);
        }
        _ => return table(rows),
    }
    let name = words.get(1).map_or("", String::as_str);
    let stack = rows.iter().find(|row| row.stack.name == name).ok_or_else(|| format!("no stack {name:?}"))?;
    let requests = words.get(2).ok_or("the number of requests is missing")?.parse()?;
    let flags = words[3..].iter().filter(|word| !word.starts_with("http")).cloned().collect::<Vec<_>>();
    let flags = Flags::of(&flags)?;
    match command {
        "serve" => sockets::serve(stack.stack, flags, endpoint(&words)),
        "count" => count(&Running::start(stack.stack, flags, None)?, flags, requests),
        "alloc" => alloc(stack.stack, flags, requests),
        "export" => {
            let running = Running::start(stack.stack, flags, endpoint(&words))?;
            running.drive(requests)?;
            running.end().map(drop)
        }
        "time" => time(stack.stack, flags, requests),
        _ => {
            let recorded = service::check(stack.stack, flags, requests)?;
            let exemplars = u8::from(recorded.exemplars);
            tell(format_args!("{} {} {exemplars} {}", recorded.spans, recorded.durations, recorded.logs));
            Ok(())
        }
    }
}

/// Where to export to, if the command line says so.
fn endpoint(words: &[String]) -> Option<&str> {
    words.iter().map(String::as_str).find(|word| word.starts_with("http"))
}

/// Prints a line.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    // whoever reads this may have gone
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints figures for [`figures`]: to stderr, since stdout may be what is measured.
pub(crate) fn tell(figures: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "figures: {figures}");
}

/// Serves under `valgrind`, which lets one thread run at a time.
fn count(running: &Running, flags: Flags, requests: u64) -> Result<(), Failure> {
    if !flags.console {
        return running.drive(requests);
    }
    // the store's thread is to keep up, as it does where it has a processor
    let mut left = requests;
    while left > 0 {
        let some = left.min(AT_ONCE);
        running.drive(some)?;
        left -= some;
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Tells allocations and bytes per request.
fn alloc(stack: &Stack, flags: Flags, requests: u64) -> Result<(), Failure> {
    let running = Running::start(stack, flags, None)?;
    running.drive(FEWER)?;
    let region = Region::new(ALLOCATOR);
    running.drive(requests)?;
    let change = region.change();
    let per_request = |number: usize| number as f64 / requests as f64;
    // a reallocation is work for the allocator as well
    let allocations = change.allocations + change.reallocations;
    tell(format_args!("{:.3} {:.1}", per_request(allocations), per_request(change.bytes_allocated)));
    Ok(())
}

/// Tells nanoseconds per request.
fn time(stack: &Stack, flags: Flags, requests: u64) -> Result<(), Failure> {
    let running = Running::start(stack, flags, None)?;
    running.drive(FEWER)?;
    let started = Instant::now();
    running.drive(requests)?;
    tell(format_args!("{:.0}", started.elapsed().as_nanos() as f64 / requests as f64));
    Ok(())
}

/// What one request costs.
#[derive(Clone, Copy)]
struct Cost {
    instructions: Option<f64>,
    allocations: f64,
    bytes: f64,
}

impl Cost {
    fn over(self, bare: Self) -> Self {
        Self {
            instructions: self.instructions.zip(bare.instructions).map(|(own, bare)| own - bare),
            allocations: self.allocations - bare.allocations,
            bytes: self.bytes - bare.bytes,
        }
    }
}

/// Whether instructions can be counted.
fn valgrind() -> bool {
    let found =
        Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        say(format_args!("valgrind was not found: allocations only\n"));
    }
    found
}

/// The bare row that has the same requests: it logs nothing and samples nothing.
fn bare_of(row: &Row, rows: &[Row]) -> Option<usize> {
    let flags =
        Flags { parent: row.flags.parent, routes: row.flags.routes, mix: row.flags.mix, ..service::DEFAULT };
    rows.iter().position(|other| other.stack.name == service::BARE.name && other.flags == flags)
}

/// Tracewell's rows, each with what it costs over bare.
fn own_rows(rows: &[Row]) -> Result<Vec<(&Row, Cost)>, Failure> {
    let valgrind = valgrind();
    let mut costs = Vec::new();
    for row in rows {
        costs.push(if row.flags.stdout { None } else { Some(measure(row, valgrind)?) });
    }
    let own = rows.iter().zip(&costs).filter(|(row, _)| row.stack.name == service::TRACEWELL.name);
    let over = own.filter_map(|(row, cost)| Some((row, (*cost)?.over(costs[bare_of(row, rows)?]?))));
    Ok(over.collect())
}

/// Records the figures that [`compare`] compares with.
fn record(rows: &[Row]) -> Result<(), Failure> {
    let mut text = "# One request over a bare one: instructions, allocations. Written by\n\
                    # `cargo bench --bench request_path -- record`\n"
        .to_owned();
    for (row, cost) in own_rows(rows)? {
        let instructions = cost.instructions.ok_or("instructions cannot be recorded without valgrind")?;
        writeln!(text, "{instructions:.0} {:.0} {}", cost.allocations, row.what)?;
    }
    Ok(std::fs::write(RECORDED, text)?)
}

/// Fails when a row costs noticeably more than what was recorded.
fn compare(rows: &[Row]) -> Result<(), Failure> {
    let recorded = std::fs::read_to_string(RECORDED).map_err(|error| format!("{RECORDED}: {error}"))?;
    let recorded: Vec<Vec<&str>> = recorded.lines().map(|line| line.splitn(3, ' ').collect()).collect();
    let mut grown = String::new();
    for (row, cost) in own_rows(rows)? {
        let line = recorded.iter().find(|line| line.get(2) == Some(&row.what));
        let [instructions, allocations, _] = line.map_or(&[][..], Vec::as_slice) else {
            return Err(format!("{}: nothing is recorded in {RECORDED}", row.what).into());
        };
        for (what, now, then) in [
            ("instructions", cost.instructions, instructions.parse::<f64>()?),
            // those of the store's thread are among them, as far as it has come
            ("allocations", (!row.flags.console).then_some(cost.allocations), allocations.parse()?),
        ] {
            let Some(now) = now else { continue };
            let line = format!("{}: {now:.0} {what}, {then:.0} recorded", row.what);
            say(format_args!("{line}"));
            if now > then * TOLERANCE {
                write!(grown, "\n  {line}")?;
            }
        }
    }
    if grown.is_empty() {
        return Ok(());
    }
    Err(format!(
        "over 5 % more than {RECORDED} says:{grown}\nif that is intended: cargo bench --bench request_path -- record"
    )
    .into())
}

/// Measures every row and prints the table.
fn table(rows: &[Row]) -> Result<(), Failure> {
    let valgrind = valgrind();
    let mut costs = Vec::new();
    for row in rows {
        costs.push(measure(row, valgrind)?);
    }
    let times = times(rows)?;
    // what there is to compare with
    let others: Vec<&str> = COMPARED
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| rows.iter().any(|row| row.stack.name == *name))
        .collect();
    let mut head = "| per request | recorded of ten | instructions | over bare |".to_owned();
    let mut line = "|---|---|---:|---:|".to_owned();
    for (name, title) in COMPARED {
        if others.contains(&name) {
            write!(head, " of {title} |")?;
            line.push_str("---:|");
        }
    }
    say(format_args!(
        "{head} allocations (over bare) | bytes (over bare) | time of bare |\n{line}---:|---:|---:|"
    ));
    for (at, row) in rows.iter().enumerate() {
        let cost = costs[at];
        let bare = bare_of(row, rows).unwrap_or(at);
        let over = |cost: Cost| cost.over(costs[bare]).instructions;
        let ratio = |name: &str| {
            // the peers have no exemplars, no lines and nothing else to turn off
            let flags = Flags { no_exemplars: false, stdout: false, lean: false, ..row.flags };
            let other = rows.iter().position(|other| other.stack.name == name && other.flags == flags)?;
            Some(over(cost)? / over(costs[other])?)
        };
        let mut text = format!(
            "| {} | {} | {} | {} |",
            row.what,
            records(row)?,
            number(cost.instructions, 0),
            number(over(cost), 0)
        );
        for name in &others {
            let ratio = ratio(name).filter(|_| row.stack.name != service::BARE.name);
            write!(text, " {} |", number(ratio, 2))?;
        }
        say(format_args!(
            "{text} {:.1} ({:.1}) | {:.0} ({:.0}) | {:.2} |",
            cost.allocations,
            cost.over(costs[bare]).allocations,
            cost.bytes,
            cost.over(costs[bare]).bytes,
            times[at] / times[bare],
        ));
    }
    if !others.is_empty() {
        say(format_args!("\n¹ With the same subscriber, log, queues and meter provider: tracewell's."));
    }
    Ok(())
}

/// What reached the exporters of a row after ten requests.
fn records(row: &Row) -> Result<String, Failure> {
    let recorded = figures_of("check", row, 10)?;
    let [spans, durations, exemplars, logs] = recorded[..] else { return Err("a number is missing".into()) };
    let words = [
        (spans, "spans"),
        (durations, if exemplars > 0.0 { "durations with exemplars" } else { "durations" }),
        (logs, "logs"),
    ];
    let words: Vec<_> = words
        .iter()
        .filter(|(count, _)| *count > 0.0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    Ok(if words.is_empty() { "–".to_owned() } else { words.join(", ") })
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
    let figures = figures("alloc", row)?;
    let [allocations, bytes] = figures[..] else { return Err("a number is missing".into()) };
    Ok(Cost { instructions, allocations, bytes })
}

/// The shortest time of each row, taken in turns.
fn times(rows: &[Row]) -> Result<Vec<f64>, Failure> {
    let mut best = vec![f64::INFINITY; rows.len()];
    for _ in 0..ROUNDS {
        for (best, row) in best.iter_mut().zip(rows) {
            *best = best.min(*figures("time", row)?.first().ok_or("a number is missing")?);
        }
    }
    Ok(best)
}

/// Instructions of the thread that serves, while it does: what a linked crate does before `main` may take its time.
fn instructions(row: &Row, requests: u64) -> Result<u64, Failure> {
    let mut command = Command::new("valgrind");
    command.arg("--toggle-collect=*::service::Running::drive");
    collected(&child(callgrind(command)?, "count", row, requests)?)
}

/// Instructions of a whole process.
fn all_instructions(row: &Row, requests: u64) -> Result<u64, Failure> {
    collected(&child(callgrind(Command::new("valgrind"))?, "count", row, requests)?)
}

fn callgrind(mut command: Command) -> Result<Command, Failure> {
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe()?);
    Ok(command)
}

/// The number that callgrind said.
fn collected(said: &str) -> Result<u64, Failure> {
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    let (_, count) = collected.ok_or("callgrind said no number")?;
    Ok(count.trim().parse()?)
}

/// Prints what it costs to export a span, a log record and a point to a collector in another process (http/protobuf):
/// conversion, encoding and sending.
fn exporting(rows: &[Row]) -> Result<(), Failure> {
    let collector = tracewell::testing::Collector::start();
    let own = |no_log| {
        let flags = Flags { no_log, ..service::DEFAULT };
        let row = rows.iter().find(|row| row.stack.name == service::TRACEWELL.name && row.flags == flags);
        row.ok_or("no such row")
    };
    let per_item = |run: &dyn Fn(u64) -> Result<u64, Failure>| -> Result<f64, Failure> {
        Ok(run(MORE)?.saturating_sub(run(FEWER)?) as f64 / (MORE - FEWER) as f64)
    };
    let exported = |row: &Row| {
        let sent = per_item(&|requests| {
            let mut command = callgrind(Command::new("valgrind"))?;
            let words = ["export", row.stack.name, &requests.to_string()].map(str::to_owned);
            command.args(words).args(row.flags.words()).arg(collector.endpoint());
            collected(&output(command, row.what)?)
        })?;
        Ok::<_, Failure>(sent - per_item(&|requests| all_instructions(row, requests))?)
    };
    let span = exported(own(true)?)?;
    let log = exported(own(false)?)? - span;
    let points = |endpoint: Option<String>| {
        per_item(&|series| {
            let mut command = callgrind(Command::new("valgrind"))?;
            command.args(["points", &series.to_string()]).args(&endpoint);
            collected(&output(command, "points")?)
        })
    };
    let point = points(Some(collector.endpoint()))? - points(None)?;
    say(format_args!(
        "| exported | instructions |\n|---|---:|\n| a server span | {span:.0} |\n| a log record | {log:.0} |\n| a point of a \
         histogram | {point:.0} |"
    ));
    Ok(())
}

/// What a run of one row told.
fn figures(what: &str, row: &Row) -> Result<Vec<f64>, Failure> {
    figures_of(what, row, MORE - FEWER)
}

fn figures_of(what: &str, row: &Row, requests: u64) -> Result<Vec<f64>, Failure> {
    let said = child(Command::new(std::env::current_exe()?), what, row, requests)?;
    let told = said.lines().find_map(|line| line.strip_prefix("figures: ")).ok_or("no figures")?;
    Ok(told.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}

/// Runs one row; what it printed to stderr.
fn child(mut command: Command, what: &str, row: &Row, requests: u64) -> Result<String, Failure> {
    command.args([what, row.stack.name, &requests.to_string()]).args(row.flags.words());
    if row.stack.by_environment {
        command.envs(service::environment("http://127.0.0.1:9"));
    }
    output(command, row.what)
}

fn output(mut command: Command, what: &str) -> Result<String, Failure> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("{what}: {command:?}: {}\n{said}", output.status).into());
    }
    Ok(said)
}

/// Each row with ten requests: everything that is measured was really recorded.
fn smoke(rows: &[Row]) -> Result<(), Failure> {
    for row in rows {
        child(Command::new(std::env::current_exe()?), "check", row, 10)?;
        child(Command::new(std::env::current_exe()?), "alloc", row, 10)?;
        say(format_args!("{}: ok", row.what));
    }
    Ok(())
}
