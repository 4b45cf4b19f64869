//! Whoever looks at what is emitted while it is on its way to the exporters: whether one answers, or is there at all.

use std::{fmt::Debug, sync::Arc};

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::{logs::SdkLogRecord, trace::SpanData};

use super::queue::Queue;

/// Sees every sampled span and every log record once. It is called by the threads that emit them: it must not block.
pub(crate) trait Watch: Debug + Send + Sync {
    /// A span has ended. Secrets are still in it: they are hidden on the exporter's thread.
    fn span(&self, span: &SpanData);

    /// A log record as it is sent.
    fn record(&self, record: &SdkLogRecord, scope: &Arc<InstrumentationScope>);
}

/// A queue, and who sees what comes to it.
#[derive(Debug)]
pub(super) struct Watched<T> {
    pub(super) watch: Option<Arc<dyn Watch>>,
    pub(super) queue: Option<Arc<Queue<T>>>,
}

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self { watch: self.watch.clone(), queue: self.queue.clone() }
    }
}

/// The first of the queues with the watch, which thus sees everything once; the watch alone where there is no queue.
pub(super) fn beside<T>(
    queues: impl Iterator<Item = Arc<Queue<T>>>,
    watch: Option<Arc<dyn Watch>>,
) -> Vec<Watched<T>> {
    let mut all: Vec<_> = queues.map(|queue| Watched { watch: None, queue: Some(queue) }).collect();
    match (all.first_mut(), watch) {
        (Some(first), watch) => first.watch = watch,
        (None, Some(watch)) => all.push(Watched { watch: Some(watch), queue: None }),
        (None, None) => {}
    }
    all
}
