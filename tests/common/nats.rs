//! A real NATS server with JetStream for one test, on a free port. Dropping it stops the server and removes its folder.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio, id},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

const START: Duration = Duration::from_secs(30);

/// Whether the server can be started; says on stderr why not.
///
/// # Panics
/// It cannot and `TRACEWELL_REQUIRE_BACKENDS` is `1`.
pub(crate) fn require_or_skip(test: &str) -> bool {
    let Err(missing) = program() else { return true };
    assert!(env::var("TRACEWELL_REQUIRE_BACKENDS").as_deref() != Ok("1"), "{test} needs NATS: {missing}");
    eprintln!("{test}: ignored: {missing}");
    false
}

/// What `tests/backends/build` made.
fn program() -> Result<PathBuf, String> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let cache = set("TRACEWELL_BACKENDS_CACHE").or_else(|| Some(user?.join("tracewell/backends")));
    let folder = set("TRACEWELL_BACKENDS_BIN").or_else(|| Some(cache?.join("bin")));
    let folder = folder.ok_or("neither TRACEWELL_BACKENDS_BIN nor HOME says where the backends are")?;
    let program = folder.join("nats");
    let missing = || format!("no nats in {}; tests/backends/build makes it", folder.display());
    program.is_file().then_some(program).ok_or_else(missing)
}

/// A running server.
pub(crate) struct Nats {
    folder: PathBuf,
    server: Option<Child>,
    port: String,
}

impl Nats {
    pub(crate) fn start() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("nats-{}-{}", id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&folder); // left by a killed run whose process id came again
        fs::create_dir_all(&folder).unwrap();
        let mut nats = Self { folder, server: None, port: "-1".to_owned() };
        nats.restart();
        nats
    }

    /// Starts the server, after it was killed on the same port; returns once it listens.
    pub(crate) fn restart(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = Command::new(program().unwrap());
        command.args(["--addr", "127.0.0.1", "--port", &self.port, "--jetstream", "--store_dir"]);
        command.arg(self.folder.join("store")).arg("--ports_file_dir").arg(&self.folder);
        command.env_clear().stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let server = command.spawn().unwrap();
        let ports = self.folder.join(format!("nats_{}.ports", server.id()));
        self.server = Some(server);
        let deadline = Instant::now() + START;
        let port = loop {
            let ports = fs::read(&ports).unwrap_or_default();
            let ports: serde_json::Value = serde_json::from_slice(&ports).unwrap_or_default();
            if let Some((_, port)) = ports["nats"][0].as_str().and_then(|url| url.rsplit_once(':')) {
                break port.to_owned();
            }
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "NATS did not start: {}", log());
            thread::sleep(Duration::from_millis(10)); // the pace of asking
        };
        self.port = port;
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.parse().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills it at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            // fails for a server that ended already, which is what is wanted
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
