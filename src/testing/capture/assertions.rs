//! Where assertions on a capture begin.

use super::{Capture, CapturedMetric};
use crate::testing::assertion::{LogAssertion, MetricAssertion, Scene, SpanAssertion, assert_nothing_active};

impl Capture {
    /// Asserts on the spans of this name that have ended.
    ///
    /// ```
    /// let capture = tracewell::testing::Capture::new();
    /// let _guard = capture.set_default();
    /// tracing::info_span!("checkout").in_scope(|| {
    ///     tracing::info_span!("pay", amount = 12, currency = "EUR").in_scope(|| tracing::info!("paid"));
    /// });
    /// capture.assert_span("pay").child_of("checkout").has("amount", 12).logged("paid").times(1);
    /// ```
    ///
    /// # Panics
    ///
    /// When there is none; the message shows what was captured.
    #[track_caller]
    pub fn assert_span(&self, name: &str) -> SpanAssertion {
        SpanAssertion::new(self.read(Scene::new), name)
    }

    /// Asserts on the log records with this message.
    ///
    /// ```
    /// let capture = tracewell::testing::Capture::new();
    /// let _guard = capture.set_default();
    /// tracing::info_span!("pay").in_scope(|| tracing::warn!(left = 2, "running low"));
    /// capture.assert_log("running low").level("WARN").in_span("pay").has("left", 2);
    /// ```
    ///
    /// # Panics
    ///
    /// When there is none; the message shows what was captured.
    #[track_caller]
    pub fn assert_log(&self, message: &str) -> LogAssertion {
        LogAssertion::new(self.read(Scene::new), message)
    }

    /// Asserts on a metric as it is now. Runs the callbacks of observable instruments.
    ///
    /// ```
    /// let capture = tracewell::testing::Capture::new();
    /// let _guard = capture.set_default();
    /// let prices = capture.meter("shop").f64_histogram("price").build();
    /// tracing::info_span!("pay").in_scope(|| prices.record(12.5, &[]));
    /// capture.assert_metric("price").count(1).value(12.5).exemplar_of("pay");
    /// ```
    ///
    /// # Panics
    ///
    /// When nothing was measured; the message names the metrics that were.
    #[track_caller]
    pub fn assert_metric(&self, name: &str) -> MetricAssertion {
        let collected = self.collect();
        let names = CapturedMetric::names(&collected);
        MetricAssertion::new(self.read(Scene::new), name, CapturedMetric::find(collected, name), || names)
    }

    /// Asserts that every request and task of this capture has ended. Over a connection the client may have the answer before
    /// the request has ended here: `capture.requests().idle().await` first waits for that.
    ///
    /// ```
    /// let capture = tracewell::testing::Capture::new();
    /// capture.assert_nothing_active();
    /// ```
    ///
    /// # Panics
    ///
    /// When something is active, with a line for each: id, name or route, path, trace id, age and stage.
    #[track_caller]
    pub fn assert_nothing_active(&self) {
        assert_nothing_active(self.requests());
    }
}
