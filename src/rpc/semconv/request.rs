//! What a request says of a call: that it is one, which method it is of, and until when (grpc/doc/PROTOCOL-HTTP2.md).

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

/// The longest name of a method that becomes an attribute, in bytes.
pub(crate) const MAX_METHOD: usize = 255;

/// Whether a request is a call of gRPC. gRPC-Web is another protocol: its trailers are in the body.
pub(crate) fn is_call(headers: &HeaderMap) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    let value = headers.get(http::header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    value.split_at_checked(TYPE.len()).is_some_and(|(essence, rest)| {
        essence.eq_ignore_ascii_case(TYPE) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
    })
}

/// `grpc-timeout` (grpc/doc/PROTOCOL-HTTP2.md): at most 8 digits and a unit. A bad one says nothing.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// `package.Service/Method`, as the conventions want it; `None` for what is no such path.
pub(crate) fn method_of(path: &str) -> Option<&str> {
    let full = path.strip_prefix('/')?;
    let (service, method) = full.split_once('/')?;
    let plain = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    (full.len() <= MAX_METHOD && plain(service) && plain(method) && !method.contains('/')).then_some(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn every_unit_of_a_timeout_is_read_and_what_is_none_says_nothing() {
        let of = |value| timeout(&headers("grpc-timeout", value));
        let nanos = |nanos| Some(Duration::from_nanos(nanos));
        assert_eq!(of("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(of("3M"), Some(Duration::from_secs(180)));
        assert_eq!(of("4S"), Some(Duration::from_secs(4)));
        assert_eq!((of("5m"), of("6u"), of("7n")), (nanos(5_000_000), nanos(6000), nanos(7)));
        assert_eq!(of("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "S", "5", "5s", "5 S", "+5S", "-5S", "5.0S", "123456789S", "é", "5é"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_paths_of_two_parts_name_a_method() {
        assert_eq!(method_of("/shop.Stock/Get"), Some("shop.Stock/Get"));
        for path in ["", "/", "/a", "/a/", "//a", "a/b", "/a/b/c", "/a b/c", "/a/\u{e9}"] {
            assert_eq!(method_of(path), None, "{path}");
        }
        assert_eq!(method_of(&format!("/a/{}", "b".repeat(300))), None);
    }

    #[test]
    fn a_call_is_known_by_its_content_type() {
        let of = |value| is_call(&headers("content-type", value));
        assert!(of("application/grpc") && of("application/grpc+proto") && of("Application/gRPC; x=y"));
        assert!(!of("application/grpc-web+proto") && !of("application/json") && !of("application/grp"));
    }
}
