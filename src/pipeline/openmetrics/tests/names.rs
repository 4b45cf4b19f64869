//! Names of metrics and labels, and numbers, as they are written.

use super::*;

#[test]
fn translates_names_and_units() {
    let cases = [
        (
            "http.server.request.duration",
            "s",
            Kind::Histogram,
            "http_server_request_duration_seconds",
            "seconds",
        ),
        ("http.server.active_requests", "{request}", Kind::Gauge, "http_server_active_requests", ""),
        ("logins", "", Kind::Counter, "logins", ""),
        ("retry.attempts.total", "{attempt}", Kind::Counter, "retry_attempts", ""),
        ("process.cpu.time", "s", Kind::Counter, "process_cpu_time_seconds", "seconds"),
        ("wait_seconds", "s", Kind::Counter, "wait_seconds", "seconds"),
        ("seconds.waited", "s", Kind::Gauge, "seconds_waited", ""),
        ("pool.usage", "1", Kind::Gauge, "pool_usage_ratio", "ratio"),
        ("pool.hits", "1", Kind::Counter, "pool_hits", ""),
        ("disk.io", "By/s", Kind::Gauge, "disk_io_bytes_per_second", "bytes_per_second"),
        ("calls", "{call}/s", Kind::Gauge, "calls_per_second", "per_second"),
        ("lag", "ms", Kind::Gauge, "lag_milliseconds", "milliseconds"),
        ("cpu", "%", Kind::Gauge, "cpu_percent", "percent"),
        ("a..b--c__d", "furlong.x", Kind::Gauge, "a_b_c_d_furlong_x", "furlong_x"),
        ("3d.frames", "", Kind::Gauge, "_3d_frames", ""),
        ("größe", "", Kind::Gauge, "gr_e", ""),
        ("job:x", "", Kind::Gauge, "job:x", ""),
        ("s", "s", Kind::Gauge, "s_seconds", "seconds"),
        ("seconds", "s", Kind::Gauge, "seconds", ""),
        ("total", "", Kind::Counter, "total", ""),
    ];
    for (name, unit, kind, expected, expected_unit) in cases {
        let found = family_name(name, unit, kind, kind == Kind::Gauge).unwrap();
        assert_eq!((found.name.as_str(), found.unit.as_str()), (expected, expected_unit), "{name} {unit}");
    }
    assert_eq!(family_name("…", "s", Kind::Gauge, true), None);
}

#[test]
fn translates_label_names() {
    let cases = [
        ("http.request.method", "http_request_method"),
        ("__name__", "_name_"),
        ("9x", "key_9x"),
        ("a..b", "a_b"),
        ("", "_"),
        ("é", "_"),
    ];
    for (key, expected) in cases {
        let mut name = String::new();
        push_label_name(&mut name, "", key);
        assert_eq!(name, expected);
    }
}

#[test]
fn numbers_are_canonical() {
    let cases = [
        (0.0, "0.0"),
        (0.005, "0.005"),
        (1.0, "1.0"),
        (7.5, "7.5"),
        (100_000.0, "100000.0"),
        (1e6, "1e+06"),
        (1_048_576.0, "1.048576e+06"),
        (0.0001, "0.0001"),
        (1e-5, "1e-05"),
        (-1e-10, "-1e-10"),
        (1e300, "1e+300"),
        (0.1 + 0.2, "0.30000000000000004"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (f64::NAN, "NaN"),
    ];
    for (value, expected) in cases {
        let (mut marked, mut bare) = (String::new(), String::new());
        push_float(&mut marked, value, true);
        push_float(&mut bare, value, false);
        assert_eq!((marked.as_str(), bare.as_str()), (expected, expected.trim_end_matches(".0")));
    }
}

#[test]
fn colliding_labels_are_joined_in_key_order_and_reserved_ones_renamed() {
    let array = ["a", "\""].map(|text| AnyValue { value: Some(any_value::Value::StringValue(text.into())) });
    let mut point = histogram_point(&[], &[3], None);
    point.attributes = attributes(&[("a_b", "3"), ("a.b", "2"), ("a-b", "1"), ("le", "mine"), ("empty", "")]);
    point.attributes.push(typed("list", any_value::Value::ArrayValue(ArrayValue { values: array.to_vec() })));
    point.attributes.push(typed("on", any_value::Value::BoolValue(true)));
    assert_eq!(
        plain(&one(metric("h", "", histogram(vec![point])))),
        r#"# TYPE h histogram
h_bucket{a_b="1;2;3",exported_le="mine",list="[\"a\",\"\\\"\"]",on="true",le="+Inf"} 3
h_count{a_b="1;2;3",exported_le="mine",list="[\"a\",\"\\\"\"]",on="true"} 3
"#
    );
}

#[test]
fn hostile_label_values_are_escaped() {
    let value = "a\"} 9\n# EOF\n\\n\0\r💥";
    let text = openmetrics(&one(metric("g", "", gauge(vec![int(1, &[("v", value)])]))));
    let expected = "g{v=\"a\\\"} 9\\n# EOF\\n\\\\n\u{fffd}\r💥\"} 1\n";
    assert_eq!(text, format!("# TYPE g gauge\n{expected}# EOF\n"));
}
