//! What a prober asks: liveness from memory, readiness and startup with their checks, and all checks at once.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::SystemTime,
};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::{
    Window,
    endpoints::{gone, millis, rfc3339},
};
use crate::{
    health::{CheckResult, Phase, READY, Report, STARTUP, Status, startup},
    telemetry::Inner,
};

/// The paths that strangers may ask; each also answers HEAD.
pub(super) fn router() -> Router<Window> {
    Router::new()
        .route("/health", get(health))
        .route("/livez", get(health))
        .route("/ready", get(ready))
        .route("/readyz", get(ready))
        .route("/startup", get(started))
}

async fn health(State(window): State<Window>, request: Request) -> Response {
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    let stalled = inner.health.is_stalled();
    let code = if stalled { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let status = if stalled { "stalled" } else { "ok" };
    if !window.access.trusts(&request) {
        return (code, axum::Json(json!({ "status": status }))).into_response();
    }
    let body = json!({
        "status": status,
        "timestamp": rfc3339(SystemTime::now()),
        "ready": inner.health.phase() == Phase::Ready,
        "heartbeat_age_ms": inner.health.heartbeat_age().map(millis),
    });
    (code, axum::Json(body)).into_response()
}

async fn ready(State(window): State<Window>, request: Request) -> Response {
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    let (passed, output) = match inner.health.phase() {
        Phase::Ready => (true, "serving"),
        Phase::Starting => (false, "starting"),
        Phase::Draining => (false, "draining"),
    };
    let service = service(passed, output);
    answer_group(&window, &inner, request, READY, service, inner.health.phase() == Phase::Draining).await
}

async fn started(State(window): State<Window>, request: Request) -> Response {
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    let running: Vec<_> =
        startup::phases().into_iter().filter(|phase| phase.ended.is_none()).map(|phase| phase.name).collect();
    let passed = inner.health.is_started();
    let service = match (passed, running.is_empty()) {
        (true, _) => service(true, "started"),
        (false, true) => service(false, "starting"),
        (false, false) => service(false, &format!("starting: {}", running.join(", "))),
    };
    answer_group(&window, &inner, request, STARTUP, service, false).await
}

/// The service's own word, in the form of a check.
fn service(passed: bool, output: &str) -> Value {
    json!({
        "checker": "service", "passed": passed, "status": if passed { "pass" } else { "fail" }, "critical": true,
        "output": output, "cached": false, "duration_ms": 0.0, "age_ms": 0,
    })
}

/// The service's word and the checks of a group; `decided` when the checks cannot change anything any more.
async fn answer_group(
    window: &Window,
    inner: &Inner,
    request: Request,
    group: &str,
    service: Value,
    decided: bool,
) -> Response {
    let trusted = window.access.trusts(&request);
    let asked = if trusted { Asked::read(request.uri().query()) } else { Asked::default() };
    let mut report = match decided {
        true => Report { status: Status::Fail, results: Vec::new() },
        false => inner.health.ask(Some(group), &asked.exclude).await,
    };
    if service["passed"] == false {
        report.status = Status::Fail;
    }
    let code = inner.health.status_codes().of(report.status);
    if !trusted {
        return (code, axum::Json(json!({ "status": word(report.status) }))).into_response();
    }
    let mut body = body(&report, Some(service));
    if group == STARTUP {
        body.insert("phases".into(), phases());
    }
    if asked.verbose { verbose(code, &body) } else { (code, axum::Json(body)).into_response() }
}

fn phases() -> Value {
    let phases = startup::phases().into_iter().map(|phase| {
        json!({
            "name": phase.name,
            "begun_ms": millis(phase.begun),
            "duration_ms": phase.ended.map(|ended| millis(ended.saturating_sub(phase.begun))),
            "running": phase.ended.is_none(),
            "panicked": phase.panicked,
        })
    });
    phases.collect()
}

/// `/healthcheck`: every check, for trusted callers.
pub(super) async fn healthcheck(State(window): State<Window>, request: Request) -> Response {
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    let asked = Asked::read(request.uri().query());
    let report = inner.health.ask(asked.group.as_deref(), &asked.exclude).await;
    let code = inner.health.status_codes().of(report.status);
    let version = version(&inner);
    if accepts(request.headers(), HEALTH_JSON) {
        let body = health_json(&report, &version);
        return (code, [(header::CONTENT_TYPE, HeaderValue::from_static(HEALTH_JSON))], body.to_string())
            .into_response();
    }
    let mut body = body(&report, None);
    if asked.verbose {
        return verbose(code, &body);
    }
    body.insert("version".into(), version);
    body.insert("disabled".into(), json!(inner.health.disabled()));
    for (name, section) in inner.health.sections() {
        let value = catch_unwind(AssertUnwindSafe(|| section()));
        body.insert(name, value.unwrap_or_else(|_| json!({ "error": "the section panicked" })));
    }
    (code, axum::Json(body)).into_response()
}

fn version(inner: &Inner) -> Value {
    let key = opentelemetry::Key::from_static_str("service.version");
    let named = inner.resource.get(&key).map(|version| version.to_string());
    named.or_else(|| inner.environment.build().map(|build| build.version.to_owned())).into()
}

fn word(status: Status) -> &'static str {
    if status == Status::Fail { "failure" } else { "success" }
}

