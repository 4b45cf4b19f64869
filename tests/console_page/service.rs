//! The service that the browser looks at, and what it is known to have done.

use std::{
    collections::BTreeMap,
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, extract::Path, http::StatusCode, response::Response, routing::get};
use serde_json::Value;
use tokio::{net::TcpListener, runtime::Runtime};
use tracewell::{
    Telemetry,
    health::{Check, Verdict},
    http::ServerLayer,
    requests,
};
use tracing::Instrument as _;

use crate::browser::{self, Chromium, Page};

/// What would run if it were ever taken for markup.
pub(crate) const PLANTED: &str = "<img src=x onerror=window.planted=1>";
/// The same as a path's parameter, which is part of the route.
pub(crate) const PLANTED_ROUTE: &str = "/planted/{<img src=x onerror=window.planted=1>}";
pub(crate) const TOKEN: &str = "s3cret-t0ken";
/// Of the long trace.
pub(crate) const SPANS: usize = 5_000;
pub(crate) const LINES: usize = 20_000;
/// How long the slow request waits for its child.
pub(crate) const SLOW: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Test = for<'a> fn(&'a World) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

static WORLD: Mutex<Option<Arc<World>>> = Mutex::new(None);
static STARTED: AtomicBool = AtomicBool::new(false);
static WAITING: AtomicU64 = AtomicU64::new(3);

pub(crate) struct World {
    runtime: Runtime,
    chromium: Chromium,
    _telemetry: Telemetry,
    client: reqwest::Client,
    shop: String,
    pub(crate) admin: String,
    /// Ids of the traces that were made first, by what they are.
    known: BTreeMap<&'static str, String>,
    pictures: PathBuf,
}

fn slot() -> MutexGuard<'static, Option<Arc<World>>> {
    WORLD.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn run(test: Test) {
    let world = Arc::clone(slot().get_or_insert_with(|| {
        assert!(!STARTED.swap(true, Ordering::SeqCst), "the service did not start; see the first failure");
        Arc::new(World::start())
    }));
    world.runtime.block_on(test(&world));
}

/// Ends the browser: nothing static is ever dropped.
pub(crate) fn stop() {
    drop(slot().take());
}

/// How many wait, as a check tells it.
pub(crate) fn set_waiting(count: u64) {
    WAITING.store(count, Ordering::SeqCst);
}

