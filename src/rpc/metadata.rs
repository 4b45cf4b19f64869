//! The metadata of calls that is wanted on their spans, and what of a status may be seen there: the same on both sides.

use http::{HeaderMap, HeaderName};
use opentelemetry::{KeyValue, trace::Status as SpanStatus};

use super::semconv::{self, Status};
use crate::{
    http::{self as web, Captured},
    redaction::Redactor,
};

/// What a layer was told, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    requests: Vec<String>,
    responses: Vec<String>,
}

impl Wanted {
    pub(super) fn add_requests(&mut self, names: impl IntoIterator<Item = HeaderName>) {
        self.requests.extend(names.into_iter().map(|name| name.to_string()));
    }

    pub(super) fn add_responses(&mut self, names: impl IntoIterator<Item = HeaderName>) {
        self.responses.extend(names.into_iter().map(|name| name.to_string()));
    }
}

/// The same, ready for calls.
#[derive(Debug)]
pub(super) struct Metadata {
    requests: Captured,
    responses: Captured,
    redactor: Redactor,
}

impl Metadata {
    pub(super) fn new(wanted: &Wanted, redactor: Redactor) -> Self {
        Self {
            requests: web::captured(semconv::REQUEST_METADATA, &wanted.requests),
            responses: web::captured(semconv::RESPONSE_METADATA, &wanted.responses),
            redactor,
        }
    }

    /// Attributes of a span's start.
    pub(super) fn of_request(&self, headers: &HeaderMap) -> Vec<KeyValue> {
        web::header_attributes(&self.requests, headers, &self.redactor)
    }

    /// Attributes from a response's headers or trailers; `None` where none are wanted.
    pub(super) fn of_response(&self, headers: &HeaderMap) -> Option<Vec<KeyValue>> {
        let wanted = !self.responses.is_empty();
        wanted.then(|| web::header_attributes(&self.responses, headers, &self.redactor))
    }

    /// The status of a failed call's span: the words of the call's own.
    pub(super) fn failure(&self, status: &Status) -> SpanStatus {
        SpanStatus::error(self.redactor.owned_text(status.message.clone().unwrap_or_default()))
    }
}
