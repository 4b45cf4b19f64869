//! The console's endpoints: what the store keeps, as JSON. Shapes are in `docs/console.md`.

use axum::{
    Router,
    extract::{Path, Request, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderValue, StatusCode, Uri, header};
use opentelemetry::TraceId;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Window, console_events, console_overview,
    console_query::{self as query, Parameters},
    endpoints::{gone, rfc3339},
    requests,
};
use crate::{
    console::{Console, Fullness, LogsBody, MetricsBody, ShownTrace, TracesBody},
    telemetry::Inner,
};

/// The paths below `/console/api`; access is the caller's business.
pub(super) fn router() -> Router<Window> {
    Router::new()
        .route("/console/api/overview", get(console_overview::overview))
        .route("/console/api/traces", get(traces))
        .route("/console/api/traces/{trace_id}", get(trace))
        .route("/console/api/traces/{trace_id}/logs", get(trace_logs))
        .route("/console/api/traces/{trace_id}/requests", get(trace_requests))
        .route("/console/api/logs", get(logs))
        .route("/console/api/metrics", get(metrics))
        .route("/console/api/metrics/{name}", get(metric))
        .route("/console/api/configuration", get(configuration))
        .route("/console/api/links", get(links))
        .route("/console/api/events", get(console_events::events))
}

/// Why there is no answer.
pub(super) enum Problem {
    /// The caller's mistake.
    Bad(String),
    /// Nothing of this name.
    Unknown(&'static str),
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Self::Bad(problem)
    }
}

impl Problem {
    pub(super) fn response(self) -> Response {
        match self {
            Self::Bad(problem) => error(StatusCode::BAD_REQUEST, &problem),
            Self::Unknown(problem) => error(StatusCode::NOT_FOUND, problem),
        }
    }
}

pub(super) fn error(status: StatusCode, problem: &str) -> Response {
    (status, axum::Json(json!({ "error": problem }))).into_response()
}

/// What there is to say where nothing is kept.
pub(super) fn off(inner: &Inner) -> Response {
    let problem = match inner.config.disabled {
        true => "the console's store is off: OTEL_SDK_DISABLED=true switches everything off",
        false => "the console's store is off: set TRACEWELL_CONSOLE=true",
    };
    error(StatusCode::NOT_FOUND, problem)
}

/// Answers from the store. Searching and writing JSON is not for the thread that answers for liveness.
async fn answer<B: Serialize + Send + 'static>(
    window: &Window,
    work: impl FnOnce(&Inner, &Console) -> Result<B, Problem> + Send + 'static,
) -> Response {
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    if inner.console.get().is_none() {
        return off(&inner);
    }
    let worked = tokio::task::spawn_blocking(move || {
        let console = inner.console.get()?;
        Some(work(&inner, console).map(|body| serde_json::to_vec(&body)))
    });
    match worked.await {
        Ok(Some(Ok(Ok(body)))) => json_text(body),
        Ok(Some(Err(problem))) => problem.response(),
        Ok(None) => gone(),
        Ok(Some(Ok(Err(_)))) | Err(_) => {
            error(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made")
        }
    }
}

pub(super) fn json_text(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

async fn traces(State(window): State<Window>, uri: Uri) -> Response {
    answer(&window, move |_, console| {
        let (filter, before, limit) = query::traces(&uri)?;
        let (found, next) = console.traces(&filter, before, limit);
        let traces: Vec<Value> = found.iter().map(summary).collect();
        Ok(json!({ "traces": traces, "next": next.map(|next| next.to_string()) }))
    })
    .await
}

/// A trace in a list.
pub(super) fn summary(summary: &ShownTrace) -> Value {
    let mut shown = json!({
        "trace_id": summary.id.to_string(),
        "name": summary.name(),
        "method": summary.method(),
        "route": summary.route(),
        "status_code": summary.status_code(),
        "outcome": summary.outcome(),
        "started_at": rfc3339(summary.started()),
        "duration_ms": summary.duration().as_secs_f64() * 1e3,
        "spans": summary.spans,
        "errors": summary.errors,
        "logs": summary.logs,
        "root": summary.has_root(),
    });
    if summary.spans_dropped > 0 {
        shown["spans_dropped"] = summary.spans_dropped.into();
    }
    shown
}

const UNKNOWN: Problem = Problem::Unknown("no trace with this id is kept");

fn id(path: &str) -> Result<TraceId, Problem> {
    query::trace_id(path)
        .ok_or_else(|| Problem::Bad(format!("trace id {path:?}; accepted are 32 hexadecimal digits")))
}

async fn trace(State(window): State<Window>, Path(path): Path<String>, uri: Uri) -> Response {
    let wanted = Parameters::read(&uri, &["download"]).map(|asked| asked.is_set("download"));
    let download = match wanted {
        Ok(download) => download,
        Err(problem) => return Problem::Bad(problem).response(),
    };
    let name = path.to_ascii_lowercase();
    let mut response = answer(&window, move |inner, console| {
        let spans = console.spans(id(&path)?).ok_or(UNKNOWN)?;
        Ok(TracesBody::new(spans, &inner.resource))
    })
    .await;
    if download && response.status() == StatusCode::OK {
        // hexadecimal digits, or there would be no such trace
        if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"trace-{name}.json\"")) {
            response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
        }
    }
    response
}

