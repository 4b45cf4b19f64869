//! The load generator `examples/load` as a process, and what it says was taken.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStderr, Command, Stdio},
};

use serde_json::Value;

use crate::stack::{Stack, example};

/// A running load generator; killed when dropped.
pub(crate) struct Load {
    child: Child,
    stderr: BufReader<ChildStderr>,
    record: String,
}

/// One trace that was taken whole.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) trace_id: String,
    pub(crate) kind: String,
    pub(crate) spans: usize,
}

impl Load {
    pub(crate) fn start(stack: &Stack, endpoint: &str, flags: &[&str]) -> Self {
        let record = stack.file("record");
        let mut command = Command::new(example("load"));
        command.args(["--endpoint", endpoint, "--record", &record]).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr, record }
    }

    /// Returns once it says that somebody refused what it sends. It ends by itself, so this does, too.
    ///
    /// # Panics
    /// It ended without that.
    pub(crate) fn wait_for_refusal(&mut self) {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        assert!(line.starts_with("load: refused"), "nobody noticed that the agent was gone: {line:?}");
    }

    /// Waits for its end: its report, and every trace.
    ///
    /// # Panics
    /// Something was given up.
    pub(crate) fn finish(mut self) -> (Value, Vec<Taken>) {
        let mut report = String::new();
        self.child.stdout.as_mut().unwrap().read_to_string(&mut report).unwrap();
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {said}{report}");
        let record = fs::read_to_string(&self.record).unwrap();
        let taken = record.lines().map(|line| {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap().to_owned();
            Taken { trace_id: word(), kind: word(), spans: word().parse().unwrap() }
        });
        (serde_json::from_str(&report).unwrap(), taken.collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // fails for one that has ended already, which is what is wanted
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
