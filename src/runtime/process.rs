//! This process as the kernel sees it, from `/proc`; what a system does not have is left out.
//!
//! Read here and not through a crate: four small files, and the values needed are already in units that need no call
//! into libc (kilobytes in `status`, and ticks of a hundredth of a second, which Linux has fixed for user space). Context
//! switches are `getrusage`'s.

use std::{
    fs,
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// A collection's callbacks come one after the other within this, and no two collections do.
const COLLECTION: Duration = Duration::from_millis(20);
/// `USER_HZ`.
const TICKS: f64 = 100.0;

/// One reading.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    /// Seconds in user mode and in the kernel.
    pub(crate) cpu: Option<(f64, f64)>,
    pub(crate) resident: Option<u64>,
    pub(crate) virtual_memory: Option<u64>,
    pub(crate) threads: Option<u64>,
    pub(crate) descriptors: Option<u64>,
    pub(crate) max_descriptors: Option<u64>,
    /// Minor and major.
    pub(crate) faults: Option<(u64, u64)>,
    /// Voluntary and involuntary, of all threads that are and were.
    pub(crate) switches: Option<(u64, u64)>,
}

/// One reading for all instruments of a collection: in a process with thousands of descriptors it takes a while.
pub(crate) fn collected() -> Reading {
    static LAST: Mutex<Option<(Instant, Reading)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    match &*last {
        Some((at, reading)) if at.elapsed() < COLLECTION => reading.clone(),
        _ => last.insert((Instant::now(), read())).1.clone(),
    }
}

/// Reads everything afresh: some 30 µs.
pub(crate) fn read() -> Reading {
    let mut reading = Reading::default();
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        from_status(&status, &mut reading);
    }
    if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
        from_stat(&stat, &mut reading);
    }
    // the descriptor that reads the folder is one of those listed
    reading.descriptors =
        fs::read_dir("/proc/self/fd").ok().map(|entries| (entries.count() as u64).saturating_sub(1));
    reading.max_descriptors = fs::read_to_string("/proc/self/limits").ok().and_then(|limits| {
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        line.split_whitespace().next()?.parse().ok()
    });
    reading.switches = switches();
    reading
}

/// `/proc` has them for single threads only.
#[cfg(unix)]
fn switches() -> Option<(u64, u64)> {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let count = |count: std::ffi::c_long| u64::try_from(count).ok();
    count(usage.voluntary_context_switches()).zip(count(usage.involuntary_context_switches()))
}

#[cfg(not(unix))]
fn switches() -> Option<(u64, u64)> {
    None
}

fn from_status(status: &str, reading: &mut Reading) {
    let number = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    };
    reading.resident = number("VmRSS").map(|kilobytes| kilobytes * 1024);
    reading.virtual_memory = number("VmSize").map(|kilobytes| kilobytes * 1024);
    reading.threads = number("Threads");
}

fn from_stat(stat: &str, reading: &mut Reading) {
    let field = |number| field(stat, number);
    let seconds = |number| field(number).map(|ticks| ticks as f64 / TICKS);
    reading.cpu = seconds(14).zip(seconds(15));
    reading.faults = field(10).zip(field(12));
}

/// A field by its number in proc_pid_stat(5). The second one, the name, may hold anything, also parentheses.
fn field(stat: &str, number: usize) -> Option<u64> {
    let rest = &stat[stat.rfind(')')? + 1..];
    rest.split_whitespace().nth(number - 3)?.parse().ok()
}

/// When this process started; when that cannot be seen, the time of the first call.
pub(crate) fn started_at() -> SystemTime {
    static STARTED: OnceLock<SystemTime> = OnceLock::new();
    *STARTED.get_or_init(|| {
        age().and_then(|age| SystemTime::now().checked_sub(age)).unwrap_or_else(SystemTime::now)
    })
}

fn age() -> Option<Duration> {
    let started = field(&fs::read_to_string("/proc/self/stat").ok()?, 22)? as f64 / TICKS;
    let uptime: f64 = fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
    // two clocks are read one after the other, in hundredths
    Duration::try_from_secs_f64((uptime - started).max(0.0)).ok()
}

/// How long this process runs.
pub(crate) fn uptime() -> Duration {
    SystemTime::now().duration_since(started_at()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 11 0 13 0 250 50 0 0 20 0 3 0 900 1 2";
        let mut reading = Reading::default();
        from_stat(stat, &mut reading);
        assert_eq!((reading.cpu, reading.faults), (Some((2.5, 0.5)), Some((11, 13))));
        assert_eq!(field(stat, 22), Some(900));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_read_afresh() {
        let before = read();
        let file = fs::File::open("/proc/self/stat").unwrap();
        // other tests open and close files at the same time: what counts is that there are values at all
        let after = read();
        drop(file);
        assert!(before.resident.is_some_and(|bytes| bytes > 1 << 20) && after.threads >= Some(1));
        assert!(after.descriptors >= Some(3) && after.max_descriptors >= after.descriptors);
        assert!(uptime() > Duration::ZERO && uptime() < Duration::from_secs(24 * 3600));
    }
}
