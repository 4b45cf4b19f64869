//! The endpoints: data in, bytes out.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get, post},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{Endpoint, Window, console, page, probes, requests, resilience, settings};
use crate::{
    diagnostics,
    pipeline::{LogLines, SignalReport, Take, openmetrics},
    runtime,
    telemetry::Inner,
    timestamp,
};

pub(super) fn router(window: Window) -> Router {
    let guarded = Router::new()
        .route("/", get(index))
        .route("/debug/requests", get(requests::list))
        .route("/debug/requests/{id}", get(requests::detail).delete(requests::cancel))
        .route("/debug/requests/{id}/cancel", post(requests::cancel))
        .route("/debug/resilience", get(resilience::resilience))
        .route("/metrics", get(metrics))
        .route("/telemetry", get(telemetry))
        .route("/healthcheck", get(probes::healthcheck))
        .route("/environment", get(settings::environment))
        .route("/loglevel", get(settings::log_level).put(settings::set_log_level))
        .merge(console::router())
        .route_layer(middleware::from_fn_with_state(window.clone(), refuse_strangers));
    // constants cost nothing: a page that loads them all leaves the limit to what does
    let assets = page::assets().route_layer(middleware::from_fn_with_state(window.clone(), only_trusted));
    finish(probes::router().merge(guarded).merge(assets), window)
}

/// The paths of probes alone.
pub(super) fn probe_paths(window: Window) -> Router {
    finish(probes::router(), window)
}

/// `/metrics` alone, for trusted callers.
pub(super) fn guarded_metrics(window: Window) -> Router {
    let guard = middleware::from_fn_with_state(window.clone(), refuse_strangers);
    finish(Router::new().route("/metrics", get(metrics)).route_layer(guard), window)
}

/// `/metrics` alone, for whoever scrapes: what `OTEL_METRICS_EXPORTER=prometheus` serves.
pub(super) fn scraped(window: Window) -> Router {
    finish(Router::new().route("/metrics", get(metrics)), window)
}

/// One endpoint at whatever path it is asked.
pub(super) fn one(endpoint: Endpoint, window: Window) -> MethodRouter {
    let (methods, is_guarded) = match endpoint {
        Endpoint::Liveness => (get(probes::health), false),
        Endpoint::Readiness => (get(probes::ready), false),
        Endpoint::Startup => (get(probes::started), false),
        Endpoint::Healthcheck => (get(probes::healthcheck), true),
        Endpoint::Environment => (get(settings::environment), true),
        Endpoint::Metrics => (get(metrics), true),
        Endpoint::Telemetry => (get(telemetry), true),
        Endpoint::LogLevel => (get(settings::log_level).put(settings::set_log_level), true),
        Endpoint::Requests => (get(requests::list), true),
    };
    let methods = match is_guarded {
        true => methods.layer(middleware::from_fn_with_state(window.clone(), refuse_strangers)),
        false => methods,
    };
    methods.layer(middleware::map_response(harden)).with_state(window)
}

fn finish(router: Router<Window>, window: Window) -> Router {
    router.layer(middleware::map_response(harden)).with_state(window)
}

async fn refuse_strangers(State(window): State<Window>, request: Request, next: Next) -> Response {
    // on these paths alone: a probe is answered from memory, however many there are
    if window.access.trusts(&request) && !window.limit.allows() {
        let later = [(header::RETRY_AFTER, "1")];
        return (StatusCode::TOO_MANY_REQUESTS, later, "too many requests\n").into_response();
    }
    only_trusted(State(window), request, next).await
}

async fn only_trusted(State(window): State<Window>, request: Request, next: Next) -> Response {
    if window.access.trusts(&request) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::FORBIDDEN, challenge, "only trusted addresses, or the admin token as a bearer token\n")
        .into_response()
}

/// Nothing here is for a frame or a browser's guess at its type, nor, unless it says so itself, for a cache or scripts.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy =
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    response
}

/// Telemetry is gone: the process is about to be.
pub(super) fn gone() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "telemetry has ended\n").into_response()
}

async fn index(State(window): State<Window>) -> Response {
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    page::index(&inner)
}

async fn metrics(State(window): State<Window>, headers: HeaderMap) -> Response {
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    let accept: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format =
        openmetrics::Format::negotiate(Some(accept.join(",")).filter(|accept| !accept.is_empty()).as_deref());
    // callbacks are the user's and may block: not on the thread that answers for liveness
    let page = tokio::task::spawn_blocking(move || scrape(&inner, format)).await;
    match page {
        Ok(Ok(page)) => {
            let content_type = HeaderValue::from_static(format.content_type());
            ([(header::CONTENT_TYPE, content_type)], Body::from(page)).into_response()
        }
        Ok(Err(problem)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{problem}\n")).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the collection ended early\n").into_response(),
    }
}

fn scrape(inner: &Arc<Inner>, format: openmetrics::Format) -> Result<String, String> {
    let _quiet = diagnostics::listen();
    let _suppressed = opentelemetry::Context::enter_telemetry_suppressed_scope();
    let request = inner.pipeline.scrape.collect(Take::Latest).map_err(|error| error.to_string())?;
    let mut page = String::new();
    let skipped = openmetrics::encode(&request, format, inner.config.metrics.page, &mut page);
    runtime::prometheus(&mut page, format.is_open(), |name| openmetrics::fixed_name(name, format));
    if skipped != openmetrics::Skipped::default() {
        diagnostics::warn(
            "scrape",
            format_args!("/metrics leaves out what Prometheus cannot express: {skipped:?}"),
        );
    }
    Ok(page)
}

async fn telemetry(State(window): State<Window>) -> Response {
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    let mut body = serde_json::Map::new();
    for report in inner.pipeline.reports() {
        body.insert(report.signal.to_string(), signal(&report));
    }
    if let Some(logs) = body.get_mut("logs").and_then(Value::as_object_mut) {
        let lines = inner.pipeline.log_lines().into_iter().map(|LogLines { sink, written, dropped, queued }| {
            json!({ "sink": sink, "written": written, "dropped": dropped, "queued": queued })
        });
        logs.insert("lines".to_owned(), lines.collect());
    }
    axum::Json(body).into_response()
}

fn signal(report: &SignalReport) -> Value {
    let account = &report.account;
    let losses: serde_json::Map<String, Value> =
        account.losses().map(|(reason, count)| (reason.as_str().to_owned(), count.into())).collect();
    let error = report.last_error.as_ref().map(|(at, cause)| json!({ "at": rfc3339(*at), "cause": cause }));
    json!({
        "state": report.state.as_str(),
        "endpoint": report.endpoint,
        "protocol": report.protocol,
        "emitted": account.emitted,
        "exported": account.exported,
        "dropped": account.dropped,
        "failed": account.failed,
        "queued": account.queued,
        "losses": losses,
        "last_error": error,
        "last_success": report.last_success.map(rfc3339),
    })
}

pub(super) fn rfc3339(time: SystemTime) -> String {
    let mut text = String::with_capacity(27);
    timestamp::rfc3339_micros(time, &mut text);
    text
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
