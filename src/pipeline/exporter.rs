//! The exporter's own thread: one small runtime that sends everything and whose own work is never recorded.
//!
//! Nothing that runs here can reach the service's telemetry: the thread has a subscriber of its own, which only passes
//! OpenTelemetry's warnings on to [`diagnostics`], and it is inside a suppressed-telemetry scope.

use std::{
    future::Future,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use opentelemetry::Context;
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep_until,
};

use super::transport::{Hurry, Patience, Transport};
use crate::{config::Signal, diagnostics};

/// What a signal's exporter can do; one task drives it.
pub(super) trait Export: Send + 'static {
    /// Resolves when there is something to send. Cancel safe.
    fn due(&mut self) -> impl Future<Output = ()> + Send;

    /// Sends one request. When it is dropped in flight, its items are accounted as unanswered.
    fn once(&mut self) -> impl Future<Output = ()> + Send;

    /// Sends everything there is. Dropped in flight: as [`once`](Self::once).
    fn drain(&mut self) -> impl Future<Output = ()> + Send;

    /// No item is taken any more; what waits is lost to the shutdown.
    fn close(&mut self);

    /// Where it sends to.
    fn transport(&self) -> Arc<Transport>;
}

/// How long past its deadline an exporter may take to say what became of its items.
const SLACK: Duration = Duration::from_millis(50);

/// A wish of the service's.
struct Command {
    deadline: Instant,
    /// The exporter is to end afterwards.
    last: bool,
    /// It was there when the current drain began.
    begun: bool,
    done: Done,
}

impl Command {
    fn new(deadline: Instant, last: bool, done: Done) -> Self {
        Self { deadline, last, begun: false, done }
    }
}

/// Told when a command was carried out; works for async and for plain threads.
enum Done {
    Async(oneshot::Sender<()>),
    Sync(std::sync::mpsc::Sender<()>),
}

impl Done {
    fn tell(self) {
        // whoever asked may have gone: that is theirs to decide
        match self {
            Self::Async(sender) => drop(sender.send(())),
            Self::Sync(sender) => drop(sender.send(())),
        }
    }
}

/// The way to one signal's task.
#[derive(Debug, Clone)]
struct Control(mpsc::UnboundedSender<Command>);

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command").field("last", &self.last).finish_non_exhaustive()
    }
}

/// The running exporters.
#[derive(Debug)]
pub(crate) struct ExporterThread {
    controls: Vec<Control>,
}

/// Collects the signals' tasks while the thread starts.
#[derive(Debug)]
pub(super) struct Tasks {
    controls: Vec<Control>,
    running: Vec<tokio::task::JoinHandle<()>>,
}

impl Tasks {
    /// Starts the task that drives `export`. Called on the exporter's thread, inside its runtime.
    pub(super) fn spawn(&mut self, signal: Signal, export: impl Export) {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.controls.push(Control(sender));
        let task = tokio::spawn(run(export, receiver));
        self.running.push(tokio::spawn(async move {
            if task.await.is_err_and(|error| error.is_panic()) {
                diagnostics::warn(
                    "exporter-panic",
                    format_args!("{signal}: the exporter panicked; nothing is sent any more"),
                );
            }
        }));
    }
}

impl ExporterThread {
    /// Starts the thread. `build` runs on it, inside its runtime; its error is returned.
    pub(super) fn start<E: Send + 'static>(
        build: impl FnOnce(&mut Tasks) -> Result<(), E> + Send + 'static,
    ) -> io::Result<Result<Self, E>> {
        let (ready, started) = std::sync::mpsc::channel();
        thread::Builder::new().name("tracewell-export".into()).spawn(move || {
            let _quiet = diagnostics::listen();
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            let mut tasks = Tasks { controls: Vec::new(), running: Vec::new() };
            let built = runtime.block_on(async { build(&mut tasks) });
            let failed = built.is_err();
            let controls = built.map(|()| Self { controls: tasks.controls });
            if ready.send(Ok(controls)).is_err() || failed {
                return;
            }
            // a task ends after its last command, or once nobody can send it one any more
            runtime.block_on(async {
                for task in tasks.running {
                    let _ = task.await;
                }
            });
            // a metric callback that blocks for ever must not keep this thread
            runtime.shutdown_background();
        })?;
        started
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the exporter's thread ended while it started")))
    }
}