fn body(report: &Report, service: Option<Value>) -> Map<String, Value> {
    let results: Vec<Value> = service.into_iter().chain(report.results.iter().map(result)).collect();
    let mut body = Map::new();
    body.insert("status".into(), word(report.status).into());
    body.insert("timestamp".into(), rfc3339(SystemTime::now()).into());
    body.insert("results".into(), results.into());
    body
}

fn result(result: &CheckResult) -> Value {
    json!({
        "checker": result.name,
        "passed": result.status != Status::Fail,
        "status": result.status.as_str(),
        "critical": result.critical,
        "output": result.message,
        "data": result.data,
        "cached": result.cached,
        "duration_ms": duration_ms(result),
        "age_ms": millis(result.age),
    })
}

fn duration_ms(result: &CheckResult) -> f64 {
    (result.duration.as_secs_f64() * 1e6).round() / 1e3
}

const HEALTH_JSON: &str = "application/health+json";

/// draft-inadarei-api-health-check-06.
fn health_json(report: &Report, version: &Value) -> Value {
    let checks: Map<String, Value> = report
        .results
        .iter()
        .map(|result| {
            let time = SystemTime::now().checked_sub(result.age).map(rfc3339);
            let mut check = json!({
                "status": result.status.as_str(), "time": time,
                "observedValue": duration_ms(result), "observedUnit": "ms",
            });
            // the draft omits the output of what passes
            if result.status != Status::Pass {
                check["output"] = result.message.clone().into();
            }
            (format!("{}:responseTime", result.name), json!([check]))
        })
        .collect();
    json!({ "status": report.status.as_str(), "version": version, "checks": checks })
}

/// The text of Kubernetes' own endpoints: `[+]database ok`.
fn verbose(code: StatusCode, body: &Map<String, Value>) -> Response {
    let mut text = String::new();
    for result in body["results"].as_array().into_iter().flatten() {
        let (sign, word) = if result["passed"] == true { ('+', "ok") } else { ('-', "failed") };
        let line = |value: &Value| value.as_str().unwrap_or_default().replace(['\n', '\r'], " ");
        text.push_str(&format!("[{sign}]{} {word}: {}\n", line(&result["checker"]), line(&result["output"])));
    }
    text.push_str(if body["status"] == "success" { "check passed\n" } else { "check failed\n" });
    (code, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|accepted| accepted.to_ascii_lowercase().contains(wanted))
}

/// What the query asks for; what is unknown is passed over, as Kubernetes does.
#[derive(Debug, Default)]
struct Asked {
    verbose: bool,
    exclude: Vec<String>,
    group: Option<String>,
}

impl Asked {
    fn read(query: Option<&str>) -> Self {
        let mut asked = Self::default();
        for pair in query.unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy();
            match name {
                "verbose" => asked.verbose = !matches!(&*value, "false" | "0"),
                "exclude" => asked.exclude.extend(value.split(',').map(|name| name.trim().to_owned())),
                "group" => asked.group = Some(value.into_owned()),
                _ => {}
            }
        }
        asked
    }
}
