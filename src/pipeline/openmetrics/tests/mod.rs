//! The rules of the page one by one, then random requests against a strict reader.

mod build;
mod histograms;
mod names;
mod negotiation;
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
