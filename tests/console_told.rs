//! Where the console is, is told once: when the service is ready, and also to a program that never says that it is.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, Command, Stdio},
};

use tracewell::Telemetry;

const CHILD: &str = "TRACEWELL_TEST_CHILD";
const TOLD: &str = "the console is on http://127.0.0.1:";

/// Runs in the child alone: it does nothing until a line comes, then says that it is ready.
#[test]
#[ignore = "started by the other test"]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let exporters = ["OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"];
    let own = [("TRACEWELL_CONSOLE", "true"), ("TRACEWELL_ADMIN_ADDR", "127.0.0.1:0")];
    let variables = exporters.map(|name| (name, "none"));
    let telemetry = Telemetry::builder().with_env(variables.into_iter().chain(own)).build().unwrap();
    eprintln!("up");
    let mut line = [0];
    std::io::stdin().read_exact(&mut line).unwrap();
    telemetry.health().set_ready();
    telemetry.shutdown_blocking().unwrap();
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // fails when it has ended, which is what is wanted
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What it says on stderr, line by line until it ends; it may go on after a line with `until` in it.
fn said(until: &str) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", "--exact", "--ignored", "--nocapture"]).env_clear().env(CHILD, "1");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = Killed(command.spawn().unwrap());
    let mut stdin = child.0.stdin.take();
    let mut said = Vec::new();
    for line in BufReader::new(child.0.stderr.take().unwrap()).lines() {
        said.push(line.unwrap());
        if said.last().unwrap().contains(until) {
            if let Some(mut stdin) = stdin.take() {
                stdin.write_all(b"\n").unwrap();
            }
        }
    }
    said.retain(|line| line.contains(TOLD) || line == "up");
    said
}

#[test]
fn the_address_is_told_once_after_the_programs_own_lines() {
    // ready at once, and never before it was told
    for until in ["up", TOLD] {
        let said = said(until);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0] == "up" && said[1].contains(TOLD), "{said:?}");
    }
}
