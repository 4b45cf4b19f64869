//! The stable schema of the declarative configuration, 1.1, as data: types, bounds, defaults, and what each node does here.
//!
//! Nodes with `/development` in their names are the schema's experiments: they may change in any minor version.

use super::{schema_instrumentation::INSTRUMENTATION, schema_metrics::METER_PROVIDER};
use crate::config::ComponentKind as Kind;

/// The newest format that is known: `1.1`.
pub(super) const FORMAT: (u32, u32) = (1, 1);

/// What a node may hold.
#[derive(Debug)]
pub(super) enum Shape {
    Text,
    /// Text that may also be null.
    TextOrNull,
    Bool,
    Int {
        least: i64,
        most: i64,
    },
    Number {
        least: f64,
        most: f64,
    },
    Word(&'static [&'static str]),
    /// These keys and no others.
    Object {
        fields: &'static [Field],
        null: bool,
    },
    /// At least so many items.
    List {
        of: &'static Self,
        least: usize,
    },
    /// Exactly one of these keys, or, with a kind, a component of the program's own.
    Choice {
        of: &'static [Field],
        kind: Option<Kind>,
    },
    /// A resource attribute's value.
    Attribute,
    /// `"1.1"`; without quotes it is a number to YAML.
    Version,
    /// Mappings by the names of vendors.
    Vendors,
    /// A mapping that is not ours to read.
    Foreign,
}

