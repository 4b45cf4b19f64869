//! The instruments of messaging clients.

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, MeterProvider},
};

use super::semconv::{self, Ending};
use crate::instruments;

/// The instruments of one meter provider.
#[derive(Debug)]
pub(crate) struct Instruments {
    client_duration: Histogram<f64>,
    process_duration: Histogram<f64>,
    sent: Counter<u64>,
    consumed: Counter<u64>,
}

impl Instruments {
    pub(crate) fn new(provider: &(impl MeterProvider + ?Sized)) -> Self {
        let meter = instruments::meter(provider, "tracewell.messaging");
        let seconds = |name, description| instruments::seconds(&meter, name, description, &semconv::SECONDS);
        let messages = |name, description| {
            meter.u64_counter(name).with_unit("{message}").with_description(description).build()
        };
        Self {
            client_duration: seconds(
                semconv::CLIENT_DURATION,
                "Duration of messaging operation initiated by a producer or consumer client.",
            ),
            process_duration: seconds(semconv::PROCESS_DURATION, "Duration of processing operation."),
            sent: messages(semconv::SENT, "Number of messages producer attempted to send to the broker."),
            consumed: messages(
                semconv::CONSUMED,
                "Number of messages that were delivered to the application.",
            ),
        }
    }

    /// Records an operation of a client in the current context, whose trace becomes the exemplar; `sent` messages of it
    /// were handed to the broker, or were to be.
    pub(crate) fn record_client(
        &self,
        mut point: Vec<KeyValue>,
        ending: Ending,
        duration: Duration,
        sent: u64,
    ) {
        point.extend(ending.attribute());
        self.client_duration.record(duration.as_secs_f64(), &point);
        if sent > 0 {
            // the name says it here: the conventions have the type on durations only
            point.retain(|attribute| attribute.key.as_str() != semconv::OPERATION_TYPE);
            self.sent.add(sent, &point);
        }
    }

    /// The same of the processing of a message.
    pub(crate) fn record_process(&self, mut point: Vec<KeyValue>, ending: Ending, duration: Duration) {
        point.extend(ending.attribute());
        self.process_duration.record(duration.as_secs_f64(), &point);
    }

    pub(crate) fn count_consumed(&self, point: &[KeyValue]) {
        self.consumed.add(1, point);
    }
}
