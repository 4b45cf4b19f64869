//! One program under test: started with its output in a file, stopped and reaped whatever happens.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::wait_until;

const LOG_LINES: usize = 15;

/// How to start one program.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) binary: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(&'static str, String)>,
    /// Answers 200 once the program does its work.
    pub(crate) ready_url: String,
}

/// A started program. Dropping it kills it.
pub(crate) struct Process {
    pub(crate) program: Program,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    pub(crate) fn start(program: Program, dir: &Path) -> io::Result<Self> {
        let log = dir.join(format!("{}.log", program.name));
        let mut process = Self { program, log, child: None };
        process.spawn()?;
        Ok(process)
    }

    /// Starts the program again, with the same command and the same log file.
    pub(crate) fn spawn(&mut self) -> io::Result<()> {
        self.kill();
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program.binary);
        command.args(&self.program.args).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // OTEL_* and proxy variables of whoever runs the tests would reach the programs otherwise
        command.env_clear().envs(self.program.env.iter().map(|(name, value)| (name, value)));
        self.child = Some(command.spawn()?);
        Ok(())
    }

    pub(crate) fn id(&self) -> Option<Pid> {
        self.child.as_ref().map(Pid::from_child)
    }

    /// Set once it has ended by itself.
    pub(crate) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok()?
    }

    pub(crate) fn lost_a_port(&self) -> bool {
        fs::read_to_string(&self.log).is_ok_and(|log| log.contains("address already in use"))
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_else(|error| error.to_string());
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        format!("--- the end of the log of {}\n{tail}\n", self.program.name)
    }

    /// Asks for an orderly stop; does not wait for it.
    pub(crate) fn terminate(&self) {
        // the id is ours until the child has been waited for; an error means that it ended by itself
        if let Some(pid) = self.id() {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Waits for the end that was asked for, at most `timeout`, then kills.
    pub(crate) fn wait_or_kill(&mut self, timeout: Duration) {
        let _ = wait_until(timeout, || self.exit_status());
        self.kill();
    }

    /// Kills at once and reaps.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // fails for a child that ended already, which is what is wanted
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