/// What a node does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Used,
    /// Used, but not all that the schema allows.
    Limited(&'static str),
    /// Accepted without effect, and why.
    Ignored(&'static str),
    /// Not accepted, and why.
    Refused(&'static str),
}

/// A key of an object.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) shape: &'static Shape,
    pub(super) required: bool,
    /// What is used where it is missing or null; empty = nothing.
    pub(super) default: &'static str,
    pub(super) effect: Effect,
}

pub(super) const fn field(key: &'static str, shape: &'static Shape, default: &'static str) -> Field {
    Field { key, shape, required: false, default, effect: Effect::Used }
}

pub(super) const fn required(key: &'static str, shape: &'static Shape) -> Field {
    Field { key, shape, required: true, default: "", effect: Effect::Used }
}

impl Field {
    pub(super) const fn limited(mut self, how: &'static str) -> Self {
        self.effect = Effect::Limited(how);
        self
    }

    pub(super) const fn ignored(mut self, why: &'static str) -> Self {
        self.effect = Effect::Ignored(why);
        self
    }

    const fn refused(mut self, why: &'static str) -> Self {
        self.effect = Effect::Refused(why);
        self
    }
}

pub(super) const MOST: i64 = i32::MAX as i64;

pub(super) static TEXT: Shape = Shape::Text;
pub(super) static MAYBE: Shape = Shape::TextOrNull;
pub(super) static BOOL: Shape = Shape::Bool;
pub(super) static COUNT: Shape = Shape::Int { least: 0, most: MOST };
pub(super) static SIZE: Shape = Shape::Int { least: 1, most: MOST };
static RATIO: Shape = Shape::Number { least: 0.0, most: 1.0 };
pub(super) static TEXTS: Shape = Shape::List { of: &TEXT, least: 1 };
pub(super) static NOTHING: Shape = Shape::Object { fields: &[], null: true };
pub(super) static FOREIGN: Shape = Shape::Foreign;

pub(super) const fn object(fields: &'static [Field]) -> Shape {
    Shape::Object { fields, null: false }
}

pub(super) const fn nullable(fields: &'static [Field]) -> Shape {
    Shape::Object { fields, null: true }
}

/// An OTLP exporter: what all have in common, then what one has of its own.
macro_rules! otlp {
    ($endpoint:literal, $tls:expr, $($own:expr),* $(,)?) => {
        nullable(&[
            field("endpoint", &MAYBE, $endpoint),
            field("tls", $tls, ""),
            field("headers", &HEADERS, ""),
            field("headers_list", &MAYBE, ""),
            field("compression", &MAYBE, "none"),
            field("timeout", &COUNT, "10000"),
            $($own,)*
        ])
    };
}
pub(super) use otlp;

/// A batch processor in front of an exporter.
macro_rules! batch {
    ($delay:literal, $exporter:expr) => {
        object(&[
            field("schedule_delay", &COUNT, $delay),
            field("export_timeout", &COUNT, "30000"),
            field("max_queue_size", &SIZE, "2048"),
            field("max_export_batch_size", &SIZE, "512"),
            required("exporter", $exporter),
        ])
    };
}

static SEVERITY: Shape = Shape::Word(&[
    "trace", "trace2", "trace3", "trace4", "debug", "debug2", "debug3", "debug4", "info", "info2", "info3",
    "info4", "warn", "warn2", "warn3", "warn4", "error", "error2", "error3", "error4", "fatal", "fatal2",
    "fatal3", "fatal4",
]);

/// Read before everything else.
static VERSION: Shape = Shape::Version;

pub(super) static ROOT: &[Field] = &[
    required("file_format", &VERSION),
    field("disabled", &BOOL, "false"),
    field("log_level", &SEVERITY, "info").limited("error and above, warn, info and below"),
    field("attribute_limits", &ATTRIBUTE_LIMITS, ""),
    field("resource", &RESOURCE, "the detected service name"),
    field("propagator", &PROPAGATOR, "no propagation"),
    field("tracer_provider", &TRACER_PROVIDER, "no spans"),
    field("meter_provider", &METER_PROVIDER, "no metrics"),
    field("logger_provider", &LOGGER_PROVIDER, "no log records"),
    field("instrumentation/development", &INSTRUMENTATION, ""),
    field("distribution", &Shape::Vendors, ""),
];

static ATTRIBUTE_LIMITS: Shape = object(&[
    field("attribute_value_length_limit", &COUNT, "no limit"),
    field("attribute_count_limit", &COUNT, "128"),
]);

pub(super) static PATTERNS: Shape =
    object(&[field("included", &TEXTS, "all"), field("excluded", &TEXTS, "none")]);

static RESOURCE: Shape = object(&[
    field("attributes", &Shape::List { of: &ATTRIBUTE, least: 1 }, ""),
    field("detection/development", &DETECTION, "no detection"),
    field("schema_url", &MAYBE, "the conventions' own"),
    field("attributes_list", &MAYBE, ""),
]);

static ATTRIBUTE: Shape = object(&[
    required("name", &TEXT),
    required("value", &Shape::Attribute),
    field("type", &ATTRIBUTE_TYPE, "string"),
]);

static ATTRIBUTE_TYPE: Shape = Shape::Word(&[
    "string",
    "bool",
    "int",
    "double",
    "string_array",
    "bool_array",
    "int_array",
    "double_array",
]);

static DETECTION: Shape = object(&[
    field("attributes", &PATTERNS, "all that is detected"),
    field("detectors", &Shape::List { of: &DETECTOR, least: 1 }, "none"),
]);

static DETECTOR: Shape = Shape::Choice {
    of: &[
        field("container", &NOTHING, ""),
        field("host", &NOTHING, ""),
        field("process", &NOTHING, ""),
        field("service", &NOTHING, ""),
    ],
    kind: Some(Kind::ResourceDetector),
};

static PROPAGATOR: Shape = object(&[
    field("composite", &Shape::List { of: &TEXT_MAP_PROPAGATOR, least: 1 }, "none"),
    field("composite_list", &MAYBE, "none").limited("tracecontext, baggage, b3, b3multi"),
]);

static TEXT_MAP_PROPAGATOR: Shape = Shape::Choice {
    of: &[
        field("tracecontext", &NOTHING, ""),
        field("baggage", &NOTHING, ""),
        field("b3", &NOTHING, ""),
        field("b3multi", &NOTHING, ""),
    ],
    kind: Some(Kind::Propagator),
};

static TRACER_PROVIDER: Shape = object(&[
    required("processors", &Shape::List { of: &SPAN_PROCESSOR, least: 1 }),
    field("limits", &SPAN_LIMITS, ""),
    field("sampler", &SAMPLER, "parent_based with a root of always_on"),
    field("id_generator", &ID_GENERATOR, "random").limited("random"),
    field("tracer_configurator/development", &FOREIGN, "").ignored("tracers cannot be configured one by one"),
]);

static SPAN_PROCESSOR: Shape = Shape::Choice {
    of: &[field("batch", &BATCH_SPANS, ""), field("simple", &SIMPLE_SPANS, "").limited(AT_ONCE)],
    kind: Some(Kind::SpanProcessor),
};

const AT_ONCE: &str = "sends at once, from a queue: the caller does not wait";

static BATCH_SPANS: Shape = batch!("5000", &SPAN_EXPORTER);

static SIMPLE_SPANS: Shape = object(&[required("exporter", &SPAN_EXPORTER)]);

static SPAN_EXPORTER: Shape = Shape::Choice { of: EXPORTERS, kind: Some(Kind::SpanExporter) };

static EXPORTERS: &[Field] = &[
    field("otlp_http", &OTLP_HTTP, ""),
    field("otlp_grpc", &OTLP_GRPC, ""),
    field("otlp_file/development", &OTLP_FILE, ""),
    field("console", &NOTHING, ""),
];

static OTLP_FILE: Shape = nullable(&[field("output_stream", &MAYBE, "stdout").limited("stdout")]);

static SPAN_LIMITS: Shape = object(&[
    field("attribute_value_length_limit", &COUNT, "that of attribute_limits"),
    field("attribute_count_limit", &COUNT, "that of attribute_limits"),
    field("event_count_limit", &COUNT, "128"),
    field("link_count_limit", &COUNT, "128"),
    field("event_attribute_count_limit", &COUNT, "128"),
    field("link_attribute_count_limit", &COUNT, "128"),
]);

pub(super) static SAMPLER: Shape = Shape::Choice {
    of: &[
        field("always_off", &NOTHING, ""),
        field("always_on", &NOTHING, ""),
        field("composite/development", &super::schema_sampling::COMPOSABLE, ""),
        field("jaeger_remote/development", &FOREIGN, "")
            .refused("nobody is asked over the network; accepted are the other samplers, and rules in distribution.tracewell"),
        field("parent_based", &PARENT_BASED, ""),
        field("probability/development", &RATIO_BASED, ""),
        field("trace_id_ratio_based", &RATIO_BASED, "").limited("as probability/development"),
    ],
    kind: Some(Kind::Sampler),
};

static PARENT_BASED: Shape = nullable(&[
    field("root", &SAMPLER, "always_on"),
    field("remote_parent_sampled", &SAMPLER, "always_on"),
    field("remote_parent_not_sampled", &SAMPLER, "always_off"),
    field("local_parent_sampled", &SAMPLER, "always_on"),
    field("local_parent_not_sampled", &SAMPLER, "always_off"),
]);

pub(super) static RATIO_BASED: Shape = nullable(&[field("ratio", &RATIO, "1")]);

static ID_GENERATOR: Shape =
    Shape::Choice { of: &[field("random", &NOTHING, "")], kind: Some(Kind::IdGenerator) };

pub(super) static HEADERS: Shape = Shape::List { of: &HEADER, least: 1 };

static HEADER: Shape = object(&[required("name", &TEXT), required("value", &MAYBE)]);

pub(super) static ENCODING: Shape = Shape::Word(&["protobuf", "json"]);

pub(super) static HTTP_TLS: Shape = nullable(&[
    field("ca_file", &MAYBE, "the system's certificates"),
    field("key_file", &MAYBE, ""),
    field("cert_file", &MAYBE, ""),
]);

pub(super) static GRPC_TLS: Shape = nullable(&[
    field("ca_file", &MAYBE, "the system's certificates"),
    field("key_file", &MAYBE, ""),
    field("cert_file", &MAYBE, ""),
    field("insecure", &BOOL, "false"),
]);

static OTLP_HTTP: Shape =
    otlp!("http://localhost:4318/v1/{signal}", &HTTP_TLS, field("encoding", &ENCODING, "protobuf"));

static OTLP_GRPC: Shape = otlp!("http://localhost:4317", &GRPC_TLS,);

static LOGGER_PROVIDER: Shape = object(&[
    required("processors", &Shape::List { of: &LOG_PROCESSOR, least: 1 }),
    field("limits", &LOG_LIMITS, ""),
    field("logger_configurator/development", &FOREIGN, "")
        .ignored("log records are filtered by RUST_LOG, or distribution.tracewell.rust_log"),
]);

static LOG_PROCESSOR: Shape = Shape::Choice {
    of: &[
        field("batch", &BATCH_LOGS, ""),
        field("simple", &SIMPLE_LOGS, "").limited(AT_ONCE),
        field("event_to_span_event_bridge/development", &NOTHING, "").ignored("events are log records only"),
    ],
    kind: Some(Kind::LogProcessor),
};

static BATCH_LOGS: Shape = batch!("1000", &LOG_EXPORTER);

static SIMPLE_LOGS: Shape = object(&[required("exporter", &LOG_EXPORTER)]);

static LOG_EXPORTER: Shape = Shape::Choice { of: EXPORTERS, kind: Some(Kind::LogExporter) };

static LOG_LIMITS: Shape = object(&[
    field("attribute_value_length_limit", &COUNT, "that of attribute_limits"),
    field("attribute_count_limit", &COUNT, "that of attribute_limits"),
]);
