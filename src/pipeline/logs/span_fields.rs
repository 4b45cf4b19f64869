//! Fields of spans that the records inside of them carry, by an allow-list.

use std::{error::Error, fmt, sync::Arc};

use opentelemetry::{
    Key,
    logs::{AnyValue, Logger as _},
};
use opentelemetry_sdk::logs::SdkLogger;
use tracing::{
    Id, Subscriber,
    field::{Field, FieldSet, Visit},
};
use tracing_subscriber::{layer::Context, registry::LookupSpan};

use super::fields::Fields;
use crate::pipeline::scrub::Scrub;

/// The names of the fields.
#[derive(Debug, Clone, Default)]
pub(in crate::pipeline) struct SpanFields(Arc<[String]>);

/// What a span has of them, kept with the span.
struct Kept(Vec<(Key, AnyValue)>);

impl SpanFields {
    pub(in crate::pipeline) fn new(names: &[String]) -> Self {
        Self(names.into())
    }

    pub(in crate::pipeline) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn allows(&self, name: &str) -> bool {
        self.0.iter().any(|allowed| allowed == name)
    }

    fn any_of(&self, fields: &FieldSet) -> bool {
        !self.0.is_empty() && fields.iter().any(|field| self.allows(field.name()))
    }

    /// Takes the values that a span has, or is given later.
    pub(super) fn take<S>(
        &self,
        id: &Id,
        context: &Context<'_, S>,
        (logger, scrub): (&SdkLogger, &Scrub),
        record: impl FnOnce(&mut dyn Visit),
    ) where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let Some(span) = context.span(id).filter(|span| self.any_of(span.metadata().fields())) else {
            return;
        };
        let mut values = logger.create_log_record();
        record(&mut Allowed { names: self, fields: Fields::new(&mut values, scrub) });
        let mut extensions = span.extensions_mut();
        let given = values.attributes_iter().cloned();
        match extensions.get_mut::<Kept>() {
            Some(Kept(kept)) => {
                for (key, value) in given {
                    match kept.iter_mut().find(|(known, _)| *known == key) {
                        Some((_, known)) => *known = value,
                        None => kept.push((key, value)),
                    }
                }
            }
            None => extensions.insert(Kept(given.collect())),
        }
    }

    /// Adds those of the spans around an event, the nearest first; what the event says itself is nearer still.
    pub(super) fn add<S>(&self, event: &tracing::Event<'_>, context: &Context<'_, S>, fields: &mut Fields<'_>)
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(Kept(kept)) = span.extensions().get::<Kept>() {
                kept.iter().for_each(|(key, value)| fields.inherit(key, value));
            }
        }
    }
}

/// Passes on what the list has.
struct Allowed<'a> {
    names: &'a SpanFields,
    fields: Fields<'a>,
}

macro_rules! passed_on {
    ($($method:ident($value:ty);)+) => {
        $(fn $method(&mut self, field: &Field, value: $value) {
            if self.names.allows(field.name()) {
                self.fields.$method(field, value);
            }
        })+
    };
}

impl Visit for Allowed<'_> {
    passed_on! {
        record_f64(f64);
        record_i64(i64);
        record_u64(u64);
        record_i128(i128);
        record_u128(u128);
        record_bool(bool);
        record_str(&str);
        record_bytes(&[u8]);
        record_error(&(dyn Error + 'static));
        record_debug(&dyn fmt::Debug);
    }
}
