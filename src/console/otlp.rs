//! What is stored, as OTLP in JSON.

use std::sync::Arc;

use opentelemetry_proto::{
    tonic::{
        common::v1::InstrumentationScope,
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
        metrics::v1::{ResourceMetrics, ScopeMetrics},
        resource::v1::Resource,
        trace::v1::ResourceSpans,
    },
    transform::{
        common::tonic::ResourceAttributesWithSchema, trace::tonic::group_spans_by_resource_and_scope,
    },
};
use serde::Serialize;

use super::{history::Excerpt, shown::ShownSpan, trace::StoredLog};

/// `{"resourceSpans":[…]}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TracesBody {
    resource_spans: Vec<ResourceSpans>,
}

impl TracesBody {
    /// Spans in the order in which they began.
    pub(crate) fn new(mut spans: Vec<ShownSpan>, resource: &opentelemetry_sdk::Resource) -> Self {
        spans.sort_by_key(|span| span.start_time);
        let spans = spans.into_iter().map(ShownSpan::into_data).collect();
        Self { resource_spans: group_spans_by_resource_and_scope(spans, &resource.into()) }
    }
}

/// `{"resourceLogs":[…]}`, each record after the one before: a scope may come more than once.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogsBody {
    resource_logs: Vec<ResourceLogs>,
}

impl LogsBody {
    pub(crate) fn new(logs: &[Arc<StoredLog>], resource: &opentelemetry_sdk::Resource) -> Self {
        let mut scopes: Vec<ScopeLogs> = Vec::new();
        for log in logs {
            let scope = InstrumentationScope::from((&*log.scope, log.record.target().cloned()));
            let record = LogRecord::from(&log.record);
            match scopes.last_mut() {
                Some(last) if last.scope.as_ref() == Some(&scope) => last.log_records.push(record),
                _ => scopes.push(ScopeLogs {
                    scope: Some(scope),
                    log_records: vec![record],
                    schema_url: log.scope.schema_url().unwrap_or_default().to_owned(),
                }),
            }
        }
        let about = self::resource(resource);
        let schema_url = resource.schema_url().unwrap_or_default().to_owned();
        let all = ResourceLogs { resource: Some(about), scope_logs: scopes, schema_url };
        Self { resource_logs: if logs.is_empty() { Vec::new() } else { vec![all] } }
    }
}

/// `{"resourceMetrics":[…]}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MetricsBody {
    resource_metrics: Vec<ResourceMetrics>,
}

impl MetricsBody {
    pub(crate) fn new(excerpts: &[Excerpt], resource: &opentelemetry_sdk::Resource) -> Self {
        let scope_metrics = excerpts.iter().map(|excerpt| ScopeMetrics {
            scope: excerpt.about.scope.clone(),
            metrics: vec![excerpt.metric()],
            schema_url: excerpt.about.schema_url.clone(),
        });
        let all = ResourceMetrics {
            resource: Some(self::resource(resource)),
            scope_metrics: scope_metrics.collect(),
            schema_url: resource.schema_url().unwrap_or_default().to_owned(),
        };
        Self { resource_metrics: vec![all] }
    }
}

fn resource(resource: &opentelemetry_sdk::Resource) -> Resource {
    let attributes = ResourceAttributesWithSchema::from(resource).attributes.0;
    Resource { attributes, dropped_attributes_count: 0, entity_refs: Vec::new() }
}
