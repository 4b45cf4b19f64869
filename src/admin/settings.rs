//! `/environment` and `/loglevel`: with which settings this runs, and the one setting that can be changed.

use std::time::Duration;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Window,
    endpoints::{gone, rfc3339},
};
use crate::telemetry::Inner;

pub(super) async fn environment(State(window): State<Window>) -> Response {
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    // files are read and every value is looked through: not on the thread that answers for liveness
    let runtime = tokio::runtime::Handle::current();
    let shown = tokio::task::spawn_blocking(move || runtime.block_on(inner.show_environment()));
    match shown.await {
        Ok(shown) => axum::Json(shown).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the reading ended early\n").into_response(),
    }
}

pub(super) async fn log_level(State(window): State<Window>) -> Response {
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    axum::Json(filter(&inner)).into_response()
}

fn filter(inner: &Inner) -> Value {
    let filter = inner.log_level.get();
    let changes: Vec<_> = filter
        .changes
        .into_iter()
        .map(|(at, directives)| json!({ "at": rfc3339(at), "filter": directives }))
        .collect();
    json!({ "filter": filter.directives, "reverts_at": filter.reverts_at.map(rfc3339), "changes": changes })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    filter: String,
    #[serde(default)]
    for_seconds: Option<u64>,
}

/// The content type is not asked for: `curl -X PUT -d` sends another one.
pub(super) async fn set_log_level(State(window): State<Window>, body: Bytes) -> Response {
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    let wanted: Wanted = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => {
            let problem =
                format!("{error}; accepted is {{\"filter\":\"info,my_crate=debug\",\"for_seconds\":60}}\n");
            return (StatusCode::BAD_REQUEST, problem).into_response();
        }
    };
    match inner.log_level.set(&wanted.filter, wanted.for_seconds.map(Duration::from_secs)) {
        Ok(()) => axum::Json(filter(&inner)).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}
