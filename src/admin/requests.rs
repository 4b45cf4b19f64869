//! `/debug/requests`: who is active, what ended last, one entry in full, and its end by an operator's will.

use std::time::Duration;

use axum::{
    extract::{FromRequestParts as _, Path, Query, Request, State},
    http::request::Parts,
    response::{IntoResponse as _, Response},
};
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Window, endpoints::gone, format::wants_json, page, requests_page};
use crate::{
    redaction::Redactor,
    requests::{ActiveEntry, EntryId, Found, History, Kind, Outcome, RecentEntry, Snapshot},
    tasks::Tasks,
    telemetry::Inner,
};

/// What the query asks for.
#[derive(Debug, Default, Deserialize)]
struct Wanted {
    min_age_ms: Option<u64>,
    route: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    stage: Option<String>,
    stuck: Option<bool>,
    outcome: Option<String>,
    trace_id: Option<String>,
}

/// The same, understood.
#[derive(Default)]
struct Filter {
    wanted: Wanted,
    kind: Option<Kind>,
    outcome: Option<Outcome>,
}

impl Filter {
    /// Reads a query; what is not accepted is said.
    fn read(uri: &http::Uri) -> Result<Self, String> {
        let Query(wanted) =
            Query::<Wanted>::try_from_uri(uri).map_err(|problem| format!("{}\n", problem.body_text()))?;
        let kind = match wanted.kind.as_deref() {
            None => None,
            Some("request") => Some(Kind::Request),
            Some("task") => Some(Kind::Task),
            Some(other) => return Err(format!("kind={other:?}; accepted are request and task\n")),
        };
        let outcome = match wanted.outcome.as_deref() {
            None => None,
            Some(word) => match Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == word) {
                Some(outcome) => Some(outcome),
                None => {
                    let accepted = "completed, failed, cancelled, panicked and aborted";
                    return Err(format!("outcome={word:?}; accepted are {accepted}\n"));
                }
            },
        };
        Ok(Self { wanted, kind, outcome })
    }

    /// What both lists can be filtered by.
    fn passes(&self, entry: &ActiveEntry) -> bool {
        let Wanted { route, name, trace_id, .. } = &self.wanted;
        route.as_deref().is_none_or(|route| entry.route.as_deref() == Some(route))
            && self.kind.is_none_or(|kind| entry.kind == kind)
            && name.as_deref().is_none_or(|name| entry.name == name)
            && trace_id.as_deref().is_none_or(|id| entry.trace_id.is_some_and(|own| own.to_string() == id))
    }

    /// The filters are for what is listed; totals stay what they are.
    fn apply(&self, snapshot: &mut Snapshot) {
        let Wanted { stage, stuck, min_age_ms, .. } = &self.wanted;
        let age = Duration::from_millis(min_age_ms.unwrap_or(0));
        snapshot.active.retain(|entry| {
            entry.age >= age
                && self.passes(entry)
                && (stage.is_none() || *stage == entry.stage.as_deref().map(str::to_owned))
                && stuck.is_none_or(|stuck| entry.stuck == stuck)
        });
        snapshot.recent.retain(|recent| {
            self.passes(&recent.entry) && self.outcome.is_none_or(|outcome| recent.outcome == outcome)
        });
    }

    fn apply_to_history(&self, history: &mut Vec<History>) {
        let Wanted { route, name, .. } = &self.wanted;
        history.retain(|group| {
            self.kind.is_none_or(|kind| group.kind == kind)
                && route.as_deref().is_none_or(|route| group.kind == Kind::Request && *group.name == *route)
                && name.as_deref().is_none_or(|name| group.kind == Kind::Task && *group.name == *name)
        });
    }
}

fn refused(problem: String) -> Response {
    (StatusCode::BAD_REQUEST, problem).into_response()
}

/// What a viewer may see: with the token, also what is marked sensitive.
struct Eyes<'a> {
    redactor: &'a Redactor,
    reveal: bool,
}

impl<'a> Eyes<'a> {
    fn of(window: &Window, inner: &'a Inner, request: &Request) -> Self {
        Self { redactor: inner.pipeline.redactor(), reveal: window.access.has_token(request) }
    }

