//! Histograms of both kinds as the classic ones.

use super::*;

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
