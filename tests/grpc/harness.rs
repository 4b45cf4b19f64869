//! A stock of its own per test behind real connections, which can be cut.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use opentelemetry::baggage::BaggageExt as _;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream, wrappers::TcpListenerStream};
use tonic::{
    Request, Response, Status, Streaming, transport::Channel, transport::Endpoint, transport::Server,
};
use tower::ServiceBuilder;
use tracewell::{
    requests::{self, Totals},
    rpc::{ClientService, ServerLayer},
    testing::{Capture, CaptureRuntime, CapturedSpan},
};

use crate::stock::{Item, Level, stock_client::StockClient, stock_server::Stock, stock_server::StockServer};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const SERVED: &str = "rpc.server.call.duration";
pub(crate) const CALLED: &str = "rpc.client.call.duration";

/// What `Item::product` asks for, apart from a number of pieces.
pub(crate) const HANGS: u64 = 7;
pub(crate) const PANICS: u64 = 13;
pub(crate) const MISSING: u64 = 404;
pub(crate) const BROKEN: u64 = 500;

/// The services' side: what has arrived, and whether what hangs may go on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shop {
    pub(crate) arrived: Arc<Notify>,
    pub(crate) seen: Arc<Mutex<Vec<u32>>>,
    pub(crate) metadata: Arc<Mutex<Vec<(String, String)>>>,
}

type Levels = Pin<Box<dyn Stream<Item = Result<Level, Status>> + Send>>;

async fn answer(item: Item) -> Result<Level, Status> {
    match item.product {
        HANGS => std::future::pending().await,
        PANICS => panic!("as the test wants"),
        MISSING => Err(Status::not_found("no such product")),
        BROKEN => Err(Status::internal("cannot reach postgres://app:hunter2@db/shop")),
        product => Ok(Level { product, quantity: item.quantity }),
    }
}

#[tonic::async_trait]
impl Stock for Shop {
    async fn reserve(&self, request: Request<Item>) -> Result<Response<Level>, Status> {
        let context = opentelemetry::Context::current();
        let tenant = context.baggage().get("tenant").map(|tenant| ("tenant".to_owned(), tenant.to_string()));
        self.metadata.lock().unwrap().extend(tenant);
        let current = requests::current().map(|current| current.name().into_owned());
        self.metadata.lock().unwrap().extend(current.map(|name| ("current".to_owned(), name)));
        tracing::info!("reserving");
        self.arrived.notify_one();
        Ok(Response::new(answer(request.into_inner()).await?))
    }

    async fn restock(&self, request: Request<Streaming<Item>>) -> Result<Response<Level>, Status> {
        let mut items = request.into_inner();
        let mut quantity = 0;
        while let Some(item) = items.message().await? {
            quantity += item.quantity;
            self.seen.lock().unwrap().push(item.quantity);
            self.arrived.notify_one();
        }
        Ok(Response::new(Level { product: 1, quantity }))
    }

    type WatchStream = Levels;

    /// As many levels as pieces are asked for, then what the product is.
    async fn watch(&self, request: Request<Item>) -> Result<Response<Levels>, Status> {
        let item = request.into_inner();
        let (told, levels) = mpsc::channel(1);
        let shop = self.clone();
        requests::spawn(async move {
            for quantity in 0..item.quantity {
                if told.send(Ok(Level { product: item.product, quantity })).await.is_err() {
                    return;
                }
            }
            shop.arrived.notify_one();
            match answer(item).await {
                Ok(_) => {}
                Err(status) => drop(told.send(Err(status)).await),
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(levels))))
    }

    type TradeStream = Levels;

    async fn trade(&self, request: Request<Streaming<Item>>) -> Result<Response<Levels>, Status> {
        let items = request.into_inner();
        let levels = items.map(|item| item.map(|Item { product, quantity }| Level { product, quantity }));
        Ok(Response::new(Box::pin(levels)))
    }
}

