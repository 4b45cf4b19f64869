//! The rules of the page one by one, then random requests against a strict reader.

mod build;
mod translation;
mod validator;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, ArrayValue, any_value},
    metrics::v1::*,
};

use self::{
    build::*,
    validator::{Page, validate},
};
use super::{
    Format, Skipped,
    classic_names::{Kind, family_name, push_label_name},
    encode,
    format::Escaping,
    text::push_float,
};
use crate::config::PrometheusPage;

const OPENMETRICS: Format = Format::OpenMetrics1_0_0(Escaping::Underscores);

/// Encodes and checks the page; also that the same request as text 0.0.4 is valid.
fn page_of(request: &ExportMetricsServiceRequest, format: Format) -> (String, Skipped) {
    let mut text = String::new();
    let skipped = encode(request, format, PrometheusPage::default(), &mut text);
    if let Err(reason) = validate(&text, format.is_open()) {
        panic!("{reason}\n{text}");
    }
    (text, skipped)
}

fn openmetrics(request: &ExportMetricsServiceRequest) -> String {
    page_of(request, OPENMETRICS).0
}

fn plain(request: &ExportMetricsServiceRequest) -> String {
    page_of(request, Format::Text0_0_4).0
}

fn one(metric: Metric) -> ExportMetricsServiceRequest {
    request(vec![scope("", vec![metric])])
}

