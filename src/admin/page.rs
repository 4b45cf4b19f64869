//! Pages for a person's browser: the console's files, and pages rendered here, where everything shown is escaped.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Router,
    response::{Html, IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header};

use super::Window;
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

/// Of the console's files: modules and style from here, nothing from elsewhere, and no markup out of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; \
    require-trusted-types-for 'script'";

const SHELL: &str = include_str!("../console/page/index.html");

const SCRIPT: &str = "text/javascript; charset=utf-8";
const SHEET: &str = "text/css; charset=utf-8";

macro_rules! files {
    ($($path:literal: $content_type:expr),* $(,)?) => {
        [$(Asset {
            path: concat!("/console/", $path),
            content_type: $content_type,
            text: include_str!(concat!("../console/page/", $path)),
        }),*]
    };
}

/// What the shell loads. Each has a route of its own, so that no other path is ever taken for a file.
static ASSETS: [Asset; 23] = files![
    "style.css": SHEET,
    "app.js": SCRIPT,
    "lib/api.js": SCRIPT,
    "lib/charts.js": SCRIPT,
    "lib/dom.js": SCRIPT,
    "lib/format.js": SCRIPT,
    "lib/live.js": SCRIPT,
    "lib/otlp.js": SCRIPT,
    "lib/series.js": SCRIPT,
    "lib/tree.js": SCRIPT,
    "lib/ui.js": SCRIPT,
    "lib/windowed.js": SCRIPT,
    "views/configuration.js": SCRIPT,
    "views/environment.js": SCRIPT,
    "views/health.js": SCRIPT,
    "views/loglevel.js": SCRIPT,
    "views/logs.js": SCRIPT,
    "views/metrics.js": SCRIPT,
    "views/overview.js": SCRIPT,
    "views/requests.js": SCRIPT,
    "views/span.js": SCRIPT,
    "views/trace.js": SCRIPT,
    "views/traces.js": SCRIPT,
];

struct Asset {
    path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

impl Asset {
    /// Another text has another tag; FNV-1a, for nobody tries to make two texts of one tag here.
    fn tag(&self) -> String {
        let hash = self.text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("\"{hash:016x}\"")
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let tag = self.tag();
        let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let is_known = known.flat_map(|list| list.split(',')).any(|known| {
            let known = known.trim();
            known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
        });
        let kept = [(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache".to_owned())];
        match is_known {
            true => (StatusCode::NOT_MODIFIED, kept).into_response(),
            false => (kept, [(header::CONTENT_TYPE, self.content_type)], self.text).into_response(),
        }
    }
}

/// The console's files, each under `/console/`.
pub(super) fn assets() -> Router<Window> {
    ASSETS.iter().fold(Router::new(), |router, asset| {
        router.route(asset.path, get(move |headers: HeaderMap| async move { asset.answer(&headers) }))
    })
}

/// The console: a shell for its modules, with the list of what is served and how the signals are doing for whoever has
/// no JavaScript.
pub(super) fn index(inner: &Arc<Inner>) -> Response {
    let mut preload = String::new();
    for asset in ASSETS.iter().filter(|asset| asset.content_type == SCRIPT) {
        let path = asset.path.trim_start_matches('/');
        let _ = writeln!(preload, "<link rel=\"modulepreload\" href=\"{path}\">");
    }
    let admin = &inner.config.admin;
    let may_cancel = admin.cancel && admin.token.is_some();
    let body = fill(
        SHELL,
        &[
            ("{cancel}", &may_cancel.to_string()),
            ("{preload}", &preload),
            ("{endpoints}", &endpoints()),
            ("{signals}", &signals(inner)),
        ],
    );
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(body)).into_response()
}

/// Puts each value where its name first stands, in the order of the list: what a value holds is never read as a name.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let (mut body, mut rest) = (String::with_capacity(template.len() * 2), template);
    for (name, value) in values {
        if let Some((before, after)) = rest.split_once(name) {
            body.push_str(before);
            body.push_str(value);
            rest = after;
        }
    }
    body.push_str(rest);
    body
}

fn endpoints() -> String {
    let mut rows = String::new();
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
        let link = path.trim_start_matches('/');
        let _ = write!(rows, "<tr><td><a href=\"{link}\"><code>{path}</code></a></td><td>{shows}</td></tr>");
    }
    rows
}

fn signals(inner: &Arc<Inner>) -> String {
    let mut rows = String::new();
    for report in inner.pipeline.reports() {
        let account = &report.account;
        let _ = write!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            report.signal,
            report.state.as_str(),
            escape(report.endpoint.as_deref().unwrap_or("")),
            account.emitted,
            account.exported,
            account.dropped + account.failed,
            account.queued,
        );
    }
    rows
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
