//! W3C Baggage (sections 3.2 and 3.3): 64 members and 8192 bytes each way, whole members, first come first kept.
//!
//! A value is passed on as it came in, byte for byte after decoding: `=` and `%` in it included. What is malformed is
//! left out by itself and said nowhere, since a header's content is not for a log.

use std::{fmt::Write as _, sync::LazyLock};

use opentelemetry::{
    Context,
    baggage::{Baggage, BaggageExt as _},
    propagation::{Extractor, Injector, TextMapPropagator, text_map_propagator::FieldIter},
};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

const HEADER: &str = "baggage";

const MAX_MEMBERS: usize = 64;
/// Bytes of the header, over all its lines.
const MAX_LENGTH: usize = 8192;

/// What a value may not hold as it is: everything but `baggage-octet`, and the sign of the encoding itself.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b',').add(b';').add(b'\\').add(b'%');

#[derive(Debug, Clone, Copy)]
pub(super) struct BoundedBaggage;

impl TextMapPropagator for BoundedBaggage {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        let mut header = String::new();
        for (key, (value, metadata)) in context.baggage().iter().take(MAX_MEMBERS) {
            let end = header.len();
            let comma = if end == 0 { "" } else { "," };
            // writing to a String cannot fail
            let _ = write!(header, "{comma}{key}={}", utf8_percent_encode(value.as_str(), ENCODED));
            for property in properties(metadata.as_str()) {
                let _ = write!(header, ";{property}");
            }
            if header.len() > MAX_LENGTH {
                header.truncate(end);
            }
        }
        if !header.is_empty() {
            injector.set(HEADER, header);
        }
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        let Some(headers) = extractor.get_all(HEADER) else { return context.clone() };
        let mut left = MAX_LENGTH + 1;
        let fitting = headers.iter().flat_map(|header| header.split(',')).take_while(|member| {
            // a comma goes with each but the last
            let rest = left.checked_sub(member.len() + 1);
            left = rest.unwrap_or(0);
            rest.is_some()
        });
        let mut baggage = Baggage::new();
        for (key, value, metadata) in fitting.filter_map(member).take(MAX_MEMBERS) {
            baggage.insert_with_metadata(key.to_owned(), value, metadata);
        }
        if baggage.is_empty() { context.clone() } else { context.with_baggage(baggage) }
    }

    fn fields(&self) -> FieldIter<'_> {
        static FIELDS: LazyLock<[String; 1]> = LazyLock::new(|| [HEADER.to_owned()]);
        FieldIter::new(&*FIELDS)
    }
}

/// A member's key, value and properties; `None` when it is malformed.
fn member(text: &str) -> Option<(&str, String, String)> {
    let (pair, rest) = text.split_once(';').unwrap_or((text, ""));
    let (key, value) = pair.split_once('=')?;
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    let properties: Vec<_> = properties(rest).collect();
    Some((key.trim(), value.into_owned(), properties.join(";")))
}

/// Properties are passed on as they are, so only what can stand in a header is one.
fn properties(text: &str) -> impl Iterator<Item = &str> {
    let fits = |byte: u8| matches!(byte, b' '..=b'~' if byte != b',');
    let properties = text.split(';').map(str::trim);
    properties.filter(move |property| !property.is_empty() && property.bytes().all(fits))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use opentelemetry_http::HeaderExtractor;

    use super::*;

    fn extracted(lines: &[&str]) -> Context {
        let mut map = http::HeaderMap::new();
        for line in lines {
            map.append(HEADER, line.parse().unwrap());
        }
        BoundedBaggage.extract_with_context(&Context::new(), &HeaderExtractor(&map))
    }

    fn value(context: &Context, key: &str) -> Option<String> {
        context.baggage().get(key).map(ToString::to_string)
    }

    fn injected(context: &Context) -> Option<String> {
        let mut out = HashMap::new();
        BoundedBaggage.inject_context(context, &mut out);
        out.remove(HEADER)
    }

    #[test]
    fn values_go_through_as_they_came() {
        for given in
            ["a=b64%3D%3D", "a=100%25", "a=%2541", "a=x%0D%0Ay", "a=%C3%A9", "a=;p=1;q", "a=~!#$&'()*"]
        {
            let context = extracted(&[given]);
            let out = injected(&context).unwrap();
            assert_eq!(value(&extracted(&[&out]), "a"), value(&context, "a"), "{given}: {out}");
            assert!(out.bytes().all(|byte| byte.is_ascii_graphic()), "{out}");
        }
        let context = extracted(&["a=b64==;p=1 ; q", "b = 2 ,c=%41"]);
        assert_eq!(value(&context, "a").as_deref(), Some("b64=="));
        assert_eq!(
            (value(&context, "b"), value(&context, "c")),
            (Some("2".to_owned()), Some("A".to_owned()))
        );
        assert_eq!(context.baggage().get_with_metadata("a").unwrap().1.as_str(), "p=1;q");
    }

    #[test]
    fn malformed_members_are_left_out_alone() {
        let context = extracted(&["novalue,a=1,=2,b=%FF,c d=3,e=5"]);
        assert_eq!(context.baggage().len(), 2);
        assert_eq!(
            (value(&context, "a"), value(&context, "e")),
            (Some("1".to_owned()), Some("5".to_owned()))
        );
        // nothing from a program or a message's headers can break the line
        let forged = Context::new().with_baggage([opentelemetry::baggage::KeyValueMetadata::new(
            "k",
            "v\r\nx: y",
            "p\r\nx: y;q,z=1;r",
        )]);
        assert_eq!(injected(&forged).as_deref(), Some("k=v%0D%0Ax:%20y;r"));
    }

    #[test]
    fn both_ways_are_bounded_and_members_stay_whole() {
        let many: Vec<_> = (0..100).map(|n| format!("k{n:02}=v")).collect();
        let (first, second) = many.split_at(40);
        let context = extracted(&[&first.join(","), &second.join(",")]);
        assert_eq!(context.baggage().len(), 64, "over all lines");
        assert!(value(&context, "k63").is_some() && value(&context, "k64").is_none());
        let exact = format!("a={}", "x".repeat(MAX_LENGTH - 2));
        assert_eq!(value(&extracted(&[&exact]), "a").unwrap().len(), MAX_LENGTH - 2);
        assert_eq!(injected(&extracted(&[&exact])).unwrap(), exact);
        assert!(extracted(&[&format!("{exact}x")]).baggage().is_empty(), "too long for one member");
        let context = extracted(&[&format!("a=1,{exact}")]);
        assert_eq!((context.baggage().len(), value(&context, "a").as_deref()), (1, Some("1")));
        // encoded it may be longer than it came
        let spaces = extracted(&[&format!("a={}", "%20".repeat(2000)), &format!("b={}", "%20".repeat(700))]);
        assert_eq!(spaces.baggage().len(), 2);
        let grown = Context::new().with_baggage([
            opentelemetry::KeyValue::new("a", " ".repeat(2700)),
            opentelemetry::KeyValue::new("b", " ".repeat(2700)),
        ]);
        assert!(injected(&grown).unwrap().len() <= MAX_LENGTH);
    }
}
