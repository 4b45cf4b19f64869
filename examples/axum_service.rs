//! Shows: a service on axum: state, extractors, the request's own entry, errors with their causes, and the operator's
//! endpoints in its router. Everything about telemetry is in `main` and in the lines that have something to tell.
//!
//! Run with: `cargo run --example axum_service`, then `curl localhost:8080/orders/7`, `/orders/0` (a failure), `/ready`
//! and `/metrics`. `ADDR` changes the address.

use std::{env, error::Error, fmt, io::Write as _, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use serde::Serialize;
use tokio::net::TcpListener;
use tracewell::{
    Telemetry, admin,
    health::Check,
    http::{Failure, ServerLayer},
    requests::{self, Current},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let shop = Arc::new(Shop);
    let stock = Arc::clone(&shop);
    let telemetry = Telemetry::builder()
        .default_service_name("axum-service")
        .with_health_check("stock", Check::new(move || answers(Arc::clone(&stock))))
        .install()?;
    let app = Router::new()
        .route("/orders/{id}", get(order))
        .with_state(shop) // before what follows, which has another state: none
        // on the service's own port; TRACEWELL_ADMIN_ADDR has all of it on a port and a thread of its own
        .merge(admin::probes(&telemetry))
        .merge(admin::metrics(&telemetry))
        // what is asked of the operator's endpoints is in nobody's telemetry
        .layer(ServerLayer::new().with_unobserved(admin::is_own_path));
    let listener = TcpListener::bind(env::var("ADDR").unwrap_or("127.0.0.1:8080".to_owned())).await?;
    writeln!(std::io::stderr(), "listening on http://{}", listener.local_addr()?)?;
    telemetry.serve(listener, app).await?;
    Ok(())
}

#[derive(Serialize)]
struct Order {
    id: u64,
    in_stock: u32,
}

/// An error becomes a 500 without a word to the client, and a log record with its causes in the request's trace.
async fn order(
    request: Current,
    State(shop): State<Arc<Shop>>,
    Path(id): Path<u64>,
) -> Result<Json<Order>, Failure> {
    request.set_attribute("shop.order", i64::try_from(id)?); // on the span, and on the log records from here on
    request.set_stage("counting stock"); // what /debug/requests shows while it runs
    // a task of its own, in this request's trace
    let in_stock = requests::spawn(count(shop, id)).await??;
    tracing::info!(in_stock, "order shown");
    Ok(Json(Order { id, in_stock }))
}

/// Stands for a database.
struct Shop;

#[tracing::instrument(skip(_shop))]
async fn count(_shop: Arc<Shop>, order: u64) -> Result<u32, NoSuchOrder> {
    tokio::time::sleep(Duration::from_millis(5)).await;
    if order == 0 { Err(NoSuchOrder) } else { Ok(3) }
}

async fn answers(shop: Arc<Shop>) -> Result<(), NoSuchOrder> {
    count(shop, 1).await.map(|_| ())
}

#[derive(Debug)]
struct NoSuchOrder;

impl fmt::Display for NoSuchOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("orders begin with 1")
    }
}

impl Error for NoSuchOrder {}