/// Telemetry and runtime of one test.
pub(crate) struct World {
    pub(crate) capture: Capture,
    pub(crate) runtime: CaptureRuntime,
    pub(crate) shop: Shop,
}

pub(crate) type Client = StockClient<ClientService<Channel>>;

impl World {
    pub(crate) fn new() -> Self {
        let capture = Capture::builder().with_log_filter("info,tracewell=debug").build();
        Self { runtime: capture.runtime(), capture, shop: Shop::default() }
    }

    /// Serves the stock inside of the layer; at this address.
    pub(crate) async fn serve(&self, layer: ServerLayer) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder().layer(layer).add_service(StockServer::new(self.shop.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    }

    pub(crate) async fn start(&self) -> Client {
        let address = self.serve(self.capture.rpc_server_layer()).await;
        self.client(address).await
    }

    pub(crate) async fn client(&self, address: SocketAddr) -> Client {
        let target: http::Uri = format!("http://{address}").parse().unwrap();
        let channel = Endpoint::from(target.clone()).connect().await.unwrap();
        let layer = self.capture.rpc_client_layer().with_target(&target);
        StockClient::new(ServiceBuilder::new().layer(layer).service(channel))
    }

    /// The spans of this name and kind, once there are so many.
    pub(crate) async fn spans(&self, name: &str, kind: &str, count: usize) -> Vec<CapturedSpan> {
        let is = |span: &&CapturedSpan| span.name() == name && span.kind() == kind;
        let there =
            |captured: &tracewell::testing::Captured| captured.spans().iter().filter(is).count() >= count;
        let found = self.capture.wait_for_async(PATIENCE, there).await;
        let spans = self.capture.spans();
        assert!(found, "{count} {kind} spans {name}: {spans:#?}");
        let spans: Vec<_> = spans.into_iter().filter(|span| is(&span)).collect();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }

    /// The span of this name that the server has, and that of the client.
    pub(crate) async fn pair(&self, name: &str) -> (CapturedSpan, CapturedSpan) {
        (self.spans(name, "server", 1).await.remove(0), self.spans(name, "client", 1).await.remove(0))
    }

    pub(crate) fn totals(&self) -> Totals {
        self.capture.requests().snapshot().totals
    }

    /// Waits until the only active entry is in this stage.
    pub(crate) async fn wait_for_stage(&self, stage: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let active = self.capture.requests().snapshot().active;
            if active.len() == 1 && active[0].stage.as_deref() == Some(stage) {
                return;
            }
            assert!(Instant::now() < deadline, "no entry in {stage}: {active:?}");
            tokio::task::yield_now().await;
        }
    }

    /// Nothing is running any more, and each of so many calls has ended once, everywhere.
    pub(crate) async fn assert_quiet(&self, calls: u64) {
        tokio::time::timeout(PATIENCE, self.capture.requests().idle()).await.unwrap();
        let totals = self.totals();
        let ended = [totals.completed, totals.failed, totals.cancelled, totals.panicked, totals.aborted];
        assert_eq!((totals.started, ended.iter().sum::<u64>()), (calls, calls), "{totals:?}");
        let durations = |name| self.capture.metric(name).map_or(0, |metric| metric.count());
        assert_eq!(durations(SERVED), calls);
    }
}

pub(crate) fn text(span: &CapturedSpan, key: &str) -> Option<String> {
    span.attributes().text(key)
}

/// Code, `error.type` and outcome.
pub(crate) fn ending(span: &CapturedSpan) -> [Option<String>; 3] {
    ["rpc.response.status_code", "error.type", "tracewell.outcome"].map(|key| text(span, key))
}

pub(crate) fn texts<const N: usize>(texts: [Option<&str>; N]) -> [Option<String>; N] {
    texts.map(|text| text.map(str::to_owned))
}

pub(crate) fn item(product: u64, quantity: u32) -> Item {
    Item { product, quantity }
}

/// A connection in between, which can be cut.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(server).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
        Self { address, task }
    }

    /// Both of its connections close.
    pub(crate) async fn cut(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}
