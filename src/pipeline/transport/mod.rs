//! One OTLP endpoint: encoded requests go out, and what became of them comes back with its cause.
//!
//! Requests of all three signals leave through [`Transport::send`], so retry, limits, headers, compression and accounting are
//! the same for every signal and protocol.
//!
//! A connection is never kept for good: after a failure that the collector did not answer for, and after [`MAX_AGE`], the
//! next attempt makes another one and asks for the collector's address again.

mod certificates;
mod console;
#[cfg(any(feature = "otlp-http", feature = "otlp-grpc"))]
mod dns;
#[cfg(all(any(fuzzing, test), feature = "otlp-http", feature = "otlp-grpc"))]
pub(super) mod fuzzing;
#[cfg(feature = "otlp-grpc")]
mod grpc;
#[cfg(feature = "otlp-grpc")]
mod grpc_status;
#[cfg(feature = "otlp-http")]
mod http;
#[cfg(any(feature = "otlp-http", feature = "otlp-grpc"))]
mod response;
mod retry;
#[cfg(all(test, feature = "otlp-http", feature = "otlp-grpc", feature = "testing"))]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;

use self::certificates::CertificateFiles;
pub(super) use self::retry::{Hurry, Patience};
use crate::{
    config::{Exporter, Otlp, Protocol, Signal},
    diagnostics,
    line_writer::LineWriter,
    pipeline::{encode, signal_status::SignalStatus},
};

/// What the collector said to a request that it took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Accepted {
    /// Items it refused all the same (OTLP "Partial Success").
    pub(crate) rejected: u64,
    /// Its reason, or a warning when nothing was refused.
    pub(crate) message: String,
}

/// Why a request was not taken.
#[derive(Debug, Clone)]
pub(crate) struct SendError {
    pub(crate) kind: SendErrorKind,
    /// The cause for a person, without headers or credentials.
    pub(crate) cause: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "otlp-http"), allow(dead_code, reason = "only HTTP has a status for each"))]
pub(crate) enum SendErrorKind {
    /// It may be taken later, after this pause if the collector asked for one.
    Retryable(Option<Duration>),
    /// It may have been taken, but no answer says so.
    Unreadable,
    /// It will never be taken.
    Rejected,
    /// Too large for one request.
    TooLarge,
}

impl SendError {
    pub(super) fn retryable(cause: impl Into<String>) -> Self {
        Self { kind: SendErrorKind::Retryable(None), cause: cause.into() }
    }

    pub(super) fn rejected(cause: impl Into<String>) -> Self {
        Self { kind: SendErrorKind::Rejected, cause: cause.into() }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

/// A request ready to go: encoded, not yet compressed.
#[derive(Debug, Clone)]
struct Payload {
    #[cfg_attr(
        not(any(feature = "otlp-http", feature = "otlp-grpc")),
        expect(dead_code, reason = "nothing is sent without a protocol")
    )]
    body: Bytes,
    /// `application/json` rather than protobuf.
    #[cfg_attr(not(feature = "otlp-http"), expect(dead_code, reason = "of HTTP alone"))]
    json: bool,
}

/// Bytes of a request, not yet compressed: more than most collectors take, and what a batch of usual items is far from.
const MAX_REQUEST: usize = 64 * 1024 * 1024;

/// A connection is used so long at most: behind a name that now leads elsewhere the old server may live on.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// The connection to one signal's OTLP endpoint.
#[derive(Debug)]
pub(crate) struct Transport {
    signal: Signal,
    console: Option<console::ConsoleWire>,
    wire: Option<Mutex<Connected>>,
    otlp: Otlp,
    certificates: CertificateFiles,
    timeout: Option<Duration>,
    max_age: Duration,
    status: Arc<SignalStatus>,
    patience: Patience,
}

/// A connection and what its certificate files held when it was prepared.
#[derive(Debug)]
struct Connected {
    wire: Arc<Wire>,
    stamp: u64,
    since: Instant,
    /// It may lead nowhere: a request over it had no answer.
    suspect: bool,
}

