//! Processors and exporters of spans and log records, and the OTLP exporter of all signals.

use std::{path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue};
use serde_json::json;

use super::{
    create::Create,
    node::{At, Value},
};
use crate::config::{
    Batch, Component, ComponentKind, Compression, Endpoint, Exporter, Headers, LogsConfig, Otlp, Output,
    Protocol, Signal, TracesConfig,
    values::Word as _,
    vars::parse::{self},
};

/// What an exporter's node asks for.
pub(super) enum Chosen<'a> {
    Ours(Exporter, Box<Otlp>),
    /// A component by its name.
    Registered(&'a str, At<'a>),
}

impl Create<'_> {
    pub(super) fn traces(&mut self, at: Option<At<'_>>, config: &mut TracesConfig) {
        config.exporters.clear();
        let Some(at) = at else { return self.absent("OTEL_TRACES_EXPORTER", "tracer_provider") };
        let sampler = at.get("sampler").and_then(|at| self.sampler(&at));
        self.place("OTEL_TRACES_SAMPLER", &at, "sampler");
        self.place("OTEL_TRACES_SAMPLER_ARG", &at, "sampler");
        config.sampler =
            sampler.unwrap_or_else(|| crate::config::Sampler::parent_based(crate::config::Sampler::AlwaysOn));
        if let Some((name, generator)) = at.get("id_generator").as_ref().and_then(At::choice) {
            if name != "random" {
                self.not_ours(ComponentKind::IdGenerator, &generator, "random");
            }
        }
        let kinds = (ComponentKind::SpanProcessor, ComponentKind::SpanExporter);
        let outputs = self.outputs(&at, Signal::Traces, (config.batch, &config.otlp), kinds);
        if let Some((first, more)) = outputs {
            (config.exporters, config.batch, config.otlp) = (first.exporters, first.batch, first.otlp);
            config.more = more;
        }
    }

    pub(super) fn logs(&mut self, at: Option<At<'_>>, config: &mut LogsConfig) {
        config.exporters.clear();
        let Some(at) = at else { return self.absent("OTEL_LOGS_EXPORTER", "logger_provider") };
        let kinds = (ComponentKind::LogProcessor, ComponentKind::LogExporter);
        let outputs = self.outputs(&at, Signal::Logs, (config.batch, &config.otlp), kinds);
        if let Some((first, more)) = outputs {
            (config.exporters, config.batch, config.otlp) = (first.exporters, first.batch, first.otlp);
            config.more = more;
        }
    }

    /// The processors of a signal: ours in the order of the file, those of the program apart.
    fn outputs(
        &mut self,
        provider: &At<'_>,
        signal: Signal,
        (batch, otlp): (Batch, &Otlp),
        (processor, exporter): (ComponentKind, ComponentKind),
    ) -> Option<(Output, Vec<Output>)> {
        let mut outputs = Vec::new();
        for item in provider.get("processors").iter().flat_map(At::items) {
            let Some((name, at)) = item.choice() else { continue };
            let batch = match name {
                "batch" => self.batch(&at, signal, batch, outputs.is_empty()),
                // each at once, and still nobody waits: a batch that is never held back
                "simple" => Batch { schedule_delay: Duration::ZERO, ..batch },
                _ => {
                    self.components.push(component(processor, name, &at));
                    continue;
                }
            };
            let Some(chosen) = at.get("exporter") else { continue };
            match self.exporter(&chosen, signal, otlp) {
                Some(Chosen::Ours(exporter, otlp)) => {
                    if outputs.is_empty() {
                        self.first(signal, exporter, &chosen);
                    }
                    outputs.push(Output { exporters: vec![exporter], batch, otlp: *otlp });
                }
                Some(Chosen::Registered(name, at)) => {
                    self.components.push(Component { batch: Some(batch), ..component(exporter, name, &at) });
                }
                None => {}
            }
        }
        let mut outputs = outputs.into_iter();
        let first = outputs.next();
        if first.is_none() {
            let variable = format!("OTEL_{}_EXPORTER", signal.as_str().to_ascii_uppercase());
            self.places.insert(variable, provider.path.key("processors").to_string());
        }
        first.map(|first| (first, outputs.collect()))
    }

    /// Says where the settings of the first way out come from: it is the one that variables could name.
    pub(super) fn first(&mut self, signal: Signal, exporter: Exporter, at: &At<'_>) {
        let signal = signal.as_str().to_ascii_uppercase();
        self.places.insert(format!("OTEL_{signal}_EXPORTER"), at.path.to_string());
        let Some((name, at)) = at.choice().filter(|_| exporter == Exporter::Otlp) else { return };
        let otlp = |setting: &str| format!("OTEL_EXPORTER_OTLP_{signal}_{setting}");
        self.places.insert(otlp("PROTOCOL"), at.path.to_string());
        for (setting, key) in [
            ("ENDPOINT", "endpoint"),
            ("HEADERS", "headers_list"),
            ("HEADERS", "headers"),
            ("TIMEOUT", "timeout"),
            ("COMPRESSION", "compression"),
        ] {
            self.place(&otlp(setting), &at, key);
        }
        if let Some(tls) = at.get("tls") {
            for (setting, key) in
                [("CERTIFICATE", "ca_file"), ("CLIENT_CERTIFICATE", "cert_file"), ("CLIENT_KEY", "key_file")]
            {
                self.place(&otlp(setting), &tls, key);
            }
            if name == "otlp_grpc" {
                self.place(&otlp("INSECURE"), &tls, "insecure");
            }
        }
    }

    fn batch(&mut self, at: &At<'_>, signal: Signal, default: Batch, first: bool) -> Batch {
        let size = |key: &str| at.count(key).and_then(|size| usize::try_from(size).ok());
        let max_queue_size = size("max_queue_size").unwrap_or(default.max_queue_size);
        let given = size("max_export_batch_size");
        if let Some(at) = at.get("max_export_batch_size").filter(|_| given > Some(max_queue_size)) {
            let problem = format!("accepted is at most the queue's size, {max_queue_size}");
            self.report.partly(&at.path, at.node, &problem, &max_queue_size.to_string());
        }
        if first {
            let prefix = if signal == Signal::Traces { "OTEL_BSP" } else { "OTEL_BLRP" };
            for key in ["schedule_delay", "export_timeout", "max_queue_size", "max_export_batch_size"] {
                self.place(&format!("{prefix}_{}", key.to_ascii_uppercase()), at, key);
            }
        }
        let millis = |key: &str| at.count(key).map(|millis| Duration::from_millis(millis.into()));
        Batch {
            schedule_delay: millis("schedule_delay").unwrap_or(default.schedule_delay),
            export_timeout: limit(millis("export_timeout"), default.export_timeout),
            max_queue_size,
            max_export_batch_size: given.unwrap_or(default.max_export_batch_size).min(max_queue_size),
            drop: default.drop,
        }
    }

    /// `otlp` is what an exporter that is not OTLP carries along.
    pub(super) fn exporter<'n>(&mut self, at: &At<'n>, signal: Signal, otlp: &Otlp) -> Option<Chosen<'n>> {
        let (name, at) = at.choice()?;
        Some(match name {
            "otlp_http" => Chosen::Ours(Exporter::Otlp, Box::new(self.otlp(&at, signal, false))),
            "otlp_grpc" => Chosen::Ours(Exporter::Otlp, Box::new(self.otlp(&at, signal, true))),
            "console" => Chosen::Ours(Exporter::Console, Box::new(otlp.clone())),
            // lines of OTLP in JSON: what the console exporter writes
            "otlp_file/development" => match at.text("output_stream") {
                None | Some("stdout") => Chosen::Ours(Exporter::Console, Box::new(otlp.clone())),
                Some(_) => {
                    let stream = at.get("output_stream")?;
                    self.report.wrong(
                        &stream.path,
                        stream.node,
                        "files are not supported yet; accepted is stdout",
                        "",
                    );
                    return None;
                }
            },
            name => Chosen::Registered(name, at),
        })
    }

    fn otlp(&mut self, at: &At<'_>, signal: Signal, grpc: bool) -> Otlp {
        let protocol = match at.text("encoding") {
            _ if grpc => Protocol::Grpc,
            Some("json") => Protocol::HttpJson,
            _ => Protocol::HttpProtobuf,
        };
        let tls = at.get("tls").filter(|tls| !tls.node.is_null());
        let insecure = tls.as_ref().and_then(|tls| tls.bool("insecure")).unwrap_or(false);
        let default = match grpc {
            true => "http://localhost:4317".to_owned(),
            false => format!("http://localhost:4318{}", signal.path()),
        };
        let given = at.text("endpoint").filter(|text| !text.trim().is_empty());
        let endpoint = given.and_then(|text| match Endpoint::of_signal(text, protocol, insecure) {
            Ok(endpoint) => Some(endpoint),
            Err(problem) => {
                if let Some(at) = at.get("endpoint") {
                    self.report.wrong(&at.path, at.node, &problem, &default);
                }
                None
            }
        });
        let endpoint = endpoint.unwrap_or_else(|| {
            Endpoint::of_signal(&default, protocol, insecure).expect("the default is a URL")
        });
        let mut headers = self.headers(at);
        headers.authorize(&endpoint);
        let (client_certificate, client_key) = self.identity(tls.as_ref());
        Otlp {
            protocol,
            endpoint,
            headers,
            timeout: limit(
                at.count("timeout").map(|millis| Duration::from_millis(millis.into())),
                Some(Duration::from_secs(10)),
            ),
            compression: self.compression(at),
            certificate: tls.as_ref().and_then(|tls| self.pem(tls, "ca_file", parse::certificates)),
            client_certificate,
            client_key,
        }
    }

    fn compression(&mut self, at: &At<'_>) -> Compression {
        let Some(word) = at.text("compression") else { return Compression::None };
        Compression::from_word(word).unwrap_or_else(|| {
            if let Some(at) = at.get("compression") {
                self.report.wrong(&at.path, at.node, "accepted is none or gzip", "none");
            }
            Compression::None
        })
    }

    fn headers(&mut self, at: &At<'_>) -> Headers {
        let mut headers = Headers::default();
        if let (Some(list), Some(node)) = (at.text("headers_list"), at.get("headers_list")) {
            let (parsed, problems) = Headers::parse_some(list);
            headers = parsed;
            if !problems.is_empty() {
                let problem = format!(
                    "{}; accepted is name=value,name=value with percent-encoded values",
                    problems.join(", ")
                );
                self.report.partly(&node.path, node.node, &problem, "the others");
            }
        }
        for header in at.get("headers").iter().flat_map(At::items) {
            // an entry without a value is ignored
            let (Some(name), Some(value)) = (header.text("name"), header.text("value")) else { continue };
            let name = HeaderName::from_bytes(name.as_bytes());
            // gRPC metadata knows visible ASCII only
            let value = HeaderValue::from_str(value).ok().filter(|value| value.to_str().is_ok());
            match (name, value) {
                (Ok(name), Some(value)) => headers.set(name, value),
                (Err(_), _) => {
                    self.report.wrong(
                        &header.path.key("name"),
                        header.node,
                        "accepted is the name of a header",
                        "",
                    );
                }
                (_, None) => {
                    self.report.wrong(
                        &header.path.key("value"),
                        header.node,
                        "accepted is visible ASCII",
                        "",
                    );
                }
            }
        }
        headers
    }

    /// Certificate and key, both or neither.
    fn identity(&mut self, tls: Option<&At<'_>>) -> (Option<PathBuf>, Option<PathBuf>) {
        let Some(tls) = tls else { return (None, None) };
        let named = |key: &str| tls.text(key).is_some();
        for (given, other) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
            if let Some(at) = tls.get(given).filter(|_| named(given) && !named(other)) {
                self.report.wrong(&at.path, at.node, &format!("accepted is it with {other}"), "");
                return (None, None);
            }
        }
        let certificate = self.pem(tls, "cert_file", parse::certificates);
        let key = self.pem(tls, "key_file", parse::private_key);
        if certificate.is_some() && key.is_some() { (certificate, key) } else { (None, None) }
    }

    fn pem(
        &mut self,
        tls: &At<'_>,
        key: &str,
        read: impl Fn(&str) -> Result<PathBuf, BadPath>,
    ) -> Option<PathBuf> {
        let (path, at) = (tls.text(key).filter(|path| !path.trim().is_empty())?, tls.get(key)?);
        if !std::path::Path::new(path).is_absolute() {
            self.report.wrong(&at.path, at.node, "accepted is an absolute path of a PEM file", "");
            return None;
        }
        match read(path) {
            Ok(path) => Some(path),
            Err(bad) => {
                self.report.wrong(&at.path, at.node, &format!("{}; accepted is a PEM file", bad.why), "");
                None
            }
        }
    }
}

type BadPath = crate::config::vars::Bad<PathBuf>;

/// `0` is no limit.
pub(super) fn limit(given: Option<Duration>, default: Option<Duration>) -> Option<Duration> {
    given.map_or(default, |limit| Some(limit).filter(|limit| !limit.is_zero()))
}

pub(super) fn component(kind: ComponentKind, name: &str, at: &At<'_>) -> Component {
    Component::new(kind, name, properties(&at.node.value), at.path.to_string())
}

/// What the specification calls `ConfigProperties`: the node as it stands.
fn properties(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Float(value) => json!(value),
        Value::Text(text) => json!(text),
        Value::List(items) => items.iter().map(|item| properties(&item.value)).collect(),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, node)| (key.clone(), properties(&node.value)));
            serde_json::Value::Object(entries.collect())
        }
    }
}
