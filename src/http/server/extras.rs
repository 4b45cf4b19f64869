//! What requests say by choice: captured headers, attributes that metrics have too, cancellation from outside.

use std::{future::Future, pin::Pin};

use http::HeaderMap;
use opentelemetry::{Key, KeyValue};

use super::layer::{Options, Settings};
use crate::{
    http::semconv::headers::{self as semconv, Captured},
    redaction::Redactor,
    requests::Current,
};

/// Resolves when an operator cancels the request.
pub(super) type CancelSignal = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// What was chosen; a layer for which nothing was has none.
#[derive(Debug, Default)]
pub(super) struct Extras {
    request_headers: Captured,
    response_headers: Captured,
    metric_keys: Vec<Key>,
    redactor: Redactor,
    pub(super) cancellable: bool,
}

impl Extras {
    pub(super) fn new(settings: &Settings, options: &Options) -> Option<Box<Self>> {
        let both = |configured: &[String], own: &[String]| [configured, own].concat();
        let request = both(&settings.request_headers, &options.request_headers);
        let response = both(&settings.response_headers, &options.response_headers);
        let keys = both(&settings.metric_attributes, &options.metric_attributes);
        let cancellable = settings.cancellable || options.cancellable;
        if request.is_empty() && response.is_empty() && keys.is_empty() && !cancellable {
            return None;
        }
        Some(Box::new(Self {
            request_headers: semconv::request_headers(&request),
            response_headers: semconv::response_headers(&response),
            metric_keys: keys.into_iter().map(Key::new).collect(),
            redactor: settings.redactor.clone(),
            cancellable,
        }))
    }

    pub(super) fn of_request(&self, headers: &HeaderMap) -> Vec<KeyValue> {
        semconv::header_attributes(&self.request_headers, headers, &self.redactor)
    }

    pub(super) fn of_response(&self, headers: &HeaderMap) -> Vec<KeyValue> {
        semconv::header_attributes(&self.response_headers, headers, &self.redactor)
    }

    /// The request's own attributes that its metrics have too.
    pub(super) fn of_metrics(&self, entry: &Current) -> Vec<KeyValue> {
        if self.metric_keys.is_empty() {
            return Vec::new();
        }
        let mut attributes = entry.attributes();
        attributes.retain(|attribute| self.metric_keys.contains(&attribute.key));
        attributes
    }

    pub(super) fn cancel_signal(&self, entry: &Current) -> Option<CancelSignal> {
        self.cancellable.then(|| Box::pin(entry.cancelled()) as CancelSignal)
    }
}
