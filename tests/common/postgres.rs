//! A real PostgreSQL for one test: Debian's package, a folder of its own, reached over a socket in it.
//!
//! Dropping it stops the server and removes the folder.

use std::{
    env, fs, io,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio, id},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, geteuid, kill_process, kill_process_group};

const START: Duration = Duration::from_secs(30);
/// Whom the server runs as when the tests run as root, which it refuses.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// Whether the server can be started; says on stderr why not.
///
/// # Panics
/// It cannot and `TRACEWELL_REQUIRE_BACKENDS` is `1`.
pub(crate) fn require_or_skip(test: &str) -> bool {
    let Err(missing) = programs() else { return true };
    assert!(
        env::var("TRACEWELL_REQUIRE_BACKENDS").as_deref() != Ok("1"),
        "{test} needs PostgreSQL: {missing}"
    );
    eprintln!("{test}: ignored: {missing}");
    false
}

/// The folder with `initdb` and `postgres`: `TRACEWELL_POSTGRES_BIN`, or the newest of Debian's.
fn programs() -> Result<PathBuf, String> {
    let told = env::var_os("TRACEWELL_POSTGRES_BIN").map(PathBuf::from);
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    debian.sort();
    let mut folders = told.into_iter().chain(debian.into_iter().rev());
    folders
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
        .ok_or_else(|| "no initdb in /usr/lib/postgresql/*/bin: apt-get install postgresql".to_owned())
}

/// A running server.
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    user: Option<(u32, u32)>,
    server: Option<Child>,
}

impl Postgres {
    pub(crate) fn start() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        // a short path: a socket's has room for 107 bytes
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("tracewell-pg-{}-{number}", id()));
        let _ = fs::remove_dir_all(&folder); // left by a killed run whose process id came again
        fs::create_dir(&folder).unwrap();
        let user = geteuid().is_root().then(other_user);
        if let Some((user, group)) = user {
            chown(&folder, Some(user), Some(group)).unwrap();
        }
        let mut postgres = Self { programs: programs().unwrap(), folder, user, server: None };
        let data = postgres.folder.join("data");
        let mut initdb = postgres.command("initdb");
        initdb.args(["--username=shop", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]);
        let output = initdb.arg("-D").arg(data).output().unwrap();
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        postgres.restart();
        postgres
    }

    /// A program of the server's, as the server's user and with nothing of our environment.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.env_clear().env("LC_ALL", "C").current_dir(&self.folder).stdin(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// Starts the server, after it was killed too; returns once it takes connections.
    pub(crate) fn restart(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.folder.join("data")).arg("-k").arg(&self.folder);
        // nothing is worth keeping, and everything small
        for setting in ["listen_addresses=", "fsync=off", "max_connections=20", "shared_buffers=4MB"] {
            command.args(["-c", setting]);
        }
        command.process_group(0).stdout(log.try_clone().unwrap()).stderr(log);
        self.server = Some(command.spawn().unwrap());
        let deadline = Instant::now() + START;
        while !self.log().lines().any(|line| line.contains("ready to accept connections")) {
            assert!(Instant::now() < deadline, "PostgreSQL did not start: {}", self.log());
            thread::sleep(Duration::from_millis(10)); // the pace of asking
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The folder with its socket.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where it is reached.
    pub(crate) fn url(&self) -> String {
        format!("postgres://shop@localhost/postgres?host={}", self.folder.display())
    }

    /// Kills it and all its processes at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let _ = kill_process_group(Pid::from_child(&server), Signal::KILL);
        let _ = server.wait();
        // what it wrote so far is no word about the next start
        let _ = fs::remove_file(self.folder.join("log"));
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // an immediate shutdown; it fails when it has ended, which is what is wanted
            let _: Result<(), io::Error> =
                kill_process(Pid::from_child(&server), Signal::QUIT).map_err(Into::into);
            let _ = server.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Numbers of a user that is not root, and of its group.
fn other_user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let numbers = |name: &str| {
        let mut fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let user = fields.find(|user| user[0] == name)?;
        Some((user[2].parse().ok()?, user[3].parse().ok()?))
    };
    USERS.into_iter().find_map(numbers).unwrap()
}
