//! What a program wants of its telemetry, said in code: it wins over the environment.
//!
//! Each wish is a change of the [`Config`] that the environment made, kept until `build` or `install` (`init.rs`) and made
//! again at each reload; what no configuration can hold (layers, checks, processors) is kept beside.

mod components;
mod export;
mod logs;
mod operator;
mod requests;
mod sampling;

use opentelemetry::{KeyValue, Value};
use tracing_subscriber::{Layer, Registry as TracingRegistry};

use self::components::Components;
use crate::{
    config::{Config, Source},
    environment::BuildInfo,
    health::{Check, Renderer},
    pipeline::Additions,
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
///
/// No method fails: a value that cannot be used is named, with what is accepted, by the error of [`build`](Self::build) and
/// [`install`](Self::install), all of them together. Of two calls about the same thing the later one counts. A setting that
/// has a variable keeps what was set here through a [`reload`](Telemetry::reload).
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
    /// The service's name, whatever the environment says: `service.name` (semantic conventions, resource/README.md
    /// "Service").
    pub fn with_service_name(mut self, name: impl Into<String>) -> Self {
        self.identity.service_name = Some(name.into());
        self
    }

    /// The service's name unless the environment has one; without any it is `unknown_service:` and the executable's name.
    pub fn default_service_name(mut self, name: impl Into<String>) -> Self {
        self.identity.default_service_name = Some(name.into());
        self
    }

    /// One more attribute of the resource, such as `service.version`; it wins over what is detected and what
    /// `OTEL_RESOURCE_ATTRIBUTES` says (specification, resource/sdk.md "Merge").
    pub fn with_resource_attribute(
        mut self,
        key: impl Into<opentelemetry::Key>,
        value: impl Into<Value>,
    ) -> Self {
        self.identity.attributes.push(KeyValue::new(key, value));
        self
    }

    /// Reads these variables instead of the process's environment, of which nothing is read then. Before
    /// [`with_config_file`](Self::with_config_file) and [`with_env_defaults`](Self::with_env_defaults), which add to it.
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

    /// What must not be seen, in everything that is sent or shown; the default rules of [`Redactor`] otherwise.
    pub fn with_redaction(mut self, redactor: Redactor) -> Self {
        self.additions.redactor = redactor;
        self
    }

    /// Another `tracing` layer beside ours, for [`install`](Self::install); [`build`](Self::build), whose layers are for a
    /// subscriber of the program's own, leaves it out. It sees every span and event that its own filter lets it see.
    pub fn with_layer(mut self, layer: impl Layer<TracingRegistry> + Send + Sync + 'static) -> Self {
        self.layers.push(layer.boxed());
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
