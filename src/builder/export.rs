//! What a program wants of the ways out: where telemetry goes, how metrics look, how long the end may take.

use std::time::Duration;

use super::Builder;
use crate::{
    config::{Config, DropPolicy, Endpoint, ExemplarFilter, Otlp, PrometheusPage, Protocol, Signal},
    pipeline::View,
};

impl Builder {
    /// The collector's base URL for all signals; for HTTP each signal's path is appended (specification,
    /// protocol/exporter.md "Endpoint URLs for OTLP/HTTP"). After [`with_protocol`](Self::with_protocol).
    pub fn with_endpoint(self, url: impl Into<String>) -> Self {
        let url = url.into();
        self.change(move |config| {
            for signal in [Signal::Traces, Signal::Metrics, Signal::Logs] {
                let otlp = otlp(config, signal);
                otlp.endpoint = Endpoint::of_base(&url, signal, otlp.protocol, false)?;
                otlp.headers.authorize(&otlp.endpoint);
            }
            Ok(())
        })
    }

    /// The URL of one signal, used as it is; for gRPC its path does not count. After
    /// [`with_protocol`](Self::with_protocol).
    pub fn with_signal_endpoint(self, signal: Signal, url: impl Into<String>) -> Self {
        let url = url.into();
        self.change(move |config| {
            let otlp = otlp(config, signal);
            otlp.endpoint = Endpoint::of_signal(&url, otlp.protocol, false)?;
            otlp.headers.authorize(&otlp.endpoint);
            Ok(())
        })
    }

    /// How all signals are sent; `http/protobuf` unless said otherwise. Give it before the endpoints, which depend on it. One
    /// whose cargo feature is off is an error of [`build`](Self::build).
    pub fn with_protocol(self, protocol: Protocol) -> Self {
        self.change(move |config| {
            for signal in [Signal::Traces, Signal::Metrics, Signal::Logs] {
                otlp(config, signal).protocol = protocol;
            }
            Ok(())
        })
    }

    /// Which item is dropped when the signal's queue is full. Metrics have no queue: an export that fails is outdated by
    /// the next.
    pub fn with_drop_policy(self, signal: Signal, policy: DropPolicy) -> Self {
        self.change(move |config| {
            match signal {
                Signal::Traces => config.traces.batch.drop = policy,
                Signal::Logs => config.logs.batch.drop = policy,
                Signal::Metrics => {
                    return Err("drop policy of metrics; accepted are traces and logs".to_owned());
                }
            }
            Ok(())
        })
    }

    /// Which measurements may become exemplars (specification, metrics/sdk.md "ExemplarFilter"); those in sampled spans
    /// unless said otherwise.
    pub fn with_exemplar_filter(self, filter: ExemplarFilter) -> Self {
        self.change(move |config| {
            config.metrics.exemplar_filter = filter;
            Ok(())
        })
    }

    /// How metrics are shown to Prometheus on `/metrics` (specification, metrics/sdk_exporters/prometheus.md).
    ///
    /// ```
    /// use tracewell::config::{PrometheusPage, Translation};
    ///
    /// let page = PrometheusPage::default().with_translation(Translation::NoTranslation).without_scope_labels();
    /// let builder = tracewell::Telemetry::builder().with_prometheus_page(page);
    /// # drop(builder);
    /// ```
    pub fn with_prometheus_page(self, page: PrometheusPage) -> Self {
        self.change(move |config| {
            config.metrics.page = page;
            Ok(())
        })
    }

    /// The time between the starts of two exports of metrics, 60 s unless said otherwise; not zero.
    pub fn with_metric_interval(self, interval: Duration) -> Self {
        self.change(move |config| {
            if interval.is_zero() {
                return Err("metric interval 0; accepted is any time above it".to_owned());
            }
            config.metrics.interval = interval;
            Ok(())
        })
    }

    /// A view: which metric an instrument's measurements become (specification, metrics/sdk.md "View"). Of several that
    /// match, the one given first applies, and those given here come before those of a configuration file.
    pub fn with_view(mut self, view: View) -> Self {
        self.additions.views.push(view);
        self
    }

    /// The one deadline of the flush of all signals at the end, 5 s unless said otherwise; zero = nothing is waited for.
    pub fn with_shutdown_deadline(self, limit: Duration) -> Self {
        self.change(move |config| {
            config.shutdown.flush = limit;
            Ok(())
        })
    }

    /// How long running requests may take to finish at the end, 5 s unless said otherwise; zero = they are dropped at once.
    pub fn with_drain_deadline(self, limit: Duration) -> Self {
        self.change(move |config| {
            config.shutdown.drain = limit;
            Ok(())
        })
    }
}

fn otlp(config: &mut Config, signal: Signal) -> &mut Otlp {
    match signal {
        Signal::Traces => &mut config.traces.otlp,
        Signal::Metrics => &mut config.metrics.otlp,
        Signal::Logs => &mut config.logs.otlp,
    }
}
