//! A prober as Kubernetes' kubelet is one: from another network namespace, without credentials, with its timeout and its
//! thresholds. Needs Linux, `unshare` and `ip`, and the right to make namespaces; without them the trial is ignored.
//!
//! The test runs itself twice: in a first namespace of its own the service, in a second one the prober, with a cable
//! between them. Nothing of the machine's network is touched, and all of it ends with the processes.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failed helper fails its trial; the processes talk over stdin and stdout"
)]

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use libtest_mimic::{Arguments, Trial};
use tracewell::{
    Telemetry,
    health::{Check, Verdict, startup},
    requests::Registry,
};

const ROLE: &str = "TRACEWELL_TEST_ROLE";
const SERVICE: &str = "10.77.0.1";
const PROBER: &str = "10.77.0.2";

fn main() -> ExitCode {
    match env::var(ROLE).as_deref() {
        Ok("service") => service(),
        Ok("prober") => prober(),
        _ => {
            let arguments = Arguments::from_args();
            let missing = namespaces_missing();
            if let Some(why) = &missing {
                eprintln!("kubelet: ignored: {why}");
            }
            let trial = Trial::test("a_prober_in_another_network_sees_what_it_may_and_in_time", run)
                .with_ignored_flag(missing.is_some());
            return libtest_mimic::run(&arguments, vec![trial]).exit_code();
        }
    }
    ExitCode::SUCCESS
}

fn namespaces_missing() -> Option<String> {
    let able = |program: &str, arguments: &[&str]| {
        let ran = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        ran.is_ok_and(|status| status.success())
    };
    if !able("ip", &["-V"]) {
        return Some("no `ip` here".to_owned());
    }
    // with a veth pair, which a kernel may lack
    let pair = "ip link add tw0 type veth peer name tw1";
    (!able("unshare", &["--user", "--map-root-user", "--net", "sh", "-c", pair]))
        .then(|| "no network namespaces may be made here".to_owned())
}

