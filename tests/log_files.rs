//! Files of log lines: rotated without losing one, with a filter of their own, and no harm where they cannot be written.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tracewell::{
    Telemetry,
    config::{LogFile, LogFormat},
};
use tracing_subscriber::layer::SubscriberExt as _;

const PATIENCE: Duration = Duration::from_secs(20);

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tracewell-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn telemetry(files: impl IntoIterator<Item = LogFile>) -> Telemetry {
    let builder = Telemetry::builder().with_stdout(false).with_env([("OTEL_SDK_DISABLED", "true")]);
    files.into_iter().fold(builder, tracewell::Builder::with_log_file).build().unwrap()
}

fn inside(telemetry: &Telemetry, log: impl FnOnce()) {
    let subscriber = tracing_subscriber::Registry::default().with(telemetry.layers());
    tracing::subscriber::with_default(subscriber, log);
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{}", path.display());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn messages(path: &Path) -> Vec<String> {
    lines(path).iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

fn numbers(path: &Path) -> Vec<u64> {
    lines(path).iter().map(|line| line["attributes"]["number"].as_u64().unwrap()).collect()
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn each_sink_has_its_own_filter_and_layout() {
    let folder = Folder::new();
    let [common, quiet, chatty] = ["common", "quiet", "chatty"].map(|name| folder.join(name));
    let telemetry = telemetry([
        LogFile::new(&common),
        LogFile::new(&quiet).with_filter("error,log_files::loud=info"),
        LogFile::new(&chatty).with_filter("debug").with_format(LogFormat::Logfmt),
    ]);
    inside(&telemetry, || {
        tracing::debug!("one");
        tracing::info!("two");
        tracing::info!(target: "log_files::loud", "three");
        tracing::error!("four");
        tracing::trace!("five");
    });
    telemetry.shutdown_blocking().unwrap();
    assert_eq!(messages(&common), ["two", "three", "four"], "as RUST_LOG, which is INFO");
    assert_eq!(messages(&quiet), ["three", "four"]);
    let chatty = fs::read_to_string(chatty).unwrap();
    let said: Vec<_> = chatty.lines().map(|line| line.split(" msg=").nth(1).unwrap()).collect();
    assert_eq!(said, ["one", "two", "three", "four"]);
    let counts: Vec<u64> = telemetry.log_lines().iter().map(|lines| lines.written).collect();
    assert_eq!(counts, [3, 2, 4]);
}

#[test]
fn a_rotation_loses_no_line_and_splits_none() {
    let folder = Folder::new();
    let path = folder.join("below/service.log");
    let file = LogFile::new(&path).with_max_bytes(20_000).with_backups(1000);
    const EACH: u64 = 2000;
    const THREADS: u64 = 4;
    for round in 0..2 {
        let telemetry = telemetry([file.clone()]);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let telemetry = &telemetry;
                scope.spawn(move || {
                    inside(telemetry, || {
                        let first = (round * THREADS + thread) * EACH;
                        (first..first + EACH).for_each(|number| tracing::info!(number, "a line"));
                    });
                });
            }
        });
        telemetry.shutdown_blocking().unwrap();
    }
    let mut found: Vec<u64> = numbers(&path);
    let mut number = 1;
    while path.with_file_name(format!("service.log.{number}")).exists() {
        let rotated = path.with_file_name(format!("service.log.{number}"));
        let size = fs::metadata(&rotated).unwrap().len();
        assert!(size <= 20_000 && size > 19_000, "full, and not above: {size}");
        found.extend(numbers(&rotated));
        number += 1;
    }
    assert!(number > 20, "{number}");
    found.sort_unstable();
    assert_eq!(found, (0..2 * THREADS * EACH).collect::<Vec<_>>(), "each line once");
}

#[test]
fn so_many_rotated_files_are_kept_the_latest_first() {
    let folder = Folder::new();
    let path = folder.join("a.log");
    // a file of yesterday is rotated by the first line of today
    fs::write(&path, "{\"attributes\":{\"number\":0}}\n").unwrap();
    let yesterday = std::time::SystemTime::now() - Duration::from_secs(24 * 3600);
    fs::File::options().write(true).open(&path).unwrap().set_modified(yesterday).unwrap();
    let daily = LogFile::new(&path).with_rotation(tracewell::config::LogRotation::Daily).with_backups(2);
    let first = telemetry([daily.clone()]);
    inside(&first, || tracing::info!(number = 1, ""));
    first.shutdown_blocking().unwrap();
    assert_eq!((numbers(&path), numbers(&folder.join("a.log.1"))), (vec![1], vec![0]));

    // each line is beyond this limit: a file of its own
    let second = telemetry([daily.with_max_bytes(10)]);
    inside(&second, || (2..=5).for_each(|number| tracing::info!(number, "")));
    second.shutdown_blocking().unwrap();
    assert_eq!(numbers(&path), [5]);
    assert_eq!(numbers(&folder.join("a.log.1")), [4]);
    assert_eq!(numbers(&folder.join("a.log.2")), [3]);
    assert_eq!(folder.names().len(), 3, "{:?}", folder.names());
}

/// What makes a test play the service.
const ROLE: &str = "LOG_FILES_ROLE";

