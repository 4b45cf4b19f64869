//! What runs here, from what it was built, and with which settings: what `/environment` shows.
//!
//! Sections `os`, `build`, `process`, `config` and `resource`, then the program's own. Values of variables and arguments
//! whose name or form says that they are secrets are not shown, nor are copies of them anywhere else.

mod build_info;
mod lockfile;
mod scrub;
mod settings;

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use opentelemetry_sdk::Resource;
use serde_json::{Map, Value, json};

pub use self::{build_info::BuildInfo, lockfile::Dependency};
use crate::{
    config::{Config, Explanation, Source, variables},
    resource::host_name,
    runtime::process,
    sections::Sections,
    timestamp,
};

/// What `/environment` shows, and how to add to it; a cheap handle.
#[derive(Clone)]
pub struct Environment(Arc<Inner>);

struct Inner {
    source: Source,
    build: Option<BuildInfo>,
    added: Sections,
    off: Mutex<HashSet<String>>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("build", &self.0.build).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Environment {
    pub(crate) fn new(source: Source, build: Option<BuildInfo>) -> Self {
        Self(Arc::new(Inner { source, build, added: Sections::default(), off: Mutex::default() }))
    }

    /// What the program was built from, if it said so.
    #[must_use]
    pub fn build(&self) -> Option<&BuildInfo> {
        self.0.build.as_ref()
    }

    /// Adds a section. `section` is called for each answer, on a thread that may block, for one second at most; an
    /// error, a panic and a timeout are shown as `{"error": "…"}` in its place. Of two with one name the later counts.
    pub fn add_section<E: fmt::Display>(
        &self,
        name: impl Into<String>,
        section: impl Fn() -> Result<Value, E> + Send + Sync + 'static,
    ) {
        self.0.added.add(name.into(), move || section().map_err(|error| error.to_string()));
    }

    /// Leaves a section out, such as `process`.
    pub fn disable_section(&self, name: impl Into<String>) {
        lock(&self.0.off).insert(name.into());
    }

    /// Everything, read now. Cancel safe.
    pub(crate) async fn show(
        &self,
        config: &Config,
        explanation: &Explanation,
        resource: &Resource,
    ) -> Value {
        let off = lock(&self.0.off).clone();
        let mut shown = self.own(config, explanation, resource, &off);
        shown.extend(self.0.added.read(&off).await);
        let mut shown = Value::Object(shown);
        self.known(config).hide(&mut shown);
        shown
    }

    fn own(
        &self,
        config: &Config,
        explanation: &Explanation,
        resource: &Resource,
        off: &HashSet<String>,
    ) -> Map<String, Value> {
        let own: [(&str, &dyn Fn() -> Value); 5] = [
            ("os", &os),
            ("build", &|| self.0.build.as_ref().map_or(Value::Null, BuildInfo::json)),
            ("process", &running),
            ("config", &|| settings::section(config, explanation, &self.0.source)),
            ("resource", &|| attributes(resource)),
        ];
        let wanted = own.into_iter().filter(|(name, _)| !off.contains(*name));
        wanted.map(|(name, section)| (name.to_owned(), section())).collect()
    }

    /// What nothing may show.
    fn known(&self, config: &Config) -> scrub::Known {
        let mut known = scrub::Known::default();
        if let Some(token) = &config.admin.token {
            known.add(token.expose());
        }
        let more = config.traces.more.iter().chain(&config.logs.more).map(|output| &output.otlp);
        let more = more.chain(config.metrics.more.iter().map(|output| &output.otlp));
        for otlp in [&config.traces.otlp, &config.metrics.otlp, &config.logs.otlp].into_iter().chain(more) {
            for value in otlp.headers.iter().filter_map(|(_, value)| value.to_str().ok()) {
                known.add(value);
            }
        }
        for variable in variables().filter(|variable| variable.secret) {
            if let Some(value) = self.0.source.get(variable.name) {
                known.add(&value);
            }
        }
        known.add_variables(process_variables());
        known
    }
}

fn process_variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

fn os() -> Value {
    let read = |path| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let release = read("/etc/os-release").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
        Some(line.trim_matches('"').to_owned())
    });
    json!({
        "type": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "name": release,
        "kernel": read("/proc/sys/kernel/osrelease"),
        "host": host_name(),
        "cpus": std::thread::available_parallelism().ok().map(std::num::NonZero::get),
    })
}

fn running() -> Value {
    let reading = process::read();
    let mut started = String::new();
    timestamp::rfc3339_micros(process::started_at(), &mut started);
    let variables: std::collections::BTreeMap<String, String> = process_variables()
        .map(|(name, value)| {
            let shown = scrub::value(&name, &value).into_owned();
            (name, shown)
        })
        .collect();
    let arguments =
        scrub::arguments(std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()));
    let path =
        |path: std::io::Result<std::path::PathBuf>| path.ok().map(|path| path.to_string_lossy().into_owned());
    json!({
        "pid": std::process::id(),
        "started_at": started,
        "uptime_seconds": process::uptime().as_secs_f64(),
        "threads": reading.threads,
        "memory": { "resident_bytes": reading.resident, "virtual_bytes": reading.virtual_memory },
        "descriptors": { "open": reading.descriptors, "limit": reading.max_descriptors },
        "executable": path(std::env::current_exe()),
        "working_directory": path(std::env::current_dir()),
        "arguments": arguments,
        "variables": variables,
    })
}

fn attributes(resource: &Resource) -> Value {
    let shown = resource.iter().map(|(key, value)| {
        let value = scrub::value(key.as_str(), &value.to_string()).into_owned();
        (key.to_string(), Value::String(value))
    });
    Value::Object(shown.collect())
}
