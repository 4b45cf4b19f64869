//! What a program wants of its telemetry, said in code: it wins over the environment.

use std::time::Duration;

use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::{logs::LogProcessor, trace::SpanProcessor};
use tracing_subscriber::{Layer, Registry as TracingRegistry};

use crate::{
    components::Components,
    config::{
        AccessLog, Config, Endpoint, ExemplarFilter, LogFormat, Otlp, Protocol, Sampler, Signal, Source,
    },
    environment::BuildInfo,
    health::Check,
    pipeline::{Additions, View},
    redaction::Redactor,
    requests::Registry,
    resource::Identity,
    telemetry::Telemetry,
};

pub(crate) type TracingLayer = Box<dyn Layer<TracingRegistry> + Send + Sync>;
/// Made again whenever the configuration is read again.
pub(crate) type Change = Box<dyn Fn(&mut Config) -> Result<(), String> + Send + Sync>;

/// Telemetry to be set up. What is set here wins over the environment.
#[must_use = "nothing is set up before build() or install()"]
#[derive(Default)]
pub struct Builder {
    pub(crate) environment: Option<Source>,
    pub(crate) identity: Identity,
    pub(crate) changes: Vec<Change>,
    pub(crate) additions: Additions,
    pub(crate) layers: Vec<TracingLayer>,
    pub(crate) registry: Option<Registry>,
    pub(crate) checks: Vec<(String, Check)>,
    pub(crate) build_info: Option<BuildInfo>,
    pub(crate) panic_hook: Option<bool>,
    pub(crate) components: Components,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Telemetry that differs from what the environment says.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// The service's name, whatever the environment says.
    pub fn with_service_name(mut self, name: impl Into<String>) -> Self {
        self.identity.service_name = Some(name.into());
        self
    }

    /// The service's name unless the environment has one.
    pub fn default_service_name(mut self, name: impl Into<String>) -> Self {
        self.identity.default_service_name = Some(name.into());
        self
    }

    /// One more attribute of the resource, such as `service.version`.
    pub fn with_resource_attribute(
        mut self,
        key: impl Into<opentelemetry::Key>,
        value: impl Into<Value>,
    ) -> Self {
        self.identity.attributes.push(KeyValue::new(key, value));
        self
    }

