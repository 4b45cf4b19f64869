//! Shows: one call, one layer, and a request's span, log line and latency histogram share a trace id.
//!
//! Run with: `cargo run --example quickstart`, then `curl localhost:8080/users/7`. `ADDR` changes the address; `OTEL_*`
//! variables say where telemetry goes (`http://localhost:4318` unless told otherwise).

use std::{env, error::Error, io::Write as _};

use axum::{Router, extract::Path, routing::get};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let telemetry = tracewell::init()?; // OTEL_* variables decide the rest
    let app = Router::new().route("/users/{id}", get(user)).layer(tracewell::http::ServerLayer::new());
    let listener = TcpListener::bind(env::var("ADDR").unwrap_or("127.0.0.1:8080".to_owned())).await?;
    writeln!(std::io::stderr(), "listening on http://{}", listener.local_addr()?)?;
    telemetry.serve(listener, app).await?; // until SIGTERM: unready, drain, flush, report
    Ok(())
}

/// Nothing here is about telemetry but what is worth telling.
async fn user(Path(id): Path<String>) -> String {
    tracing::info!(user.id = id, "user shown");
    format!("user {id}")
}
