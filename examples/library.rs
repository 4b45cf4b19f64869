//! Shows: what a library's author does: names `opentelemetry`'s API and `tracing`, never an SDK, an exporter or tracewell.
//! Whether anything is recorded, and where it goes, is the program's choice; without one, calls cost next to nothing.
//!
//! Run with: `cargo run --example library`

use std::{error::Error, io::Write as _};

/// The library. In a crate of its own, it depends on `opentelemetry` and `tracing` alone.
mod quotes {
    use std::sync::LazyLock;

    use opentelemetry::{
        InstrumentationScope, KeyValue, global,
        metrics::{Counter, Histogram},
    };

    struct Instruments {
        quotes: Counter<u64>,
        weight: Histogram<f64>,
    }

    /// Made at the first call, which comes after the program has set up its telemetry: an instrument of an earlier time
    /// would stay without effect.
    static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| {
        let scope = InstrumentationScope::builder("quotes").with_version(env!("CARGO_PKG_VERSION")).build();
        let meter = global::meter_with_scope(scope);
        Instruments {
            quotes: meter.u64_counter("quotes.made").with_unit("{quote}").build(),
            weight: meter.f64_histogram("quotes.weight").with_unit("kg").build(),
        }
    });

    /// What it costs to send a parcel, in cents. Its span is a child of the caller's.
    #[tracing::instrument(err)]
    pub(crate) fn quote(kilograms: f64) -> Result<u64, String> {
        // few values: each is a series of its own
        let size = if kilograms > 10.0 { "large" } else { "small" };
        INSTRUMENTS.quotes.add(1, &[KeyValue::new("parcel.size", size)]);
        INSTRUMENTS.weight.record(kilograms, &[]);
        if kilograms > 30.0 {
            return Err(format!("{kilograms} kg; accepted are up to 30 kg"));
        }
        tracing::debug!(size, "quoted");
        Ok(490 + (kilograms * 30.0) as u64)
    }
}

/// The program: the only one to choose.
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let telemetry = tracewell::init()?;
    tracing::info_span!("offer").in_scope(|| {
        for kilograms in [2.0, 12.0, 31.0] {
            match quotes::quote(kilograms) {
                Ok(cents) => tracing::info!(kilograms, cents, "offered"),
                Err(_) => tracing::info!(kilograms, "declined"),
            }
        }
    });
    let report = telemetry.shutdown().await?;
    writeln!(std::io::stderr(), "sent: {}", report.is_complete())?;
    Ok(())
}
