//! gRPC as its spans, its durations, the registry and the other side see it: one truth for all, however a call ends.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bodies;
mod cuts;
mod harness;
mod health;
mod kinds;
mod trust;

#[expect(
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    unreachable_pub,
    reason = "generated, and the example's"
)]
#[path = "../../examples/grpc/stock.rs"]
mod stock;