/// This program again, in namespaces of its own, in another role.
fn again(role: &str, namespaces: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(namespaces).arg("--kill-child").arg("--").arg(env::current_exe().unwrap());
    command.env(ROLE, role).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn run() -> Result<(), libtest_mimic::Failed> {
    let output = again("service", &["--user", "--map-root-user", "--net", "--fork"]).output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned().into())
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// The prober's process, asked line by line.
struct Prober {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Drop for Prober {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prober {
    fn start() -> Self {
        let mut child = again("prober", &["--net"]).spawn().unwrap();
        let ask = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        // it is in its namespace: the other end of the cable can be put there
        ip(&format!("link add tw0 type veth peer name tw1 netns {}", child.id()));
        ip(&format!("addr add {SERVICE}/24 dev tw0"));
        ip("link set tw0 up");
        ip("link set lo up");
        let mut prober = Self { child, ask, answers };
        assert_eq!(prober.say("up"), "up");
        prober
    }

    fn say(&mut self, line: &str) -> String {
        writeln!(self.ask, "{line}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim_end().replace("\\r", "\r").replace("\\n", "\n")
    }

    /// The status and the whole answer; 0 when there was none in time.
    fn get(&mut self, address: SocketAddr, path: &str, header: &str) -> (u16, String) {
        let answer = self.say(&format!("{address} {path} {header}"));
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, answer)
    }

    /// As the kubelet's `httpGet`: a failure is one after so many in a row.
    fn healthy(&mut self, address: SocketAddr, path: &str, failures: u32) -> bool {
        (0..failures).any(|_| (200..400).contains(&self.get(address, path, "").0))
    }
}

/// What the check does.
const PASS: u8 = 0;
const FAIL: u8 = 1;
const HANG: u8 = 2;
const PANIC: u8 = 3;

fn service() {
    let mut prober = Prober::start();
    let mood = Arc::new(AtomicU8::new(PASS));
    let of = Arc::clone(&mood);
    let check = Check::new(move || {
        let mood = of.load(Ordering::SeqCst);
        async move {
            match mood {
                PASS => Verdict::pass("connected to planted-host"),
                HANG => std::future::pending().await,
                PANIC => panic!("planted-panic"),
                _ => Verdict::fail("planted-password is wrong"),
            }
        }
    });
    let check = check.with_success_cache(None).with_failure_cache(None).with_thresholds(1, 1);
    let variables = [
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("TRACEWELL_ADMIN_ADDR", "0.0.0.0:0"),
        ("TRACEWELL_ADMIN_TOKEN", "planted-token"),
    ];
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let telemetry = {
        let _inside = runtime.enter();
        let builder = Telemetry::builder().with_env(variables).with_registry(Registry::new(64));
        builder.with_stdout(false).with_health_check("database", check).build().unwrap()
    };
    let address = SocketAddr::new(SERVICE.parse().unwrap(), telemetry.admin_address().unwrap().port());

    let phase = startup::phase("migrations");
    assert_eq!(prober.get(address, "/startup", "").0, 503);
    telemetry.health().set_ready();
    assert!(!prober.healthy(address, "/startup", 3), "the phase runs");
    phase.end();
    assert!(prober.healthy(address, "/startup", 1) && prober.healthy(address, "/readyz", 1));

    for failing in [FAIL, HANG, PANIC] {
        mood.store(failing, Ordering::SeqCst);
        assert!(!prober.healthy(address, "/readyz", 3), "{failing}");
        assert_eq!(prober.get(address, "/readyz", "").0, 503, "an answer in time, and no 500");
        assert!(prober.healthy(address, "/livez", 1));
        mood.store(PASS, Ordering::SeqCst);
        assert!(prober.healthy(address, "/readyz", 3), "{failing}");
    }
    // one failure in between is none to a threshold of three
    for flap in [FAIL, PASS, FAIL, PASS] {
        mood.store(flap, Ordering::SeqCst);
        assert_eq!(prober.get(address, "/readyz", "").0, if flap == PASS { 200 } else { 503 });
    }
    the_only_worker_is_busy(&runtime, &mut prober, address);
    mood.store(FAIL, Ordering::SeqCst);
    what_strangers_see(&mut prober, address);
    telemetry.health().set_draining();
    assert!(!prober.healthy(address, "/readyz", 1) && prober.healthy(address, "/livez", 1));
}

/// Checks cannot run then; the service does not get restarted for it.
fn the_only_worker_is_busy(runtime: &tokio::runtime::Runtime, prober: &mut Prober, address: SocketAddr) {
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let (begun, begins) = std::sync::mpsc::channel();
    let busy = runtime.spawn(async move {
        begun.send(()).unwrap();
        let _ = blocked.recv();
    });
    begins.recv().unwrap();
    assert!(prober.healthy(address, "/livez", 1));
    assert_eq!(prober.get(address, "/readyz", "").0, 503, "in time");
    drop(release);
    runtime.block_on(busy).unwrap();
}

fn what_strangers_see(prober: &mut Prober, address: SocketAddr) {
    let paths =
        ["/health", "/livez", "/ready", "/readyz", "/startup", "/readyz?verbose", "/ready?exclude=database"];
    for path in paths {
        let (status, answer) = prober.get(address, path, "");
        assert!([200, 503].contains(&status), "{path}: {answer}");
        assert!(!answer.contains("planted") && !answer.contains("database"), "{path}: {answer}");
        let body = answer.rsplit("\r\n\r\n").next().unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body.as_object().unwrap().len(), 1, "{path}: {answer}");
    }
    for path in
        ["/", "/metrics", "/environment", "/healthcheck", "/telemetry", "/loglevel", "/debug/requests"]
    {
        let (status, answer) = prober.get(address, path, "");
        assert!(status == 403 && !answer.contains("planted"), "{path}: {answer}");
        let (status, _) = prober.get(address, path, "authorization:Bearer_planted-token");
        assert_eq!(status, if path == "/healthcheck" { 503 } else { 200 }, "{path}");
        let (status, _) = prober.get(address, path, "x-forwarded-for:127.0.0.1");
        assert_eq!(status, 403, "{path}");
    }
}

/// Reads `address path header` and writes the answer, each in a line. As the kubelet does it: a connection per probe, and
/// one second.
fn prober() {
    println!("here");
    for line in std::io::stdin().lines().map_while(Result::ok) {
        if line == "up" {
            ip(&format!("addr add {PROBER}/24 dev tw1"));
            ip("link set tw1 up");
            println!("up");
            continue;
        }
        let answer = probe(&line).unwrap_or_else(|error| format!("none 0 {error}"));
        println!("{}", answer.replace('\r', "\\r").replace('\n', "\\n"));
    }
}

fn probe(line: &str) -> std::io::Result<String> {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let mut words = line.split(' ');
    let address: SocketAddr = words.next().unwrap().parse().unwrap();
    let path = words.next().unwrap();
    let header = words.next().unwrap_or_default().replace('_', " ");
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let header = if header.is_empty() { header } else { format!("{}\r\n", header.replacen(':', ": ", 1)) };
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nuser-agent: kube-probe/1.34\r\naccept: */*\r\n{header}\
         connection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
