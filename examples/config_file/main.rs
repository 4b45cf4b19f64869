//! Shows: a program whose telemetry is described by a file of OpenTelemetry's declarative configuration, in place of
//! variables. The program does not know of it.
//!
//! Run with: `OTEL_CONFIG_FILE=examples/config_file/otel.yaml cargo run --example config_file`; what is wrong with a file
//! is told by `cargo run --features cli -- config check examples/config_file/otel.yaml`, and what it comes to by
//! `config print`.

use std::{error::Error, io::Write as _};

use opentelemetry::{KeyValue, global};

fn main() -> Result<(), Box<dyn Error>> {
    let telemetry = tracewell::init()?;

    let weights = global::meter("scales").f64_histogram("parcel.weight").with_unit("kg").build();
    for (parcel, weight) in [(1, 0.7), (2, 12.5)] {
        let _span = tracing::info_span!("weigh", parcel).entered();
        weights.record(weight, &[KeyValue::new("parcel", parcel), KeyValue::new("kind", "box")]);
        tracing::info!(weight, "weighed");
    }

    let report = telemetry.shutdown_blocking()?;
    writeln!(std::io::stderr(), "sent: {}", report.is_complete())?;
    Ok(())
}
