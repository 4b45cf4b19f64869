//! The part of the schema that is about metrics: readers, their exporters, and views.

use super::schema::{
    BOOL, COUNT, ENCODING, FOREIGN, Field, GRPC_TLS, HEADERS, HTTP_TLS, MAYBE, MOST, NOTHING, PATTERNS, SIZE,
    Shape, field, nullable, object, otlp, required,
};
use crate::config::ComponentKind as Kind;

const ONE_FOR_ALL: &str = "one for all readers; another reader's that differs is refused";

pub(super) static METER_PROVIDER: Shape = object(&[
    required("readers", &Shape::List { of: &READER, least: 1 }),
    field("views", &Shape::List { of: &VIEW, least: 1 }, ""),
    field("exemplar_filter", &Shape::Word(&["always_on", "always_off", "trace_based"]), "trace_based"),
    field("meter_configurator/development", &FOREIGN, "").ignored("meters cannot be configured one by one"),
]);

static READER: Shape =
    Shape::Choice { of: &[field("periodic", &PERIODIC, ""), field("pull", &PULL, "")], kind: None };

static PERIODIC: Shape = object(&[
    field("interval", &COUNT, "60000"),
    field("timeout", &COUNT, "30000"),
    field("max_export_batch_size/development", &SIZE, "").ignored("requests are not split"),
    required("exporter", &PUSH_EXPORTER),
    field("producers", &PRODUCERS, "").ignored("there are no bridges to other metric libraries"),
    field("cardinality_limits", &CARDINALITY_LIMITS, "").limited(ONE_FOR_ALL),
]);

static PULL: Shape = object(&[
    required("exporter", &PULL_EXPORTER),
    field("producers", &PRODUCERS, "").ignored("there are no bridges to other metric libraries"),
    field("cardinality_limits", &CARDINALITY_LIMITS, "").limited(ONE_FOR_ALL),
]);

static PRODUCERS: Shape = Shape::List {
    of: &Shape::Choice { of: &[field("opencensus", &NOTHING, "")], kind: Some(Kind::MetricProducer) },
    least: 1,
};

static CARDINALITY_LIMITS: Shape = object(&[
    field("default", &SIZE, "2000"),
    field("counter", &SIZE, "that of default"),
    field("gauge", &SIZE, "that of default"),
    field("histogram", &SIZE, "that of default"),
    field("observable_counter", &SIZE, "that of default"),
    field("observable_gauge", &SIZE, "that of default"),
    field("observable_up_down_counter", &SIZE, "that of default"),
    field("up_down_counter", &SIZE, "that of default"),
]);

static PUSH_EXPORTER: Shape = Shape::Choice {
    of: &[
        field("otlp_http", &OTLP_HTTP_METRICS, ""),
        field("otlp_grpc", &OTLP_GRPC_METRICS, ""),
        field("otlp_file/development", &OTLP_FILE_METRICS, ""),
        field("console", &CONSOLE_METRICS, ""),
    ],
    kind: Some(Kind::MetricExporter),
};

static TEMPORALITY: Shape = Shape::Word(&["cumulative", "delta", "low_memory"]);

static AGGREGATION_PREFERENCE: Shape =
    Shape::Word(&["explicit_bucket_histogram", "base2_exponential_bucket_histogram"]);

const PREFERRED_TEMPORALITY: Field = field("temporality_preference", &TEMPORALITY, "cumulative");

const PREFERRED_AGGREGATION: Field =
    field("default_histogram_aggregation", &AGGREGATION_PREFERENCE, "explicit_bucket_histogram")
        .limited(ONE_FOR_ALL);

static OTLP_HTTP_METRICS: Shape = otlp!(
    "http://localhost:4318/v1/metrics",
    &HTTP_TLS,
    field("encoding", &ENCODING, "protobuf"),
    PREFERRED_TEMPORALITY,
    PREFERRED_AGGREGATION,
);

static OTLP_GRPC_METRICS: Shape =
    otlp!("http://localhost:4317", &GRPC_TLS, PREFERRED_TEMPORALITY, PREFERRED_AGGREGATION);

static OTLP_FILE_METRICS: Shape = nullable(&[
    field("output_stream", &MAYBE, "stdout").limited("stdout"),
    PREFERRED_TEMPORALITY,
    PREFERRED_AGGREGATION,
]);

static CONSOLE_METRICS: Shape = nullable(&[PREFERRED_TEMPORALITY, PREFERRED_AGGREGATION]);

static PULL_EXPORTER: Shape = Shape::Choice {
    of: &[field("prometheus/development", &PROMETHEUS, "").limited("one")],
    kind: Some(Kind::PullExporter),
};

static PROMETHEUS: Shape = nullable(&[
    field("host", &MAYBE, "localhost"),
    field("port", &Shape::Int { least: 0, most: 65_535 }, "9464"),
    field("scope_info_enabled", &BOOL, "true"),
    field("target_info_enabled/development", &BOOL, "true"),
    field("resource_constant_labels", &PATTERNS, "none").ignored("join with target_info instead"),
    field(
        "translation_strategy",
        &Shape::Word(&[
            "underscore_escaping_with_suffixes",
            "underscore_escaping_without_suffixes/development",
            "no_utf8_escaping_with_suffixes/development",
            "no_translation/development",
        ]),
        "underscore_escaping_with_suffixes",
    ),
    // what format 1.0 calls them
    field("without_scope_info", &BOOL, "false"),
    field("without_target_info/development", &BOOL, "false"),
    field("with_resource_constant_labels", &PATTERNS, "none").ignored("join with target_info instead"),
]);

static VIEW: Shape = object(&[required("selector", &SELECTOR), required("stream", &STREAM)]);

static SELECTOR: Shape = object(&[
    field("instrument_name", &MAYBE, "any"),
    field("instrument_type", &INSTRUMENT_TYPE, "any"),
    field("unit", &MAYBE, "any"),
    field("meter_name", &MAYBE, "any"),
    field("meter_version", &MAYBE, "any"),
    field("meter_schema_url", &MAYBE, "any"),
]);

static INSTRUMENT_TYPE: Shape = Shape::Word(&[
    "counter",
    "gauge",
    "histogram",
    "observable_counter",
    "observable_gauge",
    "observable_up_down_counter",
    "up_down_counter",
]);

static STREAM: Shape = object(&[
    field("name", &MAYBE, "the instrument's"),
    field("description", &MAYBE, "the instrument's"),
    field("aggregation", &AGGREGATION, "default"),
    field("aggregation_cardinality_limit", &SIZE, "the reader's"),
    field("attribute_keys", &PATTERNS, "all"),
]);

static AGGREGATION: Shape = Shape::Choice {
    of: &[
        field("default", &NOTHING, ""),
        field("drop", &NOTHING, ""),
        field("explicit_bucket_histogram", &EXPLICIT, ""),
        field("base2_exponential_bucket_histogram", &EXPONENTIAL, ""),
        field("last_value", &NOTHING, ""),
        field("sum", &NOTHING, ""),
    ],
    kind: None,
};

static EXPLICIT: Shape = nullable(&[
    field(
        "boundaries",
        &Shape::List { of: &Shape::Number { least: f64::MIN, most: f64::MAX }, least: 0 },
        "0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000",
    ),
    field("record_min_max", &BOOL, "true"),
]);

static EXPONENTIAL: Shape = nullable(&[
    field("max_scale", &Shape::Int { least: -10, most: 20 }, "20"),
    field("max_size", &Shape::Int { least: 2, most: MOST }, "160"),
    field("record_min_max", &BOOL, "true"),
]);
