//! Lines to stdout or stderr through a thread of their own: a blocked pipe never blocks the service.

use std::{
    fmt,
    io::Write,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Bytes kept for a reader that does not keep up; beyond them whole lines are dropped and counted.
const CAPACITY: usize = 4 * 1024 * 1024;

/// Writes whole lines in order, in the background.
#[derive(Clone)]
pub(crate) struct LineWriter(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Something to write.
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
    /// No thread could be started, or the sink is gone.
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
    /// Starts the thread that writes to `sink`.
    pub(crate) fn new(name: &str, sink: impl Write + Send + 'static) -> Self {
        let writer =
            Self(Arc::new(Shared { state: Mutex::default(), ready: Condvar::new(), idle: Condvar::new() }));
        let shared = Arc::downgrade(&writer.0);
        let started = thread::Builder::new().name(name.to_owned()).spawn(move || write_lines(&shared, sink));
        if started.is_err() {
            writer.0.lock().broken = true;
        }
        writer
    }

    pub(crate) fn stdout() -> Self {
        Self::new("tracewell-stdout", std::io::stdout())
    }

    pub(crate) fn stderr() -> Self {
        Self::new("tracewell-stderr", std::io::stderr())
    }

    /// Takes one line with its line feed; drops and counts it when the reader is too far behind.
    pub(crate) fn write(&self, line: &[u8]) {
        let mut state = self.0.lock();
        if state.broken || state.buffer.len() + line.len() > CAPACITY {
            state.dropped += 1;
            return;
        }
        state.buffer.extend_from_slice(line);
        state.queued += 1;
        if state.waiting {
            state.waiting = false;
            self.0.ready.notify_one();
        }
    }

    /// Waits until everything given so far is written, at most for `limit`.
    pub(crate) fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut state = self.0.lock();
        while !state.broken && (state.writing || !state.buffer.is_empty()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.0.idle.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(crate) fn counts(&self) -> LineCounts {
        let state = self.0.lock();
        LineCounts { written: state.written, dropped: state.dropped, queued: state.queued }
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        // the thread holds no handle: once the last one goes it wakes, writes what is left and ends
        if Arc::strong_count(&self.0) <= 2 {
            self.0.ready.notify_one();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_lines(shared: &std::sync::Weak<Shared>, mut sink: impl Write) {
    let mut batch = Vec::new();
    // ends when nobody can hand in lines any more
    while let Some(shared) = shared.upgrade() {
        let mut state = shared.lock();
        if state.buffer.is_empty() {
            state.waiting = true;
            // wakes now and then to see whether it is the last holder
            state = shared
                .ready
                .wait_timeout(state, Duration::from_secs(1))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            state.waiting = false;
        }
        if state.buffer.is_empty() {
            drop(state);
            continue;
        }
        std::mem::swap(&mut batch, &mut state.buffer);
        let lines = std::mem::take(&mut state.queued);
        state.writing = true;
        drop(state);
        let result = sink.write_all(&batch).and_then(|()| sink.flush());
        batch.clear();
        let mut state = shared.lock();
        state.writing = false;
        if result.is_ok() {
            state.written += lines;
        } else {
            state.dropped += lines;
        }
        shared.idle.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

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
        let lines = LineWriter::new("test-lines", Gate(gate, Arc::clone(&output)));
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
        lines.flush(Duration::from_secs(30));
        let counts = lines.counts();
        assert_eq!(counts.written + counts.dropped, given);
        assert_eq!(output.lock().unwrap().len() as u64, counts.written * line.len() as u64);
    }
}
