//! Shows: a program that keeps its own `tracing` subscriber. `build()` touches no global; what it made is handed over
//! piece by piece: layers for the subscriber, a layer for the router, a meter provider for the program's instruments.
//!
//! Run with: `cargo run --example own_subscriber`, then `curl localhost:8080/users/7`. `ADDR` changes the address.

use std::{env, error::Error, io::Write as _};

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};
use opentelemetry::metrics::{Counter, MeterProvider as _};
use tokio::net::TcpListener;
use tracewell::Telemetry;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // lines are this program's own, so none are written to stdout
    let telemetry = Telemetry::builder().default_service_name("own-subscriber").with_stdout(false).build()?;
    // tracewell's layers right onto the registry; their filters are theirs, as the other layers' are theirs
    let filter = Targets::new().with_default(Level::INFO).with_target("opentelemetry_sdk", Level::WARN);
    let subscriber = Registry::default().with(telemetry.layers()).with(Lines.with_filter(filter));
    tracing::subscriber::set_global_default(subscriber)?;

    let shown = telemetry.meter_provider().meter("users").u64_counter("users.shown").build();
    let app = Router::new()
        .route("/users/{id}", get(user))
        .layer(telemetry.server_layer()) // instead of ServerLayer::new(), which asks the globals
        .with_state(shown);
    let listener = TcpListener::bind(env::var("ADDR").unwrap_or("127.0.0.1:8080".to_owned())).await?;
    writeln!(std::io::stderr(), "listening on http://{}", listener.local_addr()?)?;
    telemetry.serve(listener, app).await?;
    Ok(())
}

async fn user(State(shown): State<Counter<u64>>, Path(id): Path<String>) -> String {
    tracing::info!(user.id = id, "user shown");
    shown.add(1, &[]);
    format!("user {id}")
}

/// Stands for the layers that the program had before: a line for each event, with the names of its spans.
struct Lines;

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let spans = context.event_scope(event).into_iter().flatten().map(|span| span.name());
        let spans: Vec<_> = spans.collect();
        let target = event.metadata().target();
        // a closed stdout is no reason to fail
        let _ = writeln!(std::io::stdout(), "{} {target} in {}", event.metadata().level(), spans.join(" < "));
    }
}
