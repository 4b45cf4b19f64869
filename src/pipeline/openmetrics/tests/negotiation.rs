//! Which format a scraper gets.

use super::*;

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
