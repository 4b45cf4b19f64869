//! What a capture can be told before it is made.

use std::{
    ffi::OsString,
    sync::{Arc, OnceLock},
};

use tracing::{Dispatch, subscriber::NoSubscriber};
use tracing_subscriber::{Registry as TracingRegistry, layer::SubscriberExt as _};

use super::{Capture, Inner, ids::SequentialIds, sink::Sink};
use crate::{
    Builder, Telemetry,
    config::{Config, Sampler},
    otel::AddProcessors as _,
    pipeline::View,
    requests::{self, Registry},
};

/// Active requests a capture lists.
const REQUESTS: usize = 4096;

/// A capture to be made.
///
/// ```
/// use tracewell::{config::Sampler, testing::Capture};
///
/// let capture = Capture::builder().with_log_filter("debug").with_sampler(Sampler::AlwaysOff).build();
/// let guard = capture.set_default();
/// tracing::info_span!("unsampled").in_scope(|| tracing::debug!("still logged"));
/// assert!(capture.spans().is_empty());
/// assert_eq!(capture.tree(), "DEBUG still logged");
/// ```
#[must_use = "nothing is captured before build()"]
#[derive(Debug)]
pub struct CaptureBuilder {
    telemetry: Builder,
}

impl CaptureBuilder {
    pub(super) fn new() -> Self {
        Self { telemetry: Telemetry::builder().with_env::<String, String>([]) }
    }

    /// Reads these variables, `OTEL_*`, `TRACEWELL_*` and `RUST_LOG`, as a service would from its environment. Exporters
    /// and the admin server stay off whatever they say.
    pub fn with_env<N, V>(self, variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<OsString>,
    {
        self.with_telemetry(|telemetry| telemetry.with_env(variables))
    }

    /// Which traces are recorded; all of them otherwise.
    pub fn with_sampler(self, sampler: Sampler) -> Self {
        self.with_telemetry(|telemetry| telemetry.with_sampler(sampler))
    }

    /// Which events are captured, in the words of `RUST_LOG`; up to INFO otherwise.
    pub fn with_log_filter(self, directives: impl Into<String>) -> Self {
        self.with_telemetry(|telemetry| telemetry.with_log_filter(directives))
    }

    /// A view: which metric an instrument's measurements become.
    pub fn with_view(self, view: View) -> Self {
        self.with_telemetry(|telemetry| telemetry.with_view(view))
    }

    /// Trace and span ids count up from `first`, in the order of the spans' starts, instead of being random: a text with
    /// ids in it can be compared whole. Two captures in one trace take different starts. 0, which is no id, counts as 1.
    ///
    /// A sampler by ratio decides by the id, so with these it keeps every trace.
    ///
    /// ```
    /// let capture = tracewell::testing::Capture::builder().with_sequential_ids(1).build();
    /// let _guard = capture.set_default();
    /// tracing::info_span!("order").in_scope(|| tracing::info_span!("pay").in_scope(|| ()));
    /// let [pay, order] = &capture.spans()[..] else { panic!("{capture:?}") };
    /// assert_eq!(pay.trace_id(), "00000000000000000000000000000001");
    /// assert_eq!((order.span_id(), pay.span_id()), ("0000000000000001", "0000000000000002"));
    /// ```
    pub fn with_sequential_ids(self, first: u64) -> Self {
        self.with_telemetry(|mut telemetry| {
            let ids = SequentialIds::from(first);
            telemetry.additions.ids = Some(Box::new(|provider| provider.with_id_generator(ids)));
            telemetry
        })
    }

    /// Anything else that can be said of telemetry.
    ///
    /// ```
    /// use tracewell::{config::ExemplarFilter, testing::Capture};
    ///
    /// let capture = Capture::builder()
    ///     .with_telemetry(|telemetry| telemetry.with_exemplar_filter(ExemplarFilter::AlwaysOff))
    ///     .build();
    /// # drop(capture);
    /// ```
    pub fn with_telemetry(self, change: impl FnOnce(Builder) -> Builder) -> Self {
        Self { telemetry: change(self.telemetry) }
    }

    /// Makes the capture.
    ///
    /// # Panics
    ///
    /// When what was given cannot be used; the message says what and why.
    #[must_use]
    pub fn build(self) -> Capture {
        keep_callsites_shared();
        let sink = Sink::new();
        let telemetry = self
            .telemetry
            .with_registry(Registry::new(REQUESTS))
            .with_stdout(false)
            .with_span_processor(sink.clone())
            .with_log_processor(sink.clone())
            .change(inside)
            .build();
        let telemetry = match telemetry {
            Ok(telemetry) => telemetry,
            Err(error) => panic!("{error}"),
        };
        let dispatch = Dispatch::new(TracingRegistry::default().with(telemetry.layers()));
        let carried = requests::CarriedSubscribers::begin();
        Capture { inner: Arc::new(Inner { telemetry, sink, dispatch, _carried: carried }) }
    }
}

/// Nothing leaves the process, and nothing listens.
fn inside(config: &mut Config) -> Result<(), String> {
    config.traces.exporters.clear();
    config.metrics.exporters.clear();
    config.logs.exporters.clear();
    config.admin.addr = None;
    Ok(())
}

/// Keeps a second subscriber alive for good.
///
/// With a single one `tracing` asks the current thread's subscriber alone whether a new callsite matters, and remembers
/// the answer: a callsite first reached on a thread without the capture would be lost to the capture as well.
///
/// It also has every callsite of a pipeline's end registered, of one with processors as captures have them and of one
/// without: another test's thread may drop the last reference to a subscriber while it holds `tracing`'s list of
/// subscribers, and registering a callsite locks that list again.
fn keep_callsites_shared() {
    static OTHER: OnceLock<Dispatch> = OnceLock::new();
    OTHER.get_or_init(|| {
        let other = Dispatch::new(NoSubscriber::default());
        let plain = || Telemetry::builder().with_env::<String, String>([]).with_stdout(false).change(inside);
        let sink = Sink::new();
        drop(plain().build());
        drop(plain().with_span_processor(sink.clone()).with_log_processor(sink).build());
        other
    });
}
