//! The `tracing` layer that turns events into log records.

use std::{
    cell::RefCell,
    fmt,
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use opentelemetry::{
    Context as OtelContext, InstrumentationScope,
    logs::{LogRecord as _, Logger as _, LoggerProvider as _, Severity},
    trace::{SpanContext, TraceContextExt as _},
};
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, dispatcher::WeakDispatch};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::{Lines, Records, brief, fields::Fields, json, pretty};
use crate::{
    config::LogFormat,
    diagnostics::Listener,
    pipeline::{baggage::CopiedBaggage, scrub::Scrub},
    requests, span_seed,
};

/// Longest line buffer a thread keeps between two events.
const KEEP: usize = 16 * 1024;

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Turns events into OTLP records and lines.
pub(in crate::pipeline) struct LogLayer {
    /// Makes empty records; the SDK has no other way.
    logger: SdkLogger,
    scope: Arc<InstrumentationScope>,
    records: Records,
    lines: Option<Lines>,
    scrub: Scrub,
    baggage: CopiedBaggage,
    /// For the context of a span that is named by an event but not entered.
    dispatch: OnceLock<WeakDispatch>,
}

impl fmt::Debug for LogLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLayer").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl LogLayer {
    pub(in crate::pipeline) fn new(
        provider: &SdkLoggerProvider,
        records: Records,
        lines: Option<Lines>,
        scrub: Scrub,
    ) -> Self {
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        Self {
            logger: provider.logger_with_scope(scope.clone()),
            scope: Arc::new(scope),
            records,
            lines,
            scrub,
            baggage: CopiedBaggage::default(),
            dispatch: OnceLock::new(),
        }
    }

    pub(in crate::pipeline) fn with_baggage(mut self, baggage: CopiedBaggage) -> Self {
        self.baggage = baggage;
        self
    }

    pub(super) fn record<S>(&self, event: &Event<'_>, context: &Context<'_, S>) -> SdkLogRecord
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let now = SystemTime::now();
        let mut record = self.logger.create_log_record();
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
        let mut fields = Fields::new(&mut record, &self.scrub);
        event.record(&mut fields);
        for attribute in requests::log_attributes() {
            fields.enrich(attribute);
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
        let mut set = |context: &OtelContext| {
            let span = context.span();
            let span: &SpanContext = span.span_context();
            if span.is_valid() {
                record.set_trace_context(span.trace_id(), span.span_id(), Some(span.trace_flags()));
            }
            for member in self.baggage.of(context) {
                // what the event says itself is nearer
                if record.attributes_iter().any(|(key, _)| *key == member.key) {
                    continue;
                }
                let value = self.scrub.text(member.key.as_str(), member.value.as_str().into_owned());
                record.add_attribute(member.key, value);
            }
        };
        match event.parent() {
            // the bridge keeps the current span active as OpenTelemetry's context
            None => OtelContext::map_current(|current| set(current)),
            Some(parent) => {
                let Some(dispatch) = self.dispatch.get().and_then(WeakDispatch::upgrade) else { return };
                // a span that the bridge does not see is transparent: its nearest ancestor that it sees stands for it
                let Some(span) = context.span(parent) else { return };
                let seen = span.scope().find_map(|span| {
                    span_seed::context_of(&span.id(), &dispatch)
                        .filter(|context| context.span().span_context().is_valid())
                });
                if let Some(seen) = seen {
                    set(&seen);
                }
            }
        }
    }

    fn print(&self, lines: &Lines, record: &SdkLogRecord) {
        let request = requests::current();
        LINE.with(|line| {
            // a value's Debug may log: its line then gets a buffer of its own
            let mut own = String::new();
            let mut shared = line.try_borrow_mut();
            let line = match &mut shared {
                Ok(line) => &mut **line,
                Err(_) => &mut own,
            };
            line.clear();
            match lines.format {
                LogFormat::Pretty => pretty::write_line(record, request.as_ref(), lines.colour, line),
                _ => json::write_line(record, request.as_ref(), line),
            }
            lines.writer.write(line.as_bytes());
            line.shrink_to(KEEP);
        });
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

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target().starts_with("opentelemetry") {
            // OpenTelemetry about itself never enters the pipelines it speaks about
            if Listener::hears(event.metadata()) {
                Listener::relay(event);
            }
            return;
        }
        if matches!(self.records, Records::None) && self.lines.is_none() && !requests::keeping_log_lines() {
            return;
        }
        let record = self.record(event, &context);
        if requests::keeping_log_lines() {
            brief::keep(&record);
        }
        if let Some(lines) = &self.lines {
            self.print(lines, &record);
        }
        if OtelContext::is_current_telemetry_suppressed() || is_transport(event.metadata().target()) {
            return;
        }
        match &self.records {
            Records::None => {}
            Records::Queue(queue) => queue.push((record, Arc::clone(&self.scope))),
            Records::Watched(watch, queue) => {
                watch.record(&record, &self.scope);
                if let Some(queue) = queue {
                    queue.push((record, Arc::clone(&self.scope)));
                }
            }
            Records::Provider => self.logger.emit(record),
        }
    }
}

/// Whether a target belongs to what exporters are made of. Its records go to stdout, if the filter wants them, but not
/// to the collector: the service's own use of these crates would be told apart from ours by nothing.
pub(crate) fn is_transport(target: &str) -> bool {
    // asked once per record: a search for "::" and nine comparisons would cost more than the rest of it
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

fn severity(level: Level) -> Severity {
    match level {
        Level::TRACE => Severity::Trace,
        Level::DEBUG => Severity::Debug,
        Level::INFO => Severity::Info,
        Level::WARN => Severity::Warn,
        Level::ERROR => Severity::Error,
    }
}
