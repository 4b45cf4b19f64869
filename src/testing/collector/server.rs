//! The collector's thread: the listening socket, its connections, and what is done with each request.

use std::{
    convert::Infallible,
    future::{Future, pending, poll_fn},
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{
    fault::{Fault, Script},
    record::{Received, Recorded},
    reply::{self, Reply},
    request,
};
use crate::config::{Protocol, Signal};

/// What the collector does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Accepts and answers.
    Serving,
    /// Accepts and never reads.
    Silent,
    /// Refuses; the port stays its own.
    Refusing,
}

/// Told to the server's thread.
pub(super) enum Command {
    /// Enter a phase and say when it is reached.
    Enter(Phase, Option<std::sync::mpsc::SyncSender<io::Result<()>>>),
    /// Close everything and end.
    Stop,
}

/// What the server's thread and the collector's owner share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<(Recorded, Script)>,
    pub(super) changed: Condvar,
    pub(super) version: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), version: watch::Sender::new(0) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, (Recorded, Script)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the record and wakes everyone who waits for a change.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut Recorded, &mut Script) -> T) -> T {
        let result = {
            let mut state = self.lock();
            let (recorded, script) = &mut *state;
            change(recorded, script)
        };
        self.changed.notify_all();
        self.version.send_modify(|version| *version += 1);
        result
    }
}

/// The server, living on its own thread until told to stop.
pub(super) struct Server {
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
    phase: watch::Sender<Phase>,
    connections: JoinSet<()>,
}

/// The listening socket, or the socket that keeps its port while connections are refused.
enum Door {
    Open(TcpListener),
    /// Bound without listening: nobody else gets the port, and connecting to it is refused.
    Shut(Option<TcpSocket>),
}

impl Server {
    pub(super) fn new(
        address: SocketAddr,
        tls: Option<TlsAcceptor>,
        shared: Arc<Shared>,
        commands: mpsc::UnboundedSender<Command>,
    ) -> Self {
        let phase = watch::Sender::new(Phase::Serving);
        Self { address, tls, shared, commands, phase, connections: JoinSet::new() }
    }

    pub(super) async fn run(
        mut self,
        listener: std::net::TcpListener,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) -> io::Result<()> {
        let mut door = Door::Open(TcpListener::from_std(listener)?);
        loop {
            match race(commands.recv(), door.accept()).await {
                Either::First(Some(Command::Enter(phase, done))) => {
                    let result = self.enter(phase, &mut door).await;
                    if let Some(done) = done {
                        // an owner who no longer waits does not matter
                        let _ = done.send(result);
                    }
                }
                Either::First(Some(Command::Stop) | None) => break,
                Either::Second(stream) => self.connect(stream),
            }
        }
        self.connections.shutdown().await;
        Ok(())
    }

    async fn enter(&mut self, phase: Phase, door: &mut Door) -> io::Result<()> {
        if *self.phase.borrow() == phase {
            return Ok(());
        }
        self.shared.update(|recorded, _| recorded.set_up(phase == Phase::Serving));
        self.phase.send_replace(phase);
        if phase == Phase::Refusing {
            // the old socket is closed first: a listening port cannot be bound again
            *door = Door::Shut(None);
            *door = Door::Shut(bind(self.address).ok());
        } else if let Door::Shut(socket) = door {
            let socket = socket.take().map_or_else(|| bind(self.address), Ok)?;
            *door = Door::Open(socket.listen(1024)?);
        }
        if phase != Phase::Silent {
            self.connections.shutdown().await;
        }
        Ok(())
    }

    fn connect(&mut self, stream: TcpStream) {
        while self.connections.try_join_next().is_some() {}
        let peer = Arc::new(Peer {
            number: self.shared.update(|recorded, _| recorded.add_connection()),
            gone: AtomicBool::new(false),
            close: Notify::new(),
            shared: self.shared.clone(),
            commands: self.commands.clone(),
        });
        self.connections.spawn(connection(stream, self.tls.clone(), peer, self.phase.subscribe()));
    }
}

