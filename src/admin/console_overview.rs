//! The console's first view: rates by route, what is active, health, and the store itself.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::{HeaderValue, header};
use opentelemetry::Key;
use opentelemetry_semantic_conventions::resource::{SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION};
use serde_json::{Value, json};

use super::{
    Window,
    console::{fullness, off},
    endpoints::{gone, rfc3339},
};
use crate::{
    console::{Console, RouteRate, StepRate},
    health::{Phase, READY, Status},
    requests::Kind,
    telemetry::Inner,
};

/// One overview serves all who ask within this time.
const FRESH: Duration = Duration::from_millis(500);
/// Checks are asked this often at most, whoever looks.
const ASKED: Duration = Duration::from_secs(5);

/// What was shown last.
#[derive(Debug, Default)]
pub(super) struct Shown {
    overview: Mutex<Option<(Instant, Bytes)>>,
    health: Mutex<Option<(Instant, Value)>>,
}

impl Shown {
    fn fresh<T: Clone>(slot: &Mutex<Option<(Instant, T)>>, limit: Duration) -> Option<T> {
        let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().filter(|(at, _)| at.elapsed() < limit).map(|(_, shown)| shown.clone())
    }

    fn keep<T>(slot: &Mutex<Option<(Instant, T)>>, shown: T) {
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), shown));
    }
}

/// `GET /console/api/overview`.
pub(super) async fn overview(State(window): State<Window>) -> Response {
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    match text(&window, inner.clone()).await {
        Some(body) => {
            let json = HeaderValue::from_static("application/json");
            ([(header::CONTENT_TYPE, json)], body).into_response()
        }
        None => off(&inner),
    }
}

/// The overview in JSON; `None` without a store.
pub(super) async fn text(window: &Window, inner: Arc<Inner>) -> Option<Bytes> {
    inner.console.get()?;
    if let Some(shown) = Shown::fresh(&window.shown.overview, FRESH) {
        return Some(shown);
    }
    let health = health(window).await;
    let made = tokio::task::spawn_blocking(move || {
        let console = inner.console.get()?;
        Some(Bytes::from(body(&inner, console, &health).to_string()))
    });
    let made = made.await.ok().flatten()?;
    Shown::keep(&window.shown.overview, made.clone());
    Some(made)
}

fn body(inner: &Inner, console: &Console, health: &Value) -> Value {
    let attribute =
        |name| inner.resource.get(&Key::from_static_str(name)).map(|value| value.as_str().into_owned());
    let (routes, series) = console.rates();
    json!({
        "service": {
            "name": attribute(SERVICE_NAME),
            "version": attribute(SERVICE_VERSION),
            "instance": attribute(SERVICE_INSTANCE_ID),
        },
        "window_seconds": 60,
        "note": "rates and percentiles are of sampled server spans: a request that is not sampled is not counted",
        "routes": routes.iter().map(route).collect::<Vec<_>>(),
        "series": series.iter().map(step).collect::<Vec<_>>(),
        "active": {
            "requests": inner.registry.totals(Kind::Request).active(),
            "tasks": inner.registry.totals(Kind::Task).active(),
        },
        "health": health,
        "store": fullness(&console.fullness()),
    })
}

fn route(route: &RouteRate) -> Value {
    let [p50, p95, p99] = route.percentiles;
    json!({
        "method": route.method, "route": route.route, "requests": route.requests, "errors": route.errors,
        "rate": route.rate, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99,
    })
}

fn step(step: &StepRate) -> Value {
    json!({
        "at": rfc3339(step.at), "requests": step.requests, "errors": step.errors,
        "p50_ms": step.p50, "p95_ms": step.p95,
    })
}

/// Whether traffic may come, and which checks fail.
async fn health(window: &Window) -> Value {
    if let Some(shown) = Shown::fresh(&window.shown.health, ASKED) {
        return shown;
    }
    let health = &window.health;
    let report = health.ask(None, &[]).await;
    let failing: Vec<&str> = report
        .results
        .iter()
        .filter(|result| result.status == Status::Fail)
        .map(|result| result.name.as_str())
        .collect();
    let checks = health.remembered(Some(READY), &[]);
    let passes = checks.is_none_or(|report| report.status != Status::Fail);
    let shown = json!({ "ready": health.phase() == Phase::Ready && passes, "failing": failing });
    Shown::keep(&window.shown.health, shown.clone());
    shown
}
