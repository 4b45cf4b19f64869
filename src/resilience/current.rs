//! What the current request's work went through, and the response headers that tell it.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::requests::{self, Current};

/// What a request's work went through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Toll {
    /// Attempts after the first ones.
    pub retries: u32,
    /// The names of the fallbacks that stood in, each once.
    pub fallbacks: Vec<&'static str>,
}

/// What the current request's work went through so far; nothing outside of a request.
#[must_use]
pub fn of_current() -> Toll {
    requests::current().as_ref().map(of).unwrap_or_default()
}

/// What this request's work went through so far.
#[must_use]
pub fn of(request: &Current) -> Toll {
    let (retries, fallbacks) = request.retries_and_fallbacks();
    Toll { retries, fallbacks }
}

/// Sets `x-retry-count`, `x-fallback` and `traceparent` (and `x-trace-id` if wanted) on the response to a request whose
/// work was tried again or fell back. What the handler has set stays.
pub fn set_response_headers(request: &Current, trace_id: bool, headers: &mut HeaderMap) {
    let toll = of(request);
    if toll.retries == 0 && toll.fallbacks.is_empty() {
        return;
    }
    let mut set = |name: &'static str, value: String| {
        // a map with all the headers that it can hold keeps those
        let entry = headers.try_entry(HeaderName::from_static(name));
        if let (Ok(value), Ok(entry)) = (HeaderValue::try_from(value), entry) {
            entry.or_insert(value);
        }
    };
    set("x-retry-count", toll.retries.to_string());
    if !toll.fallbacks.is_empty() {
        set("x-fallback", toll.fallbacks.join(", "));
    }
    if let Some(traceparent) = request.traceparent() {
        set("traceparent", traceparent);
        if trace_id {
            set("x-trace-id", request.trace_id().to_string());
        }
    }
}
