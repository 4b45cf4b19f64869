//! How one signal leaves: where its OTLP requests go, and the queue before them.

use std::{path::PathBuf, time::Duration};

use super::{Compression, DropPolicy, Endpoint, Headers, Protocol};

/// Where one signal's OTLP requests go and how (specification, protocol/exporter.md).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Otlp {
    /// `OTEL_EXPORTER_OTLP_{SIGNAL_}PROTOCOL`; `http/protobuf` by default, whatever cargo features are on.
    pub protocol: Protocol,
    /// The full URL requests are sent to: with the signal's path for HTTP, the origin alone for gRPC.
    pub endpoint: Endpoint,
    /// `OTEL_EXPORTER_OTLP_{SIGNAL_}HEADERS`; shown redacted.
    pub headers: Headers,
    /// Limit of one export including its retries; `None` = no limit (`0` in the environment).
    pub timeout: Option<Duration>,
    /// `OTEL_EXPORTER_OTLP_{SIGNAL_}COMPRESSION`.
    pub compression: Compression,
    /// PEM file of the certificate authorities to trust instead of the system's.
    pub certificate: Option<PathBuf>,
    /// PEM file of the client's certificate chain (mutual TLS).
    pub client_certificate: Option<PathBuf>,
    /// PEM file of the client's private key (mutual TLS).
    pub client_key: Option<PathBuf>,
}

/// A batch processor's queue (`OTEL_BSP_*`, `OTEL_BLRP_*`; specification, trace/sdk.md and logs/sdk.md "Batching
/// processor").
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Batch {
    /// The longest an item waits before it is sent; zero = as soon as the sender is free.
    pub schedule_delay: Duration,
    /// Limit of one export; `None` = no limit beyond the exporter's own.
    pub export_timeout: Option<Duration>,
    /// Items held at most; more are dropped and counted.
    pub max_queue_size: usize,
    /// Items in one request at most; never above `max_queue_size`.
    pub max_export_batch_size: usize,
    /// Which item is dropped when the queue is full (`TRACEWELL_TRACES_DROP`, `TRACEWELL_LOGS_DROP`).
    pub drop: DropPolicy,
}
