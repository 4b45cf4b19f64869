//! Semantic conventions for messaging clients, version 1.44: what is done to messages into names and attributes. Pure, and
//! the only file that knows names starting with `messaging.`.

use std::borrow::Cow;

use opentelemetry::{KeyValue, StringValue, trace::SpanKind};

pub(super) const CLIENT_DURATION: &str = "messaging.client.operation.duration";
pub(super) const SENT: &str = "messaging.client.sent.messages";
pub(super) const CONSUMED: &str = "messaging.client.consumed.messages";
pub(super) const PROCESS_DURATION: &str = "messaging.process.duration";

/// Bucket boundaries of durations, in seconds (messaging metrics).
pub(super) const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

const SYSTEM: &str = "messaging.system";
const DESTINATION: &str = "messaging.destination.name";
const TEMPLATE: &str = "messaging.destination.template";
const MESSAGE_ID: &str = "messaging.message.id";
const BODY_SIZE: &str = "messaging.message.body.size";
const MESSAGE_COUNT: &str = "messaging.batch.message_count";
const OPERATION_NAME: &str = "messaging.operation.name";
pub(crate) const OPERATION_TYPE: &str = "messaging.operation.type";
const CONSUMER_GROUP: &str = "messaging.consumer.group.name";
const ADDRESS: &str = "server.address";
const PORT: &str = "server.port";
const ERROR_TYPE: &str = "error.type";
const OUTCOME: &str = "tracewell.outcome";

/// The conventions demand a system; this is what they write where a value is not known.
const UNKNOWN: &str = "_OTHER";

/// What is done to messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Send,
    Receive,
    Process,
    /// By its name in the broker's words: `ack`.
    Settle(&'static str),
}

impl Operation {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Settle(name) => name,
            other => other.kind(),
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Process => "process",
            Self::Settle(_) => "settle",
        }
    }

    /// The span's kind; a sending whose messages have contexts of their own is a client's call.
    pub(crate) const fn span_kind(self, created: bool) -> SpanKind {
        match self {
            Self::Create => SpanKind::Producer,
            Self::Send if !created => SpanKind::Producer,
            Self::Process => SpanKind::Consumer,
            Self::Send | Self::Receive | Self::Settle(_) => SpanKind::Client,
        }
    }
}

/// Where messages go to or come from, as attributes tell it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    pub(crate) system: Option<Cow<'static, str>>,
    pub(crate) name: Option<Cow<'static, str>>,
    pub(crate) template: Option<Cow<'static, str>>,
    pub(crate) consumer_group: Option<Cow<'static, str>>,
    pub(crate) address: Option<StringValue>,
    pub(crate) port: Option<u16>,
}

impl Place {
    /// The name to show; the task's, where nothing else is known.
    pub(crate) fn shown<'a>(&'a self, task: &'a str) -> &'a str {
        self.template.as_deref().or(self.name.as_deref()).unwrap_or(task)
    }

    /// What span and metrics say. A metric has the template instead of the name, where there is one.
    fn attributes(&self, operation: Operation, task: &str, of_metric: bool) -> Vec<KeyValue> {
        let mut attributes = Vec::with_capacity(12);
        attributes.extend([
            KeyValue::new(SYSTEM, self.system.clone().unwrap_or(Cow::Borrowed(UNKNOWN))),
            KeyValue::new(OPERATION_NAME, operation.name()),
        ]);
        if !of_metric || operation != Operation::Process {
            attributes.push(KeyValue::new(OPERATION_TYPE, operation.kind()));
        }
        let template = self.template.clone().map(|template| KeyValue::new(TEMPLATE, template));
        if !of_metric || template.is_none() {
            let name = self.name.clone().unwrap_or_else(|| Cow::Owned(task.to_owned()));
            attributes.push(KeyValue::new(DESTINATION, name));
        }
        attributes.extend(template);
        attributes.extend(self.consumer_group.clone().map(|group| KeyValue::new(CONSUMER_GROUP, group)));
        attributes.extend(self.address.clone().map(|address| KeyValue::new(ADDRESS, address)));
        attributes.extend(self.port.map(|port| KeyValue::new(PORT, i64::from(port))));
        attributes
    }

    /// What a span says from its start on.
    pub(crate) fn of_span(&self, operation: Operation, task: &str) -> Vec<KeyValue> {
        self.attributes(operation, task, false)
    }

    /// A point of a metric.
    pub(crate) fn of_metric(&self, operation: Operation, task: &str) -> Vec<KeyValue> {
        self.attributes(operation, task, true)
    }

    /// The span's name (messaging spans, "Span name").
    pub(crate) fn span_name(&self, operation: Operation, task: &str) -> String {
        format!("{} {}", operation.name(), self.shown(task))
    }
}

/// One message, as its span tells it.
pub(crate) fn message(id: &str, body_size: Option<u64>) -> impl Iterator<Item = KeyValue> {
    let size = body_size.map(|size| KeyValue::new(BODY_SIZE, whole(size)));
    std::iter::once(KeyValue::new(MESSAGE_ID, id.to_owned())).chain(size)
}

/// Several messages at once.
pub(crate) fn message_count(count: u64) -> KeyValue {
    KeyValue::new(MESSAGE_COUNT, whole(count))
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Completed,
    Failed(&'static str),
    Cancelled,
}

impl Ending {
    /// What span and metric say at the end.
    pub(crate) fn attribute(self) -> Option<KeyValue> {
        match self {
            Self::Completed => None,
            Self::Failed(kind) => Some(KeyValue::new(ERROR_TYPE, kind)),
            Self::Cancelled => Some(KeyValue::new(OUTCOME, "cancelled")),
        }
    }
}