impl Connected {
    fn new(wire: Wire, stamp: u64) -> Self {
        Self { wire: Arc::new(wire), stamp, since: Instant::now(), suspect: false }
    }
}

#[derive(Debug)]
enum Wire {
    #[cfg(feature = "otlp-http")]
    Http(Box<http::HttpWire>),
    #[cfg(feature = "otlp-grpc")]
    Grpc(Box<grpc::GrpcWire>),
}

impl Wire {
    /// The same without a connection; `None` where there is no protocol to speak.
    fn anew(&self) -> Option<Self> {
        match self {
            #[cfg(feature = "otlp-http")]
            Self::Http(http) => Some(Self::Http(Box::new(http.anew()))),
            #[cfg(feature = "otlp-grpc")]
            Self::Grpc(grpc) => Some(Self::Grpc(Box::new(grpc.anew()))),
            #[cfg(not(any(feature = "otlp-http", feature = "otlp-grpc")))]
            _ => None,
        }
    }
}

impl Transport {
    /// Prepares the connection; nothing is sent yet.
    ///
    /// # Errors
    /// The sentence that says what is missing: a cargo feature, or certificates that cannot be used.
    pub(crate) fn new(
        signal: Signal,
        exporters: &[Exporter],
        otlp: &Otlp,
        status: Arc<SignalStatus>,
    ) -> Result<Arc<Self>, String> {
        let certificates = CertificateFiles::of(otlp);
        let wire = if exporters.contains(&Exporter::Otlp) {
            // before the files are read: a change in between is then seen
            let stamp = certificates.stamp();
            Some(Mutex::new(Connected::new(Self::wire(signal, otlp)?, stamp)))
        } else {
            None
        };
        let console = exporters
            .contains(&Exporter::Console)
            .then(|| console::ConsoleWire { signal, lines: LineWriter::stdout() });
        let patience = Patience::default();
        let (timeout, otlp) = (otlp.timeout, otlp.clone());
        let max_age = MAX_AGE;
        Ok(Arc::new(Self { signal, console, wire, otlp, certificates, timeout, max_age, status, patience }))
    }

