//! One request through tracewell and through what else there is, side by side, measured as `benches/request_path` does.
//!
//! ```text
//! cd benches/peers && cargo bench                        the table, as Markdown
//! cd benches/peers && cargo bench -- --test              each row with ten requests, and whether it recorded them
//! ```
//!
//! The service, its requests and what a number means are those of `benches/request_path`. What makes it fair: every stack
//! ends at queues with room for everything, an hour before the first export. For tracewell these are its own, for the
//! others the SDK's batch processors and periodic reader, with the bridges from `tracing` as their documentation wires
//! them. What a row records is said in the table: a cheaper one that records less is no better one. All peers are on
//! opentelemetry 0.33, as tracewell: on another version they would record nothing, silently (`--test` would say so).

#[path = "../../request_path/driver.rs"]
mod driver;
mod sdk;
#[path = "../../request_path/service.rs"]
mod service;
#[path = "../../request_path/sockets.rs"]
mod sockets;
mod stacks;

use self::{
    driver::{Row, row},
    service::{BARE, DEFAULT, Flags, TRACEWELL},
    stacks::{AXUM_TRACING, FASTRACE, HAND_WIRED, INIT_TRACING, TOWER, TOWER_ON_TRACEWELL},
};

type Failure = Box<dyn std::error::Error>;

const PARENT: Flags = Flags { parent: true, ..DEFAULT };
const NO_LOG: Flags = Flags { no_log: true, ..DEFAULT };
const UNSAMPLED: Flags = Flags { unsampled: true, ..DEFAULT };

const LEAN: Flags = Flags { lean: true, ..DEFAULT };

const ROWS: [Row; 36] = [
    row("bare axum", &BARE, DEFAULT),
    row("hand-wired: TraceLayer, bridge, histogram, appender", &HAND_WIRED, DEFAULT),
    row("axum-tracing-opentelemetry, appender", &AXUM_TRACING, DEFAULT),
    row("opentelemetry-instrumentation-tower, appender", &TOWER, DEFAULT),
    row("opentelemetry-instrumentation-tower on tracewell¹", &TOWER_ON_TRACEWELL, DEFAULT),
    row("fastrace-axum, fastrace-opentelemetry, appender", &FASTRACE, DEFAULT),
    row("**tracewell**", &TRACEWELL, DEFAULT),
    row("**tracewell**, lean", &TRACEWELL, LEAN),
    row("**tracewell**, exemplars off", &TRACEWELL, Flags { no_exemplars: true, ..DEFAULT }),
    row("init-tracing-opentelemetry, JSON lines on stdout", &INIT_TRACING, DEFAULT),
    row("**tracewell**, JSON lines on stdout", &TRACEWELL, Flags { stdout: true, ..DEFAULT }),
    row("bare axum, remote parent", &BARE, PARENT),
    row("hand-wired, remote parent", &HAND_WIRED, PARENT),
    row("axum-tracing-opentelemetry, remote parent", &AXUM_TRACING, PARENT),
    row("instrumentation-tower, remote parent", &TOWER, PARENT),
    row("instrumentation-tower on tracewell¹, remote parent", &TOWER_ON_TRACEWELL, PARENT),
    row("fastrace-axum, remote parent", &FASTRACE, PARENT),
    row("**tracewell**, remote parent", &TRACEWELL, PARENT),
    row("**tracewell**, lean, remote parent", &TRACEWELL, Flags { parent: true, ..LEAN }),
    row("hand-wired, no log record", &HAND_WIRED, NO_LOG),
    row("axum-tracing-opentelemetry, no log record", &AXUM_TRACING, NO_LOG),
    row("instrumentation-tower, no log record", &TOWER, NO_LOG),
    row("instrumentation-tower on tracewell¹, no log record", &TOWER_ON_TRACEWELL, NO_LOG),
    row("fastrace-axum, no log record", &FASTRACE, NO_LOG),
    row("**tracewell**, no log record", &TRACEWELL, NO_LOG),
    row("**tracewell**, lean, no log record", &TRACEWELL, Flags { no_log: true, ..LEAN }),
    row("hand-wired, unsampled", &HAND_WIRED, UNSAMPLED),
    row("axum-tracing-opentelemetry, unsampled", &AXUM_TRACING, UNSAMPLED),
    row("instrumentation-tower, unsampled", &TOWER, UNSAMPLED),
    row("instrumentation-tower on tracewell¹, unsampled", &TOWER_ON_TRACEWELL, UNSAMPLED),
    row("**tracewell**, unsampled", &TRACEWELL, UNSAMPLED),
    row("**tracewell**, lean, unsampled", &TRACEWELL, Flags { unsampled: true, ..LEAN }),
    row("hand-wired, unsampled, no log record", &HAND_WIRED, Flags { unsampled: true, ..NO_LOG }),
    row("instrumentation-tower, unsampled, no log record", &TOWER, Flags { unsampled: true, ..NO_LOG }),
    row(
        "instrumentation-tower on tracewell¹, unsampled, no log record",
        &TOWER_ON_TRACEWELL,
        Flags { unsampled: true, ..NO_LOG },
    ),
    row("**tracewell**, unsampled, no log record", &TRACEWELL, Flags { unsampled: true, ..NO_LOG }),
];

fn main() -> Result<(), Failure> {
    driver::run(&ROWS)
}
