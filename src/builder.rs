//! What a program wants of its telemetry, said in code: it wins over the environment.

mod logs;

use std::time::Duration;

use opentelemetry::{KeyValue, Value};
use tracing_subscriber::{Layer, Registry as TracingRegistry};

use crate::{
    components::Components,
    config::{
        AccessLog, Config, ConsoleLink, DropPolicy, Endpoint, ExemplarFilter, IpRange, LogFormat, Otlp,
        PrometheusPage, Protocol, ProxyHeaders, RemoteParent, Sampler, SamplingRule, Signal, Source,
    },
    environment::BuildInfo,
    health::{Answering, Check, Renderer},
    pipeline::{Additions, View},
    redaction::Redactor,
    requests::{Registry, Thresholds},
    resource::Identity,
    runtime::Allocator,
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
    pub(crate) health_renderer: Option<Renderer>,
    pub(crate) allocator: Option<Allocator>,
    pub(crate) build_info: Option<BuildInfo>,
    pub(crate) panic_hook: Option<bool>,
    pub(crate) stuck: Option<Thresholds>,
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
            sampler.validate()?;
            config.traces.sampler = sampler.clone();
            Ok(())
        })
    }

    /// Rules that decide which traces are kept before the sampler is asked: the first that holds. They decide about traces
    /// that start here; see [`with_remote_parent`](Self::with_remote_parent) for those of callers.
    ///
    /// ```
    /// use tracewell::config::SamplingRule;
    ///
    /// let builder = tracewell::Telemetry::builder().with_sampling_rules([
    ///     SamplingRule::drop().with_path("/health*"),
    ///     SamplingRule::keep().with_route("/orders").with_method("POST"),
    ///     SamplingRule::per_second(5.0).with_header("x-debug"),
    ///     SamplingRule::ratio(0.1),
    /// ]);
    /// # drop(builder);
    /// ```
    pub fn with_sampling_rules(self, rules: impl IntoIterator<Item = SamplingRule>) -> Self {
        let rules: Vec<SamplingRule> = rules.into_iter().collect();
        self.change(move |config| {
            for rule in &rules {
                rule.validate().map_err(|why| format!("sampling rule \"{rule}\": {why}"))?;
            }
            config.traces.sampling_rules.clone_from(&rules);
            Ok(())
        })
    }

    /// What becomes of traces that callers have begun; [`RemoteParent::Follow`] unless said otherwise.
    pub fn with_remote_parent(self, remote_parent: RemoteParent) -> Self {
        self.change(move |config| {
            config.traces.remote_parent = remote_parent;
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

    /// How metrics are shown to Prometheus on `/metrics`.
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

    /// How lines on stdout and stderr look.
    pub fn with_log_format(self, format: LogFormat) -> Self {
        self.change(move |config| {
            config.logs.format = Some(format);
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

    /// The proxies whose `Forwarded` and `X-Forwarded-*` headers count; see
    /// [`ServerLayer::with_trusted_proxies`](crate::http::ServerLayer::with_trusted_proxies).
    pub fn with_trusted_proxies(self, proxies: impl IntoIterator<Item = IpRange>) -> Self {
        let proxies: Vec<IpRange> = proxies.into_iter().collect();
        self.change(move |config| {
            config.http.trusted_proxies.clone_from(&proxies);
            Ok(())
        })
    }

    /// Which headers of trusted proxies count; [`ProxyHeaders::Any`] unless said otherwise.
    pub fn with_proxy_headers(self, headers: ProxyHeaders) -> Self {
        self.change(move |config| {
            config.http.proxy_headers = headers;
            Ok(())
        })
    }

    /// From which age on requests and tasks count as stuck, per route and per name of tasks too, in the place of
    /// `TRACEWELL_STUCK_MS` and `TRACEWELL_STUCK_TASKS_MS`. [`Telemetry::serve`] watches over them.
    pub fn with_stuck_thresholds(mut self, thresholds: Thresholds) -> Self {
        self.stuck = Some(thresholds);
        self
    }

    /// How many of the last log lines are kept of each request and task, 100 at most; see
    /// [`Registry::keep_log_lines`].
    pub fn with_request_log_lines(self, lines: usize) -> Self {
        self.change(move |config| {
            config.requests.log_lines = lines;
            Ok(())
        })
    }

    /// Members of the baggage that become attributes, of the same name, of every span and log record that is made where
    /// the baggage has them. Callers write baggage: a name that is listed here is a value that they choose.
    pub fn with_baggage_attributes<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        self.change(move |config| {
            config.http.baggage_attributes.clone_from(&names);
            Ok(())
        })
    }

    /// Attributes set by [`requests::set_attribute`](crate::requests::set_attribute) that metrics have too. Each value
    /// is a series of its own: tenants or plans, never users.
    pub fn with_metric_attributes<K: Into<String>>(self, keys: impl IntoIterator<Item = K>) -> Self {
        let keys: Vec<String> = keys.into_iter().map(Into::into).collect();
        self.change(move |config| {
            config.requests.metric_attributes.clone_from(&keys);
            Ok(())
        })
    }

    /// Makes requests cheaper, at one price: `OpenTelemetrySpanExt` finds nothing at a request's own span, where its
    /// `context()` is an empty one. What it is used for has another way there: `opentelemetry::Context::current()`, and
    /// [`requests::set_attribute`](crate::requests::set_attribute). The request's span stays a span like any other for
    /// `tracing`, and all other spans stay as they are.
    pub fn with_lean_spans(self, lean: bool) -> Self {
        self.change(move |config| {
            config.requests.lean_spans = lean;
            Ok(())
        })
    }

    /// Headers that become attributes of the server span: `http.request.header.<name>`. Secrets in them are hidden.
    pub fn with_captured_request_headers<N: AsRef<str>>(self, names: impl IntoIterator<Item = N>) -> Self {
        let names = header_names(names);
        self.change(move |config| names.clone().map(|names| config.http.request_headers = names))
    }

    /// Headers that become attributes of the server span: `http.response.header.<name>`. Secrets in them are hidden.
    pub fn with_captured_response_headers<N: AsRef<str>>(self, names: impl IntoIterator<Item = N>) -> Self {
        let names = header_names(names);
        self.change(move |config| names.clone().map(|names| config.http.response_headers = names))
    }

    /// Where the operator's endpoints are served.
    pub fn with_admin_address(self, address: std::net::SocketAddr) -> Self {
        self.change(move |config| {
            config.admin.addr = Some(address);
            Ok(())
        })
    }

    /// A link from each trace on the console to another tool: `{trace_id}`, `{span_id}`, `{start_ms}`, `{end_ms}` and
    /// `{service}` in the URL are filled in. After those of `TRACEWELL_CONSOLE_LINKS`; only `http://` and `https://`.
    ///
    /// ```
    /// let builder = tracewell::Telemetry::builder()
    ///     .with_console_link("Jaeger", "http://localhost:16686/trace/{trace_id}");
    /// # drop(builder);
    /// ```
    pub fn with_console_link(self, label: impl Into<String>, url: impl Into<String>) -> Self {
        let link = ConsoleLink::new(label, url);
        self.change(move |config| {
            config.admin.console_store.links.push(link.clone()?);
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

    /// Shows what the program's allocator says of itself as the metric `process.memory.allocator`, in bytes, one series
    /// per state. `read` is called at each collection; it should not block. Of several calls the last counts.
    ///
    /// ```
    /// # struct Statistics { allocated: u64, resident: u64 }
    /// # fn statistics() -> Statistics { Statistics { allocated: 1, resident: 2 } }
    /// let builder = tracewell::Telemetry::builder().with_allocator(|| {
    ///     let of = statistics(); // such as tikv_jemalloc_ctl's
    ///     vec![("allocated", of.allocated), ("resident", of.resident)]
    /// });
    /// # drop(builder);
    /// ```
    pub fn with_allocator(
        mut self,
        read: impl Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static,
    ) -> Self {
        self.allocator = Some(std::sync::Arc::new(read));
        self
    }

    /// Lets `render` replace the answers of the probes and of `/healthcheck`; see
    /// [`Health::set_renderer`](crate::health::Health::set_renderer).
    pub fn with_health_renderer(
        mut self,
        render: impl Fn(&Answering<'_>, http::Response<String>) -> http::Response<String> + Send + Sync + 'static,
    ) -> Self {
        self.health_renderer = Some(Renderer::new(render));
        self
    }

    /// What this program was built from: `tracewell::build_info!()`.
    pub fn with_build_info(mut self, build: BuildInfo) -> Self {
        self.build_info = Some(build);
        self
    }

    /// Whether lines are written to stdout, and to stderr where they are wanted; `true` unless said otherwise.
    pub fn with_stdout(mut self, lines: bool) -> Self {
        self.additions.silent = !lines;
        self
    }

    /// Whether [`install`](Self::install) adds a panic hook that logs the panic in its span, and sends what waits, for two
    /// seconds at most, when the panic ends the process; the hook that is set stays in place behind it. `true` unless said
    /// otherwise.
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

fn header_names<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Result<Vec<String>, String> {
    let parsed = names.into_iter().map(|name| match http::HeaderName::from_bytes(name.as_ref().as_bytes()) {
        Ok(name) => Ok(name.as_str().to_owned()),
        Err(_) => Err(format!(
            "{:?} is no name of an HTTP header; accepted are names such as x-tenant",
            name.as_ref()
        )),
    });
    parsed.collect()
}

fn otlp(config: &mut Config, signal: Signal) -> &mut Otlp {
    match signal {
        Signal::Traces => &mut config.traces.otlp,
        Signal::Metrics => &mut config.metrics.otlp,
        Signal::Logs => &mut config.logs.otlp,
    }
}
