//! From a tree that is what the schema says to the values that the pipeline uses (specification, configuration/sdk.md
//! "Create"). A node that is missing is not as if its variable were unset: what is not in the file is not there.

use std::collections::BTreeMap;

use http::HeaderName;

use super::{
    node::{At, Value, number},
    report::Report,
};
use crate::config::{
    AttributeValue, Component, ComponentKind, Config, Detector, HttpConfig, LogLevel, Patterns, Propagator,
    ResourceConfig, Source, SpanLimits, values::Word as _, vars::parse,
};

/// Where the values of a configuration go while they are created.
pub(super) struct Create<'a> {
    pub(super) source: &'a Source,
    pub(super) report: &'a mut Report,
    pub(super) places: &'a mut BTreeMap<String, String>,
    pub(super) components: Vec<Component>,
}

/// `config` is what our own variables say; what the file is for is replaced whole.
pub(super) fn create(
    tree: &super::node::Node,
    source: &Source,
    config: &mut Config,
    report: &mut Report,
    places: &mut BTreeMap<String, String>,
) {
    let root = At::root(tree);
    let mut create = Create { source, report, places, components: Vec::new() };
    if let Some(disabled) = root.bool("disabled") {
        config.disabled = disabled;
        create.place("OTEL_SDK_DISABLED", &root, "disabled");
    }
    if let Some(level) = root.text("log_level") {
        config.log_level = log_level(level);
        create.place("OTEL_LOG_LEVEL", &root, "log_level");
    }
    create.limits(&root, config);
    config.resource = create.resource(root.get("resource"));
    config.propagators = create.propagators(&root);
    create.traces(root.get("tracer_provider"), &mut config.traces);
    create.metrics(root.get("meter_provider"), &mut config.metrics);
    create.logs(root.get("logger_provider"), &mut config.logs);
    let server = ["general", "http", "server"]
        .iter()
        .try_fold(root.get("instrumentation/development"), |at, key| Some(at.and_then(|at| at.get(key))))
        .flatten();
    if let Some(server) = server {
        create.http_server(&server, &mut config.http);
    }
    config.components = create.components;
}

/// The file's severities in our levels: what is above an error is one, and we say nothing below `info`.
fn log_level(word: &str) -> LogLevel {
    match word.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "error" | "fatal" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "debug" => LogLevel::Debug,
        "trace" => LogLevel::Trace,
        _ => LogLevel::Info,
    }
}

/// A choice among built-in detectors.
fn detectors(name: &str) -> Option<&'static [Detector]> {
    match name {
        "container" => Some(&[Detector::Container, Detector::Kubernetes]),
        // "host" stands for `host.*` and `os.*`
        "host" => Some(&[Detector::Host, Detector::Os]),
        "process" => Some(&[Detector::Process]),
        _ => None,
    }
}

