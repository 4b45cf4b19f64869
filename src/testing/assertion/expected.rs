//! A value that an attribute is expected to have.

use std::fmt;

use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, any_value::Value};

use crate::testing::collector::shown;

/// The value of an attribute in an assertion: text, a whole number, a floating-point number, a boolean, or an array of
/// texts. The type counts: `200` is not `"200"`.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected(Value);

impl Expected {
    pub(super) fn is(&self, value: Option<&Value>) -> bool {
        value == Some(&self.0)
    }
}

/// As it is written in messages: texts in quotes.
impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

impl From<&str> for Expected {
    fn from(value: &str) -> Self {
        Self(Value::StringValue(value.to_owned()))
    }
}

impl From<String> for Expected {
    fn from(value: String) -> Self {
        Self(Value::StringValue(value))
    }
}

impl From<&String> for Expected {
    fn from(value: &String) -> Self {
        value.as_str().into()
    }
}

impl From<bool> for Expected {
    fn from(value: bool) -> Self {
        Self(Value::BoolValue(value))
    }
}

impl From<f64> for Expected {
    fn from(value: f64) -> Self {
        Self(Value::DoubleValue(value))
    }
}

impl From<i64> for Expected {
    fn from(value: i64) -> Self {
        Self(Value::IntValue(value))
    }
}

impl From<i32> for Expected {
    fn from(value: i32) -> Self {
        i64::from(value).into()
    }
}

impl From<u16> for Expected {
    fn from(value: u16) -> Self {
        i64::from(value).into()
    }
}

impl From<u32> for Expected {
    fn from(value: u32) -> Self {
        i64::from(value).into()
    }
}

impl<const N: usize> From<[&str; N]> for Expected {
    fn from(values: [&str; N]) -> Self {
        let value = |value: &str| AnyValue { value: Some(Value::StringValue(value.to_owned())) };
        Self(Value::ArrayValue(ArrayValue { values: values.into_iter().map(value).collect() }))
    }
}
