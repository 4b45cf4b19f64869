//! An OTLP server in the test's own process, with scripted faults.

mod fault;
mod record;
mod reply;
mod request;
mod server;
mod tls;
mod view;

use std::{
    fmt, io, iter,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    pin::pin,
    sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc},
    thread,
    time::{Duration, Instant},
};

use tokio::{runtime, sync::mpsc};
use tokio_rustls::TlsAcceptor;

pub(super) use self::view::{hex, shown, text};
pub use self::{
    fault::Fault,
    record::{Export, Received, Recorded},
    tls::TlsFiles,
    view::{Attributes, ExemplarRecord, LogRecord, MetricRecord, SpanRecord},
};
pub use opentelemetry_proto::tonic as proto;

use crate::config::Signal;

use self::{
    server::{Command, Either, Phase, Server, Shared},
    tls::Tls,
};

/// How long a command to the server's thread may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// An OTLP server on a free loopback port: OTLP/gRPC, OTLP/HTTP with protobuf and with JSON, gzip or not, all three
/// signals, on one port.
///
/// It lives on its own thread with its own runtime, so it works in tests with and without one, and with a paused
/// clock. Its own work is invisible to `tracing` subscribers. Bodies are limited to 64 MiB before and after
/// decompression. Dropping it closes every connection and ends its thread.
///
/// ```
/// use tracewell::testing::{Collector, Fault, Signal};
///
/// let collector = Collector::start();
/// collector.script(Signal::Traces, [Fault::unavailable(), Fault::Accept]);
/// // … point an exporter at collector.endpoint(), and then:
/// let arrived = collector.wait_for(std::time::Duration::ZERO, |recorded| recorded.spans().len() == 1);
/// assert!(!arrived, "nothing was sent in this example");
/// assert_eq!(collector.accepted_items(Signal::Traces), 0);
/// ```
#[must_use = "the collector is gone when it is dropped"]
pub struct Collector {
    address: SocketAddr,
    tls: Option<Tls>,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
    runtime: runtime::Handle,
    // the lock is there to make the collector `Sync`
    ended: Mutex<std_mpsc::Receiver<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("endpoint", &self.endpoint()).finish_non_exhaustive()
    }
}

impl Collector {
    /// Starts a collector without TLS.
    ///
    /// # Panics
    ///
    /// When no loopback port, thread or runtime can be had.
    pub fn start() -> Self {
        Self::start_with(None).expect("a loopback port, a thread and a runtime for the test collector")
    }

    /// Starts a collector with TLS; its certificate is for `localhost` and `127.0.0.1`, signed by an authority made
    /// for it alone ([`ca_pem`](Self::ca_pem)).
    ///
    /// # Panics
    ///
    /// When no loopback port, thread, runtime or certificate can be had.
    pub fn start_tls() -> Self {
        let tls = Tls::new(false).expect("certificates for the test collector");
        Self::start_with(Some(tls)).expect("a loopback port, a thread and a runtime for the test collector")
    }

    /// As [`start_tls`](Self::start_tls), and it demands the certificate it gives out
    /// ([`client_pem`](Self::client_pem)).
    ///
    /// # Panics
    ///
    /// When no loopback port, thread, runtime or certificate can be had.
    pub fn start_mutual_tls() -> Self {
        let tls = Tls::new(true).expect("certificates for the test collector");
        Self::start_with(Some(tls)).expect("a loopback port, a thread and a runtime for the test collector")
    }