/// A process of this test alone, whose log file is `path`.
fn child(test: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn role() -> Option<PathBuf> {
    std::env::var_os(ROLE).map(PathBuf::from)
}

/// Logs a line for each byte of stdin, until its end.
fn log_what_is_asked_for(file: LogFile) {
    let telemetry = telemetry([file]);
    inside(&telemetry, || {
        for (number, byte) in std::io::BufReader::with_capacity(1, std::io::stdin()).bytes().enumerate() {
            byte.unwrap();
            tracing::info!(number, "a line");
        }
    });
    telemetry.shutdown_blocking().unwrap();
    let [lines] = &*telemetry.log_lines() else { panic!() };
    assert_eq!(lines.queued, 0, "{lines:?}");
}

/// What the child has said of its file.
fn said(child: Child) -> Vec<String> {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    text.lines().filter(|line| line.contains(" tracewell: ")).map(str::to_owned).collect()
}

fn ask(child: &mut Child, lines: usize) {
    use std::io::Write as _;
    child.stdin.as_mut().unwrap().write_all(&vec![b'.'; lines]).unwrap();
}

#[test]
fn what_a_full_disk_and_a_folder_that_is_gone_do_not_take_waits() {
    if let Some(path) = role() {
        return log_what_is_asked_for(LogFile::new(path));
    }
    let folder = Folder::new();
    let path = folder.join("logs/a.log");
    fs::create_dir(folder.join("logs")).unwrap();
    // a disk that is always full
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let mut service = child("what_a_full_disk_and_a_folder_that_is_gone_do_not_take_waits", &path);
    ask(&mut service, 100);
    let mut stderr = service.stderr.take().unwrap();
    let (heard, said) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = stderr.read(&mut buffer) {
            text.extend_from_slice(&buffer[..read]);
            let _ = heard.send(String::from_utf8_lossy(&text).into_owned());
        }
    });
    let first = said.recv_timeout(PATIENCE).unwrap();
    assert!(first.contains(&path.display().to_string()) && first.contains("os error 28"), "{first}");

    // there is room again
    fs::remove_file(&path).unwrap();
    eventually("what waited is written", || path.exists() && messages(&path).len() == 100);
    // the folder is removed under its feet, and so is the file that is being written
    fs::remove_dir_all(folder.join("logs")).unwrap();
    ask(&mut service, 50);
    eventually("the folder is made again", || path.exists() && messages(&path).len() == 50);
    drop(service.stdin.take());
    assert!(service.wait().unwrap().success());
    assert_eq!(numbers(&path), (100..150).collect::<Vec<_>>());
    let all = std::iter::from_fn(|| said.recv_timeout(PATIENCE).ok()).last().unwrap_or(first);
    let of_file: Vec<_> = all.lines().filter(|line| line.contains("log file")).collect();
    assert_eq!(of_file.len(), 2, "one line when it began, one when it was over: {all}");
    assert!(of_file[1].contains("it is written again"), "{all}");
}

#[test]
fn a_file_that_cannot_be_written_costs_its_lines_and_one_word() {
    if let Some(path) = role() {
        return log_what_is_asked_for(LogFile::new(path));
    }
    let folder = Folder::new();
    // no permission would do for anybody but root; this one does for root too
    fs::write(folder.join("no-folder"), "").unwrap();
    let path = folder.join("no-folder/a.log");
    let mut service = child("a_file_that_cannot_be_written_costs_its_lines_and_one_word", &path);
    ask(&mut service, 100);
    let began = Instant::now();
    drop(service.stdin.take());
    let said = said(service);
    assert!(began.elapsed() < Duration::from_secs(4), "the end does not wait for its deadline: {said:?}");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains(&path.display().to_string()) && said[0].contains("WARN"), "{said:?}");
    assert!(said[1].contains("100 lines were lost"), "{said:?}");
}

#[test]
fn a_file_that_cannot_be_rotated_grows_on() {
    if let Some(path) = role() {
        return log_what_is_asked_for(LogFile::new(path).with_max_bytes(1000).with_backups(1));
    }
    let folder = Folder::new();
    let path = folder.join("a.log");
    // a folder is in the way of `a.log.1`
    fs::create_dir(folder.join("a.log.1")).unwrap();
    let mut service = child("a_file_that_cannot_be_rotated_grows_on", &path);
    ask(&mut service, 100);
    drop(service.stdin.take());
    let said = said(service);
    assert_eq!(numbers(&path), (0..100).collect::<Vec<_>>());
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("cannot be rotated"), "{said:?}");
}

#[test]
fn a_process_that_is_killed_leaves_whole_lines_and_the_next_one_begins_a_new_one() {
    const THIS: &str = "a_process_that_is_killed_leaves_whole_lines_and_the_next_one_begins_a_new_one";
    if let Some(path) = role() {
        let telemetry = telemetry([LogFile::new(path).with_max_bytes(1 << 20).with_backups(1000)]);
        // until it is killed
        inside(&telemetry, || (0..u64::MAX).for_each(|number| tracing::info!(number, "a line")));
        return;
    }
    let folder = Folder::new();
    let path = folder.join("a.log");
    let mut service = child(THIS, &path);
    eventually("it has rotated", || folder.join("a.log.1").exists());
    service.kill().unwrap();
    service.wait().unwrap();
    // the kernel may have stopped in the middle of the very last write; no other line is torn
    let mut text = fs::read(&path).unwrap();
    let torn = text.len() - text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut count = 0;
    let rotated = folder.names().len() - 1;
    for number in (1..=rotated).rev() {
        for found in numbers(&folder.join(&format!("a.log.{number}"))) {
            assert_eq!(found, count, "none is missing up to the last flush");
            count += 1;
        }
    }
    text.truncate(text.len() - torn);
    fs::write(&path, [&*text, b"{\"torn"].concat()).unwrap();
    let next = telemetry([LogFile::new(&path)]);
    inside(&next, || tracing::info!("the next one"));
    next.shutdown_blocking().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let last: Vec<_> = text.lines().rev().take(2).collect();
    assert_eq!(last[1], "{\"torn");
    assert_eq!(serde_json::from_str::<Value>(last[0]).unwrap()["message"], "the next one");
}
