//! One call sets up OpenTelemetry traces, metrics and logs so that a request's duration histogram, its log lines and its
//! spans carry the same trace id, and every request that is running is listed until the moment it ends, however it ends.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use tokio::net::TcpListener;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let telemetry = tracewell::init()?; // OTEL_* variables decide the rest
//!     let app = Router::new()
//!         .route("/users/{id}", get(|| async { "a user" }))
//!         .layer(tracewell::http::ServerLayer::new());
//!     let listener = TcpListener::bind("127.0.0.1:8080").await?;
//!     telemetry.serve(listener, app).await?; // until SIGTERM: unready, drain, flush, report
//!     Ok(())
//! }
//! ```
//!
//! # The way of the data
//!
//! The modules are the stations, in this order:
//!
//! | module | |
//! |---|---|
//! | [`config`] | what the operator wants: plain values |
//! | `resource` | where we run |
//! | [`redaction`] | what must not be seen, wherever it is sent or shown |
//! | `pipeline` | configuration and resource become providers, layers, queues and an exporter |
//! | [`http`] | a request comes in, a call goes out |
//! | [`rpc`] | the same for gRPC |
//! | [`requests`] | who is in flight |
//! | [`tasks`] | work in the background |
//! | [`db`] | a database is asked |
//! | [`messaging`] | a broker carries messages |
//! | [`resilience`] | calls fail: deadline, retry, breaker, bulkhead, timeout, fallback |
//! | `runtime` | the process and its tokio runtime as metrics |
//! | [`health`] | may traffic come |
//! | [`environment`] | what runs here, with which settings |
//! | `admin` | the operator's window (feature `admin`) |
//! | `console` | recent traces, log records and metrics, kept for the operator's page (feature `admin`) |
//! | [`shutdown`] | the way out |
//! | `diagnostics` | our own voice, on stderr |
//! | `testing` | capture in tests, and an OTLP server with scripted faults (feature `testing`) |
//!
//! # Features
//!
//! Each only adds; `default` is `otlp-http`, `axum` and `admin`.
//!
//! | feature | adds |
//! |---|---|
//! | `otlp-http` | OTLP over HTTP: http/protobuf and http/json; the health check of an HTTP target |
//! | `otlp-grpc` | OTLP over gRPC |
//! | `grpc` | `rpc::HealthService` for `tonic`: `grpc.health.v1` |
//! | `axum` | route names from axum, [`Telemetry::serve`] |
//! | `admin` | the operator's HTTP endpoints |
//! | `reqwest` | `http::ClientMiddleware` and `resilience::PolicyMiddleware` for `reqwest` |
//! | `sqlx` | `db::sqlx`: pools, transactions and executors of `sqlx`, observed |
//! | `testing` | capture of telemetry in tests, a test OTLP server |
//! | `cli` | the program `tracewell`: `tracewell config check`, `tracewell config print` |
//! | `full` | all of them |
//!
//! # What we say ourselves
//!
//! On stderr, rate-limited, never through the pipelines: ERROR when a person must act, WARN when something was lost or is
//! not as configured, INFO when a state is back to normal, and once where a sampler was chosen. Secrets are never shown.
//!
//! # Stability
//!
//! No type of an `opentelemetry` crate is needed on the paved road. Where one of its API appears (attribute values, ids, meter
//! providers) it is of the version re-exported in [`otel`]; the SDK's types appear in that module alone, which is outside
//! of the promise.

#![cfg_attr(docsrs, feature(doc_cfg))]

// (1) what the operator wants
pub mod config;

// (2) where we run
mod resource;

// (2b) what must not be seen
pub mod redaction;

// (3) how it leaves
mod pipeline;

// (4) a request comes in, a call goes out
pub mod http;
pub mod rpc;

// (5) who is in flight
pub mod requests;
pub mod tasks;

// (5b) what is behind the service
pub mod db;
pub mod messaging;

// (5c) calls fail
pub mod resilience;

// (6) the process and its runtime as metrics
mod runtime;

// (7) may traffic come
pub mod health;

// (8) what runs here, with which settings
pub mod environment;

// (9) the operator's window
#[cfg(feature = "admin")]
pub mod admin;
#[cfg(feature = "admin")]
mod console;

// (10) the way out
pub mod shutdown;

// (11) our own voice
mod diagnostics;

