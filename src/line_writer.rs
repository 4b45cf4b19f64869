//! Lines to stdout, stderr or a file through a thread of their own: a blocked pipe or disk never blocks the service.

use std::{
    fmt,
    io::Write,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Bytes kept for a reader that does not keep up; beyond them whole lines are dropped and counted.
const CAPACITY: usize = 4 * 1024 * 1024;
/// A sink that could not take lines is asked again after this time, and before by a flush.
const AGAIN: Duration = Duration::from_secs(1);

/// Writes whole lines in order, in the background. The thread ends with the last handle, after the last line.
#[derive(Clone)]
pub(crate) struct LineWriter(Arc<Handle>);

/// What all handles share; the thread holds [`Shared`] alone, so it can tell when they are gone.
struct Handle(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Something to write, or nobody left to write for.
    ready: Condvar,
    /// Everything written.
    idle: Condvar,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    /// Lines in the hands of the thread.
    writing: u64,
    /// It has some, or still has to say what became of them.
    busy: bool,
    waiting: bool,
    written: u64,
    queued: u64,
    dropped: u64,
    /// Times the sink could not take what it was given.
    refused: u64,
    /// A flush wants another attempt now.
    urgent: bool,
    /// What is refused now is lost.
    ending: bool,
    /// The last handle is gone.
    closed: bool,
    /// No thread could be started.
    broken: bool,
}

/// What became of the lines given to a [`LineWriter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LineCounts {
    pub(crate) written: u64,
    pub(crate) dropped: u64,
    pub(crate) queued: u64,
}

/// What became of lines that a [`Sink`] was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// They are written.
    All,
    /// They are lost.
    None,
    /// So many bytes are written, which are whole lines; the rest is to be given again.
    First(usize),
}

/// Where lines go. Called by one thread.
pub(crate) trait Sink: Send + 'static {
    /// Takes whole lines.
    fn take(&mut self, lines: &[u8]) -> Taken;

    /// So many lines are lost since the last call. Not called while the sink takes nothing.
    fn lost(&mut self, lines: u64);

    /// The end: so many lines are lost since the last call, because the sink takes nothing.
    fn gave_up(&mut self, lines: u64) {
        self.lost(lines);
    }
}

/// A stream: what it does not take is lost.
pub(crate) struct Stream<W, L>(pub(crate) W, pub(crate) L);

impl<W: Write + Send + 'static, L: FnMut(u64) + Send + 'static> Sink for Stream<W, L> {
    fn take(&mut self, lines: &[u8]) -> Taken {
        match self.0.write_all(lines).and_then(|()| self.0.flush()) {
            Ok(()) => Taken::All,
            Err(_) => Taken::None,
        }
    }

    fn lost(&mut self, lines: u64) {
        (self.1)(lines);
    }
}

impl fmt::Debug for LineWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LineWriter").field(&self.counts()).finish()
    }
}

impl LineWriter {
    /// Starts the thread that writes to `sink`.
    pub(crate) fn new(name: &str, sink: impl Sink) -> Self {
        let shared =
            Arc::new(Shared { state: Mutex::default(), ready: Condvar::new(), idle: Condvar::new() });
        let writer = Self(Arc::new(Handle(Arc::clone(&shared))));
        let thread = thread::Builder::new().name(name.to_owned());
        if thread.spawn(move || write_lines(&shared, sink)).is_err() {
            writer.lock().broken = true;
        }
        writer
    }

    /// The process's one writer to stdout: whoever flushes it flushes everybody's lines.
    pub(crate) fn stdout() -> Self {
        static STDOUT: OnceLock<LineWriter> = OnceLock::new();
        let lost = |lines| {
            crate::diagnostics::warn(
                "stdout",
                format_args!("stdout: {lines} lines were lost: nobody reads them"),
            );
        };
        STDOUT.get_or_init(|| Self::new("tracewell-stdout", Stream(std::io::stdout(), lost))).clone()
    }

