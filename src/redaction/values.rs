//! The rules applied to OpenTelemetry's values: spans, log values, metric points, resources.

use std::{borrow::Cow, collections::HashMap, hash::BuildHasher as _, hash::RandomState, sync::OnceLock};

use opentelemetry::{Array, Key, KeyValue, Value, logs::AnyValue, trace::Status};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue as ProtoValue, KeyValue as ProtoKeyValue, any_value::Value as Proto},
    metrics::v1::{Exemplar, Metric, metric::Data},
};
use opentelemetry_sdk::trace::SpanData;

use super::{
    Memory, REDACTED, Redactor, Rules,
    memory::{Look, Remembering},
};

impl Redactor {
    /// [`value`](Self::value) for a text that is owned: moved when it may be seen.
    pub(crate) fn owned_value(&self, name: &str, value: String) -> String {
        let seen = self.value(name, &value);
        match unchanged(&seen, &value) {
            true => value,
            false => seen.into_owned(),
        }
    }

    /// [`text`](Self::text) for a text that is owned.
    pub(crate) fn owned_text(&self, text: String) -> String {
        match self.text(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(seen) => seen,
        }
    }

    /// Everything a span says.
    pub(crate) fn span(&self, span: &mut SpanData) {
        self.rules().span(span);
    }

    /// The same, for a thread that sees the same names and texts again and again.
    pub(crate) fn span_again(&self, span: &mut SpanData, memory: &mut Memory) {
        let rules = self.rules();
        if rules.on {
            hide_in_span(span, &mut Remembering { rules: &rules, memory: memory.of(&rules) });
        }
    }

    /// One attribute. Truth values are never hidden: they say whether there is a secret.
    pub(crate) fn attribute(&self, attribute: &mut KeyValue) {
        self.rules().attribute(attribute);
    }

    /// A log record's attribute; its body has no name.
    pub(crate) fn any_value(&self, name: &str, value: AnyValue) -> AnyValue {
        self.rules().any_value(name, value)
    }

    /// Attributes of points and exemplars.
    ///
    /// A hidden value of a point gets a mark of the value, of this process alone: two series must not become one.
    pub(crate) fn metrics(&self, request: &mut ExportMetricsServiceRequest) {
        self.rules().metrics(request);
    }
}

/// The same for whoever has the rules already: finding them costs more than most values do.
impl Rules {
    fn span(&self, span: &mut SpanData) {
        if self.on {
            hide_in_span(span, &mut &*self);
        }
    }

    fn attribute(&self, attribute: &mut KeyValue) {
        if self.on {
            hide_in_attribute(attribute, &mut &*self);
        }
    }

    fn any_value(&self, name: &str, value: AnyValue) -> AnyValue {
        if !self.on || matches!(value, AnyValue::Boolean(_)) {
            return value;
        }
        if !name.is_empty() && self.is_secret_name(name) {
            return AnyValue::from(REDACTED);
        }
        match value {
            AnyValue::String(text) => match self.text(text.as_str()) {
                Cow::Owned(seen) => AnyValue::from(seen),
                Cow::Borrowed(_) => AnyValue::String(text),
            },
            AnyValue::ListAny(values) => {
                let values = values.into_iter().map(|value| self.any_value("", value)).collect();
                AnyValue::ListAny(Box::new(values))
            }
            AnyValue::Map(values) => {
                let seen = |(key, value): (Key, AnyValue)| {
                    let value = self.any_value(key.as_str(), value);
                    (key, value)
                };
                AnyValue::Map(Box::new(values.into_iter().map(seen).collect::<HashMap<_, _>>()))
            }
            other => other,
        }
    }

    fn metrics(&self, request: &mut ExportMetricsServiceRequest) {
        if !self.on {
            return;
        }
        let scopes = request.resource_metrics.iter_mut().flat_map(|resource| &mut resource.scope_metrics);
        for metric in scopes.flat_map(|scope| &mut scope.metrics) {
            self.metric(metric);
        }
    }

