//! The example service as a process, for trials with real backends.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::backends::wait_until;

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(15);

/// A running storefront without visitors; killed when dropped.
pub(crate) struct Storefront {
    child: Child,
    stderr: PathBuf,
    pub(crate) shop: String,
}

impl Storefront {
    /// Starts it on free ports, with these variables and no others of OpenTelemetry's.
    pub(crate) fn start(name: &str, variables: &[(&str, &str)]) -> Self {
        let mut binary = std::env::current_exe().unwrap();
        binary.pop();
        binary.pop();
        binary.push("examples/storefront");
        assert!(binary.exists(), "{} is not built: cargo build --example storefront", binary.display());
        let stderr = std::env::temp_dir().join(format!("tracewell-{name}-{}.log", std::process::id()));
        let log = File::create(&stderr).unwrap();
        let child = Command::new(binary)
            .args(["--visitors", "0"])
            .env_clear()
            .envs([("STOREFRONT_ADDR", "127.0.0.1:0"), ("PAYMENTS_ADDR", "127.0.0.1:0")])
            .env("TRACEWELL_ADMIN_ADDR", "127.0.0.1:0")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut storefront = Self { child, stderr, shop: String::new() };
        storefront.shop = wait_until(START, || storefront.address("storefront"))
            .unwrap_or_else(|| panic!("storefront did not start: {}", storefront.said()));
        storefront
    }

    fn address(&self, of: &str) -> Option<String> {
        let prefix = format!("{of} listening on ");
        self.said().lines().find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
    }

    /// Everything it said on stderr.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Asks it to stop, as an orchestrator does, and waits for its end.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        wait_until(STOP, || self.child.try_wait().unwrap())
            .unwrap_or_else(|| panic!("storefront did not stop: {}", self.said()))
    }
}

impl Drop for Storefront {
    fn drop(&mut self) {
        // fails for one that has ended already, which is what is wanted
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.stderr);
    }
}
