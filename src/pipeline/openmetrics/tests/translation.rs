//! Each translation strategy in each escaping scheme, line by line.

use super::*;
use crate::config::Translation::{self, *};

/// The lines of a page with one histogram, two counters and a gauge, without their values.
fn lines(translation: Translation, format: Format) -> Vec<String> {
    let mut waits = histogram_point(&[1.0], &[1, 0], Some(0.5));
    waits.attributes = attributes(&[("http.route", "/a")]);
    let request = request(vec![scope(
        "shop",
        vec![
            metric("wait.time", "s", histogram(vec![waits])),
            metric("log.ins", "{login}", counter(vec![int(1, &[])])),
            metric("jobs_total", "", counter(vec![int(1, &[])])),
            metric("größe", "1", gauge(vec![int(1, &[])])),
        ],
    )]);
    let page = PrometheusPage::default().with_translation(translation).without_scope_labels();
    let mut text = String::new();
    assert_eq!(encode(&request, format, page, &mut text), Skipped::default(), "{translation}");
    let lines = text.lines().filter(|line| !line.contains("target") && *line != "# EOF");
    lines.map(|line| line.to_owned()).collect()
}

fn expected(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

const UTF8: Format = Format::OpenMetrics1_0_0(Escaping::AllowUtf8);

#[test]
fn classic_names_are_made_as_the_strategy_says() {
    assert_eq!(
        lines(UnderscoreEscapingWithSuffixes, UTF8),
        expected(
            r#"# TYPE wait_time_seconds histogram
            # UNIT wait_time_seconds seconds
            wait_time_seconds_bucket{http_route="/a",le="1.0"} 1
            wait_time_seconds_bucket{http_route="/a",le="+Inf"} 1
            wait_time_seconds_sum{http_route="/a"} 0.5
            wait_time_seconds_count{http_route="/a"} 1
            # TYPE log_ins counter
            log_ins_total 1
            # TYPE jobs counter
            jobs_total 1
            # TYPE gr_e_ratio gauge
            # UNIT gr_e_ratio ratio
            gr_e_ratio 1"#
        )
    );
    assert_eq!(
        lines(UnderscoreEscapingWithoutSuffixes, UTF8),
        expected(
            r#"# TYPE wait_time histogram
            wait_time_bucket{http_route="/a",le="1.0"} 1
            wait_time_bucket{http_route="/a",le="+Inf"} 1
            wait_time_sum{http_route="/a"} 0.5
            wait_time_count{http_route="/a"} 1
            # TYPE log_ins unknown
            log_ins 1
            # TYPE jobs counter
            jobs_total 1
            # TYPE gr_e gauge
            gr_e 1"#
        )
    );
}

#[test]
fn names_in_utf8_stay_as_the_strategy_says() {
    assert_eq!(
        lines(NoUTF8EscapingWithSuffixes, UTF8),
        expected(
            r#"# TYPE "wait.time_seconds" histogram
            # UNIT "wait.time_seconds" seconds
            {"wait.time_seconds_bucket","http.route"="/a",le="1.0"} 1
            {"wait.time_seconds_bucket","http.route"="/a",le="+Inf"} 1
            {"wait.time_seconds_sum","http.route"="/a"} 0.5
            {"wait.time_seconds_count","http.route"="/a"} 1
            # TYPE "log.ins" counter
            {"log.ins_total"} 1
            # TYPE jobs counter
            jobs_total 1
            # TYPE "größe_ratio" gauge
            # UNIT "größe_ratio" ratio
            {"größe_ratio"} 1"#
        )
    );
    assert_eq!(
        lines(NoTranslation, UTF8),
        expected(
            r#"# TYPE "wait.time" histogram
            {"wait.time_bucket","http.route"="/a",le="1.0"} 1
            {"wait.time_bucket","http.route"="/a",le="+Inf"} 1
            {"wait.time_sum","http.route"="/a"} 0.5
            {"wait.time_count","http.route"="/a"} 1
            # TYPE "log.ins" unknown
            {"log.ins"} 1
            # TYPE jobs counter
            jobs_total 1
            # TYPE "größe" gauge
            {"größe"} 1"#
        )
    );
}

#[test]
fn names_in_utf8_are_escaped_for_scrapers_that_do_not_take_them() {
    let last = |escaping| lines(NoUTF8EscapingWithSuffixes, Format::Text1_0_0(escaping));
    let sums = |escaping| last(escaping).into_iter().find(|line| line.contains("_sum")).unwrap();
    assert_eq!(sums(Escaping::Underscores), r#"wait_time_seconds_sum{http_route="/a"} 0.5"#);
    assert_eq!(sums(Escaping::Dots), r#"wait_dot_time__seconds_sum{http_dot_route="/a"} 0.5"#);
    assert_eq!(sums(Escaping::Values), r#"U__wait_2e_time__seconds_sum{U__http_2e_route="/a"} 0.5"#);
    assert_eq!(last(Escaping::Underscores).last().unwrap(), "gr__e_ratio 1");
    assert_eq!(last(Escaping::Dots).last().unwrap(), "gr____e__ratio 1");
    assert_eq!(last(Escaping::Values).last().unwrap(), "U__gr_f6__df_e__ratio 1");
    // the oldest format has no names but these
    let old = lines(NoUTF8EscapingWithSuffixes, Format::Text0_0_4);
    assert!(old.contains(&"# TYPE log_ins_total counter".to_owned()), "{old:?}");
    // dots are for every name, as whoever turns them back cannot know better
    let classic = lines(UnderscoreEscapingWithSuffixes, Format::OpenMetrics1_0_0(Escaping::Dots));
    assert!(classic.contains(&r#"wait__time__seconds_sum{http__route="/a"} 0.5"#.to_owned()), "{classic:?}");
}

#[test]
fn no_attribute_becomes_a_name_that_a_scraper_acts_on() {
    let point = int(1, &[("__name__", "x"), ("a\"b\n", "y"), ("", "z")]);
    let request = one(metric("g", "", gauge(vec![point])));
    let page = PrometheusPage::default().with_translation(NoTranslation);
    let mut text = String::new();
    encode(&request, Format::OpenMetrics1_0_0(Escaping::AllowUtf8), page, &mut text);
    assert!(text.contains(r#"{_="z",_name_="x","a\"b\n"="y""#), "{text}");
}
