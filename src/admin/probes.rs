//! What a prober asks: liveness from memory, readiness and startup with their checks, and all checks at once.

use std::{collections::HashSet, time::SystemTime};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{
    Window,
    answers::{self, Answer, Asked},
    endpoints::{gone, millis, rfc3339},
};
use crate::{
    health::{Answering, Health, Phase, Probe, READY, Report, STARTUP, Status, startup},
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

/// Without the telemetry, which may have ended: what lives, lives.
pub(super) async fn health(State(window): State<Window>, request: Request) -> Response {
    let asker = Asker::new(&window, &request);
    let health = &window.health;
    let word = match (health.is_gone(), health.is_stalled()) {
        (true, _) => "gone",
        (false, true) => "stalled",
        (false, false) => "ok",
    };
    let (status, code) = match word {
        "ok" => (Status::Pass, StatusCode::OK),
        _ => (Status::Fail, StatusCode::SERVICE_UNAVAILABLE),
    };
    let report = Report { status, results: Vec::new() };
    let mut json = json!({ "status": word });
    if asker.trusted {
        json["timestamp"] = rfc3339(SystemTime::now()).into();
        json["ready"] = (health.phase() == Phase::Ready).into();
        json["heartbeat_age_ms"] = health.heartbeat_age().map(millis).into();
    }
    let words = [("runtime", status, word.to_owned())];
    asker.answer(health, &Answer { probe: Probe::Liveness, code, report: &report, words: &words, json })
}

pub(super) async fn ready(State(window): State<Window>, request: Request) -> Response {
    let phase = window.health.phase();
    let said = match phase {
        Phase::Ready => "serving",
        Phase::Starting => "starting",
        Phase::Draining => "draining",
    };
    let own = Own { passed: phase == Phase::Ready, said: said.to_owned() };
    answer_group(&window, request, (Probe::Readiness, READY), own, phase == Phase::Draining).await
}

pub(super) async fn started(State(window): State<Window>, request: Request) -> Response {
    let running: Vec<_> =
        startup::phases().into_iter().filter(|phase| phase.ended.is_none()).map(|phase| phase.name).collect();
    let passed = window.health.is_started();
    let said = match (passed, running.is_empty()) {
        (true, _) => "started".to_owned(),
        (false, true) => "starting".to_owned(),
        (false, false) => format!("starting: {}", running.join(", ")),
    };
    answer_group(&window, request, (Probe::Startup, STARTUP), Own { passed, said }, false).await
}

/// The service's own word.
struct Own {
    passed: bool,
    said: String,
}

/// The service's word and the checks of a group; `decided` when the checks cannot change anything any more.
async fn answer_group(
    window: &Window,
    request: Request,
    (probe, group): (Probe, &str),
    own: Own,
    decided: bool,
) -> Response {
    let asker = Asker::new(window, &request);
    let health = &window.health;
    let exclude = &asker.asked.exclude;
    let status = if own.passed { Status::Pass } else { Status::Fail };
    let mut report = match decided {
        true => Report { status, results: Vec::new() },
        false => {
            // in a storm, checks without a cache say what they last said
            let remembered =
                if window.probes.allows() { None } else { health.remembered(Some(group), exclude) };
            match remembered {
                Some(report) => report,
                None => health.ask(Some(group), exclude).await,
            }
        }
    };
    report.status = report.status.max(status);
    let code = health.status_codes().of(report.status);
    let words = [("service", status, own.said)];
    let mut json = json!({ "status": answers::word(report.status) });
    if asker.trusted {
        json = answers::json(&report, &words);
        if probe == Probe::Startup {
            json["phases"] = phases();
        }
        hide(window, &mut json);
    }
    asker.answer(health, &Answer { probe, code, report: &report, words: &words, json })
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

/// `/healthcheck`: every check. Only trusted callers get here.
pub(super) async fn healthcheck(State(window): State<Window>, request: Request) -> Response {
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    let asker = Asker::new(&window, &request);
    let health = &window.health;
    let report = health.ask(asker.asked.group.as_deref(), &asker.asked.exclude).await;
    let code = health.status_codes().of(report.status);
    let mut json = answers::json(&report, &[]);
    json["version"] = version(&inner);
    json["disabled"] = json!(health.disabled());
    if !asker.asked.is_text() {
        for (name, section) in health.sections().read(&HashSet::from_iter(asker.asked.exclude.clone())).await
        {
            json[name] = section;
        }
    }
    hide(&window, &mut json);
    let about = about(&inner);
    let answer = Answer { probe: Probe::All, code, report: &report, words: &[], json };
    asker.answer_about(health, &answer, &about)
}

fn version(inner: &Inner) -> Value {
    resource(inner, "service.version")
        .or_else(|| inner.environment.build().map(|build| build.version.to_owned()))
        .into()
}

fn resource(inner: &Inner, key: &'static str) -> Option<String> {
    inner.resource.get(&opentelemetry::Key::from_static_str(key)).map(|value| value.to_string())
}

/// Who is asked, as `application/health+json` has it.
fn about(inner: &Inner) -> Value {
    let name = resource(inner, "service.name").unwrap_or_default();
    let commit = inner.environment.build().and_then(|build| build.git_commit);
    json!({
        "version": version(inner),
        "releaseId": commit,
        "serviceId": resource(inner, "service.instance.id"),
        "description": format!("health of {name}"),
    })
}

/// A check's message may be an error's, and an error may tell a password.
fn hide(window: &Window, shown: &mut Value) {
    if let Some(inner) = window.telemetry.upgrade() {
        answers::hide(shown, inner.pipeline.redactor());
    }
}

/// Who asks, and for what.
struct Asker<'a> {
    trusted: bool,
    asked: Asked,
    headers: &'a HeaderMap,
}

impl<'a> Asker<'a> {
    fn new(window: &Window, request: &'a Request) -> Self {
        let trusted = window.access.trusts(request);
        let mut asked = Asked::read(request.uri().query(), request.headers());
        if !trusted {
            asked.only_form();
        }
        Self { trusted, asked, headers: request.headers() }
    }

    fn answer(&self, health: &Health, answer: &Answer<'_>) -> Response {
        self.answer_about(health, answer, &Value::Null)
    }

    fn answer_about(&self, health: &Health, answer: &Answer<'_>, about: &Value) -> Response {
        let (media_type, body) = answer.render(&self.asked, self.trusted, about);
        let answering = Answering {
            probe: answer.probe,
            status: answer.report.status,
            trusted: self.trusted,
            results: if self.trusted { &answer.report.results } else { &[] },
            headers: self.headers,
        };
        let mut response = http::Response::new(body);
        *response.status_mut() = answer.code;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        match health.renderer() {
            Some(renderer) => renderer.render(&answering, response).into_response(),
            None => response.into_response(),
        }
    }
}
