//! The `tracing` layer that turns events into log records.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use opentelemetry::{
    Context as OtelContext,
    logs::{LogRecord as _, Logger as _, Severity},
    trace::{SpanContext, TraceContextExt as _},
};
use opentelemetry_sdk::logs::SdkLogRecord;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, dispatcher::WeakDispatch, span};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::{Parts, ScopedRecord, entry_line, fields::Fields, kept_records, outlets::Ways};
use crate::{
    diagnostics::Listener,
    pipeline::{returned_errors, subscriber::LogSwitch},
    requests::{self, Holding},
    span_seed,
};

/// Of the conventions' code registry.
pub(super) const CODE_FILE: &str = "code.file.path";
pub(super) const CODE_LINE: &str = "code.line.number";

/// Turns events into OTLP records and lines.
pub(in crate::pipeline) struct LogLayer {
    parts: Parts,
    switch: Arc<LogSwitch>,
    /// For the context of a span that is named by an event but not entered.
    dispatch: OnceLock<WeakDispatch>,
}

impl fmt::Debug for LogLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLayer").field("outlets", &self.parts.outlets).finish_non_exhaustive()
    }
}

impl LogLayer {
    pub(in crate::pipeline) fn new(parts: Parts, switch: Arc<LogSwitch>) -> Self {
        Self { parts, switch, dispatch: OnceLock::new() }
    }

    /// Whether it looks at the fields of spans.
    pub(in crate::pipeline) fn sees_spans(&self) -> bool {
        !self.parts.span_fields.is_empty()
    }

    pub(super) fn record<S>(&self, event: &Event<'_>, context: &Context<'_, S>) -> SdkLogRecord
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let now = SystemTime::now();
        let mut record = self.parts.outlets.logger.create_log_record();
        record.set_timestamp(now);
        record.set_observed_timestamp(now);
        record.set_severity_number(severity(*metadata.level()));
        record.set_severity_text(metadata.level().as_str());
        match normalized {
            // a record of the `log` crate: its target lives as long as the event only
            Some(ref metadata) => record.set_target(metadata.target().to_owned()),
            None => record.set_target(event.metadata().target()),
        }
        if let Some(name) = given_name(event.metadata()) {
            record.set_event_name(name);
        }
        let mut fields = Fields::new(&mut record, &self.parts.scrub);
        event.record(&mut fields);
        if self.sees_spans() {
            self.parts.span_fields.add(event, context, &mut fields);
        }
        for attribute in requests::log_attributes() {
            fields.enrich(attribute);
        }
        if self.parts.code {
            add_code(event.metadata(), metadata, &mut fields);
        }
        fields.finish();
        self.set_ids(event, context, &mut record);
        record
    }

    /// Ids of the span the event belongs to: the one it names, else the current one.
    fn set_ids<S>(&self, event: &Event<'_>, context: &Context<'_, S>, record: &mut SdkLogRecord)
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        self.with_context(event, context, |context| {
            let span = context.span();
            let span: &SpanContext = span.span_context();
            if span.is_valid() {
                record.set_trace_context(span.trace_id(), span.span_id(), Some(span.trace_flags()));
            }
            for member in self.parts.baggage.of(context) {
                // what the event says itself is nearer
                if record.attributes_iter().any(|(key, _)| *key == member.key) {
                    continue;
                }
                let value = self.parts.scrub.text(member.key.as_str(), member.value.as_str().into_owned());
                record.add_attribute(member.key, value);
            }
        });
    }

    /// Shows the OpenTelemetry context of an event, if it has one.
    fn with_context<S, R>(
        &self,
        event: &Event<'_>,
        context: &Context<'_, S>,
        show: impl FnOnce(&OtelContext) -> R,
    ) -> Option<R>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        // the bridge keeps the current span active as OpenTelemetry's context
        let Some(parent) = event.parent() else { return Some(OtelContext::map_current(show)) };
        let dispatch = self.dispatch.get().and_then(WeakDispatch::upgrade)?;
        // a span that the bridge does not see is transparent: its nearest ancestor that it sees stands for it
        let seen = context.span(parent)?.scope().find_map(|span| {
            span_seed::context_of(&span.id(), &dispatch)
                .filter(|context| context.span().span_context().is_valid())
        });
        seen.map(|seen| show(&seen))
    }

    fn is_sampled<S>(&self, event: &Event<'_>, context: &Context<'_, S>) -> bool
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let sampled = |context: &OtelContext| context.span().span_context().is_sampled();
        self.with_context(event, context, sampled).unwrap_or(false)
    }

    /// An event where not everything goes every way.
    fn on_judged_event<S>(&self, event: &Event<'_>, context: &Context<'_, S>)
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let rules = self.switch.rules();
        let wanted = self.switch.wants(metadata, context)
            || rules.want_sampled(metadata) && self.is_sampled(event, context);
        let open = possible(metadata).without(self.parts.outlets.closed());
        let common = rules.common().and_also(open);
        let mut ways = rules.own(metadata).and_also(open);
        if wanted {
            ways = ways.and(common);
        }
        let entry = if rules.hold() { requests::peek() } else { None };
        let mut hold = Ways::NONE;
        if let Some(entry) = &entry {
            if !wanted && rules.want_on_failure(metadata) {
                match entry.holding() {
                    Holding::Possible => hold = common.without(ways),
                    Holding::Failing => ways = ways.and(common),
                    Holding::Ended => {}
                }
            }
            if *metadata.level() == Level::ERROR && !ways.is_none() {
                // what led to it comes before it
                entry.fail_log();
            }
        }
        let throttle = self.parts.throttle.as_ref();
        if throttle.is_some_and(|throttle| !ways.is_none() && throttle.is_beyond_rate(metadata, ways)) {
            ways = Ways::NONE;
        }
        let brief = wanted && requests::keeping_log_lines();
        if ways.is_none() && hold.is_none() && !brief {
            return;
        }
        let record = self.record(event, context);
        if brief {
            entry_line::keep(&record);
        }
        if let Some(entry) = entry.filter(|_| !hold.is_none()) {
            kept_records::hold(&entry, &self.parts.outlets, &self.parts.bounds, record.clone(), hold);
        }
        if ways.is_none() {
            return;
        }
        let record = match throttle {
            Some(throttle) => throttle.unless_repeated(metadata, record, ways),
            None => Some(record),
        };
        if let Some(record) = record {
            self.put(&mut Some((record, Arc::clone(&self.parts.outlets.scope))), ways);
        }
    }

    #[inline]
    fn put(&self, item: &mut Option<ScopedRecord>, ways: Ways) {
        let outlets = &self.parts.outlets;
        let request = if outlets.sinks.is_empty() { None } else { requests::current() };
        outlets.put_from(item, ways, request.as_ref());
    }
}