    /// The process's one writer to stderr.
    pub(crate) fn stderr() -> &'static Self {
        static STDERR: OnceLock<LineWriter> = OnceLock::new();
        STDERR.get_or_init(|| Self::new("tracewell-stderr", Stream(std::io::stderr(), |_| ())))
    }

    /// Takes one line with its line feed; drops and counts it when the reader is too far behind.
    pub(crate) fn write(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.broken || state.buffer.len() + line.len() > CAPACITY {
            state.dropped += 1;
            return;
        }
        state.buffer.extend_from_slice(line);
        state.queued += 1;
        if state.waiting {
            state.waiting = false;
            self.0.0.ready.notify_one();
        }
    }

    /// Waits until everything given so far is written, until `deadline` at most, or until the sink has refused it once more;
    /// at the `last` flush that is lost.
    pub(crate) fn flush(&self, deadline: Instant, last: bool) {
        let mut state = self.lock();
        let refused = state.refused;
        state.ending = last;
        while !state.is_idle() && (last || state.refused == refused) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state.urgent = true;
            self.0.0.ready.notify_one();
            state = self.0.0.idle.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether a [`flush`](Self::flush) has nothing to wait for.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().is_idle()
    }

    pub(crate) fn counts(&self) -> LineCounts {
        let state = self.lock();
        LineCounts { written: state.written, dropped: state.dropped, queued: state.queued + state.writing }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.ready.notify_one();
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.broken || (!self.busy && self.buffer.is_empty())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines; `false` when none will come.
    fn wait_for_lines(&self, batch: &mut Vec<u8>) -> bool {
        let mut state = self.lock();
        while state.buffer.is_empty() {
            if state.closed {
                return false;
            }
            state.waiting = true;
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting = false;
        }
        state.urgent = false;
        std::mem::swap(batch, &mut state.buffer);
        state.writing = std::mem::take(&mut state.queued);
        state.busy = true;
        true
    }

    /// Waits before lines that were refused are given again.
    fn wait_for_another_attempt(&self) {
        let until = Instant::now() + AGAIN;
        let mut state = self.lock();
        while !state.closed && !state.urgent {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.ready.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.urgent = false;
    }
}

fn write_lines(shared: &Shared, mut sink: impl Sink) {
    let (mut batch, mut told) = (Vec::new(), 0);
    while shared.wait_for_lines(&mut batch) {
        loop {
            let taken = sink.take(&batch);
            let mut state = shared.lock();
            let lines = match taken {
                Taken::All | Taken::None => state.writing,
                Taken::First(bytes) => batch.drain(..bytes).filter(|byte| *byte == b'\n').count() as u64,
            };
            state.writing = state.writing.saturating_sub(lines);
            *if taken == Taken::None { &mut state.dropped } else { &mut state.written } += lines;
            let refused = matches!(taken, Taken::First(_));
            let give_up = refused && (state.closed || state.ending);
            state.refused += u64::from(refused);
            if refused && !give_up {
                shared.idle.notify_all();
                drop(state);
                shared.wait_for_another_attempt();
                continue;
            }
            if give_up {
                state.dropped += std::mem::take(&mut state.writing) + std::mem::take(&mut state.queued);
                state.buffer.clear();
            }
            let lost = state.dropped - std::mem::replace(&mut told, state.dropped);
            drop(state);
            match lost {
                0 => {}
                lost if give_up => sink.gave_up(lost),
                lost => sink.lost(lost),
            }
            break;
        }
        batch.clear();
        shared.lock().busy = false;
        shared.idle.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    /// A pipe whose reader takes only what the test lets it.
    struct Gate(mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.recv().map_err(|_| std::io::ErrorKind::BrokenPipe)?;
            self.1.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_blocked_reader_blocks_nobody_and_what_it_missed_is_counted() {
        let (open, gate) = mpsc::channel();
        let output = Arc::new(Mutex::new(Vec::new()));
        let lines = LineWriter::new("test-lines", Stream(Gate(gate, Arc::clone(&output)), |_| ()));
        let line = vec![b'x'; 64 * 1024];
        let given = 200; // 12.5 MiB against a blocked reader: returns at once, or this test never ends
        for _ in 0..given {
            lines.write(&line);
        }
        let dropped = lines.counts().dropped;
        assert!(dropped > 0);
        for _ in 0..given {
            let _ = open.send(());
        }
        lines.flush(Instant::now() + Duration::from_secs(30), false);
        let counts = lines.counts();
        assert_eq!(counts.written + counts.dropped, given);
        assert_eq!(output.lock().unwrap().len() as u64, counts.written * line.len() as u64);
    }

    #[test]
    fn what_was_written_before_the_last_handle_went_is_written_and_the_thread_ends() {
        struct Output {
            output: Arc<Mutex<Vec<u8>>>,
            _alive: mpsc::Sender<()>,
        }
        impl Write for Output {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.output.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        for _ in 0..200 {
            let output = Arc::new(Mutex::new(Vec::new()));
            let (alive, ended) = mpsc::channel();
            let sink = Output { output: Arc::clone(&output), _alive: alive };
            let lines = LineWriter::new("test-lines", Stream(sink, |_| ()));
            lines.clone().write(b"last words\n");
            drop(lines);
            // the sink is dropped by the ending thread
            assert_eq!(
                ended.recv_timeout(Duration::from_secs(30)),
                Err(mpsc::RecvTimeoutError::Disconnected)
            );
            assert_eq!(*output.lock().unwrap(), b"last words\n");
        }
    }
}
