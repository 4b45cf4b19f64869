//! gRPC with tonic: a stock of products that other services ask, and watch for as long as they like. Layers on either
//! side, the health protocol fed by a check, and one orderly end.
//!
//! ```console
//! $ cargo run --example grpc
//! listening on http://127.0.0.1:50051
//! the calls are made
//! ```
//!
//! It calls itself once at its start: a reservation in stock, one that is not, and a watch that is left in the middle.
//! `stock.rs` is what `tonic-prost-build` makes of `stock.proto`; a program would have its build script do that.

#[expect(
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    unreachable_pub,
    reason = "generated"
)]
mod stock;

use std::{collections::BTreeMap, error::Error, pin::Pin, sync::Mutex, time::Duration};

use stock::{
    Item, Level,
    stock_client::StockClient,
    stock_server::{Stock, StockServer},
};
use tokio::{net::TcpListener, time::interval};
use tokio_stream::{Stream, StreamExt as _, wrappers::IntervalStream, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Endpoint, transport::Server};
use tower::ServiceBuilder;
use tracewell::{
    health::{Check, Verdict},
    rpc::{ClientLayer, HealthService, ServerLayer},
};

/// What is in stock, by product.
#[derive(Debug)]
struct Shelf(Mutex<BTreeMap<u64, u32>>);

type Levels = Pin<Box<dyn Stream<Item = Result<Level, Status>> + Send>>;

impl Shelf {
    fn change(&self, product: u64, change: impl FnOnce(u32) -> Option<u32>) -> Result<Level, Status> {
        let mut shelf = self.0.lock().map_err(|_| Status::internal("the shelf fell over"))?;
        let level = shelf.get_mut(&product).ok_or_else(|| Status::not_found("no such product"))?;
        *level = change(*level).ok_or_else(|| Status::failed_precondition("not that many in stock"))?;
        Ok(Level { product, quantity: *level })
    }
}

#[tonic::async_trait]
impl Stock for Shelf {
    async fn reserve(&self, request: Request<Item>) -> Result<Response<Level>, Status> {
        let Item { product, quantity } = request.into_inner();
        let level = self.change(product, |level| level.checked_sub(quantity))?;
        tracing::info!(product, left = level.quantity, "reserved");
        Ok(Response::new(level))
    }

    async fn restock(&self, request: Request<Streaming<Item>>) -> Result<Response<Level>, Status> {
        let mut items = request.into_inner();
        let mut last = Level { product: 0, quantity: 0 };
        while let Some(Item { product, quantity }) = items.message().await? {
            last = self.change(product, |level| level.checked_add(quantity))?;
        }
        Ok(Response::new(last))
    }

    type WatchStream = Levels;

    async fn watch(&self, request: Request<Item>) -> Result<Response<Levels>, Status> {
        let Level { product, quantity } = self.change(request.get_ref().product, Some)?;
        let levels = IntervalStream::new(interval(Duration::from_millis(100)));
        Ok(Response::new(Box::pin(levels.map(move |_| Ok(Level { product, quantity })))))
    }

    type TradeStream = Levels;

    async fn trade(&self, _: Request<Streaming<Item>>) -> Result<Response<Levels>, Status> {
        Err(Status::unimplemented("not before the fair"))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let telemetry = tracewell::Telemetry::builder().default_service_name("stock").install()?;
    telemetry.health().register("shelf", Check::new(|| async { Verdict::pass("it stands") }));
    let health = HealthService::new(&telemetry).with_service("shop.Stock", ["shelf"]).into_server();

    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    let listener = TcpListener::bind(&address).await?;
    let address = listener.local_addr()?;
    tell(&format!("listening on http://{address}"));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = Server::builder()
        .layer(ServerLayer::new())
        .add_service(health)
        .add_service(StockServer::new(Shelf(Mutex::new(BTreeMap::from([(1, 20), (2, 0)])))))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async { drop(stopped.await) });
    let server = tokio::spawn(server);
    telemetry.health().set_ready();
    let signal = tracewell::shutdown::signal(); // from here on
    order(&format!("http://{address}").parse()?).await?;
    tell("the calls are made");

    signal.await;
    telemetry.drain(Duration::from_secs(5)).await; // streams that callers hold open are not waited for
    drop(stop);
    server.await??;
    telemetry.shutdown().await?;
    Ok(())
}

/// What another service would do.
#[tracing::instrument(skip_all)]
async fn order(target: &http::Uri) -> Result<(), Box<dyn Error>> {
    let channel = Endpoint::from(target.clone()).connect().await?;
    let layer = ClientLayer::new().with_target(target);
    let mut stock = StockClient::new(ServiceBuilder::new().layer(layer).service(channel));
    stock.reserve(Item { product: 1, quantity: 2 }).await?;
    if let Err(status) = stock.reserve(Item { product: 2, quantity: 1 }).await {
        tracing::warn!(code = %status.code(), "to be ordered: {}", status.message());
    }
    let mut levels = stock.watch(Item { product: 1, quantity: 0 }).await?.into_inner();
    for _ in 0..2 {
        levels.message().await?;
    }
    Ok(()) // dropped here: the watch ends on both sides
}

#[expect(clippy::print_stderr, reason = "a person starts it")]
fn tell(text: &str) {
    eprintln!("{text}");
}
