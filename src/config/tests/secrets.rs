//! What is shown: never a secret, never more than a line, and never a panic.

use super::*;

/// Every text there is of a configuration, its mistakes and its source.
fn everything_shown(source: &Source) -> String {
    let (config, mistakes) = Config::resolve(source);
    let lines: Vec<_> =
        mistakes.iter().map(|mistake| format!("{mistake}\n{mistake:?}\n{mistake:#?}")).collect();
    let endpoints =
        [&config.traces.otlp, &config.metrics.otlp, &config.logs.otlp].map(|otlp| otlp.endpoint.to_string());
    let token = config.admin.token.as_ref().map(ToString::to_string);
    format!("{config:?}\n{config:#?}\n{source:?}\n{}\n{endpoints:?}\n{token:?}", lines.join("\n"))
}

#[test]
fn a_planted_secret_is_shown_nowhere() {
    let planted = [
        "https://user:s3cret@c:4318/x",
        "https://s3cret@c",
        "https://user:s3cret@c:99999",
        "https://user:p@s3cret@c",
        "https://user:12/s3cret@c",
        "https://user:12?s3cret@c",
        "https://user:a,s3cret@c",
        "ftp://user:s3cret@c",
        "user:s3cret@c:4317",
        "//user:s3cret@c",
        "https://c/?api_key=s3cret",
        "https://c:x/?api_key=s3cret",
    ];
    for row in variables().filter(|row| !row.secret && !SHOWS_ITS_VALUE.contains(&row.name)) {
        for value in planted {
            for protocol in ["grpc", "http/json"] {
                let pairs = [("OTEL_EXPORTER_OTLP_PROTOCOL", protocol), (row.name, value)];
                let text = everything_shown(&Source::from_pairs(pairs));
                assert!(!text.contains("s3cret"), "{}={value}: {text}", row.name);
            }
        }
    }
    let header = [
        "authorization=s3cret",
        "k=s3cret%",
        "k k=s3cret",
        "k=s3cret%0A,l=1",
        "s3cret",
        "s3cret%20",
        "k=1,s3cret s3cret",
    ];
    let token = ["s3cret", "s3cret s3cret", "s3cret\u{e9}"];
    for row in variables().filter(|row| row.secret) {
        for value in if row.name.ends_with("HEADERS") { &header[..] } else { &token[..] } {
            let text = everything_shown(&Source::from_pairs([(row.name, *value)]));
            assert!(!text.contains("s3cret"), "{}={value}: {text}", row.name);
        }
    }
}

/// Settings that are plain text to be shown: names, attributes, a log filter, a path.
const SHOWS_ITS_VALUE: &[&str] = &[
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "TRACEWELL_CHECKS_DISABLED",
    "TRACEWELL_REDACT_NAMES",
    "TRACEWELL_REDACT_EXCEPT",
    "RUST_LOG",
    "TRACEWELL_LOG_FILE",
];

#[test]
fn a_mistake_stays_on_one_line_of_bounded_length() {
    let value = format!("a\nb\u{1b}[31m{}", "x".repeat(10_000));
    for row in variables() {
        let (_, mistakes) = resolve(&[(row.name, &value)]);
        for line in mistakes {
            assert!(line.len() < 1200 && !line.contains(['\n', '\u{1b}']), "{line}");
        }
    }
}

/// What the values of the next test are made of.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "http://", "https://", "@", ":", "/", "?", "#", "%", "%2C", "%ff", ",", "=", ";", "[", "]", "::1",
    "0", "1", "-", "+", ".", "1e9", "NaN", "4294967296", "18446744073709551616", "none", "otlp", "true",
    "é", "\u{202e}", "\0", "\n", " ", "x", "{", "}", "\"", "info", "a=debug", "parentbased_",
    "traceidratio", "10.0.0.0", "/8", "host",
];

#[test]
fn no_value_of_any_variable_makes_it_panic() {
    // xorshift: the same values in each run
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let names: Vec<_> = variables().map(|row| row.name).collect();
    let protocols = ["grpc", "http/protobuf"];
    for round in 0..200 {
        let pairs: Vec<(&str, String)> = names
            .iter()
            .map(|name| (*name, (0..=next(8)).map(|_| PIECES[next(PIECES.len())]).collect()))
            .chain([("OTEL_EXPORTER_OTLP_PROTOCOL", protocols[round % 2].to_owned())])
            .collect();
        let source = Source::from_pairs(pairs);
        let (config, mistakes) = Config::resolve(&source);
        for mistake in &mistakes {
            assert!(!mistake.to_string().contains('\n'), "{mistake}");
        }
        let seen: HashSet<_> = mistakes.iter().map(|mistake| &mistake.variable).collect();
        assert_eq!(seen.len(), mistakes.len(), "one mistake a variable: {mistakes:?}");
        let batch = config.traces.batch;
        assert!(batch.max_export_batch_size > 0 && batch.max_export_batch_size <= batch.max_queue_size);
        assert!(!config.metrics.interval.is_zero());
    }
}
