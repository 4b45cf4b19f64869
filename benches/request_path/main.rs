//! What one request observed by tracewell costs over a bare one: instructions (callgrind) and allocations.
//!
//! ```text
//! cargo bench --bench request_path                        the table, as Markdown; needs valgrind for the instructions
//! cargo bench --bench request_path -- compare             fails where it is over 5 % more than recorded.txt says
//! cargo bench --bench request_path -- record              writes recorded.txt, when a change of the cost is intended
//! cargo bench --bench request_path -- exporting           what it costs to export a span, a log record and a point
//! cargo bench --bench request_path -- sockets <otelcol>   throughput and latencies with a real Collector behind
//! cargo bench --bench request_path -- --test              each row with ten requests, and whether it recorded them
//! cargo bench --bench request_path -- count <stack> <requests> [flags]     for `valgrind --tool=callgrind`
//! cargo bench --bench request_path -- alloc <stack> <requests> [flags]     allocations and bytes
//! ```
//!
//! `benches/peers` measures what else there is in the same way, side by side.
//!
//! - One process per row, one request at a time through the router on a current-thread runtime, no sockets. Every
//!   request has the same headers and peer, and writes one INFO record in its handler.
//! - Every stack pays for the whole way to its exporter's queue and nothing behind it: queues have room for all requests
//!   and the first export is an hour away.
//! - A number is the difference of two runs, so that start-up does not count, and both runs end between the same two
//!   growths of the queues, so that these do not count either: in a service a queue has grown once.
//! - Threads other than the one that serves are idle, but for the one that writes lines to stdout where a row has them, and
//!   that of the console's store, which is not counted: it is behind a queue too.

mod driver;
mod service;
mod sockets;

use self::{
    driver::{Row, row},
    service::{BARE, DEFAULT, Flags, TRACEWELL},
};

type Failure = Box<dyn std::error::Error>;

const PARENT: Flags = Flags { parent: true, ..DEFAULT };

const ROUTES: Flags = Flags { routes: true, ..DEFAULT };

const LEAN: Flags = Flags { lean: true, ..DEFAULT };

const MIX: Flags = Flags { mix: true, ..DEFAULT };

const ROWS: [Row; 19] = [
    row("bare axum", &BARE, DEFAULT),
    row("bare axum, remote parent", &BARE, PARENT),
    row("bare axum, 10,000 routes", &BARE, ROUTES),
    row("bare axum, a mix", &BARE, MIX),
    row("**tracewell**", &TRACEWELL, DEFAULT),
    row("**tracewell**, remote parent", &TRACEWELL, PARENT),
    row("**tracewell**, unsampled", &TRACEWELL, Flags { unsampled: true, ..DEFAULT }),
    row("**tracewell**, exemplars off", &TRACEWELL, Flags { no_exemplars: true, ..DEFAULT }),
    row("**tracewell**, no log record", &TRACEWELL, Flags { no_log: true, ..DEFAULT }),
    row(
        "**tracewell**, unsampled, no log record",
        &TRACEWELL,
        Flags { unsampled: true, no_log: true, ..DEFAULT },
    ),
    row("**tracewell**, lean", &TRACEWELL, LEAN),
    row("**tracewell**, lean, remote parent", &TRACEWELL, Flags { parent: true, ..LEAN }),
    row("**tracewell**, lean, unsampled", &TRACEWELL, Flags { unsampled: true, ..LEAN }),
    row("**tracewell**, a mix", &TRACEWELL, MIX),
    row("**tracewell**, a mix, unsampled", &TRACEWELL, Flags { unsampled: true, ..MIX }),
    row("**tracewell**, 10,000 routes", &TRACEWELL, ROUTES),
    row("**tracewell**, 100,000 active requests", &TRACEWELL, Flags { active: true, ..DEFAULT }),
    row("**tracewell**, the console's store", &TRACEWELL, Flags { console: true, ..DEFAULT }),
    row("**tracewell**, JSON lines on stdout", &TRACEWELL, Flags { stdout: true, ..DEFAULT }),
];

fn main() -> Result<(), Failure> {
    driver::run(&ROWS)
}
