//! B3, the context of Zipkin (openzipkin/b3-propagation; specification, context/api-propagators.md "B3 Requirements").
//!
//! Both forms are read, the single header first; each propagator writes its own. A parent's parent is not passed on.

use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    propagation::{Extractor, Injector, TextMapPropagator, text_map_propagator::FieldIter},
    trace::{SpanContext, TraceContextExt as _, TraceState},
};

const SINGLE: &str = "b3";
const TRACE_ID: &str = "x-b3-traceid";
const SPAN_ID: &str = "x-b3-spanid";
const SAMPLED: &str = "x-b3-sampled";
const FLAGS: &str = "x-b3-flags";

/// Which form is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum B3 {
    /// One header, `b3`.
    Single,
    /// The `x-b3-*` headers.
    Multi,
}

/// In a context: the trace is one that is debugged, which is passed on.
#[derive(Debug, Clone, Copy)]
struct Debugged;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Dropped,
    Sampled,
    Debugged,
}

impl Decision {
    /// Without one the decision is the receiver's; it keeps the trace, which a parent-based sampler could not decide.
    fn read(text: &str) -> Option<Self> {
        match text {
            "0" | "false" => Some(Self::Dropped),
            "" | "1" | "true" => Some(Self::Sampled),
            "d" => Some(Self::Debugged),
            _ => None,
        }
    }
}

type Found = (SpanContext, Decision);

fn found(trace_id: &str, span_id: &str, decision: Decision) -> Option<Found> {
    let hex = |text: &str, lengths: &[usize]| {
        lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    if !hex(trace_id, &[16, 32]) || !hex(span_id, &[16]) {
        return None;
    }
    let trace_id = TraceId::from_hex(trace_id).ok()?;
    let span_id = SpanId::from_hex(span_id).ok()?;
    let flags = if decision == Decision::Dropped { TraceFlags::default() } else { TraceFlags::SAMPLED };
    let context = SpanContext::new(trace_id, span_id, flags, true, TraceState::NONE);
    context.is_valid().then_some((context, decision))
}

/// `{trace id}-{span id}-{decision}-{parent span id}`, the last two optional.
fn single(text: &str) -> Option<Found> {
    let mut parts = text.trim().split('-');
    let (trace_id, span_id) = (parts.next()?, parts.next()?);
    let decision = Decision::read(parts.next().unwrap_or(""))?;
    // a parent's parent, and then nothing
    let rest = (parts.next().is_none_or(|parent| parent.len() == 16), parts.next());
    if rest == (true, None) { found(trace_id, span_id, decision) } else { None }
}

fn multi(extractor: &dyn Extractor) -> Option<Found> {
    let (trace_id, span_id) = (extractor.get(TRACE_ID)?.trim(), extractor.get(SPAN_ID)?.trim());
    let decision = match extractor.get(FLAGS).map(str::trim) {
        Some("1") => Decision::Debugged,
        _ => Decision::read(extractor.get(SAMPLED).unwrap_or("").trim())?,
    };
    found(trace_id, span_id, decision)
}

impl TextMapPropagator for B3 {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        let span = context.span();
        let span = span.span_context();
        if !span.is_valid() {
            return;
        }
        let debugged = span.is_sampled() && context.get::<Debugged>().is_some();
        let sampled = if span.is_sampled() { "1" } else { "0" };
        match self {
            Self::Single => {
                let decision = if debugged { "d" } else { sampled };
                injector.set(SINGLE, format!("{}-{}-{decision}", span.trace_id(), span.span_id()));
            }
            Self::Multi => {
                injector.set(TRACE_ID, span.trace_id().to_string());
                injector.set(SPAN_ID, span.span_id().to_string());
                if debugged {
                    // it implies the decision, which is left out then
                    injector.set(FLAGS, "1".to_owned());
                } else {
                    injector.set(SAMPLED, sampled.to_owned());
                }
            }
        }
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        let found = extractor.get(SINGLE).and_then(single).or_else(|| multi(extractor));
        match found {
            Some((span, Decision::Debugged)) => context.with_value(Debugged).with_remote_span_context(span),
            Some((span, _)) => context.with_remote_span_context(span),
            None => context.clone(),
        }
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(fields(*self))
    }
}

fn fields(form: B3) -> &'static [String] {
    use std::sync::LazyLock;
    static ONE: LazyLock<[String; 1]> = LazyLock::new(|| [SINGLE.to_owned()]);
    static MANY: LazyLock<[String; 4]> =
        LazyLock::new(|| [TRACE_ID, SPAN_ID, SAMPLED, FLAGS].map(str::to_owned));
    match form {
        B3::Single => &*ONE,
        B3::Multi => &*MANY,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn headers(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn through(form: B3, pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let context = form.extract_with_context(&Context::new(), &headers(pairs));
        let mut out = HashMap::new();
        form.inject_context(&context, &mut out);
        let mut out: Vec<_> = out.into_iter().collect();
        out.sort();
        out
    }

    #[test]
    fn the_single_header_is_read_and_written_back_without_the_grandparent() {
        for (given, expected) in [
            (format!("{TRACE}-{SPAN}-1"), Some(format!("{TRACE}-{SPAN}-1"))),
            (format!("{TRACE}-{SPAN}-0"), Some(format!("{TRACE}-{SPAN}-0"))),
            (format!("{TRACE}-{SPAN}-d-05e3ac9a4f6e3b90"), Some(format!("{TRACE}-{SPAN}-d"))),
            (format!("{TRACE}-{SPAN}"), Some(format!("{TRACE}-{SPAN}-1"))),
            (
                format!("a3ce929d0e0e4736-{SPAN}-1"),
                Some(format!("0000000000000000a3ce929d0e0e4736-{SPAN}-1")),
            ),
            ("0".to_owned(), None),
            (format!("{TRACE}-{SPAN}-x"), None),
            (format!("{TRACE}-{SPAN}-1-2"), None),
            (format!("+{}-{SPAN}-1", &TRACE[1..]), None),
            (format!("{}-{SPAN}-1", "0".repeat(32)), None),
        ] {
            let out = through(B3::Single, &[("b3", &given)]);
            assert_eq!(out.first().map(|(_, value)| value.clone()), expected, "{given}");
        }
    }

    #[test]
    fn the_many_headers_are_read_by_both_and_the_single_one_wins() {
        let many = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "0")];
        let expected = many.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(through(B3::Multi, &many), expected);
        assert_eq!(through(B3::Single, &many), [("b3".to_owned(), format!("{TRACE}-{SPAN}-0"))]);
        let single = format!("{TRACE}-{SPAN}-1");
        let both = [many[0], many[1], many[2], ("b3", single.as_str())];
        assert_eq!(through(B3::Single, &both), [("b3".to_owned(), single.clone())]);
        let debug = [many[0], many[1], ("x-b3-flags", "1")];
        assert!(through(B3::Multi, &debug).contains(&("x-b3-flags".to_owned(), "1".to_owned())));
        assert_eq!(through(B3::Multi, &many[..1]), []);
    }
}