    /// Reads these variables instead of the process's environment.
    pub fn with_env<N, V>(mut self, variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<std::ffi::OsString>,
    {
        self.environment = Some(Source::from_pairs(variables));
        self
    }

    /// Reads this declarative configuration file, whatever `OTEL_CONFIG_FILE` says. After [`with_env`](Self::with_env).
    pub fn with_config_file(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        let environment = self.environment.take().unwrap_or_else(Source::process);
        self.environment = Some(environment.with_override("OTEL_CONFIG_FILE", path.into()));
        self
    }

    /// Variables that count where the environment has none: defaults of the program's own, in the operator's words.
    pub fn with_env_defaults<N, V>(mut self, variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<std::ffi::OsString>,
    {
        let environment = self.environment.take().unwrap_or_else(Source::process);
        self.environment = Some(environment.with_defaults(variables));
        self
    }

    /// Which traces are recorded.
    pub fn with_sampler(self, sampler: Sampler) -> Self {
        self.change(move |config| {
            config.traces.sampler = sampler.clone();
            Ok(())
        })
    }

    /// The collector's base URL for all signals; for HTTP each signal's path is appended.
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

    /// The URL of one signal, used as it is.
    pub fn with_signal_endpoint(self, signal: Signal, url: impl Into<String>) -> Self {
        let url = url.into();
        self.change(move |config| {
            let otlp = otlp(config, signal);
            otlp.endpoint = Endpoint::of_signal(&url, otlp.protocol, false)?;
            otlp.headers.authorize(&otlp.endpoint);
            Ok(())
        })
    }

    /// How all signals are sent. Give it before the endpoints, which depend on it.
    pub fn with_protocol(self, protocol: Protocol) -> Self {
        self.change(move |config| {
            for signal in [Signal::Traces, Signal::Metrics, Signal::Logs] {
                otlp(config, signal).protocol = protocol;
            }
            Ok(())
        })
    }

    /// Which measurements may become exemplars.
    pub fn with_exemplar_filter(self, filter: ExemplarFilter) -> Self {
        self.change(move |config| {
            config.metrics.exemplar_filter = filter;
            Ok(())
        })
    }

    /// How often metrics are exported; not zero.
    pub fn with_metric_interval(self, interval: Duration) -> Self {
        self.change(move |config| {
            if interval.is_zero() {
                return Err("metric interval 0; accepted is any time above it".to_owned());
            }
            config.metrics.interval = interval;
            Ok(())
        })
    }

    /// How lines on stdout look.
    pub fn with_log_format(self, format: LogFormat) -> Self {
        self.change(move |config| {
            config.logs.format = Some(format);
            Ok(())
        })
    }

    /// Which events are logged, in the words of `RUST_LOG`.
    pub fn with_log_filter(self, directives: impl Into<String>) -> Self {
        let directives = directives.into();
        self.change(move |config| match directives.parse::<tracing_subscriber::EnvFilter>() {
            Ok(_) => {
                config.logs.filter.clone_from(&directives);
                Ok(())
            }
            Err(error) => {
                Err(format!("log filter {directives:?}: {error}; accepted are RUST_LOG directives"))
            }
        })
    }

    /// Which requests have a completion record.
    pub fn with_access_log(self, requests: AccessLog) -> Self {
        self.change(move |config| {
            config.logs.access_log = requests;
            Ok(())
        })
    }

    /// Where the operator's endpoints are served.
    pub fn with_admin_address(self, address: std::net::SocketAddr) -> Self {
        self.change(move |config| {
            config.admin.addr = Some(address);
            Ok(())
        })
    }

    /// The one deadline of the flush of all signals at the end.
    pub fn with_shutdown_deadline(self, limit: Duration) -> Self {
        self.change(move |config| {
            config.shutdown.flush = limit;
            Ok(())
        })
    }

    /// How long running requests may take to finish at the end.
    pub fn with_drain_deadline(self, limit: Duration) -> Self {
        self.change(move |config| {
            config.shutdown.drain = limit;
            Ok(())
        })
    }

    /// A view: which metric an instrument's measurements become.
    pub fn with_view(mut self, view: View) -> Self {
        self.additions.views.push(view);
        self
    }

    /// A span processor beside the exporter's queue.
    pub fn with_span_processor(mut self, processor: impl SpanProcessor + 'static) -> Self {
        self.additions.span_processors.push(Box::new(processor));
        self
    }

    /// A log processor before the exporter's queue: it may change records. Records then take the SDK's longer way.
    pub fn with_log_processor(mut self, processor: impl LogProcessor + 'static) -> Self {
        self.additions.log_processors.push(Box::new(processor));
        self
    }

    /// What must not be seen, in everything that is sent or shown; the default rules of [`Redactor`] otherwise.
    pub fn with_redaction(mut self, redactor: Redactor) -> Self {
        self.additions.redactor = redactor;
        self
    }

    /// Another `tracing` layer beside ours, for [`install`](Self::install).
    pub fn with_layer(mut self, layer: impl Layer<TracingRegistry> + Send + Sync + 'static) -> Self {
        self.layers.push(layer.boxed());
        self
    }

    /// Enters requests into this registry; the global one otherwise.
    pub fn with_registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Adds a health check; see [`Health::register`](crate::health::Health::register).
    pub fn with_health_check(mut self, name: impl Into<String>, check: Check) -> Self {
        self.checks.push((name.into(), check));
        self
    }

    /// What this program was built from: `tracewell::build_info!()`.
    pub fn with_build_info(mut self, build: BuildInfo) -> Self {
        self.build_info = Some(build);
        self
    }

    /// Whether lines are written to stdout; `true` unless said otherwise.
    pub fn with_stdout(mut self, lines: bool) -> Self {
        self.additions.silent = !lines;
        self
    }

    /// Whether [`install`](Self::install) adds a panic hook that logs the panic in its span; the hook that is set stays
    /// in place behind it. `true` unless said otherwise.
    pub fn with_panic_hook(mut self, hook: bool) -> Self {
        self.panic_hook = Some(hook);
        self
    }

    pub(crate) fn change(
        mut self,
        change: impl Fn(&mut Config) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.changes.push(Box::new(change));
        self
    }
}

fn otlp(config: &mut Config, signal: Signal) -> &mut Otlp {
    match signal {
        Signal::Traces => &mut config.traces.otlp,
        Signal::Metrics => &mut config.metrics.otlp,
        Signal::Logs => &mut config.logs.otlp,
    }
}