impl<S> Layer<S> for LogLayer
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        // a layer serves one subscriber; the first registration is it
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        if self.sees_spans() {
            let making = (&self.parts.outlets.logger, &self.parts.scrub);
            self.parts.span_fields.take(id, &context, making, |visit| attributes.record(visit));
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if self.sees_spans() {
            let making = (&self.parts.outlets.logger, &self.parts.scrub);
            self.parts.span_fields.take(id, &context, making, |visit| values.record(visit));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target().starts_with("opentelemetry") {
            // OpenTelemetry about itself never enters the pipelines it speaks about
            if Listener::hears(event.metadata()) {
                Listener::relay(event);
            }
            return;
        }
        let keeping = requests::keeping_log_lines();
        if self.parts.outlets.is_closed() && !keeping {
            return;
        }
        // such an event passes the filter for its span's sake
        if returned_errors::may_be(event.metadata()) && !self.switch.may_log(event.metadata(), &context) {
            return;
        }
        if self.switch.has_rules() || self.parts.throttle.is_some() {
            return self.on_judged_event(event, &context);
        }
        let mut item = Some((self.record(event, &context), Arc::clone(&self.parts.outlets.scope)));
        if let Some((record, _)) = item.as_ref().filter(|_| keeping) {
            entry_line::keep(record);
        }
        self.put(&mut item, possible(event.metadata()));
    }
}

/// The ways that are open to an event: what is suppressed, and what exporters are made of, is not sent.
fn possible(metadata: &Metadata<'_>) -> Ways {
    if OtelContext::is_current_telemetry_suppressed() || is_transport(metadata.target()) {
        Ways::ALL.without(Ways::RECORDS)
    } else {
        Ways::ALL
    }
}

/// Where in the code the event is; the function's name is known to nobody.
fn add_code(given: &'static Metadata<'static>, metadata: &Metadata<'_>, fields: &mut Fields<'_>) {
    let file = match given.file() {
        Some(file) if metadata.file() == Some(file) => Some(file.into()),
        // a record of the `log` crate
        _ => metadata.file().map(|file| opentelemetry::StringValue::from(file.to_owned())),
    };
    if let Some(file) = file {
        fields.enrich(opentelemetry::KeyValue::new(CODE_FILE, file));
    }
    if let Some(line) = metadata.line() {
        fields.enrich(opentelemetry::KeyValue::new(CODE_LINE, i64::from(line)));
    }
}

/// Whether a target belongs to what exporters are made of. Its records go to stdout, if the filter wants them, but not
/// to the collector: the service's own use of these crates would be told apart from ours by nothing.
pub(crate) fn is_transport(target: &str) -> bool {
    // asked once per record and span: few targets begin as one of theirs
    if !matches!(
        target.as_bytes(),
        [b'h', b'2' | b'y', ..]
            | [b't', b'o', ..]
            | [b'r', b'u', ..]
            | [b'r', b'e', b'q', b'w', ..]
            | [b'o', b'p', ..]
    ) {
        return false;
    }
    let root = target.bytes().position(|byte| byte == b':').map_or(target, |end| &target[..end]);
    matches!(root, "hyper" | "h2" | "tonic" | "tower" | "reqwest" | "rustls" | "hyper_util" | "hyper_rustls")
        || root.starts_with("opentelemetry")
}

/// An event's name, if a person gave it one: `tracing` makes up `event src/file.rs:12` otherwise.
fn given_name(metadata: &'static Metadata<'static>) -> Option<&'static str> {
    let name = metadata.name();
    let made_up = match (name.strip_prefix("event "), metadata.file()) {
        (Some(place), Some(file)) => place.starts_with(file),
        _ => false,
    };
    let from_log = name == "log event";
    (!made_up && !from_log).then_some(name)
}

pub(super) fn severity(level: Level) -> Severity {
    match level {
        Level::TRACE => Severity::Trace,
        Level::DEBUG => Severity::Debug,
        Level::INFO => Severity::Info,
        Level::WARN => Severity::Warn,
        Level::ERROR => Severity::Error,
    }
}
