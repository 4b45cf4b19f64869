//! The instruments of the process (semantic conventions 1.44, system/process-metrics.md).

use opentelemetry::{KeyValue, metrics::Meter};

use super::{contained, process, whole};

/// Makes the instruments of the process.
pub(super) fn observe_process(meter: &Meter) {
    memory_and_cpu(meter);
    meter
        .i64_observable_up_down_counter("process.thread.count")
        .with_unit("{thread}")
        .with_description("Process threads count.")
        .with_callback(contained(|observer| whole(observer, process::collected().threads)))
        .build();
    meter
        .i64_observable_up_down_counter("process.unix.file_descriptor.count")
        .with_unit("{file_descriptor}")
        .with_description("Number of unix file descriptors in use by the process.")
        .with_callback(contained(|observer| whole(observer, process::collected().descriptors)))
        .build();
    meter
        .u64_observable_counter("process.context_switches")
        .with_unit("{context_switch}")
        .with_description("Number of times the process has been context switched.")
        .with_callback(contained(|observer| {
            if let Some((voluntary, involuntary)) = process::collected().switches {
                observer.observe(voluntary, &[KeyValue::new("process.context_switch.type", "voluntary")]);
                observer.observe(involuntary, &[KeyValue::new("process.context_switch.type", "involuntary")]);
            }
        }))
        .build();
    meter
        .u64_observable_counter("process.paging.faults")
        .with_unit("{fault}")
        .with_description("Number of page faults the process has made.")
        .with_callback(contained(|observer| {
            if let Some((minor, major)) = process::collected().faults {
                observer.observe(minor, &[KeyValue::new("system.paging.fault.type", "minor")]);
                observer.observe(major, &[KeyValue::new("system.paging.fault.type", "major")]);
            }
        }))
        .build();
}

fn memory_and_cpu(meter: &Meter) {
    meter
        .f64_observable_counter("process.cpu.time")
        .with_unit("s")
        .with_description("Total CPU seconds broken down by different CPU modes.")
        .with_callback(contained(|observer| {
            if let Some((user, system)) = process::collected().cpu {
                observer.observe(user, &[KeyValue::new("cpu.mode", "user")]);
                observer.observe(system, &[KeyValue::new("cpu.mode", "system")]);
            }
        }))
        .build();
    meter
        .i64_observable_up_down_counter("process.memory.usage")
        .with_unit("By")
        .with_description("The amount of physical memory in use.")
        .with_callback(contained(|observer| whole(observer, process::collected().resident)))
        .build();
    meter
        .i64_observable_up_down_counter("process.memory.virtual")
        .with_unit("By")
        .with_description("The amount of committed virtual memory.")
        .with_callback(contained(|observer| whole(observer, process::collected().virtual_memory)))
        .build();
    meter
        .f64_observable_gauge("process.uptime")
        .with_unit("s")
        .with_description("The time the process has been running.")
        .with_callback(contained(|observer| observer.observe(process::uptime().as_secs_f64(), &[])))
        .build();
}
