//! Exemplars on sample lines, within the limits OpenMetrics sets.

use opentelemetry_proto::tonic::metrics::v1::{Exemplar, exemplar::Value};

use super::{
    labels::LabelSet,
    text::{push_float, push_hex, push_label_value, push_timestamp},
};

/// Unicode characters in all names and values of one exemplar; a scraper refuses the page when there are more.
const MAX_LABEL_CHARS: usize = 128;
const ID_LABELS: [&str; 2] = ["trace_id", "span_id"];

/// The newest of `exemplars`, as a counter's line has room for one.
pub(super) fn newest(exemplars: &[Exemplar]) -> Option<&Exemplar> {
    exemplars
        .iter()
        .filter(|exemplar| value(exemplar).is_some())
        .max_by_key(|exemplar| exemplar.time_unix_nano)
}

/// Fills `buckets` with the newest exemplar whose value lies in each of them; the last one is `+Inf`.
pub(super) fn by_bucket<'a>(
    buckets: &mut Vec<Option<&'a Exemplar>>,
    bounds: &[f64],
    exemplars: &'a [Exemplar],
) {
    buckets.clear();
    buckets.resize(bounds.len() + 1, None);
    for exemplar in exemplars {
        let Some(value) = value(exemplar) else { continue };
        let slot = &mut buckets[bounds.partition_point(|bound| *bound < value)];
        if slot.is_none_or(|other| other.time_unix_nano <= exemplar.time_unix_nano) {
            *slot = Some(exemplar);
        }
    }
}

/// Appends ` # {labels} value timestamp`; the ids come first, then the filtered attributes that still fit.
pub(super) fn push<'a>(out: &mut String, exemplar: &'a Exemplar, labels: &mut LabelSet<'a>) {
    let Some(value) = value(exemplar) else { return };
    out.push_str(" # {");
    let mut chars = 0;
    let mut comma = "";
    for (name, id, length) in [(ID_LABELS[0], &exemplar.trace_id, 16), (ID_LABELS[1], &exemplar.span_id, 8)] {
        if id.len() == length && id.iter().any(|byte| *byte != 0) {
            out.push_str(comma);
            out.push_str(name);
            out.push_str("=\"");
            push_hex(out, id);
            out.push('"');
            chars += name.len() + 2 * length;
            comma = ",";
        }
    }
    labels.clear();
    labels.push_attributes(&exemplar.filtered_attributes, "");
    labels.for_each(|name, value| {
        let length = name.len() + value.chars().count();
        if ID_LABELS.contains(&name) || chars + length > MAX_LABEL_CHARS {
            return;
        }
        chars += length;
        out.push_str(comma);
        comma = ",";
        out.push_str(name);
        out.push_str("=\"");
        push_label_value(out, value);
        out.push('"');
    });
    out.push_str("} ");
    push_float(out, value, true);
    if exemplar.time_unix_nano > 0 {
        out.push(' ');
        push_timestamp(out, exemplar.time_unix_nano);
    }
}

/// The measured value; NaN lies in no bucket.
fn value(exemplar: &Exemplar) -> Option<f64> {
    let value = match exemplar.value.as_ref()? {
        Value::AsDouble(value) => *value,
        Value::AsInt(value) => *value as f64,
    };
    (!value.is_nan()).then_some(value)
}
