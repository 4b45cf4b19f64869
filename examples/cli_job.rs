//! Shows: a short-lived job, without a runtime of its own: it imports prices from stdin, and ends when everything was
//! sent or five seconds have passed (`TRACEWELL_SHUTDOWN_MS`). Its exit code is that of the import.
//!
//! Run with: `printf 'tea=3.5\nmilk=1.2\n' | cargo run --example cli_job`

use std::{
    error::Error,
    io::{self, BufRead, Write as _},
    process::ExitCode,
};

use opentelemetry::{KeyValue, global};
use tracewell::{
    Telemetry,
    tasks::{self, Failure},
};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let telemetry = Telemetry::builder().default_service_name("cli-job").install()?;

    let task = tasks::start("import_prices"); // a span, a duration, and an outcome
    let imported = {
        let _entered = task.enter();
        import(io::stdin().lock())
    };
    match &imported {
        Ok(_) => task.succeed(),
        Err(problem) => task.fail(Failure::new("ImportError", problem)),
    }

    // `drop(telemetry)` would do the same and say less
    let sent = match telemetry.shutdown_blocking() {
        Ok(report) => format!("everything sent after {:?}", report.elapsed),
        Err(lost) => lost.to_string(), // a reason to say so, and none to fail the import
    };
    let (outcome, code) = match imported {
        Ok(prices) => (format!("{prices} prices imported"), ExitCode::SUCCESS),
        Err(problem) => (problem, ExitCode::FAILURE),
    };
    writeln!(io::stderr(), "{outcome}\n{sent}")?;
    Ok(code)
}

fn import(lines: impl BufRead) -> Result<u64, String> {
    // made after install(), as every instrument
    let prices = global::meter("cli_job").f64_histogram("import.price").with_unit("{EUR}").build();
    let mut imported = 0;
    for (index, line) in lines.lines().enumerate() {
        let line = line.map_err(|error| format!("stdin: {error}"))?;
        let bad = || format!("line {}: {line:?}; accepted is name=price", index + 1);
        let (name, price) = line.split_once('=').ok_or_else(bad)?;
        let price: f64 = price.trim().parse().map_err(|_| bad())?;
        prices.record(price, &[KeyValue::new("currency", "EUR")]);
        tracing::info!(name, price, "price imported");
        imported += 1;
    }
    Ok(imported)
}