impl Door {
    async fn accept(&self) -> TcpStream {
        let Self::Open(listener) = self else { return pending().await };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return stream,
                // out of file descriptors, or a client that left: no reason to spin
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // elsewhere the option would let others take the port
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// One connection as its requests see it.
struct Peer {
    number: u64,
    gone: AtomicBool,
    close: Notify,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
}

/// Marks the connection as gone, however its task ends.
struct Gone(Arc<Peer>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::SeqCst);
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    peer: Arc<Peer>,
    mut phase: watch::Receiver<Phase>,
) {
    let _gone = Gone(peer.clone());
    // answers are short and must not wait for one another; a failure only costs time
    let _ = stream.set_nodelay(true);
    let serving = async {
        match tls {
            // a failed handshake ends the connection; the client is told by TLS
            Some(tls) => {
                if let Ok(stream) = tls.accept(stream).await {
                    serve(stream, &peer).await;
                }
            }
            None => serve(stream, &peer).await,
        }
    };
    let mut serving = pin!(serving);
    if *phase.borrow_and_update() == Phase::Serving {
        let stop = race(peer.close.notified(), phase.changed());
        // the stop is looked at first: once `silence` has returned not a byte more is read
        match race(stop, serving.as_mut()).await {
            Either::First(Either::First(())) | Either::Second(()) => return,
            Either::First(Either::Second(_)) => {}
        }
    }
    // frozen: open and no longer polled, until the server aborts this task
    pending::<()>().await;
}

async fn serve<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: I, peer: &Arc<Peer>) {
    let service = service_fn(|request| {
        let peer = peer.clone();
        async move { Ok::<_, Infallible>(peer.answer(request).await) }
    });
    // errors are the client's departures and the scripted cuts
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

impl Peer {
    async fn answer(&self, request: Request<Incoming>) -> Response<Reply> {
        let (parts, body) = request.into_parts();
        let protocol = request::protocol(&parts.headers);
        let read = async {
            let (signal, protocol) = request::route(&parts, protocol)?;
            let (export, size) = request::read(&parts.headers, body, signal, protocol).await?;
            Ok((signal, protocol, export, size))
        };
        let (signal, protocol, export, size) = match read.await {
            Ok(read) => read,
            Err(request::Invalid { http, grpc, message }) => {
                let reply =
                    reply::status(protocol.unwrap_or(Protocol::HttpProtobuf), http, grpc, &message, None);
                self.shared.update(|recorded, _| recorded.add_invalid(message));
                return reply;
            }
        };
        let items = export.items();
        let request = Received {
            signal,
            protocol,
            headers: parts.headers,
            export: Arc::new(export),
            at: Instant::now(),
            connection: self.number,
            accepted: false,
            items,
            accepted_items: 0,
            size,
        };
        let place = (signal, protocol, items);
        let (number, fault) =
            self.shared.update(|recorded, script| (recorded.add(request), script.next(signal)));
        self.treat(number, place, fault).await
    }

    async fn treat(&self, number: u64, place: (Signal, Protocol, u64), fault: Fault) -> Response<Reply> {
        let (signal, protocol, items) = place;
        match fault {
            Fault::Accept => self.accept(number, place, None).await,
            Fault::Delay(wait) => {
                tokio::time::sleep(wait).await;
                self.accept(number, place, None).await
            }
            Fault::PartialSuccess { rejected, message } => {
                let place = (signal, protocol, items.saturating_sub(rejected));
                self.accept(number, place, Some((rejected, message))).await
            }
            Fault::Status { http, grpc, retry_after } => {
                reply::status(protocol, http, grpc, "scripted by the test", retry_after)
            }
            Fault::Garbage => reply::garbage(protocol),
            Fault::ResetMidBody => reply::reset_mid_body(protocol),
            Fault::Hang => pending().await,
            Fault::Close => {
                self.close.notify_one();
                pending().await
            }
            Fault::Die => {
                // fails only when the collector is being dropped, which closes the connection as well
                let _ = self.commands.send(Command::Enter(Phase::Refusing, None));
                pending().await
            }
        }
    }

    /// Counts as accepted what can still be answered.
    async fn accept(
        &self,
        number: u64,
        (signal, protocol, items): (Signal, Protocol, u64),
        partial: Option<(u64, String)>,
    ) -> Response<Reply> {
        let answerable = self.shared.update(|recorded, _| {
            let answerable = recorded.is_up() && !self.gone.load(Ordering::SeqCst);
            if answerable {
                recorded.accept(number, signal, items);
            }
            answerable
        });
        if answerable { reply::success(signal, protocol, partial) } else { pending().await }
    }
}

/// Which of two futures was ready first.
pub(super) enum Either<A, B> {
    First(A),
    Second(B),
}

/// Waits for the first of two futures and drops the other; the first one goes before when both are ready.
pub(super) async fn race<A: Future, B: Future>(first: A, second: B) -> Either<A::Output, B::Output> {
    let mut first = pin!(first);
    let mut second = pin!(second);
    poll_fn(|cx| {
        if let Poll::Ready(output) = first.as_mut().poll(cx) {
            return Poll::Ready(Either::First(output));
        }
        second.as_mut().poll(cx).map(Either::Second)
    })
    .await
}