    fn metric(&self, metric: &mut Metric) {
        let (point, none) = (|attributes: &mut Vec<ProtoKeyValue>| self.point(attributes), &mut Vec::new());
        let exemplars = |exemplars: &mut Vec<Exemplar>| {
            exemplars.iter_mut().for_each(|exemplar| self.point(&mut exemplar.filtered_attributes));
        };
        let each = |attributes, found: &mut Vec<Exemplar>| {
            point(attributes);
            exemplars(found);
        };
        match &mut metric.data {
            Some(Data::Gauge(d)) => {
                d.data_points.iter_mut().for_each(|p| each(&mut p.attributes, &mut p.exemplars))
            }
            Some(Data::Sum(d)) => {
                d.data_points.iter_mut().for_each(|p| each(&mut p.attributes, &mut p.exemplars))
            }
            Some(Data::Histogram(d)) => {
                d.data_points.iter_mut().for_each(|p| each(&mut p.attributes, &mut p.exemplars));
            }
            Some(Data::ExponentialHistogram(d)) => {
                d.data_points.iter_mut().for_each(|p| each(&mut p.attributes, &mut p.exemplars));
            }
            Some(Data::Summary(d)) => d.data_points.iter_mut().for_each(|p| each(&mut p.attributes, none)),
            None => {}
        }
    }

    fn point(&self, attributes: &mut [ProtoKeyValue]) {
        for ProtoKeyValue { key, value, .. } in attributes {
            let Some(ProtoValue { value: Some(value) }) = value else { continue };
            let secret = !matches!(value, Proto::BoolValue(_)) && self.is_secret_name(key);
            match value {
                _ if secret => {
                    *value = Proto::StringValue(format!("{REDACTED}-{:08x}", mark(&format!("{value:?}"))))
                }
                Proto::StringValue(text) => {
                    if let Cow::Owned(seen) = self.text(text) {
                        *text = format!("{seen}-{:08x}", mark(text));
                    }
                }
                _ => {}
            }
        }
    }
}

fn hide_in_span(span: &mut SpanData, look: &mut impl Look) {
    if let Cow::Owned(seen) = look.text(&span.name) {
        span.name = seen.into();
    }
    hide_in_all(&mut span.attributes, look);
    for event in &mut span.events.events {
        if let Cow::Owned(seen) = look.text(&event.name) {
            event.name = seen.into();
        }
        hide_in_all(&mut event.attributes, look);
    }
    span.links.links.iter_mut().for_each(|link| hide_in_all(&mut link.attributes, look));
    if let Status::Error { description } = &mut span.status {
        if let Cow::Owned(seen) = look.text(description) {
            *description = seen.into();
        }
    }
}

fn hide_in_all(attributes: &mut [KeyValue], look: &mut impl Look) {
    attributes.iter_mut().for_each(|attribute| hide_in_attribute(attribute, look));
}

fn hide_in_attribute(attribute: &mut KeyValue, look: &mut impl Look) {
    if matches!(attribute.value, Value::Bool(_)) {
        return;
    }
    if look.is_secret_name(attribute.key.as_str()) {
        attribute.value = REDACTED.into();
        return;
    }
    match &mut attribute.value {
        Value::String(text) => {
            if let Cow::Owned(seen) = look.text(text.as_str()) {
                attribute.value = seen.into();
            }
        }
        Value::Array(Array::String(texts)) => {
            for text in texts {
                if let Cow::Owned(seen) = look.text(text.as_str()) {
                    *text = seen.into();
                }
            }
        }
        _ => {}
    }
}

fn unchanged(seen: &str, given: &str) -> bool {
    std::ptr::eq(seen.as_ptr(), given.as_ptr()) && seen.len() == given.len()
}

/// Distinguishes values within this process; keyed, so that nobody finds the value by trying.
fn mark(value: &str) -> u32 {
    static KEYS: OnceLock<RandomState> = OnceLock::new();
    KEYS.get_or_init(RandomState::new).hash_one(value) as u32
}