    fn start_with(tls: Option<Tls>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::new(Shared::new());
        let (commands, received) = mpsc::unbounded_channel();
        let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(tls.config.clone()));
        let server = Server::new(address, acceptor, shared.clone(), commands.clone());
        let handle = runtime.handle().clone();
        let (ending, ended) = std_mpsc::channel::<()>();
        let thread = thread::Builder::new().name("test-collector".to_owned()).spawn(move || {
            // dropped last: tells the owner that everything is closed
            let _ending = ending;
            tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), || {
                // it fails only if the socket cannot be registered, which the first request then shows
                let _ = runtime.block_on(server.run(listener, received));
                drop(runtime);
            });
        })?;
        Ok(Self {
            address,
            tls,
            shared,
            commands,
            runtime: handle,
            ended: Mutex::new(ended),
            thread: Some(thread),
        })
    }

    /// The base URL, `http://127.0.0.1:port` or `https://127.0.0.1:port`: as it is for gRPC, and for HTTP with the
    /// signal's path appended.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The listening address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate authority in PEM; `None` without TLS.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.tls.as_ref().map(|tls| tls.ca_pem.as_str())
    }

    /// A client certificate and its key in PEM; `None` without TLS.
    #[must_use]
    pub fn client_pem(&self) -> Option<(&str, &str)> {
        self.tls.as_ref().map(|tls| (tls.client_certificate_pem.as_str(), tls.client_key_pem.as_str()))
    }

    /// Writes authority, client certificate and client key into a directory, for settings that name files.
    ///
    /// # Errors
    ///
    /// When a file cannot be written, and `Unsupported` without TLS.
    pub fn write_tls_files(&self, directory: &Path) -> io::Result<TlsFiles> {
        self.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?.write(directory)
    }

    /// Appends faults for the next requests of a signal, one each; after them its standing fault holds, if any, then
    /// what is scripted for all signals.
    pub fn script(&self, signal: Signal, faults: impl IntoIterator<Item = Fault>) {
        self.shared.lock().1.extend(Some(signal), faults);
    }

    /// Appends faults for the next requests of whatever signal, one each, in order of arrival.
    pub fn script_all(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.lock().1.extend(None, faults);
    }

    /// Replaces a signal's script by one fault for every request from now on.
    pub fn set(&self, signal: Signal, fault: Fault) {
        self.shared.lock().1.set(Some(signal), fault);
    }

    /// Replaces the script for all signals by one fault for every request from now on; scripts of single signals go
    /// before it.
    pub fn set_all(&self, fault: Fault) {
        self.shared.lock().1.set(None, fault);
    }

    /// Accepts `requests` more of whatever signal and dies in the next one: [`Fault::Die`].
    pub fn die_after(&self, requests: usize) {
        self.script_all(iter::repeat_n(Fault::Accept, requests).chain([Fault::Die]));
    }

    /// Removes every scripted and standing fault. Requests that hang already go on hanging; [`refuse`](Self::refuse)
    /// and [`silence`](Self::silence) stay in force.
    pub fn clear(&self) {
        self.shared.lock().1.clear();
    }

    /// Closes the listening socket and every connection: from its return on connections are refused. The port stays
    /// reserved.
    ///
    /// # Panics
    ///
    /// When the server's thread does not answer within 5 s.
    pub fn refuse(&self) {
        self.enter(Phase::Refusing);
    }

    /// Becomes a black hole: new connections are accepted and never read, open ones stay open and are served no
    /// longer.
    ///
    /// # Panics
    ///
    /// When the server's thread does not answer within 5 s, or the port cannot be bound again after a `refuse`.
    pub fn silence(&self) {
        self.enter(Phase::Silent);
    }

    /// Serves again on the same port after [`refuse`](Self::refuse), [`silence`](Self::silence) or [`Fault::Die`], as
    /// a restarted collector would: connections of the time before are closed. Scripts and records stay.
    ///
    /// # Panics
    ///
    /// When the server's thread does not answer within 5 s, or the port cannot be bound again.
    pub fn revive(&self) {
        self.enter(Phase::Serving);
    }

    fn enter(&self, phase: Phase) {
        let (done, result) = std_mpsc::sync_channel(1);
        self.commands.send(Command::Enter(phase, Some(done))).expect("the collector's thread is gone");
        let result = result.recv_timeout(PATIENCE).expect("the collector's thread does not answer");
        result.expect("the collector's port cannot be bound again");
    }

    /// Reads the record in one consistent state. The closure runs under the collector's lock: it must not call the
    /// collector.
    pub fn read<T>(&self, read: impl FnOnce(&Recorded) -> T) -> T {
        read(&self.shared.lock().0)
    }

    /// The requests in order of arrival, accepted or not.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.read(|recorded| recorded.requests().cloned().collect())
    }

    /// The accepted spans, in order of arrival.
    #[must_use]
    pub fn spans(&self) -> Vec<SpanRecord> {
        self.read(Recorded::spans)
    }

    /// The accepted log records, in order of arrival.
    #[must_use]
    pub fn logs(&self) -> Vec<LogRecord> {
        self.read(Recorded::logs)
    }

    /// The accepted metrics, one entry for each export of each, in order of arrival.
    #[must_use]
    pub fn metrics(&self) -> Vec<MetricRecord> {
        self.read(Recorded::metrics)
    }

    /// The exemplars of every accepted export of a metric, in order of arrival.
    #[must_use]
    pub fn exemplars(&self, metric: &str) -> Vec<ExemplarRecord> {
        self.read(|recorded| recorded.exemplars(metric))
    }

    /// The spans, data points or log records accepted; see [`Recorded::accepted_items`].
    #[must_use]
    pub fn accepted_items(&self, signal: Signal) -> u64 {
        self.read(|recorded| recorded.accepted_items(signal))
    }

    /// The spans, data points or log records received and not accepted; see [`Recorded::rejected_items`].
    #[must_use]
    pub fn rejected_items(&self, signal: Signal) -> u64 {
        self.read(|recorded| recorded.rejected_items(signal))
    }

    /// Drops the kept requests, and with them the typed views; counts stay.
    pub fn forget(&self) {
        self.shared.update(|recorded, _| recorded.forget());
    }

    /// The kept requests, which are dropped here in the same moment: none is in two takes, and none in no take. Counts
    /// stay.
    #[must_use]
    pub fn take(&self) -> Vec<Received> {
        self.shared.update(|recorded, _| recorded.take())
    }

    /// Blocks until the record fulfils a condition; false when it did not in time. The condition is looked at once at
    /// first and after each change, under the collector's lock: it must not call the collector.
    pub fn wait_for(&self, timeout: Duration, mut condition: impl FnMut(&Recorded) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.lock();
        loop {
            if condition(&state.0) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// [`wait_for`](Self::wait_for) without blocking, on any runtime: the timer is the collector's own.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping it loses nothing.
    pub async fn wait_for_async(
        &self,
        timeout: Duration,
        mut condition: impl FnMut(&Recorded) -> bool,
    ) -> bool {
        let mut version = self.shared.version.subscribe();
        let mut timer = tokio::task::JoinSet::new();
        timer.spawn_on(async move { tokio::time::sleep(timeout).await }, &self.runtime);
        let mut late = pin!(timer.join_next());
        while !self.read(&mut condition) {
            if let Either::Second(_) = server::race(version.changed(), late.as_mut()).await {
                return self.read(&mut condition);
            }
        }
        true
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // fails only when the thread is gone already
        let _ = self.commands.send(Command::Stop);
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let stopped = ended.recv_timeout(PATIENCE) == Err(std_mpsc::RecvTimeoutError::Disconnected);
        if let (true, Some(thread)) = (stopped, self.thread.take()) {
            // its panic, if any, has been printed; a drop must not repeat it
            let _ = thread.join();
        }
    }
}