async fn run(export: impl Export, mut control: mpsc::UnboundedReceiver<Command>) {
    let mut export = Closing(export);
    let transport = export.0.transport();
    let signal = transport.signal();
    let mut wishes = Wishes { waiting: Vec::new(), patience: transport.patience() };
    loop {
        if wishes.waiting.is_empty() {
            tokio::select! {
                command = control.recv() => match command {
                    Some(command) => wishes.add(command),
                    None => return,
                },
                () = export.0.due() => {}
            }
        }
        let draining = wishes.begin();
        // where no time is left, no collector is asked
        let ended = wishes.is_over() || {
            let work = async { if draining { export.0.drain().await } else { export.0.once().await } };
            let work = contained(signal, work);
            tokio::pin!(work);
            loop {
                tokio::select! {
                    biased;
                    () = &mut work => break wishes.fulfil(),
                    Some(command) = control.recv() => wishes.add(command),
                    () = transport.patience().futile() => wishes.disappoint(|_| true),
                    () = wishes.deadline() => {
                        let now = Instant::now();
                        wishes.disappoint(|wish| wish.deadline <= now);
                        if wishes.is_over() {
                            break true;
                        }
                    }
                }
            }
        };
        if ended {
            drop(export);
            wishes.waiting.drain(..).for_each(|wish| wish.done.tell());
            return;
        }
    }
}

/// A panic costs the request it happens in, whose items are accounted as unanswered, and no other.
async fn contained(signal: Signal, work: impl Future<Output = ()>) {
    tokio::pin!(work);
    std::future::poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))).unwrap_or_else(|_| {
            diagnostics::warn("exporter-panic", format_args!("{signal}: the exporter panicked; it goes on"));
            Poll::Ready(())
        })
    })
    .await;
}

/// Closes the export however its task ends, panics included: nothing waits in a queue that nobody empties.
struct Closing<E: Export>(E);

impl<E: Export> Drop for Closing<E> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Who waits for a drain.
struct Wishes<'a> {
    waiting: Vec<Command>,
    patience: &'a Patience,
}

impl Wishes<'_> {
    fn add(&mut self, command: Command) {
        self.waiting.push(command);
        self.changed();
    }

    /// The drain that begins now is what all who wait are waiting for; false when nobody is.
    fn begin(&mut self) -> bool {
        self.waiting.iter_mut().for_each(|wish| wish.begun = true);
        !self.waiting.is_empty()
    }

    /// Tells those whose drain has ended. Whoever came in the middle of it waits for another one, which sends what
    /// they emitted since. True when the exporter is to end.
    fn fulfil(&mut self) -> bool {
        if self.waiting.iter().any(|wish| wish.last && wish.begun) {
            return true;
        }
        self.tell(|wish| wish.begun);
        false
    }

    /// Whether the time for the end is up.
    fn is_over(&self) -> bool {
        let now = Instant::now();
        self.waiting.iter().any(|wish| wish.last && wish.deadline <= now)
    }

    /// Tells flushes that they wait in vain. What they wait for goes on: a flush is no reason to lose anything.
    fn disappoint(&mut self, which: impl Fn(&Command) -> bool) {
        self.tell(|wish| !wish.last && which(wish));
    }

    fn tell(&mut self, which: impl Fn(&Command) -> bool) {
        let (told, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(which);
        self.waiting = waiting;
        let told: Vec<Command> = told;
        told.into_iter().for_each(|wish| wish.done.tell());
        self.changed();
    }

    fn changed(&self) {
        let deadlines =
            |last| self.waiting.iter().filter(move |wish| wish.last == last).map(|wish| wish.deadline);
        self.patience.set(Hurry { flush: deadlines(false).max(), end: deadlines(true).min() });
    }

    /// Resolves at the earliest deadline. Cancel safe.
    async fn deadline(&self) {
        match self.waiting.iter().map(|wish| wish.deadline).min() {
            Some(deadline) => sleep_until(deadline.into()).await,
            None => std::future::pending().await,
        }
    }
}

impl ExporterThread {
    /// Sends everything that waits, all signals at once, until `deadline`; with `last` the exporters end.
    ///
    /// Works on any runtime or none. Cancel safe: what was begun goes on.
    pub(crate) async fn flush(&self, deadline: Instant, last: bool) {
        let done: Vec<_> = self
            .controls
            .iter()
            .filter_map(|control| {
                let (done, told) = oneshot::channel();
                control.0.send(Command::new(deadline, last, Done::Async(done))).ok().map(|()| told)
            })
            .collect();
        for told in done {
            // an error means that the task has ended: there is nothing to wait for
            let _ = told.await;
        }
    }

    /// The same for a plain thread; blocks it until `deadline` and [`SLACK`] at most.
    pub(crate) fn flush_blocking(&self, deadline: Instant, last: bool) {
        let (done, told) = std::sync::mpsc::channel();
        let mut waiting = 0;
        for control in &self.controls {
            let done = Done::Sync(done.clone());
            waiting += usize::from(control.0.send(Command::new(deadline, last, done)).is_ok());
        }
        drop(done);
        for _ in 0..waiting {
            let left = deadline.saturating_duration_since(Instant::now());
            if told.recv_timeout(left + SLACK).is_err() {
                return;
            }
        }
    }
}
