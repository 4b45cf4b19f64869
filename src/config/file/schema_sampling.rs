//! The part of the schema that is for composed samplers, one of its experiments.

use super::schema::{Field, NOTHING, RATIO_BASED, Shape, TEXT, TEXTS, field, nullable, object, required};

pub(super) static COMPOSABLE: Shape = Shape::Choice {
    of: &[
        field("always_off", &NOTHING, ""),
        field("always_on", &NOTHING, ""),
        field("parent_threshold", &PARENT_THRESHOLD, ""),
        field("probability", &RATIO_BASED, ""),
        field("rule_based", &RULE_BASED, ""),
    ],
    kind: None,
};

static PARENT_THRESHOLD: Shape = object(&[required("root", &COMPOSABLE)]);

static RULE_BASED: Shape =
    nullable(&[field("rules", &Shape::List { of: &RULE, least: 1 }, "none: nothing is kept")]);

static RULE: Shape = object(RULE_FIELDS);

static RULE_FIELDS: &[Field] = &[
    field("attribute_values", &ATTRIBUTE_VALUES, "any"),
    field("attribute_patterns", &ATTRIBUTE_PATTERNS, "any"),
    field("span_kinds", &Shape::List { of: &SPAN_KIND, least: 1 }, "any"),
    field("parent", &Shape::List { of: &PARENT, least: 1 }, "any"),
    required("sampler", &COMPOSABLE),
];

static ATTRIBUTE_VALUES: Shape = object(&[required("key", &TEXT), required("values", &TEXTS)]);

static ATTRIBUTE_PATTERNS: Shape =
    object(&[required("key", &TEXT), field("included", &TEXTS, "all"), field("excluded", &TEXTS, "none")]);

static SPAN_KIND: Shape = Shape::Word(&["internal", "server", "client", "producer", "consumer"]);

static PARENT: Shape = Shape::Word(&["none", "remote", "local"]);
