//! An example as a program of its own, told by its environment and asked over HTTP.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running example; killed when dropped.
pub(crate) struct Program {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Program {
    pub(crate) fn start(name: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_with(name, &[], environment)
    }

    pub(crate) fn start_with(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_fed(name, arguments, "", environment)
    }

    /// With this on its stdin.
    pub(crate) fn start_fed(
        name: &str,
        arguments: &[&str],
        input: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut path = PathBuf::from(std::env::current_exe().unwrap().parent().unwrap());
        path.pop();
        path.push("examples");
        path.push(name);
        assert!(path.exists(), "{} is missing: cargo build --example {name}", path.display());
        let mut command = Command::new(path);
        command.args(arguments).env_clear().envs(environment.iter().copied());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // fails when it has ended without reading, which its end tells
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let said = Arc::new(Mutex::new(Vec::new()));
        let saying = Arc::clone(&said);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                saying.lock().unwrap().push(line);
            }
        });
        Self { child, said }
    }

    /// Everything it said on stderr.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    /// The address of `{what}listening on http://…`.
    pub(crate) fn address(&self, what: &str) -> String {
        let start = format!("{what}listening on http://");
        let address = wait_until(|| {
            let said = self.said.lock().unwrap();
            said.iter().find_map(|line| line.strip_prefix(&start).map(str::to_owned))
        });
        address.unwrap_or_else(|| panic!("no address: {}", self.said()))
    }

    /// Status and body of a GET to `{what}listening on http://…`.
    pub(crate) fn get(&self, what: &str, path: &str) -> (u16, String) {
        let address = self.address(what);
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Asks it to stop, as an orchestrator does, and waits for its orderly end.
    pub(crate) fn stop(self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.end();
    }

    /// Waits for its orderly end.
    pub(crate) fn end(mut self) {
        let status = wait_until(|| self.child.try_wait().unwrap());
        assert!(status.is_some_and(|status| status.success()), "{status:?}: {}", self.said());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // fails when it has ended, which is what is wanted
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tries until there is a value, or for so long that there will be none.
pub(crate) fn wait_until<T>(mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = attempt();
        if found.is_some() || Instant::now() > deadline {
            return found;
        }
        thread::sleep(Duration::from_millis(10)); // the pace of asking
    }
}