    #[cfg_attr(
        not(any(feature = "otlp-http", feature = "otlp-grpc")),
        expect(unused_variables, reason = "there is no wire without a protocol")
    )]
    fn wire(signal: Signal, otlp: &Otlp) -> Result<Wire, String> {
        match otlp.protocol {
            #[cfg(feature = "otlp-http")]
            Protocol::HttpProtobuf | Protocol::HttpJson => {
                Ok(Wire::Http(Box::new(http::HttpWire::new(signal, otlp)?)))
            }
            #[cfg(feature = "otlp-grpc")]
            Protocol::Grpc => Ok(Wire::Grpc(Box::new(grpc::GrpcWire::new(signal, otlp)?))),
            #[allow(unreachable_patterns, reason = "reached when a protocol's feature is off")]
            other => Err(missing_feature(other)),
        }
    }

    /// The connection for the next attempt: another one when the last is suspect or old, or the certificate files have
    /// changed. Files that cannot be
    /// used, which may be half written, leave the connection as it is until they can.
    fn connection(&self, connected: &Mutex<Connected>) -> Arc<Wire> {
        let mut connected = connected.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.certificates.is_empty() {
            let stamp = self.certificates.stamp();
            if stamp != connected.stamp {
                match Self::wire(self.signal, &self.otlp) {
                    Ok(wire) => *connected = Connected::new(wire, stamp),
                    Err(problem) => diagnostics::warn(
                        "certificates",
                        format_args!(
                            "{}: changed certificates, the old ones stay in use: {problem}",
                            self.signal
                        ),
                    ),
                }
            }
        }
        if connected.suspect || connected.since.elapsed() >= self.max_age {
            if let Some(wire) = connected.wire.anew() {
                *connected = Connected::new(wire, connected.stamp);
            }
        }
        Arc::clone(&connected.wire)
    }

    /// The connection is not to be used again: a server that is gone may leave it open for a long time, and whoever gave
    /// an answer that is none may be somebody else.
    fn suspect(connected: &Mutex<Connected>) {
        connected.lock().unwrap_or_else(PoisonError::into_inner).suspect = true;
    }

    pub(crate) fn signal(&self) -> Signal {
        self.signal
    }

    pub(crate) fn patience(&self) -> &Patience {
        &self.patience
    }

    /// Sends a request in protobuf, or as JSON where that is the protocol, and repeats what may be repeated until it is taken,
    /// patience ends, or the request is outdated at `until`.
    ///
    /// Cancel safe in that a request dropped in flight may or may not have arrived.
    pub(crate) async fn send(&self, request: Bytes, until: Option<Instant>) -> Result<Accepted, SendError> {
        if let Some(console) = &self.console {
            console.print(&request)?;
        }
        let Some(wire) = &self.wire else { return Ok(Accepted::default()) };
        let payload = self.payload(request).inspect_err(|error| {
            self.status.failed(self.signal, &error.cause, false, Instant::now());
        })?;
        let mut attempts = self.patience.attempts(until);
        loop {
            let began = Instant::now();
            let error = match self.attempt(&self.connection(wire), &payload, until).await {
                Ok(accepted) => {
                    self.patience.answered();
                    self.status.succeeded(self.signal);
                    return Ok(accepted);
                }
                Err(error) => error,
            };
            let retryable = matches!(error.kind, SendErrorKind::Retryable(_));
            if matches!(error.kind, SendErrorKind::Retryable(None) | SendErrorKind::Unreadable) {
                Self::suspect(wire);
            }
            self.status.failed(self.signal, &error.cause, retryable, began);
            match error.kind {
                SendErrorKind::Retryable(after) if attempts.again(after).await => {}
                _ => return Err(error),
            }
        }
    }

    fn payload(&self, request: Bytes) -> Result<Payload, SendError> {
        let json = self.otlp.protocol == Protocol::HttpJson;
        let body = match json {
            true => Bytes::from(encode::json(self.signal, &request).map_err(SendError::rejected)?),
            false => request,
        };
        if body.len() > MAX_REQUEST {
            let cause = format!("a request of {} bytes: the limit is {MAX_REQUEST}", body.len());
            return Err(SendError { kind: SendErrorKind::TooLarge, cause });
        }
        Ok(Payload { body, json })
    }

    async fn attempt(
        &self,
        wire: &Wire,
        payload: &Payload,
        until: Option<Instant>,
    ) -> Result<Accepted, SendError> {
        let mut unanswered = Unanswered { transport: self, since: Some(Instant::now()) };
        let attempt = async {
            match wire {
                #[cfg(feature = "otlp-http")]
                Wire::Http(http) => http.send(payload).await,
                #[cfg(feature = "otlp-grpc")]
                Wire::Grpc(grpc) => grpc.send(payload).await,
                #[cfg(not(any(feature = "otlp-http", feature = "otlp-grpc")))]
                _ => Err(SendError::rejected(format!("no OTLP feature for {payload:?}"))),
            }
        };
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let result = match self.timeout.into_iter().chain(left).min() {
            None => attempt.await,
            Some(limit) => tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| {
                Err(SendError::retryable(format!("no answer within {} ms", limit.as_millis())))
            }),
        };
        unanswered.since = None;
        result
    }

    /// The items of the last request are lost: says so, unless a line has said it already.
    pub(crate) fn lost(&self) {
        self.status.lost_items(self.signal);
    }
}

/// An attempt under way; dropped in flight, the shutdown's deadline has passed.
struct Unanswered<'a> {
    transport: &'a Transport,
    since: Option<Instant>,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(since) = self.since {
            let waited = since.elapsed().as_millis();
            let cause = format!("no answer within {waited} ms, when the shutdown's deadline passed");
            self.transport.status.cut_short(self.transport.signal, &cause, since);
        }
    }
}

#[allow(dead_code, reason = "unused when both OTLP features are on")]
fn missing_feature(protocol: Protocol) -> String {
    let feature = if matches!(protocol, Protocol::Grpc) { "otlp-grpc" } else { "otlp-http" };
    format!("OTLP protocol {protocol} needs the cargo feature `{feature}` of tracewell")
}
