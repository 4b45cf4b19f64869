//! Pages for a person's browser, rendered here; everything shown is escaped.

use std::{fmt::Write as _, sync::Arc};

use axum::response::{Html, IntoResponse as _, Response};

use crate::telemetry::Inner;

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
