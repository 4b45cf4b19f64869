//! What leaves the store: the one way from what is kept to what is shown, and the only place where a span's secrets are
//! hidden. Showing is rare and storing is not, and rules that have changed since hold for what came before them too.

use std::{ops::Deref, sync::Arc};

use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_semantic_conventions::attribute::{HTTP_REQUEST_METHOD, HTTP_ROUTE};

use super::{
    rates::RouteRate,
    trace::{StoredSpan, Summary, is_error, text},
};
use crate::{config::SpanLimits, pipeline::SpanScrub, redaction::Redactor};

const OUTCOME: &str = "tracewell.outcome";

/// Hides what must not be seen, by the rules of the moment.
#[derive(Debug)]
pub(super) struct Veil {
    scrub: SpanScrub,
    redactor: Redactor,
}

/// A span without its secrets, its values cut as those that are exported.
#[derive(Debug)]
pub(crate) struct ShownSpan(SpanData);

/// A trace in a list, without its secrets.
#[derive(Debug)]
pub(crate) struct ShownTrace {
    summary: Summary,
    head: ShownSpan,
}

impl Veil {
    pub(super) fn new(limits: SpanLimits, redactor: &Redactor) -> Self {
        Self { scrub: SpanScrub::of_spans(limits, redactor), redactor: redactor.clone() }
    }

    pub(super) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    pub(super) fn span(&self, span: &StoredSpan) -> ShownSpan {
        let mut data = span.data.clone();
        self.scrub.span(&mut data);
        ShownSpan(data)
    }

    pub(super) fn spans(&self, spans: &[Arc<StoredSpan>]) -> Vec<ShownSpan> {
        spans.iter().map(|span| self.span(span)).collect()
    }

    pub(super) fn trace(&self, summary: Summary) -> ShownTrace {
        let head = self.span(&summary.head);
        ShownTrace { summary, head }
    }

    pub(super) fn rate(&self, rate: RouteRate) -> RouteRate {
        let seen = |text: Option<String>| text.map(|text| self.redactor.owned_text(text));
        RouteRate { method: seen(rate.method), route: seen(rate.route), ..rate }
    }
}

impl ShownSpan {
    pub(super) fn into_data(self) -> SpanData {
        self.0
    }
}

impl Deref for ShownSpan {
    type Target = SpanData;

    fn deref(&self) -> &SpanData {
        &self.0
    }
}

/// Numbers and times.
impl Deref for ShownTrace {
    type Target = Summary;

    fn deref(&self) -> &Summary {
        &self.summary
    }
}

impl ShownTrace {
    pub(crate) fn name(&self) -> &str {
        &self.head.name
    }

    pub(crate) fn method(&self) -> Option<String> {
        text(&self.head, HTTP_REQUEST_METHOD)
    }

    pub(crate) fn route(&self) -> Option<String> {
        text(&self.head, HTTP_ROUTE)
    }

    /// As the registry of requests says it.
    pub(crate) fn outcome(&self) -> Option<String> {
        text(&self.head, OUTCOME).or_else(|| {
            let ended = self.has_root() && self.head.span_kind == SpanKind::Server;
            ended.then(|| if is_error(&self.head) { "failed" } else { "completed" }.to_owned())
        })
    }
}
