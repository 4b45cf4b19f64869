//! Pages for a person's browser, rendered here; everything shown is escaped.

use std::{fmt::Write as _, sync::Arc};

use axum::response::{Html, IntoResponse as _, Response};

use crate::{
    requests::{ActiveEntry, Snapshot},
    telemetry::Inner,
};

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;\
color:#1b1f24;background:#fff}table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}th,td{text-align:left;\
padding:.3rem .7rem .3rem 0;border-bottom:1px solid #d8dee4;vertical-align:top}td.n{text-align:right;\
font-variant-numeric:tabular-nums}code{font:13px ui-monospace,monospace}a{color:#0550ae}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}a{color:#6cb6ff}}";

pub(super) fn html(body: String) -> Response {
    Html(body).into_response()
}

pub(super) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{body}</html>"
    )
}

/// The list of what is served, and how the signals are doing.
pub(super) fn index(inner: &Arc<Inner>) -> String {
    let mut body = String::from("<table><tr><th>path<th>shows");
    for (path, shows) in [
        ("/debug/requests", "active and recent requests"),
        ("/debug/resilience", "breakers, bulkheads and policies"),
        ("/telemetry", "what became of every span, point and log record"),
        ("/metrics", "metrics, with exemplars for whoever accepts OpenMetrics"),
        ("/health", "whether the service's runtime lives"),
        ("/ready", "whether traffic may come"),
        ("/startup", "whether the start is over, and its phases"),
        ("/healthcheck", "every check"),
        ("/environment", "what runs here, with which settings"),
        ("/loglevel", "which events are logged; PUT changes it"),
    ] {
        let _ = write!(body, "<tr><td><a href=\"{path}\"><code>{path}</code></a><td>{shows}");
    }
    body.push_str(
        "</table><table><tr><th>signal<th>state<th>endpoint<th>emitted<th>exported<th>lost<th>queued",
    );
    for report in inner.pipeline.reports() {
        let account = &report.account;
        let _ = write!(
            body,
            "<tr><td>{}<td>{}<td>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}",
            report.signal,
            report.state.as_str(),
            escape(report.endpoint.as_deref().unwrap_or("")),
            account.emitted,
            account.exported,
            account.dropped + account.failed,
            account.queued,
        );
    }
    body.push_str("</table>");
    page("tracewell", &body)
}

/// Active requests, oldest first, and what ended last.
pub(super) fn requests(snapshot: &Snapshot) -> String {
    let totals = &snapshot.totals;
    let mut body = format!(
        "<p>{} started, {} completed, {} failed, {} cancelled, {} panicked, {} aborted</p><h2>Active ({})</h2>",
        totals.started,
        totals.completed,
        totals.failed,
        totals.cancelled,
        totals.panicked,
        totals.aborted,
        snapshot.active.len(),
    );
    body.push_str("<table><tr><th>age<th>request<th>stage<th>trace<th>annotations");
    for entry in &snapshot.active {
        let _ = write!(body, "<tr><td class=n>{} ms<td>{}", entry.age.as_millis(), request(entry));
        let _ = write!(body, "<td>{}<td><code>{}</code><td>", stage(entry), trace(entry));
        annotations(entry, &mut body);
    }
    body.push_str("</table><h2>Recent</h2><table><tr><th>duration<th>request<th>outcome<th>status<th>trace");
    for recent in &snapshot.recent {
        let status = recent.status.map_or_else(String::new, |status| status.to_string());
        let _ = write!(
            body,
            "<tr><td class=n>{:.1} ms<td>{}<td>{}<td>{status}<td><code>{}</code>",
            recent.duration.as_secs_f64() * 1e3,
            request(&recent.entry),
            recent.outcome,
            trace(&recent.entry),
        );
    }
    body.push_str("</table>");
    page("Requests", &body)
}

fn request(entry: &ActiveEntry) -> String {
    format!("{} <code>{}</code>", escape(&entry.name), escape(&entry.path))
}

fn stage(entry: &ActiveEntry) -> String {
    escape(entry.stage.as_deref().unwrap_or(""))
}

fn trace(entry: &ActiveEntry) -> String {
    entry.trace_id.map_or_else(String::new, |id| id.to_string())
}

fn annotations(entry: &ActiveEntry, body: &mut String) {
    for annotation in &entry.annotations {
        let _ = write!(body, "{}=<code>{}</code> ", escape(&annotation.key), escape(annotation.shown()));
    }
}

pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use crate::requests::{NewEntry, Registry};

    #[test]
    fn markup_in_paths_stages_and_annotations_stays_text() {
        let registry = Registry::new(8);
        let guard = registry.start(NewEntry::request("GET").with_path("/<script>alert(1)</script>"));
        guard.handle().set_stage("<img src=x>");
        guard.handle().annotate("\"'&", "<b>");
        let page = super::requests(&registry.snapshot());
        assert!(!page.contains("<script>") && !page.contains("<img") && !page.contains("<b>"));
        assert!(page.contains("/&lt;script&gt;alert(1)&lt;/script&gt;"));
    }
}