// (12) for tests
#[cfg(feature = "testing")]
pub mod testing;

// (13) hostile input
#[cfg(all(any(fuzzing, test), feature = "otlp-http", feature = "otlp-grpc"))]
#[doc(hidden)]
pub mod fuzzing;

// start-up, the handle, and what can go wrong
mod builder;
mod error;
mod init;
pub mod otel;
mod panic;
mod telemetry;

// small things without a station
mod instruments;
mod line_writer;
mod owned_span;
mod quietly;
mod sampling;
mod sections;
mod span_seed;
mod timestamp;
mod trace_parent;

pub use crate::{
    builder::Builder,
    error::{InitError, ShutdownError},
    init::init,
    pipeline::{Account, LogLines, Loss, SignalReport, SignalState, View},
    runtime::{PollTimes, TimedPolls},
    shutdown::end::ShutdownReport,
    telemetry::{LogFilter, LogFilterError, ReloadError, Reloaded, Telemetry},
};

const OPENTELEMETRY_VERSION: &str = "0.33.1";

#[cfg(any(doc, doctest))]
pub mod guide {
    //! The book: what is longer than an item's documentation.
    //!
    //! | page | |
    //! |---|---|
    //! | [`testing`] | telemetry in tests: assertions and what they say, a paused clock, a collector that misbehaves |
    //! | [`migration`] | from hand-wired OpenTelemetry and from other crates |
    //! | [`configuration`] | every variable |
    //! | [`configuration_file`] | OpenTelemetry's declarative file |
    //! | [`sampling`] | which traces are kept: ratio, rules, limits per second |
    //! | [`logs`] | layouts, files, what is kept of a failed request |
    //! | [`correlation`] | where trace ids come from, and where they get lost |
    //! | [`cancellation`] | the ways that work ends, and what is cleaned up then |
    //! | [`grpc`] | tonic servers and clients, health, deadlines |
    //! | [`databases`] | spans and durations of statements, sqlx, any other client |
    //! | [`messages`] | producers, consumers, redelivery |
    //! | [`console`] | the page at `/`, and the JSON behind it |
    //! | [`operations`] | on call: where to look, each line and metric, alerts |
    //! | [`delivery`] | queues, losses, a collector that is away |
    //! | [`performance`] | what a request costs, and what one pays for what |
    //! | [`security`] | whom it believes, what it shows, what must not be seen |
    //! | [`limits`] | the bounds of what strangers send |
    //! | [`architecture`] | the flow, the files, the threads, and why they are so |
    //! | [`stability`] | versions, minimum Rust, platforms |
    //! | [`dependencies`] | what each is for |

    #[cfg(feature = "testing")]
    #[doc = include_str!("docs/testing.md")]
    pub mod testing {}

    #[doc = include_str!("docs/migration.md")]
    pub mod migration {}

    #[doc = include_str!("docs/configuration.md")]
    pub mod configuration {}

    #[doc = include_str!("docs/configuration_file.md")]
    pub mod configuration_file {}

    #[doc = include_str!("docs/sampling.md")]
    pub mod sampling {}

    #[doc = include_str!("docs/logs.md")]
    pub mod logs {}

    #[doc = include_str!("docs/correlation.md")]
    pub mod correlation {}

    #[doc = include_str!("docs/cancellation.md")]
    pub mod cancellation {}

    #[doc = include_str!("docs/grpc.md")]
    pub mod grpc {}

    #[cfg(feature = "sqlx")]
    #[doc = include_str!("docs/databases.md")]
    pub mod databases {}

    #[doc = include_str!("docs/messages.md")]
    pub mod messages {}

    #[doc = include_str!("docs/console.md")]
    pub mod console {}

    #[doc = include_str!("docs/operations.md")]
    pub mod operations {}

    #[doc = include_str!("docs/delivery.md")]
    pub mod delivery {}

    #[doc = include_str!("docs/performance.md")]
    pub mod performance {}

    #[doc = include_str!("docs/security.md")]
    pub mod security {}

    #[doc = include_str!("docs/limits.md")]
    pub mod limits {}

    #[doc = include_str!("docs/architecture.md")]
    pub mod architecture {}

    #[doc = include_str!("docs/stability.md")]
    pub mod stability {}

    #[doc = include_str!("docs/dependencies.md")]
    pub mod dependencies {}
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
