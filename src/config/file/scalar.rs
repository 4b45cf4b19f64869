//! What a plain scalar means: the core schema of YAML 1.2 (YAML 1.2.2, 10.3).

use super::node::Value;

/// The value of a plain scalar.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    integer(text).or_else(|| float(text)).unwrap_or_else(|| Value::Text(text.to_owned()))
}

/// The value of a scalar with a tag of the core schema; `None` when the text is not of that type.
pub(super) fn tagged(tag: &str, text: &str) -> Option<Value> {
    let plain = resolve(text);
    match (tag, plain) {
        ("str", _) => Some(Value::Text(text.to_owned())),
        ("null", Value::Null) => Some(Value::Null),
        ("bool", value @ Value::Bool(_)) => Some(value),
        ("int", value @ Value::Int(_)) => Some(value),
        ("float", value @ Value::Float(_)) => Some(value),
        ("float", Value::Int(whole)) => Some(Value::Float(whole as f64)),
        _ => None,
    }
}

fn integer(text: &str) -> Option<Value> {
    let radix = |digits: &str, radix, known: fn(u8) -> bool| {
        let valid = !digits.is_empty() && digits.bytes().all(known);
        // beyond 64 bits it is still a number, though no integer that anything here accepts
        valid.then(|| i64::from_str_radix(digits, radix).map_or(Value::Float(f64::INFINITY), Value::Int))
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16, |digit| digit.is_ascii_hexdigit());
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8, |digit| (b'0'..=b'7').contains(&digit));
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().map_or_else(|_| Value::Float(text.parse().unwrap_or(f64::INFINITY)), Value::Int))
}

fn float(text: &str) -> Option<Value> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let signed = |value: f64| Some(Value::Float(if negative { -value } else { value }));
    match rest {
        ".inf" | ".Inf" | ".INF" => return signed(f64::INFINITY),
        _ if matches!(text, ".nan" | ".NaN" | ".NAN") => return Some(Value::Float(f64::NAN)),
        _ => {}
    }
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let all_digits = |part: &str| part.bytes().all(|digit| digit.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let numeric = all_digits(whole) && all_digits(fraction) && (!whole.is_empty() || !fraction.is_empty());
    let exponent_numeric = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    if !numeric || !exponent_numeric {
        return None;
    }
    rest.parse().ok().and_then(signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_those_of_the_core_schema() {
        for (text, expected) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("null", Value::Null),
            ("True", Value::Bool(true)),
            ("FALSE", Value::Bool(false)),
            ("-12", Value::Int(-12)),
            ("+7", Value::Int(7)),
            ("007", Value::Int(7)),
            ("0o17", Value::Int(15)),
            ("0xdeadbeef", Value::Int(3_735_928_559)),
            ("1.", Value::Float(1.0)),
            (".5", Value::Float(0.5)),
            ("-1.5e-3", Value::Float(-0.0015)),
            ("1e3", Value::Float(1000.0)),
            ("-.inf", Value::Float(f64::NEG_INFINITY)),
        ] {
            assert_eq!(resolve(text), expected, "{text}");
        }
        // what other versions and other languages take for something else
        for text in [
            "NO", "yes", "on", "0x", "0o8", "1_000", "1:30", "inf", "nan", "1e", ".", "-", "0b1", "TRue",
            "1,5",
        ] {
            assert_eq!(resolve(text), Value::Text(text.to_owned()), "{text}");
        }
        assert!(matches!(resolve(".nan"), Value::Float(value) if value.is_nan()));
        assert!(matches!(resolve("99999999999999999999"), Value::Float(_)));
    }
}
