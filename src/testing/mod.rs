//! Help for tests: an OTLP server in the test's own process.

mod collector;

pub use crate::config::{Protocol, Signal};
pub use collector::{
    Attributes, Collector, ExemplarRecord, Export, Fault, LogRecord, MetricRecord, Received, Recorded,
    SpanRecord, TlsFiles, proto,
};
