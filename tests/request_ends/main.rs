//! However a request ends: one outcome, and every signal says the same, over real servers and clients on loopback.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod bodies;
mod drain;
mod enrichment;
mod handlers;
mod harness;
mod operator;
mod routes;
mod storm;
mod streams;
mod stuck;
mod websocket;
