//! W3C Trace Context (Level 2, sections 3.2 and 3.3): strict about `traceparent`, bounded about `tracestate`.
//!
//! A header that is not exactly what the specification says counts as none: a number with a sign, a short id or two
//! headers instead of one would make two services disagree on the trace. Of `tracestate` 32 members and 512 characters
//! are kept, whole members, by the specification's own order: those over 128 characters go first, then the last ones.

use std::sync::LazyLock;

use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator, text_map_propagator::FieldIter},
    trace::{SpanContext, TraceContextExt as _},
};

use crate::trace_parent::{FLAGS, PARENT, STATE, bounded, parent_of};

#[derive(Debug, Clone, Copy)]
pub(super) struct TraceContext;

impl TextMapPropagator for TraceContext {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        let span = context.span();
        let span = span.span_context();
        if !span.is_valid() {
            return;
        }
        injector.set(PARENT, written(span));
        // a sampler of the program's may have made it longer than what came in
        let state = span.trace_state().header();
        if let Some(state) = bounded(&[state.as_str()]) {
            injector.set(STATE, state);
        }
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        match found(extractor) {
            Some(span) => context.with_remote_span_context(span),
            None => context.clone(),
        }
    }

    fn fields(&self) -> FieldIter<'_> {
        static FIELDS: LazyLock<[String; 2]> = LazyLock::new(|| [PARENT, STATE].map(str::to_owned));
        FieldIter::new(&*FIELDS)
    }
}

/// `traceparent`, without the formatting machinery, which would cost more than the rest of the injection.
fn written(span: &SpanContext) -> String {
    fn hex(bytes: &[u8], text: &mut String) {
        for byte in bytes {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
    }
    let flags = span.trace_flags() & FLAGS;
    let mut text = String::with_capacity(55);
    text.push_str("00-");
    hex(&span.trace_id().to_bytes(), &mut text);
    text.push('-');
    hex(&span.span_id().to_bytes(), &mut text);
    text.push('-');
    hex(&[flags.to_u8()], &mut text);
    text
}

fn found(extractor: &dyn Extractor) -> Option<SpanContext> {
    let parents = extractor.get_all(PARENT)?;
    // of two nobody knows which one is right
    let [parent] = parents.as_slice() else { return None };
    parent_of(parent, &extractor.get_all(STATE).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use opentelemetry_http::HeaderExtractor;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn extracted(headers: &[(&'static str, &str)]) -> Option<SpanContext> {
        let mut map = http::HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let context = TraceContext.extract_with_context(&Context::new(), &HeaderExtractor(&map));
        let span = context.span().span_context().clone();
        context.has_active_span().then_some(span)
    }

    #[test]
    fn a_header_that_is_not_exactly_right_is_no_parent() {
        assert!(extracted(&[(PARENT, GOOD)]).unwrap().is_sampled());
        let ids = &GOOD[3..];
        for (good, sampled) in [
            (format!("cc-{ids}-anything-that-follows"), true),
            (format!("00-{}03", &ids[..50]), true),
            (format!("00-{}fe", &ids[..50]), false),
            (format!(" {GOOD}\t"), true),
        ] {
            assert_eq!(extracted(&[(PARENT, &good)]).map(|span| span.is_sampled()), Some(sampled), "{good}");
        }
        for bad in [
            format!("ff-{ids}"),
            format!("00-{ids}-01"),
            format!("{GOOD}-"),
            format!("cc-{ids}.x"),
            format!("+0-{ids}"),
            format!("00-+{}", &ids[1..]),
            format!("00-{}", ids.to_ascii_uppercase()),
            format!("00-{}", &ids[1..]),
            format!("00-{}{}", "0".repeat(32), &ids[32..]),
            GOOD.replace('-', "_"),
            String::new(),
        ] {
            assert_eq!(extracted(&[(PARENT, &bad)]), None, "{bad}");
        }
        assert_eq!(extracted(&[(PARENT, GOOD), (PARENT, GOOD)]), None, "two of them");
        assert_eq!(extracted(&[(STATE, "a=1")]), None);
    }

    #[test]
    fn the_state_of_all_lines_is_kept_up_to_its_limits() {
        let state = |lines: &[&str]| {
            let mut headers = vec![(PARENT, GOOD)];
            headers.extend(lines.iter().map(|line| (STATE, *line)));
            extracted(&headers).unwrap().trace_state().header()
        };
        assert_eq!(state(&["a=1, b=2", "", ",c=3 "]), "a=1,b=2,c=3");
        assert_eq!(state(&["A=1"]), "", "an invalid member spoils all of it, not the parent");
        let many: Vec<_> = (0..40).map(|n| format!("k{n}=v")).collect();
        assert_eq!(state(&[&many.join(",")]), many[..32].join(","));
        let long = format!("long={}", "x".repeat(130));
        let short = |n: usize| format!("s{n}={}", "x".repeat(96));
        let given = [short(0), long, short(1), short(2), short(3), short(4)];
        // 630 characters: without the long one 499
        assert_eq!(state(&[&given.join(",")]), [0, 1, 2, 3, 4].map(short).join(","));
        let given = [0, 1, 2, 3, 4, 5].map(short);
        assert_eq!(state(&[&given.join(",")]), given[..5].join(","), "then the last");
    }
}
