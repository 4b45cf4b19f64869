//! The second service: it takes payments for orders, each order's once however often it is asked, and refuses on demand.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, Request, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tower::{Layer as _, ServiceExt as _};
use tracewell::{
    http::UrlTemplate,
    resilience::{Breaker, Bulkhead, Policy, Retry},
};

use crate::calls::{self, Calls};

/// Says which order is paid: asked again with the same one, the service charges nothing more.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// How many attempts to pay an order are refused.
pub(crate) const FAIL: &str = "x-fail";
/// Orders remembered; the oldest is forgotten.
const ORDERS_KEPT: usize = 10_000;

#[derive(Serialize, Deserialize)]
struct Charge {
    order: i64,
    cents: i64,
}

/// The service.
pub(crate) fn router() -> Router {
    Router::new().route("/payments", post(pay)).with_state(Arc::new(Mutex::new(Book::default())))
}

async fn pay(
    State(book): State<Arc<Mutex<Book>>>,
    headers: HeaderMap,
    Json(charge): Json<Charge>,
) -> Response {
    let Some(key) = headers.get(IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok()) else {
        return refuse(StatusCode::BAD_REQUEST, &format!("the header {IDEMPOTENCY_KEY} is missing"));
    };
    let failing = match failing(&headers) {
        Ok(failing) => failing,
        Err(problem) => return refuse(StatusCode::BAD_REQUEST, &problem),
    };
    let asked = book.lock().unwrap_or_else(PoisonError::into_inner).ask(key, failing);
    match asked {
        Asked::Refused { attempt } => {
            tracing::warn!(order = charge.order, attempt, "payment refused");
            refuse(StatusCode::SERVICE_UNAVAILABLE, &format!("attempt {attempt} is refused, as asked"))
        }
        Asked::Charged => {
            tracing::info!(order = charge.order, cents = charge.cents, "payment taken");
            (StatusCode::CREATED, Json(json!({ "order": charge.order, "charged": true }))).into_response()
        }
        Asked::Again => {
            tracing::info!(order = charge.order, "payment was taken before");
            (StatusCode::OK, Json(json!({ "order": charge.order, "charged": false }))).into_response()
        }
    }
}

fn refuse(code: StatusCode, problem: &str) -> Response {
    (code, Json(json!({ "error": problem }))).into_response()
}

/// What `x-fail` asks for; without it nothing fails.
pub(crate) fn failing(headers: &HeaderMap) -> Result<u32, String> {
    let Some(value) = headers.get(FAIL) else { return Ok(0) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| format!("{FAIL}: {value:?}; accepted is a number of attempts"))
}

/// What has been asked for, by order.
#[derive(Default)]
struct Book {
    orders: HashMap<String, Known>,
    oldest_first: VecDeque<String>,
}

#[derive(Default)]
struct Known {
    attempts: u32,
    charged: bool,
}

enum Asked {
    Refused { attempt: u32 },
    Charged,
    Again,
}

impl Book {
    fn ask(&mut self, key: &str, failing: u32) -> Asked {
        if !self.orders.contains_key(key) {
            self.oldest_first.push_back(key.to_owned());
            if self.oldest_first.len() > ORDERS_KEPT {
                self.oldest_first.pop_front().map(|oldest| self.orders.remove(&oldest));
            }
        }
        let known = self.orders.entry(key.to_owned()).or_default();
        known.attempts = known.attempts.saturating_add(1);
        if known.attempts <= failing {
            Asked::Refused { attempt: known.attempts }
        } else if std::mem::replace(&mut known.charged, true) {
            Asked::Again
        } else {
            Asked::Charged
        }
    }
}

/// How the shop reaches the service: again when it fails, and not at all for a while when it fails too often.
#[derive(Clone)]
pub(crate) struct Client {
    calls: Calls,
    url: String,
}

/// Why an order could not be paid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChargeError {
    #[error("payments gave no answer: {0}")]
    NoAnswer(calls::Error),
    #[error("payments answered {0}")]
    Refused(StatusCode),
}

impl Client {
    pub(crate) fn new(address: SocketAddr, breaker: Breaker) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let policy = Policy::new("payments")
            .with_deadline(Duration::from_secs(10))
            .with_retry(Retry::new())
            .with_breaker(breaker)
            // payments' slowness may take so many of the shop's requests, and no more
            .with_bulkhead(Bulkhead::builder("payments", 256).with_max_wait(Duration::from_secs(2)).build())
            .with_timeout(Duration::from_secs(2));
        let calls = Calls::new(policy.layer().layer(calls::observed(http)));
        Ok(Self { calls, url: format!("http://{address}/payments") })
    }

    /// Asks for the payment of an order, of which the first `failing` attempts shall be refused.
    pub(crate) async fn charge(&self, order: i64, cents: i64, failing: u32) -> Result<(), ChargeError> {
        let charge = serde_json::to_vec(&Charge { order, cents })
            .map_err(|error| ChargeError::NoAnswer(error.into()))?;
        let mut request = Request::post(&self.url)
            .extension(UrlTemplate("/payments"))
            .header("content-type", "application/json")
            // the key makes a POST repeatable
            .header(IDEMPOTENCY_KEY, order);
        if failing > 0 {
            request = request.header(FAIL, failing);
        }
        let request =
            request.body(Bytes::from(charge)).map_err(|error| ChargeError::NoAnswer(error.into()))?;
        let response = self.calls.clone().oneshot(request).await.map_err(ChargeError::NoAnswer)?;
        let status = response.status();
        // read to its end: the connection is used again
        response.into_body().collect().await.map_err(ChargeError::NoAnswer)?;
        if status.is_success() { Ok(()) } else { Err(ChargeError::Refused(status)) }
    }
}
