//! Lines to stdout or stderr through a thread of their own: a blocked pipe never blocks the service.

use std::{
    fmt,
    io::Write,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::Instant,
};

/// Bytes kept for a reader that does not keep up; beyond them whole lines are dropped and counted.
const CAPACITY: usize = 4 * 1024 * 1024;

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
    writing: bool,
    waiting: bool,
    written: u64,
    queued: u64,
    dropped: u64,
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

impl fmt::Debug for LineWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LineWriter").field(&self.counts()).finish()
    }
}

impl LineWriter {
    /// Starts the thread that writes to `sink`. `lost` is told the number of lines lost since it was last told.
    pub(crate) fn new(name: &str, sink: impl Write + Send + 'static, lost: fn(u64)) -> Self {
        let shared =
            Arc::new(Shared { state: Mutex::default(), ready: Condvar::new(), idle: Condvar::new() });
        let writer = Self(Arc::new(Handle(Arc::clone(&shared))));
        let thread = thread::Builder::new().name(name.to_owned());
        if thread.spawn(move || write_lines(&shared, sink, lost)).is_err() {
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
        STDOUT.get_or_init(|| Self::new("tracewell-stdout", std::io::stdout(), lost)).clone()
    }

    /// The process's one writer to stderr.
    pub(crate) fn stderr() -> &'static Self {
        static STDERR: OnceLock<LineWriter> = OnceLock::new();
        STDERR.get_or_init(|| Self::new("tracewell-stderr", std::io::stderr(), |_| ()))
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

    /// Waits until everything given so far is written, until `deadline` at most.
    pub(crate) fn flush(&self, deadline: Instant) {
        let mut state = self.lock();
        while !state.broken && (state.writing || !state.buffer.is_empty()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.0.0.idle.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether a [`flush`](Self::flush) has nothing to wait for.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.broken || (!state.writing && state.buffer.is_empty())
    }

    pub(crate) fn counts(&self) -> LineCounts {
        let state = self.lock();
        LineCounts { written: state.written, dropped: state.dropped, queued: state.queued }
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

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_lines(shared: &Shared, mut sink: impl Write, lost: fn(u64)) {
    let mut batch = Vec::new();
    let mut told = 0;
    let mut state = shared.lock();
    loop {
        while state.buffer.is_empty() {
            if state.closed {
                return;
            }
            state.waiting = true;
            state = shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting = false;
        }
        std::mem::swap(&mut batch, &mut state.buffer);
        let lines = std::mem::take(&mut state.queued);
        state.writing = true;
        drop(state);
        let result = sink.write_all(&batch).and_then(|()| sink.flush());
        batch.clear();
        state = shared.lock();
        state.writing = false;
        if result.is_ok() {
            state.written += lines;
        } else {
            state.dropped += lines;
        }
        shared.idle.notify_all();
        if state.dropped > told {
            let since = state.dropped - told;
            told = state.dropped;
            drop(state);
            lost(since);
            state = shared.lock();
        }
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
        let lines = LineWriter::new("test-lines", Gate(gate, Arc::clone(&output)), |_| ());
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
        lines.flush(Instant::now() + Duration::from_secs(30));
        let counts = lines.counts();
        assert_eq!(counts.written + counts.dropped, given);
        assert_eq!(output.lock().unwrap().len() as u64, counts.written * line.len() as u64);
    }

    #[test]
    fn what_was_written_before_the_last_handle_went_is_written_and_the_thread_ends() {
        struct Sink {
            output: Arc<Mutex<Vec<u8>>>,
            _alive: mpsc::Sender<()>,
        }
        impl Write for Sink {
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
            let lines =
                LineWriter::new("test-lines", Sink { output: Arc::clone(&output), _alive: alive }, |_| ());
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
