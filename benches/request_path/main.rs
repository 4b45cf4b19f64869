//! What one observed request costs: instructions (callgrind) and allocations, of tracewell and of what else there is.
//!
//! ```text
//! cargo bench --bench request_path                        the table, as Markdown; needs valgrind for the instructions
//! cargo bench --bench request_path -- --test              each stack with ten requests, and whether it recorded them
//! cargo bench --bench request_path -- count <stack> <requests> [flags]     for `valgrind --tool=callgrind`
//! cargo bench --bench request_path -- alloc <stack> <requests> [flags]     allocations and bytes
//! ```
//!
//! Goals, as ratios of instructions over a bare axum service: at most 0.5 of the hand-wired stack; at most 0.9 of
//! opentelemetry-instrumentation-tower with the same subscriber and log; unsampled at most 0.5 of sampled; at most
//! 8 allocations per request. They are read from the table, never asserted: a number is a fact about one machine.
//!
//! What makes the comparison fair:
//! - One process per stack, one request at a time through the router on a current-thread runtime, no sockets. Every
//!   request has the same headers and peer, and writes one INFO record in its handler. No stack writes lines to stdout.
//! - Every stack pays for the whole way to its exporter's queue and nothing behind it: queues have room for all requests
//!   and the first export is an hour away. For tracewell these are its own OTLP pipelines, for the others the SDK's batch
//!   processors and periodic reader.
//! - A number is the difference of two runs, so that start-up does not count, and both runs end between the same two
//!   growths of the queues, so that these do not count either: in a service a queue has grown once.
//! - Threads other than the one that serves are idle.

mod driver;
mod sinks;
mod stacks;

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use self::stacks::{Flags, Stack};

/// Adds one atomic to each allocation, and nothing else: cheap enough to stay in while instructions are counted.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Requests before and after which something is counted: both in the upper half of a queue of 2048.
pub(crate) const FEWER: u64 = 1100;
pub(crate) const MORE: u64 = 1900;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let command = words.first().map_or("", String::as_str);
    match command {
        "count" | "alloc" | "check" => {}
        // as other harnesses do: only `cargo bench` says `--bench`
        _ if words.iter().any(|word| word == "--test") || !std::env::args().any(|word| word == "--bench") => {
            return driver::smoke();
        }
        _ => return driver::table(),
    }
    let stack = Stack::named(words.get(1).map_or("", String::as_str))?;
    let requests = words.get(2).ok_or("the number of requests is missing")?.parse()?;
    let flags = Flags::of(&words[3..])?;
    match command {
        "count" => stacks::start(stack, flags, None)?.drive(requests),
        "alloc" => alloc(stack, flags, requests),
        _ => sinks::check(stack, flags, requests),
    }
}

/// Prints allocations and bytes per request.
fn alloc(stack: Stack, flags: Flags, requests: u64) -> Result<(), Failure> {
    let running = stacks::start(stack, flags, None)?;
    running.drive(FEWER)?;
    let region = Region::new(ALLOCATOR);
    running.drive(requests)?;
    let change = region.change();
    let per_request = |number: usize| number as f64 / requests as f64;
    // a reallocation is work for the allocator as well
    let bytes = change.bytes_allocated;
    driver::say(format_args!(
        "{:.3} {:.1}",
        per_request(change.allocations + change.reallocations),
        per_request(bytes)
    ));
    Ok(())
}