#[test]
fn negotiates_the_heaviest_supported_format() {
    let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;\
        version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    let cases = [
        (prometheus, Format::OpenMetrics1_0_0(Escaping::AllowUtf8)),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", OPENMETRICS),
        ("Application/OpenMetrics-Text ; Version=\"1.0.0\"", OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", Format::OpenMetrics0_0_1),
        ("application/openmetrics-text;version=2.0.0", Format::Text0_0_4),
        (
            "application/openmetrics-text;version=1.0.0;escaping=dots",
            Format::OpenMetrics1_0_0(Escaping::Dots),
        ),
        ("text/plain;version=1.0.0;escaping=values", Format::Text1_0_0(Escaping::Values)),
        ("application/openmetrics-text;version=1.0.0;escaping=rot13", Format::Text0_0_4),
        ("application/openmetrics-text;version=1.0.0;q=0", Format::Text0_0_4),
        (
            "text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.2",
            Format::Text0_0_4,
        ),
        ("text/plain;version=1.0.0", Format::Text1_0_0(Escaping::Underscores)),
        (
            "text/plain;version=1.0.0,application/openmetrics-text;version=1.0.0",
            Format::Text1_0_0(Escaping::Underscores),
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.9,\
             application/openmetrics-text;version=1.0.0;q=0.1",
            OPENMETRICS,
        ),
        ("text/html,application/xhtml+xml,*/*;q=0.8", Format::Text0_0_4),
    ];
    for (accept, expected) in cases {
        assert_eq!(Format::negotiate(Some(accept)), expected, "{accept}");
    }
    assert_eq!(Format::negotiate(None), Format::Text0_0_4);
}

#[test]
fn malformed_accept_headers_fall_back() {
    let good = "application/openmetrics-text;version=1.0.0;q=0.1";
    for bad in [
        "",
        ",",
        ";",
        "=;=;",
        "q=1",
        "text/plain;q=",
        "*/*;q=NaN",
        "*/*;q=inf",
        "*/*;q=-1",
        "*/*;q=2",
        "\u{e9};\"",
        ";;q=1;;,,",
    ] {
        assert_eq!(Format::negotiate(Some(bad)), Format::Text0_0_4, "{bad}");
        assert_eq!(Format::negotiate(Some(&format!("{bad},{good}"))), OPENMETRICS, "{bad}");
    }
}

#[test]
fn content_types_name_version_and_escaping() {
    assert_eq!(Format::Text0_0_4.content_type(), "text/plain; version=0.0.4; charset=utf-8");
    for escaping in [Escaping::Underscores, Escaping::AllowUtf8, Escaping::Dots, Escaping::Values] {
        for format in [Format::Text1_0_0(escaping), Format::OpenMetrics1_0_0(escaping)] {
            assert_eq!(Format::negotiate(Some(format.content_type())), format);
        }
    }
    assert_eq!(Format::negotiate(Some(Format::OpenMetrics0_0_1.content_type())), Format::OpenMetrics0_0_1);
}

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
fn counter_in_both_formats() {
    let mut point = int(17, &[("user", "a")]);
    point.exemplars = vec![exemplar(1.0, 1_520_879_607_789), exemplar(2.0, 1_520_879_607_790)];
    let mut metric = metric("logins", "", counter(vec![point]));
    metric.description = "a \"b\"\n\\".into();
    let request = request(vec![scope("shop", vec![metric])]);
    assert_eq!(
        openmetrics(&request),
        r#"# HELP logins a \"b\"\n\\
# TYPE logins counter
logins_total{otel_scope_name="shop",user="a"} 17 # {trace_id="11111111111111111111111111111111",span_id="2222222222222222"} 2.0 1520879607.790
# EOF
"#
    );
    assert_eq!(
        plain(&request),
        "# HELP logins_total a \"b\"\\n\\\\\n# TYPE logins_total counter\nlogins_total{otel_scope_name=\"shop\",user=\"a\"} 17\n"
    );
}

#[test]
fn histogram_in_both_formats() {
    let mut point = histogram_point(&[0.005, 1.0], &[1, 2, 3], Some(12.5));
    // the second is newer than the first in its bucket, the third lies on a bound, the last is no number
    point.exemplars =
        vec![exemplar(0.5, 1000), exemplar(0.75, 2000), exemplar(0.005, 3000), exemplar(f64::NAN, 4000)];
    for exemplar in &mut point.exemplars {
        exemplar.span_id.clear();
        exemplar.trace_id.clear();
    }
    let request = one(metric("d", "s", histogram(vec![point])));
    assert_eq!(
        openmetrics(&request),
        r#"# TYPE d_seconds histogram
# UNIT d_seconds seconds
d_seconds_bucket{le="0.005"} 1 # {} 0.005 3.000
d_seconds_bucket{le="1.0"} 3 # {} 0.75 2.000
d_seconds_bucket{le="+Inf"} 6
d_seconds_sum 12.5
d_seconds_count 6
# EOF
"#
    );
    assert_eq!(
        plain(&request),
        r#"# TYPE d_seconds histogram
d_seconds_bucket{le="0.005"} 1
d_seconds_bucket{le="1"} 3
d_seconds_bucket{le="+Inf"} 6
d_seconds_sum 12.5
d_seconds_count 6
"#
    );
}

#[test]
fn exemplar_stands_only_in_its_bucket() {
    let mut point = histogram_point(&[1.0, 2.0], &[5, 5, 5], Some(1.0));
    point.exemplars = vec![exemplar(99.0, 1)];
    let text = openmetrics(&one(metric("d", "", histogram(vec![point]))));
    let with: Vec<_> = text.lines().filter(|line| line.contains(" # {")).collect();
    assert_eq!(with.len(), 1, "{text}");
    assert!(with[0].starts_with("d_bucket{le=\"+Inf\"} 15 # "), "{text}");
}

#[test]
fn exemplar_labels_stay_within_128_characters() {
    let mut point = int(1, &[]);
    // 63 characters are taken by the ids: 65 are left, of which `k` and 60 é take 61, then `z` and 3 fit
    let filtered =
        [("k", "é".repeat(60)), ("m", "x".repeat(4)), ("trace.id", "no".into()), ("z", "y".repeat(3))];
    let filtered = filtered.iter().map(|(key, value)| attribute(key, value)).collect();
    point.exemplars = vec![Exemplar { filtered_attributes: filtered, ..exemplar(1.0, 1) }];
    let text = openmetrics(&one(metric("c", "", counter(vec![point]))));
    assert!(
        text.contains(&format!("span_id=\"2222222222222222\",k=\"{}\",z=\"yyy\"}} 1.0", "é".repeat(60))),
        "{text}"
    );
    assert!(!text.contains("no") && !text.contains("xxxx"), "{text}");
}

#[test]
fn gauges_and_summaries_have_no_exemplars() {
    let point = |value: i64| NumberDataPoint { exemplars: vec![exemplar(1.0, 1)], ..int(value, &[]) };
    let metrics = vec![metric("g", "", gauge(vec![point(-1)])), metric("u", "", sum(vec![point(-2)], false))];
    assert_eq!(
        openmetrics(&request(vec![scope("", metrics)])),
        "# TYPE g gauge\ng -1\n# TYPE u gauge\nu -2\n# EOF\n"
    );
}

#[test]
fn summary_quantiles_are_sorted() {
    let at = |quantile, value| summary_data_point::ValueAtQuantile { quantile, value };
    let quantile_values = vec![at(0.99, 3.0), at(0.5, 1.0), at(2.0, 9.0), at(1.0, 4.0)];
    let point = SummaryDataPoint { count: 4, sum: 8.0, quantile_values, ..Default::default() };
    let request = one(metric("w", "", metric::Data::Summary(Summary { data_points: vec![point] })));
    assert_eq!(
        openmetrics(&request),
        r#"# TYPE w summary
w{quantile="0.5"} 1.0
w{quantile="0.99"} 3.0
w{quantile="1.0"} 4.0
w_sum 8.0
w_count 4
# EOF
"#
    );
}

#[test]
fn resource_becomes_target_info() {
    let resource = [
        ("service.name", "storefront"),
        ("service.namespace", "shop"),
        ("service.instance.id", "i-1"),
        ("os.type", "linux"),
    ];
    let metrics = vec![metric("target.info", "", gauge(vec![int(7, &[])]))];
    let request = with_resource(&resource, vec![scope("", metrics)]);
    let labels =
        r#"{os_type="linux",service_instance_id="i-1",service_name="storefront",service_namespace="shop"}"#;
    let (text, skipped) = page_of(&request, OPENMETRICS);
    assert_eq!(
        text,
        format!("# HELP target Target metadata\n# TYPE target info\ntarget_info{labels} 1\n# EOF\n")
    );
    assert_eq!(skipped.conflicting_metrics, 1);
    assert_eq!(
        plain(&request),
        format!("# HELP target_info Target metadata\n# TYPE target_info gauge\ntarget_info{labels} 1\n")
    );
}

#[test]
fn scope_is_on_every_point() {
    let mut scoped = scope("lib", vec![metric("g", "", gauge(vec![int(1, &[("otel.scope.name", "x")])]))]);
    scoped.schema_url = "https://s".into();
    let scope = scoped.scope.as_mut().unwrap();
    scope.version = "1.2".into();
    scope.attributes = attributes(&[("mascot", "bear"), ("version", "hidden"), ("schema.url", "hidden")]);
    assert_eq!(
        openmetrics(&request(vec![scoped])),
        r#"# TYPE g gauge
g{otel_scope_mascot="bear",otel_scope_name="x;lib",otel_scope_schema_url="https://s",otel_scope_version="1.2"} 1
# EOF
"#
    );
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

#[test]
fn families_of_several_scopes_are_one_block() {
    let c = |value| metric("c", "", counter(vec![int(value, &[])]));
    let other = metric("g", "", gauge(vec![int(0, &[])]));
    let mut described = c(2);
    described.description = "said once".into();
    let request = request(vec![scope("a", vec![c(1), other]), scope("b", vec![described])]);
    assert_eq!(
        openmetrics(&request),
        r#"# HELP c said once
# TYPE c counter
c_total{otel_scope_name="a"} 1
c_total{otel_scope_name="b"} 2
# TYPE g gauge
g{otel_scope_name="a"} 0
# EOF
"#
    );
}

#[test]
fn later_of_conflicting_metrics_is_dropped() {
    let metrics = vec![
        metric("x", "", counter(vec![int(1, &[])])),
        metric("x.total", "", gauge(vec![int(2, &[])])),
        metric("h", "", histogram(vec![histogram_point(&[], &[1], None)])),
        metric("h.count", "", gauge(vec![int(3, &[])])),
        metric("h", "", gauge(vec![int(4, &[])])),
        metric("!", "", gauge(vec![int(5, &[])])),
    ];
    let (text, skipped) = page_of(&request(vec![scope("", metrics)]), Format::Text0_0_4);
    assert_eq!(
        text,
        "# TYPE x_total counter\nx_total 1\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n"
    );
    assert_eq!(skipped, Skipped { conflicting_metrics: 4, ..Skipped::default() });
}

#[test]
fn duplicate_and_contradicting_points_are_dropped() {
    let mut unordered = histogram_point(&[2.0, 1.0], &[1, 1, 1], None);
    unordered.attributes = attributes(&[("k", "v")]);
    let stale = NumberDataPoint { flags: 1, ..int(5, &[("stale", "yes")]) };
    let metrics = vec![
        metric(
            "a.b",
            "",
            gauge(vec![int(1, &[("k.1", "v"), ("x", "y")]), int(2, &[("x", "y"), ("k_1", "v")]), stale]),
        ),
        metric("a_b", "", gauge(vec![int(3, &[("k.1", "v"), ("x", "y")])])),
        metric("c", "", counter(vec![int(-1, &[])])),
        metric("h", "", histogram(vec![unordered, histogram_point(&[1.0], &[1], None)])),
    ];
    let (text, skipped) = page_of(&request(vec![scope("", metrics)]), OPENMETRICS);
    assert_eq!(
        text,
        "# TYPE a_b gauge\na_b{k_1=\"v\",x=\"y\"} 1\n# TYPE c counter\n# TYPE h histogram\n# EOF\n"
    );
    assert_eq!(skipped, Skipped { points: 5, ..Skipped::default() });
}

#[test]
fn only_cumulative_data_is_written() {
    let data = Sum { data_points: vec![int(1, &[])], aggregation_temporality: 1, is_monotonic: true };
    let (text, skipped) = page_of(&one(metric("c", "", metric::Data::Sum(data))), OPENMETRICS);
    assert_eq!(text, "# EOF\n");
    assert_eq!(skipped, Skipped { not_cumulative_metrics: 1, ..Skipped::default() });
}

#[test]
fn empty_request_is_an_empty_page() {
    let empty = ExportMetricsServiceRequest { resource_metrics: vec![] };
    assert_eq!(openmetrics(&empty), "# EOF\n");
    assert_eq!(plain(&empty), "");
    assert_eq!(openmetrics(&one(metric("c", "s", counter(vec![])))), "# EOF\n");
}

#[test]
fn negative_buckets_have_no_sum_in_openmetrics() {
    let request =
        one(metric("h", "", histogram(vec![histogram_point(&[-1.0, 0.0], &[1, 1, 0], Some(-2.0))])));
    assert!(!openmetrics(&request).contains("_sum") && !openmetrics(&request).contains("_count"));
    assert!(plain(&request).ends_with("h_sum -2\nh_count 2\n"));
}

#[test]
fn exponential_histogram_becomes_a_classic_one() {
    let point = ExponentialHistogramDataPoint {
        scale: 0,
        zero_count: 1,
        sum: Some(9.0),
        positive: buckets(-1, &[0, 2, 0, 3, 0]),
        exemplars: vec![exemplar(1.5, 1)],
        ..Default::default()
    };
    let text = openmetrics(&one(metric("h", "", exponential(vec![point]))));
    assert_eq!(
        text.replace(",span_id=\"2222222222222222\"", "").replace(&"1".repeat(32), "1"),
        r#"# TYPE h histogram
h_bucket{le="0.0"} 1
h_bucket{le="1.0"} 1
h_bucket{le="2.0"} 3 # {trace_id="1"} 1.5 0.001
h_bucket{le="4.0"} 3
h_bucket{le="8.0"} 6
h_bucket{le="+Inf"} 6
h_sum 9.0
h_count 6
# EOF
"#
    );
}

#[test]
fn exponential_buckets_are_merged_down_to_160() {
    let point = |positive, negative| ExponentialHistogramDataPoint {
        scale: 3,
        positive,
        negative,
        ..Default::default()
    };
    // three edges on top: below the first bucket of each sign, and the zero bucket
    let wide =
        one(metric("h", "", exponential(vec![point(buckets(5, &[1; 1000]), buckets(-7, &[1; 1000]))])));
    let bounds =
        plain(&wide).lines().filter(|line| line.contains("_bucket") && !line.contains("+Inf")).count();
    assert!((80..=163).contains(&bounds), "{bounds}");
    assert!(plain(&wide).contains("h_count 2000\n"));
    let full = one(metric("h", "", exponential(vec![point(buckets(0, &[1; 160]), None)])));
    assert_eq!(plain(&full).lines().filter(|line| line.contains("_bucket")).count(), 160 + 3);
    // far outside of what a float can hold
    let mut extreme = point(buckets(i32::MAX, &[1, 2]), buckets(i32::MIN, &[3]));
    extreme.scale = -10;
    assert!(plain(&one(metric("h", "", exponential(vec![extreme])))).contains("h_count 6\n"));
}

#[test]
fn random_requests_give_valid_pages() {
    let mut random = Random(42);
    let mut total = Page::default();
    for _ in 0..400 {
        let request = random.request();
        let (text, _) = page_of(&request, OPENMETRICS);
        page_of(&request, Format::Text0_0_4);
        let mut again = String::new();
        encode(&request, OPENMETRICS, PrometheusPage::default(), &mut again);
        assert_eq!(text, again);
        let page = validate(&text, true).unwrap();
        total.families += page.families;
        total.samples += page.samples;
        total.exemplars += page.exemplars;
    }
    assert!(total.families > 1000 && total.samples > 10_000 && total.exemplars > 500, "{total:?}");
}

#[test]
fn the_strict_reader_is_strict() {
    let bad = [
        "",
        "a 1\n# EOF\n",
        "# TYPE a gauge\na 1\n",
        "# TYPE a gauge\na 1\n\n# EOF\n",
        "# TYPE a gauge\na 1\na 2\n# EOF\n",
        "# TYPE a gauge\na 1\n# TYPE b gauge\n# TYPE a gauge\n# EOF\n",
        "# TYPE a counter\na 1\n# EOF\n",
        "# TYPE a counter\na_total -1\n# EOF\n",
        "# TYPE a counter\na_total 1\n# TYPE a_total gauge\n# EOF\n",
        "# TYPE a gauge\n# UNIT a seconds\n# EOF\n",
        "# TYPE a gauge\na{b=\"1\",b=\"2\"} 1\n# EOF\n",
        "# TYPE a gauge\na{b=\"\\x\"} 1\n# EOF\n",
        "# TYPE a gauge\na 1 # {} 1\n# EOF\n",
        "# TYPE a histogram\na_bucket{le=\"1.0\"} 1\n# EOF\n",
        "# TYPE a histogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 1\n# EOF\n",
        "# TYPE a histogram\na_bucket{le=\"1.0\"} 2\na_bucket{le=\"+Inf\"} 1\n# EOF\n",
        "# TYPE a histogram\na_bucket{le=\"1.0\"} 1 # {} 2.0\na_bucket{le=\"+Inf\"} 1\n# EOF\n",
        "# TYPE a histogram\na_bucket{le=\"1.0\"} 1\na_bucket{le=\"+Inf\"} 1 # {} 1.0\n# EOF\n",
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 1\n# EOF\n",
    ];
    for text in bad {
        assert!(validate(text, true).is_err(), "{text}");
    }
}
