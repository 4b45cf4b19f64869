//! In which form a page is answered: JSON for programs, HTML for browsers.

use axum::extract::Query;
use http::{HeaderMap, header};
use serde_json::{Map, Value};

/// JSON, unless a browser asks or `?format=html` does.
pub(super) fn wants_json(uri: &http::Uri, headers: &HeaderMap) -> Result<bool, String> {
    let format = Query::<Map<String, Value>>::try_from_uri(uri).ok();
    let format = format.and_then(|Query(query)| query.get("format")?.as_str().map(str::to_owned));
    match format.as_deref() {
        Some("json") => Ok(true),
        Some("html") => Ok(false),
        Some(other) => Err(format!("format={other:?}; accepted are json and html\n")),
        None => {
            let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
            Ok(!accept.is_some_and(|accept| accept.contains("text/html")))
        }
    }
}
