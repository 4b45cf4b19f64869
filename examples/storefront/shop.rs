//! The shop's routes: what a service observed by tracewell looks like from the inside.

use std::{convert::Infallible, time::Duration};

use axum::{
    Extension, Json, Router,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{
        AppendHeaders, IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{get, post},
};
use futures_util::{Stream, StreamExt as _, stream};
use opentelemetry::metrics::Counter;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio_stream::wrappers::IntervalStream;
use tracewell::{
    http::Cause,
    requests::{self, Current},
    resilience::{self, Fallback, Substitute},
};
use tracing::Instrument as _;

use crate::{
    database::{Database, DatabaseError, Payment, Product},
    payments,
};

/// What every request's work is bounded by; larger wishes are cut down to these.
const LONGEST_MS: u64 = 60_000;
const MOST_CHUNKS: u64 = 100_000;
const MOST_TASKS: u32 = 100;
const MOST_PIECES: i64 = 1_000;

/// An order is taken although it cannot be paid now; said in the log, in a metric and in the answer.
static DEFERRED: Fallback = Fallback::new("orders.payment", "deferred");

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Shop {
    database: Database,
    payments: payments::Client,
    logins: Counter<u64>,
}

impl Shop {
    pub(crate) fn new(database: Database, payments: payments::Client) -> Self {
        let meter = opentelemetry::global::meter("storefront");
        let logins = meter.u64_counter("logins").with_description("Logins of visitors.").build();
        Self { database, payments, logins }
    }
}

/// The shop's routes, without the layer that observes them.
pub(crate) fn router(shop: Shop) -> Router {
    Router::new()
        .route("/products", get(products))
        .route("/products/{id}", get(product))
        .route("/orders", post(order))
        .route("/login", post(login))
        .route("/slow", get(slow))
        .route("/stream", get(chunks))
        .route("/events", get(events))
        .route("/panic", get(panics))
        .route("/spawn", get(spawn))
        .with_state(shop)
}

async fn products(State(shop): State<Shop>) -> Result<Json<Vec<Product>>, Problem> {
    let products = shop.database.products().await?;
    tracing::info!(products = products.len(), "products listed");
    Ok(Json(products))
}

async fn product(State(shop): State<Shop>, Path(id): Path<String>) -> Result<Json<Product>, Problem> {
    let Ok(number) = id.parse() else {
        tracing::info!(product.id = id, "no such product");
        return Err(Problem::NotFound(format!("no product {id}")));
    };
    let product = shop.database.product(number).await?;
    let outcome = if product.is_some() { "product shown" } else { "no such product" };
    tracing::info!(product.id = number, "{outcome}");
    product.map(Json).ok_or_else(|| Problem::NotFound(format!("no product {id}")))
}

#[derive(Deserialize)]
struct Order {
    product: i64,
    quantity: i64,
}

async fn order(State(shop): State<Shop>, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    let Order { product, quantity } = parse(&body, r#"{"product":1,"quantity":2}"#)?;
    let failing = payments::failing(&headers).map_err(Problem::Bad)?;
    if !(1..=MOST_PIECES).contains(&quantity) {
        let problem = format!("quantity {quantity}; accepted is a number from 1 to {MOST_PIECES}");
        return Err(Problem::Unacceptable(problem));
    }
    let Some(product) = shop.database.product(product).await? else {
        return Err(Problem::Unacceptable(format!("no product {product}")));
    };
    let order = shop.database.take_order(product.id, quantity).await?;
    if let Some(request) = requests::current() {
        request.annotate("order", order);
    }
    // for TRACEWELL_LOG_ON_FAILURE: who looks into an order that failed
    tracing::debug!(order, cents = product.price_cents * quantity, "order written, to be paid");
    let charged = shop.payments.charge(order, product.price_cents * quantity, failing).await;
    let charged =
        DEFERRED.instead_of(charged.map(|()| Payment::Paid), |_| Substitute::new(Payment::Deferred));
    let payment = charged.value;
    shop.database.note_payment(order, payment).await?;
    let body = Json(json!({
        "order": order, "product": product.id, "quantity": quantity, "payment": payment,
    }));
    let retries = resilience::of_current().retries;
    let headers = AppendHeaders([("x-retry-count", retries.to_string()), ("traceparent", traceparent())]);
    Ok(match charged.fallback {
        None => {
            tracing::info!(order, product.id = product.id, quantity, "order taken");
            (StatusCode::CREATED, headers, body).into_response()
        }
        Some(fallback) => (StatusCode::ACCEPTED, headers, [("x-fallback", fallback)], body).into_response(),
    })
}

/// Where to find this request: the W3C header, of the request's own span.
fn traceparent() -> String {
    requests::current().and_then(|request| request.traceparent()).unwrap_or_default()
}

#[derive(Deserialize)]
struct Login {
    user: String,
}

async fn login(State(shop): State<Shop>, body: Bytes) -> Result<Json<Value>, Problem> {
    let Login { user } = parse(&body, r#"{"user":"a"}"#)?;
    // the user is for the log: as an attribute of a metric, each would be a time series of its own
    shop.logins.add(1, &[]);
    tracing::info!(user, "logged in");
    Ok(Json(json!({ "user": user })))
}

#[derive(Deserialize)]
#[serde(default)]
struct Slow {
    ms: u64,
}

impl Default for Slow {
    fn default() -> Self {
        Self { ms: 500 }
    }
}

/// A request's stages are on the operator's page while it runs, and in the list of recent requests afterwards.
async fn slow(request: Current, Query(Slow { ms }): Query<Slow>) -> Json<Value> {
    let ms = ms.min(LONGEST_MS);
    request.set_stage("start");
    request.set_stage("waiting");
    tracing::debug!(ms, "waiting");
    tokio::time::sleep(Duration::from_millis(ms)).await;
    request.set_stage("finish");
    Json(json!({ "ms": ms }))
}

#[derive(Deserialize)]
#[serde(default)]
struct Chunks {
    chunks: u64,
    ms: u64,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { chunks: 10, ms: 100 }
    }
}

/// The request is active until its last chunk is read, or its reader is gone.
async fn chunks(Query(Chunks { chunks, ms }): Query<Chunks>) -> Body {
    let chunks = chunks.min(MOST_CHUNKS);
    let pause = Duration::from_millis(ms.min(LONGEST_MS));
    let chunks = stream::iter(1..=chunks).then(move |chunk| async move {
        if chunk > 1 {
            tokio::time::sleep(pause).await;
        }
        tracing::debug!(chunk, chunks, "chunk made");
        Ok::<_, Infallible>(format!("chunk {chunk} of {chunks}\n"))
    });
    Body::from_stream(chunks)
}

/// Listed as `streaming`; its duration was recorded at the headers, so that streams do not spoil the latencies.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let seconds = IntervalStream::new(tokio::time::interval(Duration::from_secs(1)));
    let events = seconds
        .enumerate()
        .map(|(second, _)| Ok(Event::default().event("tick").data(json!({ "second": second }).to_string())));
    Sse::new(events).keep_alive(KeepAlive::default())
}

/// The panic is a log record, an outcome and an error on the span; then it goes on, and closes the connection.
async fn panics() {
    tracing::debug!("about to panic");
    panic!("a visitor asked for a panic");
}

#[derive(Deserialize)]
#[serde(default)]
struct Spawn {
    n: u32,
}

impl Default for Spawn {
    fn default() -> Self {
        Self { n: 3 }
    }
}

/// tracewell's `spawn` instead of tokio's: the tasks stay in the request's trace.
async fn spawn(Query(Spawn { n }): Query<Spawn>) -> Json<Value> {
    let work = |number: u32| async move { tracing::info!(number, "task at work") };
    let tasks: Vec<_> = (1..=n.min(MOST_TASKS))
        .map(|number| {
            requests::spawn(async move { work(number).instrument(tracing::info_span!("task", number)).await })
        })
        .collect();
    let mut ran = 0;
    for task in tasks {
        ran += u32::from(task.await.is_ok());
    }
    Json(json!({ "ran": ran }))
}

fn parse<T: DeserializeOwned>(body: &[u8], accepted: &str) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::Bad(format!("the body is not as expected: {error}; accepted is {accepted}"))
    })
}

/// What a visitor is told when it does not work.
enum Problem {
    Bad(String),
    NotFound(String),
    Unacceptable(String),
    Database(DatabaseError),
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (code, problem) = match self {
            Self::Bad(problem) => (StatusCode::BAD_REQUEST, problem),
            Self::NotFound(problem) => (StatusCode::NOT_FOUND, problem),
            Self::Unacceptable(problem) => (StatusCode::UNPROCESSABLE_ENTITY, problem),
            Self::Database(error) => {
                // the cause is for the log, where the layer puts it; it is none of the visitor's business
                let body = Json(json!({ "error": "the shop has a problem" }));
                return (StatusCode::INTERNAL_SERVER_ERROR, Extension(Cause::new(error)), body)
                    .into_response();
            }
        };
        (code, Json(json!({ "error": problem }))).into_response()
    }
}
