//! `/debug/resilience`: breakers, bulkheads and policies as they are now.

use std::fmt::Write as _;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};

use super::{endpoints::millis, format::wants_json, page};
use crate::resilience::{
    Breaker, BreakerSnapshot, Bulkhead, BulkheadSnapshot, PolicySnapshot, State, breakers, bulkheads,
    policies,
};

/// From memory: it asks nobody and changes nothing.
pub(super) async fn resilience(uri: Uri, headers: HeaderMap) -> Response {
    let format = wants_json(&uri, &headers);
    let mut breakers: Vec<_> = breakers().iter().map(Breaker::snapshot).collect();
    // what is not well comes first
    breakers.sort_by_key(|breaker| (breaker.state == State::Closed, breaker.target.clone()));
    let bulkheads: Vec<_> = bulkheads().iter().map(Bulkhead::snapshot).collect();
    match format {
        Ok(true) => axum::Json(json!({
            "breakers": breakers.iter().map(breaker).collect::<Vec<_>>(),
            "bulkheads": bulkheads.iter().map(bulkhead).collect::<Vec<_>>(),
            "policies": policies().iter().map(policy).collect::<Vec<_>>(),
        }))
        .into_response(),
        Ok(false) => page::html(html(&breakers, &bulkheads, &policies())),
        Err(problem) => (StatusCode::BAD_REQUEST, problem).into_response(),
    }
}

fn breaker(breaker: &BreakerSnapshot) -> Value {
    json!({
        "target": &*breaker.target,
        "state": breaker.state.as_str(),
        "by_hand": breaker.by_hand,
        "open_since_ms": breaker.open_since.map(millis),
        "good": breaker.good,
        "bad": breaker.bad,
        "rejected": breaker.rejected,
        "probes_running": breaker.probes_running,
        "probes_good": breaker.probes_good,
        "window_ms": millis(breaker.window),
        "failure_share": breaker.failure_share,
        "min_calls": breaker.min_calls,
        "open_for_ms": millis(breaker.open_for),
        "probes": breaker.probes,
    })
}

fn bulkhead(bulkhead: &BulkheadSnapshot) -> Value {
    json!({
        "name": &*bulkhead.name,
        "limit": bulkhead.limit,
        "in_use": bulkhead.in_use,
        "waiting": bulkhead.waiting,
        "rejected": bulkhead.rejected,
    })
}

fn policy(policy: &PolicySnapshot) -> Value {
    json!({ "name": &*policy.name, "retries": policy.retries, "given_up": policy.given_up })
}

fn html(breakers: &[BreakerSnapshot], bulkheads: &[BulkheadSnapshot], policies: &[PolicySnapshot]) -> String {
    let mut body = String::from(
        "<h2>Breakers</h2><table><tr><th>target<th>state<th>open for<th>good<th>bad<th>rejected",
    );
    for breaker in breakers {
        let since = match (breaker.by_hand, breaker.open_since) {
            (true, _) => "until reset".to_owned(),
            (false, Some(since)) => {
                format!("{:.1} of {:.1} s", since.as_secs_f64(), breaker.open_for.as_secs_f64())
            }
            (false, None) => String::new(),
        };
        let _ = write!(
            body,
            "<tr><td>{}<td>{}<td>{since}<td class=n>{}<td class=n>{}<td class=n>{}",
            page::escape(&breaker.target),
            breaker.state,
            breaker.good,
            breaker.bad,
            breaker.rejected,
        );
    }
    body.push_str("</table><h2>Bulkheads</h2><table><tr><th>name<th>in use<th>of<th>waiting<th>rejected");
    for bulkhead in bulkheads {
        let _ = write!(
            body,
            "<tr><td>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}",
            page::escape(&bulkhead.name),
            bulkhead.in_use,
            bulkhead.limit,
            bulkhead.waiting,
            bulkhead.rejected,
        );
    }
    body.push_str("</table><h2>Policies</h2><table><tr><th>name<th>retries<th>given up");
    for policy in policies {
        let name = page::escape(&policy.name);
        let _ = write!(body, "<tr><td>{name}<td class=n>{}<td class=n>{}", policy.retries, policy.given_up);
    }
    body.push_str("</table>");
    page::page("Resilience", &body)
}