async fn trace_logs(State(window): State<Window>, Path(path): Path<String>) -> Response {
    answer(&window, move |inner, console| {
        let id = id(&path)?;
        let mut logs = console.logs_of(id);
        if logs.is_empty() && !console.has_spans(id) {
            return Err(UNKNOWN);
        }
        logs.sort_by_key(|log| log.record.timestamp());
        Ok(LogsBody::new(&logs, &inner.resource))
    })
    .await
}

async fn trace_requests(
    State(window): State<Window>,
    Path(path): Path<String>,
    request: Request,
) -> Response {
    let reveal = window.access.has_token(&request);
    answer(&window, move |inner, _| {
        let id = id(&path)?;
        Ok(requests::of_trace(inner, reveal, id.to_string()))
    })
    .await
}

#[derive(Serialize)]
struct LogPage {
    #[serde(flatten)]
    logs: LogsBody,
    next: Option<String>,
}

async fn logs(State(window): State<Window>, uri: Uri) -> Response {
    answer(&window, move |inner, console| {
        let (filter, before, limit) = query::logs(&uri)?;
        let (found, next) = console.logs(&filter, before, limit);
        Ok(LogPage { logs: LogsBody::new(&found, &inner.resource), next: next.map(|next| next.to_string()) })
    })
    .await
}

async fn metrics(State(window): State<Window>) -> Response {
    answer(&window, move |_, console| {
        let mut instruments: Vec<Value> = Vec::new();
        for listed in console.metrics() {
            let about = &listed.about;
            let last_at = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(listed.last_at);
            // meters may share a name: one line, as on any page of Prometheus
            match instruments.last_mut().filter(|last| last["name"] == about.name.as_str()) {
                Some(last) => {
                    let series = last["series"].as_u64().unwrap_or(0) + listed.series as u64;
                    last["series"] = series.into();
                }
                None => instruments.push(json!({
                    "name": about.name, "description": about.description, "unit": about.unit,
                    "kind": about.shape.kind(), "series": listed.series, "last_at": rfc3339(last_at),
                })),
            }
        }
        Ok(json!({ "instruments": instruments }))
    })
    .await
}

async fn metric(State(window): State<Window>, Path(name): Path<String>, uri: Uri) -> Response {
    answer(&window, move |inner, console| {
        let excerpts = console.metric(&name, query::readings(&uri)?);
        if excerpts.is_empty() {
            return Err(Problem::Unknown("no metric of this name is kept"));
        }
        Ok(MetricsBody::new(&excerpts, &inner.resource))
    })
    .await
}

/// Without the store too: nothing of it is in here.
async fn configuration(State(window): State<Window>) -> Response {
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    let (_, explanation) = inner.reload.current();
    let settings: Vec<Value> = explanation
        .settings
        .iter()
        .map(|setting| {
            let mut shown =
                json!({ "name": setting.name, "value": setting.value, "source": setting.source() });
            if let Some(mistake) = &setting.mistake {
                shown["mistake"] = mistake.to_string().into();
            }
            shown
        })
        .collect();
    let others: Vec<String> = explanation.others.iter().map(ToString::to_string).collect();
    axum::Json(json!({ "settings": settings, "mistakes": others })).into_response()
}

/// Without the store too.
async fn links(State(window): State<Window>) -> Response {
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    let links = &inner.config.admin.console_store.links;
    let links: Vec<Value> =
        links.iter().map(|link| json!({ "label": link.label, "url": link.url })).collect();
    axum::Json(json!({ "links": links })).into_response()
}

/// How full the store is.
pub(super) fn fullness(fullness: &Fullness) -> Value {
    let fill = &fullness.fill;
    json!({
        "bytes": fullness.bytes,
        "limit_bytes": fullness.limit,
        "max_age_seconds": fullness.max_age.as_secs_f64(),
        "traces": fill.traces,
        "spans": fill.spans,
        "logs": fill.logs,
        "metric_points": fullness.points,
        "evicted_traces": fill.evicted_traces,
        "evicted_logs": fill.evicted_logs,
        "dropped_spans": fill.dropped_spans + fullness.lost.0,
        "dropped_logs": fullness.lost.1,
    })
}
