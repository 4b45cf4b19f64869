//! What the program's allocator says of itself, as a metric.

use opentelemetry::{KeyValue, metrics::Meter};

use super::contained;

/// What an allocator says of itself: a state, such as `allocated` or `resident`, and its bytes.
pub(crate) type Allocator = std::sync::Arc<dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync>;

/// Makes the instrument of the allocator that the program uses.
pub(super) fn observe_allocator(meter: &Meter, allocator: Allocator) {
    meter
        .i64_observable_up_down_counter("process.memory.allocator")
        .with_unit("By")
        .with_description("Memory as the process's allocator accounts for it.")
        .with_callback(contained(move |observer| {
            for (state, bytes) in allocator() {
                if let Ok(bytes) = i64::try_from(bytes) {
                    observer.observe(bytes, &[KeyValue::new("process.memory.allocator.state", state)]);
                }
            }
        }))
        .build();
}