impl World {
    fn start() -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("console");
        std::fs::create_dir_all(&folder).unwrap();
        let runtime = Runtime::new().unwrap();
        let telemetry = {
            let _entered = runtime.enter();
            install()
        };
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let shop = format!("http://{}", listener.local_addr().unwrap());
        let admin = format!("http://{}", telemetry.admin_address().unwrap());
        runtime.spawn(async move { axum::serve(listener, app()).await });
        telemetry.health().set_ready();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let chromium = Chromium::start(&browser::find().unwrap(), &folder);
        let mut world = Self {
            runtime,
            chromium,
            _telemetry: telemetry,
            client,
            shop,
            admin,
            known: BTreeMap::new(),
            pictures: folder,
        };
        world.known = world.runtime.block_on(world.make_history());
        world
    }

    /// Known requests, of which the store has everything afterwards.
    async fn make_history(&self) -> BTreeMap<&'static str, String> {
        let mut known = BTreeMap::new();
        for (name, path) in [
            ("long", "/long"),
            ("slow", "/orders/7"),
            ("failed", "/fails"),
            ("planted", "/planted/1"),
            ("quick", "/quick"),
        ] {
            known.insert(name, self.request(path).await);
        }
        for _ in 0..20 {
            self.request("/quick").await;
        }
        let long = &known["long"];
        self.until("the long trace is kept", async || {
            let spans = self.api(&format!("traces/{long}")).await;
            let logs = self.api(&format!("traces/{long}/logs")).await;
            count(&spans, &["resourceSpans", "scopeSpans", "spans"]) == SPANS + 1
                && count(&logs, &["resourceLogs", "scopeLogs", "logRecords"]) == LINES
        })
        .await;
        known
    }

    pub(crate) fn known(&self, name: &str) -> &str {
        &self.known[name]
    }

    /// Asks the service, and says which trace it was.
    pub(crate) async fn request(&self, path: &str) -> String {
        let request = self.client.get(format!("{}{path}", self.shop)).header("user-agent", PLANTED);
        let response = request.send().await.unwrap();
        let id = response.headers()["x-trace-id"].to_str().unwrap().to_owned();
        response.bytes().await.unwrap();
        id
    }

    /// A request that stays until it is cancelled; the status of its end.
    pub(crate) fn hang(&self) -> tokio::task::JoinHandle<u16> {
        let request = self.client.get(format!("{}/hangs", self.shop));
        self.runtime.spawn(async move { request.send().await.unwrap().status().as_u16() })
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let response = self.client.get(format!("{}/{path}", self.admin)).send().await.unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default()
    }

    pub(crate) async fn api(&self, path: &str) -> Value {
        self.get(&format!("console/api/{path}")).await
    }

    pub(crate) async fn until(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let start = Instant::now();
        while !condition().await {
            assert!(start.elapsed() < PATIENCE, "never: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A browser's window on a view of the console.
    pub(crate) async fn view(&self, hash: &str) -> Page {
        self.view_of(&self.admin, hash).await
    }

    pub(crate) async fn view_of(&self, admin: &str, hash: &str) -> Page {
        let mut page = Page::open(&self.chromium, 1280, 900).await;
        page.goto(&format!("{admin}/{hash}")).await;
        page.until("document.querySelector('main h1')").await;
        page
    }

    pub(crate) async fn picture(&self, page: &mut Page, name: &str) {
        page.picture(&self.pictures.join(format!("{name}.png"))).await;
    }
}

/// The end of every trial: the browser had nothing to complain about.
pub(crate) async fn done(mut page: Page) {
    // whatever was reported before this answer has been heard
    let images = page.eval("[document.images.length, window.planted ?? 0].join()").await;
    assert_eq!(images, "0,0", "markup was taken for markup");
    let complaints = page.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

pub(crate) fn count(document: &Value, levels: &[&str]) -> usize {
    let (first, rest) = levels.split_first().unwrap();
    let list = document[first].as_array().map_or(&[][..], Vec::as_slice);
    match rest {
        [] => list.len(),
        _ => list.iter().map(|inner| count(inner, rest)).sum(),
    }
}

fn install() -> Telemetry {
    let telemetry = Telemetry::builder()
        .with_env([
            ("OTEL_SERVICE_NAME", "shop"),
            // what is exported does not matter here; that it is tried does
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "65536"),
            ("OTEL_BLRP_MAX_QUEUE_SIZE", "65536"),
            ("TRACEWELL_CONSOLE", "true"),
            // the long trace comes at once, and shall be kept whole
            ("TRACEWELL_CONSOLE_MAX_BYTES", "268435456"),
            ("TRACEWELL_CONSOLE_LINKS", "Jaeger=https://jaeger.example/trace/{trace_id}?uiFind={span_id}"),
            ("TRACEWELL_ADMIN_ADDR", "127.0.0.1:0"),
            ("TRACEWELL_ADMIN_TOKEN", TOKEN),
            ("TRACEWELL_ADMIN_CANCEL", "true"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cret-header"),
        ])
        .with_stdout(false)
        .install()
        .unwrap();
    let waiting = Check::new(|| async { Verdict::pass(format!("{} wait", WAITING.load(Ordering::SeqCst))) });
    telemetry.health().register("queue", waiting.with_group("queues").with_success_cache(None));
    telemetry
}

fn app() -> Router {
    let logins = opentelemetry::global::meter("shop").u64_counter("logins").build();
    Router::new()
        .route("/quick", get(async move || logins.add(1, &[])))
        .route("/orders/{id}", get(order))
        .route("/fails", get(fails))
        .route("/long", get(long))
        .route("/hangs", get(hangs))
        .route(PLANTED_ROUTE, get(planted))
        .layer(axum::middleware::map_response(tell_trace))
        .layer(ServerLayer::new())
}

/// Whoever asks is told which trace it was.
async fn tell_trace(mut response: Response) -> Response {
    let trace_id = requests::current().unwrap().trace_id().to_string();
    response.headers_mut().insert("x-trace-id", trace_id.parse().unwrap());
    response
}

async fn order(Path(id): Path<u64>) -> String {
    let current = requests::current().unwrap();
    current.set_stage("paying");
    tracing::info!(order = id, "order taken");
    let charge = tracing::info_span!("charge card", card.network = "visa", note = PLANTED);
    async {
        tracing::warn!(order = id, "the bank is slow");
        // the work that is slow
        tokio::time::sleep(SLOW).await;
    }
    .instrument(charge)
    .await;
    current.set_stage("packing");
    tracing::info!(order = id, "order paid");
    format!("order {id}")
}

async fn fails() -> StatusCode {
    tracing::error!(stock = 0, "the shelf is empty");
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn long() {
    for step in 0..SPANS {
        tracing::info_span!("step", step).in_scope(|| {
            for line in 0..LINES / SPANS {
                tracing::info!(step, line, "stepped");
            }
        });
        if step % 100 == 99 {
            tokio::task::yield_now().await;
        }
    }
}

async fn hangs() {
    let current = requests::current().unwrap();
    current.set_stage("waiting");
    current.annotate("note", PLANTED);
    std::future::pending().await
}

async fn planted() {
    let current = requests::current().unwrap();
    current.set_stage(PLANTED);
    current.annotate("note", PLANTED);
    tracing::warn!(note = PLANTED, "{PLANTED}");
}
