//! The process metrics by the names that Prometheus' clients share.
//!
//! <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>

use std::{fmt::Write as _, time::UNIX_EPOCH};

use super::process;

const END: &str = "# EOF\n";

/// Adds `process_*` to a page of metrics; `open` for OpenMetrics, whose counters are named without their suffix. `name`
/// escapes a name as the page's others are.
pub(crate) fn prometheus(page: &mut String, open: bool, name: impl Fn(&str) -> String) {
    // the end mark stays the end
    let ended = page.ends_with(END);
    if ended {
        page.truncate(page.len() - END.len());
    }
    let reading = process::collected();
    let cpu = reading.cpu.map(|(user, system)| user + system);
    let started = process::started_at().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs_f64());
    let mut family = |kind, plain: &str, help, value| family(page, open, kind, &name(plain), help, value);
    family("counter", "process_cpu_seconds", "Total user and system CPU time spent in seconds.", cpu);
    let gauges = [
        ("process_open_fds", "Number of open file descriptors.", reading.descriptors),
        ("process_max_fds", "Maximum number of open file descriptors.", reading.max_descriptors),
        ("process_virtual_memory_bytes", "Virtual memory size in bytes.", reading.virtual_memory),
        ("process_resident_memory_bytes", "Resident memory size in bytes.", reading.resident),
        ("process_threads", "Number of OS threads in the process.", reading.threads),
    ];
    for (name, help, value) in gauges {
        family("gauge", name, help, value.map(|value| value as f64));
    }
    let help = "Start time of the process since unix epoch in seconds.";
    family("gauge", "process_start_time_seconds", help, started);
    if ended {
        page.push_str(END);
    }
}

fn family(page: &mut String, open: bool, kind: &str, name: &str, help: &str, value: Option<f64>) {
    let Some(value) = value else { return };
    let suffix = if kind == "counter" { "_total" } else { "" };
    let family = if open { "" } else { suffix };
    // writing to a String cannot fail
    let _ =
        writeln!(page, "# HELP {name}{family} {help}\n# TYPE {name}{family} {kind}\n{name}{suffix} {value}");
}