    /// A path may hold a token, and an annotation anything.
    fn pass(&self, entry: &mut ActiveEntry) {
        entry.path = self.redactor.owned_text(std::mem::take(&mut entry.path));
        for annotation in &mut entry.annotations {
            if annotation.sensitive && self.reveal {
                *annotation = annotation.clone().revealed();
                continue;
            }
            let seen = self.redactor.value(&annotation.key, annotation.reveal());
            annotation.sensitive |= seen != annotation.reveal();
        }
    }

    /// The registry as it may be seen.
    fn look(&self, inner: &Inner, filter: &Filter) -> (Snapshot, Vec<History>) {
        let mut snapshot = inner.registry.snapshot();
        filter.apply(&mut snapshot);
        let recent = snapshot.recent.iter_mut().map(|recent| &mut recent.entry);
        snapshot.active.iter_mut().chain(recent).for_each(|entry| self.pass(entry));
        let mut history = inner.registry.history();
        filter.apply_to_history(&mut history);
        self.pass_history(&mut history);
        (snapshot, history)
    }

    fn everything(&self, inner: &Inner, filter: &Filter) -> Value {
        let (snapshot, history) = self.look(inner, filter);
        let tasks = Tasks::global();
        let mut body = json!(snapshot);
        body["groups"] = history.iter().map(group).collect();
        body["jobs"] = json!(tasks.jobs());
        body["task_counts"] = json!(tasks.counts());
        body
    }

    fn pass_history(&self, history: &mut [History]) {
        for group in history {
            let bands = group.latencies.iter_mut().map(|band| &mut band.recent);
            let lists = bands.chain([&mut group.errors, &mut group.given_up]);
            lists.flatten().for_each(|recent| self.pass(&mut recent.entry));
        }
    }
}

/// `GET /debug/requests`.
pub(super) async fn list(State(window): State<Window>, request: Request) -> Response {
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    let (filter, json) = match (Filter::read(request.uri()), wants_json(request.uri(), request.headers())) {
        (Ok(filter), Ok(json)) => (filter, json),
        (Err(problem), _) | (_, Err(problem)) => return refused(problem),
    };
    let eyes = Eyes::of(&window, &inner, &request);
    if json {
        return axum::Json(eyes.everything(&inner, &filter)).into_response();
    }
    let (snapshot, history) = eyes.look(&inner, &filter);
    let tasks = Tasks::global();
    page::html(requests_page::list(&snapshot, &history, &tasks.jobs(), &tasks.counts()))
}

/// What `GET /debug/requests` answers in JSON without filters; with `reveal` to whoever has given the token.
pub(super) fn everything(inner: &Inner, reveal: bool) -> Value {
    Eyes { redactor: inner.pipeline.redactor(), reveal }.everything(inner, &Filter::default())
}

/// The entries of one trace, as `/debug/requests` shows them.
pub(super) fn of_trace(inner: &Inner, reveal: bool, trace_id: String) -> Value {
    let wanted = Wanted { trace_id: Some(trace_id), ..Wanted::default() };
    let filter = Filter { wanted, ..Filter::default() };
    let (Snapshot { active, mut recent, .. }, history) =
        Eyes { redactor: inner.pipeline.redactor(), reveal }.look(inner, &filter);
    // what was slow or failed is remembered longer by its route
    for group in history {
        let bands = group.latencies.into_iter().flat_map(|band| band.recent);
        for ended in bands.chain(group.errors).chain(group.given_up) {
            let is_known = recent.iter().any(|known| known.entry.id == ended.entry.id);
            if filter.passes(&ended.entry) && !is_known {
                recent.push(ended);
            }
        }
    }
    json!({ "active": active, "recent": recent })
}

fn group(group: &History) -> Value {
    let bands = group.latencies.iter().map(|band| {
        let recent: Vec<Value> = band.recent.iter().map(brief).collect();
        json!({ "min_ms": band.from.as_millis() as u64, "recent": recent })
    });
    let all = |list: &[RecentEntry]| list.iter().map(brief).collect::<Vec<_>>();
    json!({
        "kind": group.kind,
        "name": *group.name,
        "active": group.active,
        "latencies": bands.collect::<Vec<_>>(),
        "errors": all(&group.errors),
        "cancelled": all(&group.given_up),
    })
}

