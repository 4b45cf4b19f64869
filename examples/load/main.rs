//! Load generator: n simulated services that send OTLP at a chosen rate, and an exact account of what was taken.
//!
//! ```console
//! $ cargo run --release --example load -- --endpoint http://127.0.0.1:4318 --services 20 --traces 1000 --seconds 30
//! ```
//!
//! Every service sends what its part of the traces gives: spans, log records, and every `--interval` seconds its cumulative
//! metrics with exemplars. A refused message is sent again, as a service's exporter does, for `--patience` seconds; the
//! first one is told on stderr. The report on stdout is one JSON object; `--record FILE` writes one line a trace,
//! `trace-id kind spans`, once all of the trace was taken: what is missing later was lost behind the endpoint.

mod message;
mod service;
mod settings;

use std::{
    io::Write as _,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;

use self::{
    service::{Account, Service},
    settings::Settings,
};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(complete) => ExitCode::from(u8::from(!complete)),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "load: {error}"); // nobody to tell when stderr is gone
            ExitCode::from(2)
        }
    }
}

/// Whether everything was taken.
async fn run() -> Result<bool, String> {
    let settings = Arc::new(Settings::from_args(std::env::args().skip(1))?);
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build();
    let client = client.map_err(|error| error.to_string())?;
    let begun = Instant::now();
    let mut services = tokio::task::JoinSet::new();
    for index in 0..settings.services {
        services.spawn(Service::new(index, Arc::clone(&settings), client.clone()).run());
    }
    let mut total = Account::default();
    while let Some(account) = services.join_next().await {
        total.add(account.map_err(|error| error.to_string())?);
    }
    let seconds = begun.elapsed().as_secs_f64();
    if let Some(file) = &settings.record {
        std::fs::write(file, total.record_lines()).map_err(|error| format!("{file}: {error}"))?;
    }
    let report = json!({
        "seconds": seconds,
        "services": settings.services,
        "traces": total.by_kind(),
        "spans": total.spans.report(seconds),
        "log_records": total.log_records.report(seconds),
        "data_points": total.points.report(seconds),
        "messages": total.messages,
        "refused_answers": total.refusals,
        "last_error": total.last_error,
    });
    writeln!(std::io::stdout(), "{report}").map_err(|error| error.to_string())?;
    Ok(total.complete())
}