impl Create<'_> {
    /// Says that a setting comes from a key that is present.
    pub(super) fn place(&mut self, variable: &str, at: &At<'_>, key: &str) {
        if at.get(key).is_some_and(|found| !found.node.is_null()) {
            self.places.insert(variable.to_owned(), at.path.key(key).to_string());
        }
    }

    /// Says that a setting comes from what is not there.
    pub(super) fn absent(&mut self, variable: &str, key: &str) {
        self.places.insert(variable.to_owned(), format!("{key} (missing)"));
    }

    fn limits(&mut self, root: &At<'_>, config: &mut Config) {
        let general = root.get("attribute_limits");
        let general = |key: &str| general.as_ref().and_then(|at| at.count(key));
        let (count, length) =
            (general("attribute_count_limit").unwrap_or(128), general("attribute_value_length_limit"));
        config.attribute_limits = (count, length);
        let traces = root.get("tracer_provider").and_then(|at| at.get("limits"));
        let logs = root.get("logger_provider").and_then(|at| at.get("limits"));
        let of = |at: &Option<At<'_>>, key: &str| at.as_ref().and_then(|at| at.count(key));
        config.traces.limits = SpanLimits {
            attributes: of(&traces, "attribute_count_limit").unwrap_or(count),
            events: of(&traces, "event_count_limit").unwrap_or(128),
            links: of(&traces, "link_count_limit").unwrap_or(128),
            attributes_per_event: of(&traces, "event_attribute_count_limit").unwrap_or(128),
            attributes_per_link: of(&traces, "link_attribute_count_limit").unwrap_or(128),
            value_length: of(&traces, "attribute_value_length_limit").or(length),
        };
        config.logs.limits.attributes = of(&logs, "attribute_count_limit").unwrap_or(count);
        config.logs.limits.value_length = of(&logs, "attribute_value_length_limit").or(length);
        if let Some(at) = root.get("attribute_limits") {
            self.place("OTEL_ATTRIBUTE_COUNT_LIMIT", &at, "attribute_count_limit");
            self.place("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", &at, "attribute_value_length_limit");
        }
        if let Some(at) = traces {
            for (variable, key) in [
                ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "attribute_count_limit"),
                ("OTEL_SPAN_EVENT_COUNT_LIMIT", "event_count_limit"),
                ("OTEL_SPAN_LINK_COUNT_LIMIT", "link_count_limit"),
                ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "event_attribute_count_limit"),
                ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "link_attribute_count_limit"),
                ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "attribute_value_length_limit"),
            ] {
                self.place(variable, &at, key);
            }
        }
        if let Some(at) = logs {
            self.place("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", &at, "attribute_count_limit");
            self.place("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", &at, "attribute_value_length_limit");
        }
    }

    fn resource(&mut self, at: Option<At<'_>>) -> ResourceConfig {
        let mut resource = ResourceConfig { detectors: Vec::new(), ..ResourceConfig::default() };
        let Some(at) = at else {
            self.absent("OTEL_RUST_RESOURCE_DETECTORS", "resource");
            return resource;
        };
        if let Some(detection) = at.get("detection/development") {
            self.detection(&detection, &mut resource);
        } else {
            self.absent("OTEL_RUST_RESOURCE_DETECTORS", "resource.detection/development");
        }
        if let (Some(list), Some(node)) = (at.text("attributes_list"), at.get("attributes_list")) {
            match parse::attributes(list) {
                Ok(attributes) => attributes.into_iter().for_each(|(name, value)| {
                    set(&mut resource, &name, AttributeValue::String(value));
                }),
                Err(bad) => {
                    let problem = format!("{}; accepted is name=value,name=value, percent-encoded", bad.why);
                    self.report.wrong(&node.path, node.node, &problem, "");
                }
            }
            self.place("OTEL_RESOURCE_ATTRIBUTES", &at, "attributes_list");
        }
        if let Some(attributes) = at.get("attributes") {
            attributes.items().for_each(|attribute| self.attribute(&attribute, &mut resource));
            self.place("OTEL_RESOURCE_ATTRIBUTES", &at, "attributes");
        }
        if resource.service_name.is_some() {
            self.places.insert("OTEL_SERVICE_NAME".to_owned(), at.path.to_string());
        }
        resource.schema_url = at.text("schema_url").map(str::to_owned);
        resource
    }

    fn detection(&mut self, at: &At<'_>, resource: &mut ResourceConfig) {
        for detector in at.get("detectors").iter().flat_map(At::items) {
            let Some((name, chosen)) = detector.choice() else { continue };
            match detectors(name) {
                Some(detectors) => detectors.iter().for_each(|detector| {
                    if !resource.detectors.contains(detector) {
                        resource.detectors.push(*detector);
                    }
                }),
                // the one place of the file that a variable is for
                None if name == "service" => {
                    let named = self.source.exact("OTEL_SERVICE_NAME");
                    let named = named.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
                    resource.service_name = named.or(resource.service_name.take());
                }
                None => self.not_ours(
                    ComponentKind::ResourceDetector,
                    &chosen,
                    "container, host, process, service",
                ),
            }
        }
        resource.detected = at.get("attributes").map(|at| patterns(&at)).unwrap_or_default();
        self.places.insert("OTEL_RUST_RESOURCE_DETECTORS".to_owned(), at.path.to_string());
    }

    fn attribute(&mut self, at: &At<'_>, resource: &mut ResourceConfig) {
        let (Some(name), Some(value)) = (at.text("name"), at.get("value")) else { return };
        // an entry without a value is ignored
        if value.node.is_null() {
            return;
        }
        let kind = at.text("type").unwrap_or("string");
        match attribute_value(kind, &value) {
            Some(AttributeValue::String(_)) | None if name.is_empty() => {
                self.report.wrong(&at.path.key("name"), at.node, "accepted is a name that is not empty", "");
            }
            Some(value @ AttributeValue::String(_)) => set(resource, name, value),
            Some(_) if name == "service.name" => {
                self.report.wrong(&value.path, value.node, "accepted is text for service.name", "");
            }
            Some(value) => set(resource, name, value),
            None => {
                let problem = format!(
                    "{} is not of the type {kind}; accepted is a value of that type",
                    value.node.value.kind()
                );
                self.report.wrong(&value.path, value.node, &problem, "");
            }
        }
    }

    fn propagators(&mut self, root: &At<'_>) -> Vec<Propagator> {
        let mut found: Vec<Propagator> = Vec::new();
        let Some(at) = root.get("propagator") else {
            self.absent("OTEL_PROPAGATORS", "propagator");
            return found;
        };
        const KNOWN: &str = "tracecontext, baggage, b3, b3multi";
        let mut add = |propagator: Propagator| {
            if !found.contains(&propagator) {
                found.push(propagator);
            }
        };
        for propagator in at.get("composite").iter().flat_map(At::items) {
            let Some((name, chosen)) = propagator.choice() else { continue };
            match Propagator::from_word(name) {
                Some(propagator) => add(propagator),
                None => self.not_ours(ComponentKind::Propagator, &chosen, KNOWN),
            }
        }
        if let (Some(list), Some(node)) = (at.text("composite_list"), at.get("composite_list")) {
            for name in list.split(',').map(str::trim).filter(|name| !name.is_empty() && *name != "none") {
                match Propagator::from_word(name) {
                    Some(propagator) => add(propagator),
                    None => {
                        let problem = format!("{name:?} is unknown; accepted are {KNOWN}");
                        self.report.partly(&node.path, node.node, &problem, "the others");
                    }
                }
            }
        }
        self.places.insert("OTEL_PROPAGATORS".to_owned(), at.path.to_string());
        found
    }

    fn http_server(&mut self, at: &At<'_>, config: &mut HttpConfig) {
        let method = |text: &str| parse::methods(text).is_ok().then(|| text.to_owned());
        let header = |text: &str| HeaderName::from_bytes(text.as_bytes()).ok().map(|name| name.to_string());
        let capture = "OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE";
        if let Some(known) = self.names(at, "known_methods", method, "an HTTP method") {
            config.known_methods = known;
            self.place("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", at, "known_methods");
        }
        if let Some(names) = self.names(at, "request_captured_headers", header, "the name of a header") {
            config.request_headers = names;
            self.place(&format!("{capture}_REQUEST_HEADERS"), at, "request_captured_headers");
        }
        if let Some(names) = self.names(at, "response_captured_headers", header, "the name of a header") {
            config.response_headers = names;
            self.place(&format!("{capture}_RESPONSE_HEADERS"), at, "response_captured_headers");
        }
    }

    /// The items of a list that are what they should be.
    fn names(
        &mut self,
        at: &At<'_>,
        key: &str,
        one: impl Fn(&str) -> Option<String>,
        accepted: &str,
    ) -> Option<Vec<String>> {
        let list = at.get(key)?;
        let names = list.items().filter_map(|item| {
            let name = one(&item.node.text);
            if name.is_none() {
                self.report.wrong(&item.path, item.node, &format!("accepted is {accepted}"), "");
            }
            name
        });
        Some(names.collect())
    }

    /// A component of a kind that programs cannot register.
    pub(super) fn not_ours(&mut self, kind: ComponentKind, at: &At<'_>, known: &str) {
        self.report.wrong(&at.path, at.node, &format!("no such {kind}; accepted are {known}"), "");
    }
}