/// What leads to the trace; the rest is in the entry's detail.
fn brief(recent: &RecentEntry) -> Value {
    json!({
        "id": recent.entry.id,
        "trace_id": recent.entry.trace_id.map(|id| id.to_string()),
        "sampled": recent.entry.sampled,
        "method": recent.entry.method,
        "path": recent.entry.path,
        "started_at": super::endpoints::rfc3339(recent.entry.started_at),
        "duration_ms": recent.duration.as_secs_f64() * 1e3,
        "outcome": recent.outcome,
        "status": recent.status,
    })
}

/// The id in a path; `None` when it can be none.
async fn id_of(request: Request) -> (Option<EntryId>, Parts) {
    let (mut parts, _) = request.into_parts();
    let id = Path::<String>::from_request_parts(&mut parts, &()).await.ok();
    (id.and_then(|Path(id)| EntryId::parse(&id)), parts)
}

fn unknown() -> Response {
    (StatusCode::NOT_FOUND, "no request or task with this id is active or remembered\n").into_response()
}

/// `GET /debug/requests/{id}`.
pub(super) async fn detail(State(window): State<Window>, request: Request) -> Response {
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    let eyes = Eyes::of(&window, &inner, &request);
    let (id, parts) = id_of(request).await;
    let json = match wants_json(&parts.uri, &parts.headers) {
        Ok(json) => json,
        Err(problem) => return refused(problem),
    };
    let Some(mut found) = id.and_then(|id| inner.registry.find(id)) else { return unknown() };
    match &mut found {
        Found::Active(entry, _) | Found::Ended(RecentEntry { entry, .. }, _) => eyes.pass(entry),
    }
    if !json {
        return page::html(requests_page::detail(&found));
    }
    let (shown, entry, lines) = match &found {
        Found::Active(entry, lines) => (serde_json::to_value(entry), entry, lines),
        Found::Ended(recent, lines) => (serde_json::to_value(recent), &recent.entry, lines),
    };
    let Ok(Value::Object(mut body)) = shown else { return gone() };
    body.insert("active".into(), matches!(found, Found::Active(..)).into());
    body.insert("stages".into(), json!(entry.stages));
    body.insert("stages_dropped".into(), entry.stages_dropped.into());
    body.insert("annotations_dropped".into(), entry.annotations_dropped.into());
    body.insert("tasks_running".into(), entry.tasks_running.into());
    let lines = lines
        .iter()
        .map(|line| json!({ "at_ms": line.at.as_secs_f64() * 1e3, "level": line.level, "line": line.text }));
    body.insert("log".into(), lines.collect());
    axum::Json(body).into_response()
}

/// `DELETE /debug/requests/{id}`, `POST /debug/requests/{id}/cancel`.
///
/// The token alone opens it, for whichever address: a browser that is made to send a request from a trusted one has none
/// to send. Whoever asks is named by `?by=`.
pub(super) async fn cancel(State(window): State<Window>, request: Request) -> Response {
    #[derive(Deserialize)]
    struct Asked {
        by: Option<String>,
    }
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    if !inner.config.admin.cancel {
        let problem =
            "cancellation is off; TRACEWELL_ADMIN_CANCEL=true with TRACEWELL_ADMIN_TOKEN allows it\n";
        return (StatusCode::NOT_FOUND, problem).into_response();
    }
    if !window.access.has_token(&request) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::FORBIDDEN, challenge, "only with the admin token as a bearer token\n")
            .into_response();
    }
    let (id, parts) = id_of(request).await;
    let Some(entry) = id.and_then(|id| inner.registry.active(id)) else {
        return (StatusCode::NOT_FOUND, "no request or task with this id is active\n").into_response();
    };
    let by = Query::<Asked>::try_from_uri(&parts.uri).ok().and_then(|Query(asked)| asked.by);
    let by = by.filter(|by| !by.trim().is_empty()).unwrap_or_else(|| "operator".to_owned());
    if !inner.registry.cancel_by(entry.id(), &by) {
        let problem = "its owner cannot be asked to let go of it: it has ended, is a tunnel, or was not started as cancellable\n";
        return (StatusCode::CONFLICT, problem).into_response();
    }
    let body = json!({ "id": entry.id(), "kind": entry.kind(), "name": entry.name(), "cancelled_by": by });
    (StatusCode::ACCEPTED, axum::Json(body)).into_response()
}
