//! The command lines of the four programs: the files of `collector-config/local/` unchanged, on free ports.

use std::{
    env, io,
    net::TcpListener,
    path::{Path, PathBuf},
};

use super::process::Program;

const NAMES: [&str; 4] = ["otelcol", "jaeger", "loki", "prometheus"];

/// The folder with the programs that `tests/backends/build` made.
pub(crate) struct Binaries(PathBuf);

impl Binaries {
    /// # Errors
    /// One is missing: which, where it was looked for, and what builds it.
    pub(crate) fn find() -> Result<Self, String> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = || {
            let user = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
            set("TRACEWELL_BACKENDS_CACHE").or_else(|| Some(user?.join("tracewell/backends")))
        };
        let dir = set("TRACEWELL_BACKENDS_BIN")
            .or_else(|| Some(cache()?.join("bin")))
            .ok_or("neither TRACEWELL_BACKENDS_BIN nor HOME says where the backends are; tests/backends/build makes them")?;
        match NAMES.iter().find(|name| !dir.join(name).is_file()) {
            Some(name) => Err(format!("no {name} in {}; tests/backends/build makes it", dir.display())),
            None => Ok(Self(dir)),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

pub(crate) fn config_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("collector-config/local")
}

pub(crate) fn config(name: &str) -> String {
    config_dir().join(name).display().to_string()
}

/// An overlay: everything goes to another OTLP server, and a request is answered when that one has answered.
pub(crate) fn in_front_of(endpoint: &str) -> String {
    let pipeline = serde_json::json!({ "exporters": ["otlp_http/next"] });
    let overlay = serde_json::json!({
        "exporters": { "otlp_http/next": {
            "endpoint": endpoint,
            "compression": "none",
            "sending_queue": { "enabled": false },
            "retry_on_failure": { "enabled": false },
        } },
        "service": { "pipelines": { "traces": pipeline, "logs": pipeline, "metrics": pipeline } },
    });
    format!("yaml:{overlay}")
}

/// The same, and it makes metrics of the spans that it gets: so many calls as each stands for.
pub(crate) fn counting_in_front_of(endpoint: &str) -> String {
    let next = serde_json::json!(["otlp_http/next"]);
    let overlay = serde_json::json!({
        "connectors": { "span_metrics": { "metrics_flush_interval": "200ms" } },
        "exporters": { "otlp_http/next": { "endpoint": endpoint, "compression": "none" } },
        "service": { "pipelines": {
            "traces": { "exporters": ["otlp_http/next", "span_metrics"] },
            "logs": { "exporters": next },
            "metrics": { "exporters": next },
            "metrics/calls": { "receivers": ["span_metrics"], "exporters": next },
        } },
    });
    format!("yaml:{overlay}")
}

/// The ports of one set; somebody else may take one before its program does, so starting can fail.
#[derive(Debug, Clone)]
pub(crate) struct Ports {
    pub(crate) otlp_grpc: u16,
    pub(crate) otlp_http: u16,
    otelcol_health: u16,
    otelcol_metrics: u16,
    jaeger_health: u16,
    pub(crate) jaeger_query: u16,
    jaeger_query_grpc: u16,
    jaeger_otlp_grpc: u16,
    jaeger_otlp_http: u16,
    pub(crate) loki: u16,
    loki_grpc: u16,
    pub(crate) prometheus: u16,
}

impl Ports {
    pub(crate) fn free() -> io::Result<Self> {
        // all are held until all are known: no number comes twice
        let mut held = Vec::new();
        let mut port = || {
            held.push(TcpListener::bind("127.0.0.1:0")?);
            held[held.len() - 1].local_addr().map(|address| address.port())
        };
        Ok(Self {
            otlp_grpc: port()?,
            otlp_http: port()?,
            otelcol_health: port()?,
            otelcol_metrics: port()?,
            jaeger_health: port()?,
            jaeger_query: port()?,
            jaeger_query_grpc: port()?,
            jaeger_otlp_grpc: port()?,
            jaeger_otlp_http: port()?,
            loki: port()?,
            loki_grpc: port()?,
            prometheus: port()?,
        })
    }
}

/// `overlay` is one more value of `--config`: a path, or `yaml:` and what would be in the file.
pub(crate) fn otelcol(binaries: &Binaries, ports: &Ports, files: &Path, overlay: String) -> Program {
    Program {
        name: "otelcol",
        binary: binaries.path("otelcol"),
        args: vec!["--config".to_owned(), config("otelcol.yaml"), "--config".to_owned(), overlay],
        env: vec![
            ("OTELCOL_OTLP_GRPC_PORT", ports.otlp_grpc.to_string()),
            ("OTELCOL_OTLP_HTTP_PORT", ports.otlp_http.to_string()),
            ("OTELCOL_HEALTH_PORT", ports.otelcol_health.to_string()),
            ("OTELCOL_METRICS_PORT", ports.otelcol_metrics.to_string()),
            ("OTELCOL_FILE_DIR", files.display().to_string()),
            ("JAEGER_OTLP_ENDPOINT", format!("127.0.0.1:{}", ports.jaeger_otlp_grpc)),
            ("LOKI_URL", format!("http://127.0.0.1:{}", ports.loki)),
            ("PROMETHEUS_URL", format!("http://127.0.0.1:{}", ports.prometheus)),
        ],
        ready_url: format!("http://127.0.0.1:{}/", ports.otelcol_health),
    }
}

pub(crate) fn jaeger(binaries: &Binaries, ports: &Ports) -> Program {
    Program {
        name: "jaeger",
        binary: binaries.path("jaeger"),
        args: vec!["--config".to_owned(), config("jaeger.yaml")],
        env: vec![
            ("JAEGER_HEALTH_PORT", ports.jaeger_health.to_string()),
            ("JAEGER_QUERY_PORT", ports.jaeger_query.to_string()),
            ("JAEGER_QUERY_GRPC_PORT", ports.jaeger_query_grpc.to_string()),
            ("JAEGER_OTLP_GRPC_PORT", ports.jaeger_otlp_grpc.to_string()),
            ("JAEGER_OTLP_HTTP_PORT", ports.jaeger_otlp_http.to_string()),
        ],
        ready_url: format!("http://127.0.0.1:{}/status", ports.jaeger_health),
    }
}

pub(crate) fn loki(binaries: &Binaries, ports: &Ports, data: &Path) -> Program {
    Program {
        name: "loki",
        binary: binaries.path("loki"),
        args: vec![format!("-config.file={}", config("loki.yaml")), "-config.expand-env=true".to_owned()],
        env: vec![
            ("LOKI_HTTP_PORT", ports.loki.to_string()),
            ("LOKI_GRPC_PORT", ports.loki_grpc.to_string()),
            ("LOKI_DATA_DIR", data.display().to_string()),
        ],
        ready_url: format!("http://127.0.0.1:{}/ready", ports.loki),
    }
}

pub(crate) fn prometheus(binaries: &Binaries, ports: &Ports, data: &Path) -> Program {
    Program {
        name: "prometheus",
        binary: binaries.path("prometheus"),
        args: vec![
            format!("--config.file={}", config("prometheus.yaml")),
            format!("--storage.tsdb.path={}", data.display()),
            format!("--web.listen-address=127.0.0.1:{}", ports.prometheus),
            "--web.enable-otlp-receiver".to_owned(),
            "--enable-feature=exemplar-storage".to_owned(),
        ],
        env: Vec::new(),
        ready_url: format!("http://127.0.0.1:{}/-/ready", ports.prometheus),
    }
}