pub(super) fn patterns(at: &At<'_>) -> Patterns {
    let list = |key: &str| at.get(key).iter().flat_map(At::items).map(|at| at.node.text.clone()).collect();
    Patterns { included: list("included"), excluded: list("excluded") }
}

/// Of two attributes of one name the later counts, whatever their types.
fn set(resource: &mut ResourceConfig, name: &str, value: AttributeValue) {
    resource.attributes.retain(|(known, _)| known != name);
    resource.typed.retain(|(known, _)| known != name);
    match value {
        AttributeValue::String(value) if name == "service.name" => {
            if !value.trim().is_empty() {
                resource.service_name = Some(value);
            }
        }
        AttributeValue::String(value) => resource.attributes.push((name.to_owned(), value)),
        value => resource.typed.push((name.to_owned(), value)),
    }
}

/// The value if it is of the type that is said.
fn attribute_value(kind: &str, at: &At<'_>) -> Option<AttributeValue> {
    fn all<T>(at: &At<'_>, one: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
        match &at.node.value {
            Value::List(items) => items.iter().map(|item| one(&item.value)).collect(),
            _ => None,
        }
    }
    let text = |value: &Value| match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    let bool = |value: &Value| match value {
        Value::Bool(value) => Some(*value),
        _ => None,
    };
    let int = |value: &Value| match value {
        Value::Int(value) => Some(*value),
        _ => None,
    };
    let value = &at.node.value;
    match kind {
        "string" => text(value).map(AttributeValue::String),
        "bool" => bool(value).map(AttributeValue::Bool),
        "int" => int(value).map(AttributeValue::Int),
        "double" => number(value).map(AttributeValue::Double),
        "string_array" => all(at, text).map(AttributeValue::Strings),
        "bool_array" => all(at, bool).map(AttributeValue::Bools),
        "int_array" => all(at, int).map(AttributeValue::Ints),
        _ => all(at, number).map(AttributeValue::Doubles),
    }
}
