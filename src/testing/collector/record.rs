//! What the collector received: requests, counts, and typed views over the accepted items.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use http::HeaderMap;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    metrics::v1::{Metric, metric::Data},
};

use crate::config::{Protocol, Signal};

use super::view::{ExemplarRecord, LogRecord, MetricRecord, SpanRecord};

/// How many bytes of request bodies (uncompressed) are kept; beyond it the oldest requests are forgotten.
const KEPT_BYTES: usize = 256 << 20;

/// Signals there are.
pub(super) const SIGNALS: usize = 3;

/// The decoded body of an export request.
#[derive(Debug, Clone, PartialEq)]
pub enum Export {
    /// Spans.
    Traces(ExportTraceServiceRequest),
    /// Metric data points.
    Metrics(ExportMetricsServiceRequest),
    /// Log records.
    Logs(ExportLogsServiceRequest),
}

impl Export {
    /// The number of spans, data points or log records.
    #[must_use]
    pub fn items(&self) -> u64 {
        let items: usize = match self {
            Self::Traces(export) => {
                export.resource_spans.iter().flat_map(|r| &r.scope_spans).map(|s| s.spans.len()).sum()
            }
            Self::Metrics(export) => {
                let scopes = export.resource_metrics.iter().flat_map(|r| &r.scope_metrics);
                scopes.flat_map(|s| &s.metrics).map(points).sum()
            }
            Self::Logs(export) => {
                export.resource_logs.iter().flat_map(|r| &r.scope_logs).map(|s| s.log_records.len()).sum()
            }
        };
        items as u64
    }
}

/// The number of data points of a metric.
pub(super) fn points(metric: &Metric) -> usize {
    match &metric.data {
        Some(Data::Gauge(data)) => data.data_points.len(),
        Some(Data::Sum(data)) => data.data_points.len(),
        Some(Data::Histogram(data)) => data.data_points.len(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
        Some(Data::Summary(data)) => data.data_points.len(),
        None => 0,
    }
}

/// An export request that was read and decoded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Received {
    /// The signal it was sent to.
    pub signal: Signal,
    /// How it came.
    pub protocol: Protocol,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as sent: items that were refused included.
    pub export: Arc<Export>,
    /// When its body was complete.
    pub at: Instant,
    /// The number of its connection, from 1 in order of arrival.
    pub connection: u64,
    /// A well-formed success answered it, whole or in part.
    pub accepted: bool,
    /// The spans, data points or log records in it.
    pub items: u64,
    /// How many of them were accepted; the first ones.
    pub accepted_items: u64,
    /// The body's length after decompression, in bytes.
    pub size: usize,
}

/// Everything a collector received so far.
#[derive(Debug)]
pub struct Recorded {
    requests: VecDeque<Received>,
    forgotten: u64,
    kept_bytes: usize,
    received: [u64; SIGNALS],
    accepted: [u64; SIGNALS],
    invalid: Vec<String>,
    connections: u64,
    up: bool,
}

impl Default for Recorded {
    fn default() -> Self {
        Self {
            requests: VecDeque::new(),
            forgotten: 0,
            kept_bytes: 0,
            received: [0; SIGNALS],
            accepted: [0; SIGNALS],
            invalid: Vec::new(),
            connections: 0,
            up: true,
        }
    }
}

impl Recorded {
    /// The requests in order of arrival, accepted or not.
    #[must_use]
    pub fn requests(&self) -> impl DoubleEndedIterator<Item = &Received> {
        self.requests.iter()
    }

    /// The number of requests of a signal, accepted or not, that are still kept.
    #[must_use]
    pub fn request_count(&self, signal: Signal) -> usize {
        self.requests.iter().filter(|request| request.signal == signal).count()
    }

    /// The accepted spans, in order of arrival.
    #[must_use]
    pub fn spans(&self) -> Vec<SpanRecord> {
        self.requests.iter().flat_map(SpanRecord::of).collect()
    }

    /// The accepted log records, in order of arrival.
    #[must_use]
    pub fn logs(&self) -> Vec<LogRecord> {
        self.requests.iter().flat_map(LogRecord::of).collect()
    }

    /// The accepted metrics, one entry for each export of each, in order of arrival.
    #[must_use]
    pub fn metrics(&self) -> Vec<MetricRecord> {
        self.requests.iter().flat_map(MetricRecord::of).collect()
    }

    /// The exemplars of every accepted export of a metric, in order of arrival.
    #[must_use]
    pub fn exemplars(&self, metric: &str) -> Vec<ExemplarRecord> {
        self.metrics()
            .iter()
            .filter(|record| record.metric.name == metric)
            .flat_map(MetricRecord::exemplars)
            .collect()
    }

    /// The spans, data points or log records accepted. Exact, also when requests were forgotten.
    #[must_use]
    pub fn accepted_items(&self, signal: Signal) -> u64 {
        self.accepted[signal as usize]
    }

    /// The spans, data points or log records received and not accepted: answered with an error, refused in a
    /// partial success, or without a well-formed answer (so far: a delayed request counts here until its answer).
    #[must_use]
    pub fn rejected_items(&self, signal: Signal) -> u64 {
        self.received[signal as usize] - self.accepted[signal as usize]
    }

    /// What was wrong with the requests that could not be read as exports (unknown path, undecodable body, …);
    /// the first 1000 of them.
    #[must_use]
    pub fn invalid(&self) -> &[String] {
        &self.invalid
    }

    /// The connections that were ever accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// The number of requests dropped from memory: 256 MiB of bodies are kept, of which the newest always stay.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Whether connections are accepted and served: false while refusing or silent.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Adds a request, not accepted yet; its number serves [`accept`](Self::accept).
    pub(super) fn add(&mut self, request: Received) -> u64 {
        self.received[request.signal as usize] += request.items;
        self.kept_bytes += request.size;
        self.requests.push_back(request);
        while self.kept_bytes > KEPT_BYTES && self.requests.len() > 1 {
            self.forget_oldest();
        }
        self.forgotten + self.requests.len() as u64 - 1
    }

    /// Counts the first `items` of a request as accepted.
    pub(super) fn accept(&mut self, number: u64, signal: Signal, items: u64) {
        self.accepted[signal as usize] += items;
        let place = number.checked_sub(self.forgotten).and_then(|place| usize::try_from(place).ok());
        if let Some(request) = place.and_then(|place| self.requests.get_mut(place)) {
            request.accepted = true;
            request.accepted_items = items;
        }
    }

    pub(super) fn add_invalid(&mut self, what: String) {
        if self.invalid.len() < 1000 {
            self.invalid.push(what);
        }
    }

    pub(super) fn add_connection(&mut self) -> u64 {
        self.connections += 1;
        self.connections
    }

    pub(super) fn set_up(&mut self, up: bool) {
        self.up = up;
    }

    /// Drops every kept request; counts stay.
    pub(super) fn forget(&mut self) {
        while !self.requests.is_empty() {
            self.forget_oldest();
        }
    }

    pub(super) fn take(&mut self) -> Vec<Received> {
        self.kept_bytes = 0;
        self.requests.drain(..).collect()
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.requests.pop_front() {
            self.kept_bytes -= oldest.size;
            self.forgotten += 1;
        }
    }
}
